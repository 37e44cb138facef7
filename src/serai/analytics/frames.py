"""What people read of a statistic: tables, curves and notes, as plain values that any front end can show."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True, slots=True)
class Frame:
    """A table.

    Attributes:
        name: of the table, one word.
        columns: their names.
        rows: as many cells each; None where there is no such number.

    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, name: str) -> tuple[Cell, ...]:
        """One column."""
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)


@dataclass(frozen=True, slots=True)
class Curve:
    """A line to draw.

    Attributes:
        name: for the legend.
        x: rising.
        y: as many.
        low: lower ends of an interval around each y; empty where there is none, NaN where it has no end.
        high: upper ends.
        is_step: whether each y holds from its x to the next.

    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    is_step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a statistic says.

    Attributes:
        title: one line.
        frames: tables.
        curves: lines over one pair of axes, or for histograms over an axis each.
        x_label: of the axis.
        y_label: of the axis.
        notes: what to know about the numbers: who and what is not in them, and how exact they are.

    """

    title: str
    frames: tuple[Frame, ...]
    curves: tuple[Curve, ...] = ()
    x_label: str = ""
    y_label: str = ""
    notes: tuple[str, ...] = ()

    def frame(self, name: str) -> Frame:
        """A table by its name.

        Raises:
            KeyError: there is none of that name.

        """
        return {frame.name: frame for frame in self.frames}[name]


def whole(value: float) -> int:
    """A count of a sum as people read it; noise may have made it a fraction."""
    return round(float(value))


def ratio(above: float, below: float) -> float | None:
    """A quotient; None where there is nothing to divide by."""
    return float(above) / float(below) if below > 0 else None


def group_frame(name: str, columns: tuple[str, ...], rows: Iterable[tuple[Cell, ...]], *, is_grouped: bool) -> Frame:
    """A table whose rows begin with the name of their group.

    Args:
        name: of the table.
        columns: the headings after ``group``.
        rows: with the group's name first.
        is_grouped: whether there are groups; if not, that first column is left out.

    """
    if not is_grouped:
        return Frame(name, columns, tuple(row[1:] for row in rows))
    return Frame(name, ("group", *columns), tuple(rows))
