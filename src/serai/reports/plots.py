"""Small SVG plots for reports: dots, lines, curves and bars, drawn by hand so that a page needs nothing.

Colours and type come from the page's style sheet by class name, so that one
drawing serves light, dark and print. Every plot carries a title and a sentence
that says in words what it shows.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from serai.reports.drawing import (
    BOTTOM,
    LINE_HEIGHT,
    RIGHT,
    SERIES,
    TOP,
    WIDTH,
    horizontal_grid,
    label,
    labels_apart,
    linear,
    nice_ticks,
    plot,
)

LABEL: Final = 150  # room for a member's name on the left
ROW: Final = 40
NAMED: Final = 14  # so many names have room beside their curves
DOTTED: Final = 40  # so many points of a curve can be told apart


@dataclass(frozen=True, slots=True)
class Dots:
    """One row of a dot plot: a name and a value for each mark, None where there is none."""

    name: str
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Bars:
    """One group of bars: a name and a number of bytes for each bar."""

    name: str
    values: Mapping[str, int]


def dot_plot(rows: Sequence[Dots], title: str) -> Markup:
    """Draw accuracies side by side: ``alone``, ``joint`` and ``pooled`` on one line per member."""
    low = _floor_tenth(value for row in rows for value in row.values.values() if value is not None)
    height = TOP + ROW * len(rows) + BOTTOM
    scale = linear(low, 1.0, LABEL, WIDTH - 40)
    parts = [_percent_axis(low, scale, (TOP, height - BOTTOM))]
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW // 2
        parts.append(label(LABEL - 14, y + 5, row.name, "end name"))
        parts.append(f'<line class="rail" x1="{LABEL}" x2="{WIDTH - 40}" y1="{y}" y2="{y}"/>')
        parts.extend(_row_marks(row, scale, y))
    said = "; ".join(f"{row.name}: {_spoken(row.values)}" for row in rows)
    return plot(parts, height, title, said)


def line_plot(series: Mapping[str, Sequence[float]], title: str) -> Markup:
    """Draw accuracy after each round, one line per member, named at its end."""
    low = _floor_tenth(itertools.chain.from_iterable(series.values()))
    high = min(1.0, math.ceil(max(itertools.chain.from_iterable(series.values()), default=1.0) * 10 + 0.25) / 10)
    rounds = max((len(values) for values in series.values()), default=1)
    left, bottom = 56, LINE_HEIGHT - BOTTOM
    x_of = linear(1, max(rounds, 2), left, WIDTH - RIGHT - 30)
    y_of = linear(low, high, bottom, TOP)
    parts = [horizontal_grid(_tenths(low, high), y_of, (left, WIDTH - RIGHT - 30), lambda tick: f"{tick:.0%}")]
    parts.extend(_round_ticks(rounds, x_of, bottom, "after round", 1))
    points = {
        name: [(x_of(index + 1), y_of(value)) for index, value in enumerate(values)] for name, values in series.items()
    }
    parts.extend(_lines(points))
    said = "; ".join(f"{name} from {values[0]:.1%} to {values[-1]:.1%}" for name, values in series.items() if values)
    return plot(parts, LINE_HEIGHT, title, said)


def curve_plot(
    curves: Mapping[str, Mapping[int, float]], title: str, show: Callable[[float], str], *, from_zero: bool = False
) -> Markup:
    """Draw a value by round, one curve per member, named at its end while there is room for names.

    Args:
        curves: the values of each member by round, counted from 0; a round may be missing.
        title: what the values are.
        show: spells a value.
        from_zero: whether the scale begins at 0.

    """
    values = [value for curve in curves.values() for value in curve.values()] + ([0.0] if from_zero else [])
    rounds = max((max(curve) + 1 for curve in curves.values() if curve), default=1)
    ticks = nice_ticks(min(values, default=0.0), max(values, default=1.0))
    left, bottom = 72, LINE_HEIGHT - BOTTOM
    x_of = linear(1, max(rounds, 2), left, WIDTH - RIGHT - 30)
    y_of = linear(ticks[0], ticks[-1], bottom, TOP)
    parts = [
        horizontal_grid(ticks, y_of, (left, WIDTH - RIGHT - 30), show),
        *_round_ticks(rounds, x_of, bottom, "round", 0),
    ]
    parts.extend(
        _lines({name: [(x_of(n + 1), y_of(curve[n])) for n in sorted(curve)] for name, curve in curves.items()})
    )
    ends = {name: (curve[min(curve)], curve[max(curve)]) for name, curve in curves.items() if curve}
    said = "; ".join(f"{name} from {show(first)} to {show(last)}" for name, (first, last) in ends.items())
    return plot(parts, LINE_HEIGHT, title, said)


def bar_plot(groups: Sequence[Bars], title: str) -> Markup:
    """Draw bytes as bars, on a logarithmic scale where the largest is over thirty times the smallest."""
    sizes = [size for group in groups for size in group.values.values() if size > 0]
    smallest, largest = min(sizes, default=1), max(sizes, default=1)
    logarithmic = largest > 30 * smallest
    bar, gap = 13, 18
    heights = [len(group.values) * bar + gap for group in groups]
    height = TOP + sum(heights) + BOTTOM
    if logarithmic:
        floor = 10.0 ** (math.floor(math.log10(smallest)) - 0.3)
        to_log = linear(math.log10(floor), math.log10(largest), LABEL, WIDTH - RIGHT)
        scale: Callable[[float], float] = lambda size: to_log(math.log10(max(size, floor)))  # noqa: E731 - a scale is a function either way
    else:
        scale = linear(0, largest, LABEL, WIDTH - RIGHT)
    parts = [
        _byte_axis(
            _byte_ticks(smallest, largest, logarithmic=logarithmic),
            scale,
            (TOP, height - BOTTOM),
            logarithmic=logarithmic,
        )
    ]
    y = TOP + gap // 2
    for group, used in zip(groups, heights, strict=True):
        parts.append(label(LABEL - 14, y + (used - gap) / 2 + 5, group.name, "end name"))
        for number, size in enumerate(group.values.values()):
            width = max(scale(size) - LABEL, 0)
            parts.append(
                f'<rect class="bar b{number}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{bar - 3}" rx="2"/>'
            )
            parts.append(label(LABEL + width + 7, y + bar - 4, format_bytes(size), "value"))
            y += bar
        y += gap
    said = "; ".join(
        f"{group.name}: " + ", ".join(f"{format_bytes(size)} {name}" for name, size in group.values.items())
        for group in groups
    )
    return plot(parts, height, title, said)


def format_bytes(size: float) -> str:
    """Spell a number of bytes with three significant digits, in powers of 1000."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    step = 0
    while size >= 999.5 and step < len(units) - 1:
        size, step = size / 1000, step + 1
    return f"{size:.0f} {units[0]}" if step == 0 else f"{size:.3g} {units[step]}"


def _floor_tenth(values: Iterable[float]) -> float:
    smallest = min(values, default=0.5)
    return max(0.0, min(0.9, math.floor(smallest * 10 - 0.25) / 10))


def _row_marks(row: Dots, scale: Callable[[float], float], y: float) -> list[str]:
    alone, joint, pooled = (row.values.get(name) for name in ("alone", "joint", "pooled"))
    parts = []
    if alone is not None and joint is not None:
        change = "gain" if joint >= alone else "loss"
        parts.append(f'<line class="{change}" x1="{scale(alone):.1f}" x2="{scale(joint):.1f}" y1="{y}" y2="{y}"/>')
    if pooled is not None:
        parts.append(_diamond(scale(pooled), y))
    if alone is not None:
        parts.append(f'<circle class="alone" cx="{scale(alone):.1f}" cy="{y}" r="7"/>')
    if joint is not None:
        parts.append(f'<circle class="joint" cx="{scale(joint):.1f}" cy="{y}" r="4.5"/>')
    return parts


def _diamond(x: float, y: float) -> str:
    r = 11
    return f'<path class="pooled" d="M{x - r:.1f} {y}L{x:.1f} {y - r}L{x + r:.1f} {y}L{x:.1f} {y + r}Z"/>'


def _spoken(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {value:.1%}" for name, value in values.items() if value is not None)


def _lines(points: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[str]:
    """Lines through points on the page, a dot on each while they can be told apart, a name at each end."""
    places = labels_apart({name: line[-1][1] for name, line in points.items() if line}, 17)
    for number, (name, line) in enumerate(points.items()):
        color = f"s{number % SERIES}"
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        yield f'<polyline class="line {color}" points="{path}"/>'
        if len(line) <= DOTTED:
            yield from (f'<circle class="dot {color}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in line)
        if line and len(points) <= NAMED:
            yield label(line[-1][0] + 14, places[name] + 5, name, f"name ink {color}")


def _percent_axis(low: float, scale: Callable[[float], float], span: tuple[float, float]) -> str:
    parts = []
    for tick in _tenths(low, 1.0):
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{span[0]}" y2="{span[1]}"/>')
        parts.append(label(x, span[1] + 20, f"{tick:.0%}", "mid tick"))
    parts.append(
        label((scale(low) + scale(1.0)) / 2, span[1] + 38, "accuracy on the member's own test rows", "mid axis")
    )
    return "".join(parts)


def _tenths(low: float, high: float) -> list[float]:
    return [tenth / 10 for tenth in range(round(low * 10), round(high * 10) + 1)]


def _round_ticks(rounds: int, x_of: Callable[[float], float], bottom: float, axis: str, first: int) -> list[str]:
    step = max(1, math.ceil(rounds / 15))
    ticks = [
        label(x_of(number), bottom + 20, str(number - 1 + first), "mid tick") for number in range(1, rounds + 1, step)
    ]
    return [*ticks, label((x_of(1) + x_of(max(rounds, 2))) / 2, bottom + 38, axis, "mid axis")]


def _byte_ticks(smallest: int, largest: int, *, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [10.0**power for power in range(math.floor(math.log10(smallest)), math.floor(math.log10(largest)) + 1)]
    step = 10.0 ** math.floor(math.log10(max(largest, 1)))
    if largest / step < 2:
        step /= 4
    elif largest / step < 5:
        step /= 2
    return [step * number for number in range(int(largest / step) + 1)]


def _byte_axis(
    ticks: Sequence[float], scale: Callable[[float], float], span: tuple[float, float], *, logarithmic: bool
) -> str:
    parts = []
    for tick in ticks:
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{span[0]}" y2="{span[1]}"/>')
        parts.append(label(x, span[1] + 20, format_bytes(tick), "mid tick"))
    words = "bytes, logarithmic scale" if logarithmic else "bytes"
    parts.append(label((LABEL + WIDTH - RIGHT) / 2, span[1] + 38, words, "mid axis"))
    return "".join(parts)
