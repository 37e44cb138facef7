"""How plans write columns, levels, events and grids.

``bounds = age=0:120,chol=50:700`` and ``levels = sex=female|male``; a backslash keeps
the next character from being taken as one of ``, = : |``.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

from serai.errors import Malformed
from serai.training.methods import MAX_COLUMNS
from serai.training.parameters import Parameters
from serai.training.statistics.columns import Category, Event, Grid, Number

MAX_LEVELS: Final = 10_000
MAX_GRID: Final = 2**16
MAX_SETTING_CHARS: Final = 2**16
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?")


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


def bounds_setting(bounds: Mapping[str, tuple[str, str]]) -> str:
    """The setting ``bounds`` of columns with these lowest and highest values, as decimals."""
    return ",".join(f"{written(name)}={low}:{high}" for name, (low, high) in bounds.items())


def levels_setting(levels: Mapping[str, Sequence[str]]) -> str:
    """The setting ``levels`` of columns with these levels."""
    return ",".join(f"{written(name)}={'|'.join(map(written, order))}" for name, order in levels.items())


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
