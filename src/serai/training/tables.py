"""Columns of a member's rows as statistics see them: numbers, and categories as places in a list of levels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.errors import Refused
from serai.training.tensors import Tensor

MISSING: Final = -1
"""The place of a category that is not known; a number that is not known is NaN."""

_NUMBER, _CATEGORY = "number/", "category/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Some columns of all rows; which, the recipe said.

    Attributes:
        rows: how many rows each column has.
        numbers: ``(rows,) float64`` by column; NaN where a value is missing.
        categories: ``(rows,) int16`` by column: a place in its levels, -1 where a value is missing.
        levels: what the places of a category mean, in the order that all members share.

    """

    rows: int = 0
    numbers: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    categories: Mapping[str, npt.NDArray[np.int16]] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def number(self, name: str) -> npt.NDArray[np.float64]:
        """A column of numbers, ``(rows,) float64``.

        Raises:
            Refused: the data have no such column of numbers.

        """
        if name not in self.numbers:
            raise Refused("column", _lacking(name, "number", self.numbers))
        return self.numbers[name]

    def category(self, name: str) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
        """A column of categories, ``(rows,) int16``, and its levels.

        Raises:
            Refused: the data have no such column of categories.

        """
        if name not in self.categories:
            raise Refused("column", _lacking(name, "category", self.categories))
        return self.categories[name], self.levels[name]


def _lacking(name: str, kind: str, known: Mapping[str, object]) -> str:
    return f"the data have no column {name!r} of kind {kind}; there are {', '.join(sorted(known)) or 'none'}"


def table_arrays(table: Table) -> dict[str, Tensor]:
    """The columns as arrays by name, for the way into a worker."""
    columns: dict[str, Tensor] = {**table.numbers, **table.categories}
    return {place: columns[name] for name, place in table_names(table).items()}


def table_names(table: Table) -> dict[str, str]:
    """Under which name ``table_arrays`` has each column."""
    return {name: _NUMBER + name for name in table.numbers} | {name: _CATEGORY + name for name in table.categories}


def table_of(rows: int, levels: Mapping[str, Iterable[str]], arrays: Mapping[str, Tensor]) -> Table:
    """The table that ``table_arrays`` took apart; arrays of other names are passed over."""

    def named(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

    words = {name: tuple(order) for name, order in levels.items()}
    return Table(rows=rows, numbers=named(_NUMBER), categories=named(_CATEGORY), levels=words)
