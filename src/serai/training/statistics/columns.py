"""Columns as a statistic asks for them: numbers within public bounds, categories with public levels, times on a public grid.

Everything here is public and in the plan. A number is scaled by its bounds to
[-1, 1] before anything is summed, so that no sum is larger than the rows behind
it; a value outside is set to the bound, and counted.

Settings are written ``bounds = age=0:120,chol=50:700`` and
``levels = sex=female|male``. A backslash keeps the next character from being
taken as one of ``, = : |``.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed, Refused
from serai.training.methods import MAX_COLUMNS
from serai.training.parameters import Parameters
from serai.training.tables import Table

Array: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]
Flags: TypeAlias = npt.NDArray[np.bool_]

MAX_LEVELS: Final = 10_000
MAX_GRID: Final = 2**16
MAX_SETTING_CHARS: Final = 2**16
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?")


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


def read_numbers(settings: Parameters, recipe: str, default: str | None = "") -> tuple[Number, ...]:
    """The setting ``bounds``.

    Raises:
        Malformed: it is missing without a default, or not written ``name=low:high,name=low:high``.

    """
    text = settings.word("bounds", default, _any_text())
    found: list[Number] = []
    for entry in split(text, ","):
        name, _, bounds = cut(entry, "=")
        low, _, high = cut(bounds, ":")
        found.append(Number(_plain(name), *_in_order(recipe, name, low, high)))
    _check_names(recipe, [number.name for number in found])
    return tuple(found)


def read_categories(settings: Parameters, recipe: str, default: str | None = "") -> tuple[Category, ...]:
    """The setting ``levels``.

    Raises:
        Malformed: it is missing without a default, or not written ``name=level|level,name=level|level``.

    """
    text = settings.word("levels", default, _any_text())
    found: list[Category] = []
    for entry in split(text, ","):
        name, _, levels = cut(entry, "=")
        words = tuple(map(_plain, split(levels, "|")))
        if not words or "" in words or len(set(words)) != len(words) or len(words) > MAX_LEVELS:
            raise Malformed(
                "recipe-param", f"{recipe}: expected distinct levels of {name[:80]!r} as a|b|c, got {levels[:80]!r}"
            )
        found.append(Category(_plain(name), words))
    _check_names(recipe, [category.name for category in found])
    return tuple(found)


def read_event(settings: Parameters, name: str) -> Event:
    """A setting that names a yes or no: ``column``, or ``column=level``.

    Raises:
        Malformed: it is missing, or names nothing.

    """
    column, has_level, level = cut(settings.word(name, None, _any_text()), "=")
    if not column or (has_level and not level):
        raise Malformed("recipe-param", f"expected {name} as COLUMN or COLUMN=LEVEL")
    return Event(_plain(column), _plain(level))


def read_column(settings: Parameters, name: str, default: str | None = None) -> str:
    """A setting that names a column.

    Raises:
        Malformed: it is missing without a default.

    """
    return _plain(settings.word(name, default, _any_text()))


def read_grid(settings: Parameters, recipe: str) -> Grid:
    """The settings ``until`` and ``step``.

    Raises:
        Malformed: one is missing, not above 0, or they make more than 2^16 points.

    """
    until = settings.number("until", None, Fraction(1, 10**6), Fraction(10**12))
    step = settings.number("step", None, Fraction(1, 10**6), Fraction(10**12))
    grid = Grid(until, step)
    if (until / step).denominator != 1 or grid.points > MAX_GRID:
        raise Malformed(
            "recipe-param",
            f"{recipe}: expected until to be a whole number of steps and at most {MAX_GRID - 1} of them, "
            f"got {until} and {step}",
        )
    return grid


def find(recipe: str, categories: Sequence[Category], name: str, role: str) -> Category:
    """The category of a name.

    Raises:
        Malformed: the setting ``levels`` does not have it.

    """
    for category in categories:
        if category.name == name:
            return category
    raise Malformed("recipe-param", f"{recipe}: {role} names {name[:80]!r}; give its levels in the setting levels")


def split(text: str, mark: str) -> list[str]:
    """Parts of a text between marks that no backslash precedes; none of an empty text."""
    places = [-1, *_places(text, mark), len(text)]
    return [text[start + 1 : stop] for start, stop in pairwise(places)] if text else []


def cut(text: str, mark: str) -> tuple[str, str, str]:
    """A text before and after the first mark that no backslash precedes, as ``str.partition``."""
    place = next(_places(text, mark), len(text))
    return text[:place], text[place : place + 1], text[place + 1 :]


def written(name: str) -> str:
    """A name or a level as settings write it: what would end it there has a backslash before it."""
    return re.sub(r"([\\,=:|])", r"\\\1", name)


def _places(text: str, mark: str) -> Iterator[int]:
    place = 0
    while place < len(text):
        if text[place] == mark:
            yield place
        place += 2 if text[place] == "\\" else 1


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _any_text() -> str:
    return rf"(?s:.){{0,{MAX_SETTING_CHARS}}}"


def _in_order(recipe: str, name: str, low: str, high: str) -> tuple[Fraction, Fraction]:
    if _DECIMAL.fullmatch(low) and _DECIMAL.fullmatch(high):
        bounds = Fraction(low), Fraction(high)
        if bounds[0] < bounds[1] and math.isfinite(float(bounds[1] - bounds[0])):
            return bounds
    raise Malformed(
        "recipe-param",
        f"{recipe}: expected bounds as NAME=LOW:HIGH, LOW below HIGH, got {name[:80]!r} with {low[:40]!r}, {high[:40]!r}",
    )


def _check_names(recipe: str, names: list[str]) -> None:
    if "" in names or len(set(names)) != len(names) or len(names) > MAX_COLUMNS:
        raise Malformed("recipe-param", f"{recipe}: expected at most {MAX_COLUMNS} columns with distinct names")
