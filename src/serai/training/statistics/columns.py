"""Columns as a statistic asks for them: numbers within bounds, categories with levels, times on a grid, all public.

A number is scaled by its bounds to [-1, 1] before anything is summed, so that no sum is
larger than the rows behind it; a value outside is set to the bound, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Refused
from serai.training.tables import Table

Array: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers.

    Attributes:
        name: of the column.
        low: the least value that counts as it is.
        high: the largest.

    """

    name: str
    low: Fraction
    high: Fraction

    @property
    def middle(self) -> float:
        """Halfway between the bounds; scaled, it is 0."""
        return float((self.low + self.high) / 2)

    @property
    def half(self) -> float:
        """Half the width between the bounds: what 1 is worth on the scale."""
        return float((self.high - self.low) / 2)

    def read(self, table: Table, rows: slice) -> tuple[Array, Flags, Flags]:
        """Some rows of the column.

        Returns:
            The values within the bounds, in the column's own unit, NaN where one is
            missing; which are there; and which lay outside and were set to a bound.

        Raises:
            Refused: the data have no such column of numbers.

        """
        values = table.number(self.name)[rows]
        present = ~np.isnan(values)
        low, high = float(self.low), float(self.high)
        outside = (values < low) | (values > high)  # a comparison with NaN is false
        return np.clip(values, low, high), present, outside

    def scaled(self, values: Array) -> Array:
        """Values within the bounds on the scale of -1 to 1; NaN stays."""
        result: Array = np.clip((values - self.middle) / self.half, -1.0, 1.0)
        return result


@dataclass(frozen=True, slots=True)
class Category:
    """A column of categories, and its levels in the order that everybody uses."""

    name: str
    levels: tuple[str, ...]

    def column(self, table: Table) -> npt.NDArray[np.int16]:
        """The column as places among the levels, ``(rows,)``; -1 where a value is missing.

        Raises:
            Refused: the data have no such column, or other levels.

        """
        places, levels = table.category(self.name)
        if levels != self.levels:
            raise Refused(
                "column-levels",
                f"column {self.name!r} has the levels {'|'.join(levels)[:200]} here, the plan says "
                f"{'|'.join(self.levels)[:200]}; map the codes in zone.toml, or plan with these levels",
            )
        return places

    def read(self, table: Table, rows: slice) -> Places:
        """Some rows of the column.

        Raises:
            Refused: as ``column``.

        """
        return self.column(table)[rows].astype(np.intp)


@dataclass(frozen=True, slots=True)
class Event:
    """A yes or no: a column of 0 and 1, or a level of a category that means yes.

    Attributes:
        column: its name.
        level: the level that means yes; empty for a column of 0 and 1.

    """

    column: str
    level: str = ""

    def read(self, table: Table, rows: slice) -> Array:
        """Some rows as 1 and 0; NaN where the value is missing.

        Raises:
            Refused: the data have no such column or level, or a number is neither 0 nor 1.

        """
        if self.level:
            places, levels = table.category(self.column)
            if self.level not in levels:
                raise Refused(
                    "column-levels",
                    f"column {self.column!r} has no level {self.level!r} here; it has {'|'.join(levels)[:200]}",
                )
            some = places[rows]
            return np.where(some < 0, np.nan, (some == levels.index(self.level)).astype(np.float64))
        values = table.number(self.column)[rows]
        if not ((values == 0) | (values == 1) | np.isnan(values)).all():
            raise Refused(
                "event-values",
                f"column {self.column!r} shall hold 0 and 1, and holds something else; "
                f"if it is a category, ask for {self.column}=LEVEL",
            )
        return values


@dataclass(frozen=True, slots=True)
class Grid:
    """Points in time at which events are counted: 0, ``step``, 2 ``step`` up to ``until``."""

    until: Fraction
    step: Fraction

    @property
    def points(self) -> int:
        """How many, with 0."""
        return int(self.until / self.step) + 1

    def times(self) -> Array:
        """The points, ``(points,) float64``."""
        return np.array([float(self.step * number) for number in range(self.points)])

    def places(self, times: Array) -> Places:
        """The first point at or after each time; ``points`` for times after the last.

        A time within a millionth of a step after a point counts as that point, for
        decimal fractions are not exact.
        """
        steps = np.ceil(times / float(self.step) - 1e-6)
        return np.clip(steps, 0, self.points).astype(np.intp)


@dataclass(frozen=True, slots=True)
class Term:
    """One column of a model's design: a number, or a level of a category against the first.

    Attributes:
        name: for people; ``sex=male`` for a level.
        middle: the value that is 0 on the scale.
        half: what 1 on the scale is worth.

    """

    name: str
    middle: float = 0.0
    half: float = 1.0


def terms_of(numbers: Sequence[Number], categories: Sequence[Category]) -> tuple[Term, ...]:
    """The terms of a design in the order in which they are summed."""
    levels = (f"{category.name}={level}" for category in categories for level in category.levels[1:])
    return (*(Term(number.name, number.middle, number.half) for number in numbers), *map(Term, levels))
