"""Mock rows: of the same schema as an offer, drawn from a seed, with nothing of the data in them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from serai.errors import Misconfigured
from serai.training.tables import MISSING, Table
from serai.zones.statements import Column

MISSING_SHARE: Final = 0.05  # of each column, so that a recipe meets missing values before it meets real rows
UNKNOWN_LEVELS: Final = ("a", "b")  # of a category whose offer does not say what it can be
_DIGITS: Final = 6

Cell: TypeAlias = float | str | None


def mock_table(columns: Sequence[Column], rows: int, random: np.random.Generator) -> Table:
    """Columns as a recipe would see them: numbers evenly within their public bounds, levels equally often.

    Where an offer says one bound, or none, the range is one unit wide.
    """
    numbers = {column.name: _numbers(column, rows, random) for column in columns if column.kind == "number"}
    levels = {column.name: column.levels or UNKNOWN_LEVELS for column in columns if column.kind != "number"}
    places = {name: random.integers(0, len(words), rows).astype(np.int16) for name, words in levels.items()}
    for column in places.values():
        column[random.random(rows) < MISSING_SHARE] = MISSING
    return Table(rows=rows, numbers=numbers, categories=places, levels=levels)


def write_mock(table: Table, columns: Sequence[Column], path: Path) -> None:
    """Write mock rows to a file: Parquet if its name ends so, else CSV.

    Raises:
        Misconfigured: Parquet is asked for, and pyarrow is not installed.

    """
    cells = {column.name: _cells(table, column.name) for column in columns}
    if path.suffix.lower() == ".parquet":
        _write_parquet(cells, path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(cells)
        writer.writerows(["" if cell is None else cell for cell in row] for row in zip(*cells.values(), strict=True))


def zone_table(columns: Sequence[Column], title: str, path: Path) -> str:
    """What ``zone.toml`` needs to read the mock rows as a dataset named ``mock``."""
    lines = ["[datasets.mock]", f"title = {_quoted(f'Mock rows of {title}')}", f"path = {_quoted(str(path))}"]
    for column in columns:
        lines += ["", f"[datasets.mock.fields.{_quoted(column.name)}]"]
        is_number = column.kind == "number"
        lines.append(f"kind = {_quoted('number' if is_number else 'category')}")
        told = (("unit", column.unit), ("low", column.low), ("high", column.high)) if is_number else ()
        lines += [f"{key} = {_quoted(text)}" for key, text in (*told, ("description", column.description)) if text]
        if not is_number:
            lines.append(f"levels = [{', '.join(map(_quoted, column.levels or UNKNOWN_LEVELS))}]")
    return "\n".join(lines) + "\n"


def _numbers(column: Column, rows: int, random: np.random.Generator) -> np.ndarray:
    low = float(column.low) if column.low else (float(column.high) - 1 if column.high else 0.0)
    high = float(column.high) if column.high else low + 1
    values = np.clip(np.round(random.uniform(low, high, rows), _DIGITS), low, high)
    values[random.random(rows) < MISSING_SHARE] = np.nan
    return values


def _cells(table: Table, name: str) -> list[Cell]:
    if name in table.numbers:
        return [None if value != value else value for value in table.number(name).tolist()]  # noqa: PLR0124
    places, levels = table.category(name)
    return [levels[place] if place >= 0 else None for place in places.tolist()]


def _write_parquet(cells: dict[str, list[Cell]], path: Path) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
        from pyarrow import parquet  # noqa: PLC0415  # likewise
    except ImportError:
        raise Misconfigured(
            "dataset-extra-missing", "writing Parquet needs pyarrow; install it with: pip install 'serai[data]'"
        ) from None
    parquet.write_table(pa.table(cells), path)


def _quoted(text: str) -> str:
    """A TOML string; what it could not hold becomes U+FFFD."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return json.dumps(plain, ensure_ascii=False)
