"""What a dataset looks like to its own steward: what is missing, in what range its numbers lie. It stays at home."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serai.agent.vault import Vault
from serai.training.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSummary:
    """One column.

    Attributes:
        name: its name.
        kind: ``number`` or ``category``.
        unit: of a number.
        missing: rows without a value.
        least: the least number; None where there is none.
        greatest: the greatest.
        outside: numbers beyond the public bounds, which statistics will set to the bound.
        counts: rows of each level.

    """

    name: str
    kind: str
    unit: str = ""
    missing: int
    least: float | None = None
    greatest: float | None = None
    outside: int = 0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A dataset: its rows (documents, images), whom they are about, and its columns."""

    rows: int
    subjects: int | None
    columns: tuple[ColumnSummary, ...]


def summarise(vault: Vault, dataset: str) -> Summary:
    """Read a dataset as an offer would, and look at what it holds.

    Raises:
        Missing, Misconfigured, Malformed: as ``Vault.load``.

    """
    settings = vault.settings_of(dataset)
    rows, subjects = vault.rows(dataset), vault.subjects(dataset)
    names = settings.table_columns
    table = vault.load(dataset, names).table if names else Table()
    return Summary(rows=rows, subjects=subjects, columns=tuple(_column(vault, dataset, table, name) for name in names))


def _column(vault: Vault, dataset: str, table: Table, name: str) -> ColumnSummary:
    if name in table.categories:
        places, levels = table.category(name)
        counts = np.bincount(places[places >= 0], minlength=len(levels))
        return ColumnSummary(
            name=name,
            kind="category",
            missing=int(np.count_nonzero(places < 0)),
            counts=dict(zip(levels, counts.tolist(), strict=True)),
        )
    values = table.number(name)
    field_ = vault.settings_of(dataset).fields.get(name)
    low, high = (field_.low, field_.high) if field_ else ("", "")
    known = values[~np.isnan(values)]
    return ColumnSummary(
        name=name,
        kind="number",
        unit=field_.unit if field_ else "",
        missing=values.size - known.size,
        least=float(known.min()) if known.size else None,
        greatest=float(known.max()) if known.size else None,
        outside=_outside(known, low, high),
    )


def _outside(values: npt.NDArray[np.float64], low: str, high: str) -> int:
    below = np.count_nonzero(values < float(low)) if low else 0
    return int(below + (np.count_nonzero(values > float(high)) if high else 0))
