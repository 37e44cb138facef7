"""Curves of a result: lines and steps over a measured axis, each with its band, named at its end."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from markupsafe import Markup

from serai.analytics.frames import Curve
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

_LEFT: Final = 72
Point: TypeAlias = tuple[float, float]
Scale: TypeAlias = Callable[[float], float]


def draw_curves(curves: Sequence[Curve], title: str, x_label: str, y_label: str) -> Markup:
    """Draw curves on common axes.

    Args:
        curves: at least one, each with at least one point.
        title: what is shown.
        x_label: what the axis from left to right measures, with its unit.
        y_label: what stands on the curves.

    """
    xs = [x for curve in curves for x in curve.x]
    ys = [y for curve in curves for y in (*curve.y, *curve.low, *curve.high) if math.isfinite(y)]
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs)), nice_ticks(min([0.0, *ys]), max(ys))
    bottom, right = LINE_HEIGHT - BOTTOM, WIDTH - RIGHT - 30
    x_of, y_of = linear(x_ticks[0], x_ticks[-1], _LEFT, right), linear(y_ticks[0], y_ticks[-1], bottom, TOP)
    parts = [horizontal_grid(y_ticks, y_of, (_LEFT, right), "{:g}".format)]
    parts.extend(label(x_of(tick), bottom + 20, f"{tick:g}", "mid tick") for tick in x_ticks)
    parts.append(label((_LEFT + right) / 2, bottom + 38, f"{y_label} by {x_label}" if x_label else y_label, "mid axis"))
    ends = labels_apart({curve.name: y_of(curve.y[-1]) for curve in curves}, 17)
    for number, curve in enumerate(curves):
        color = f"s{number % SERIES}"
        if band := _band(curve):
            parts.append(f'<polygon class="band {color}" points="{_placed(band, x_of, y_of)}"/>')
        line = _path(curve, list(zip(curve.x, curve.y, strict=True)))
        parts.append(f'<polyline class="line {color}" points="{_placed(line, x_of, y_of)}"/>')
        parts.append(label(right + 12, ends[curve.name] + 5, curve.name, f"name ink {color}"))
    said = "; ".join(f"{curve.name} from {curve.y[0]:.3g} to {curve.y[-1]:.3g}" for curve in curves)
    return plot(parts, LINE_HEIGHT, title, said)


def _band(curve: Curve) -> list[Point]:
    """Along the upper ends of the intervals and back along the lower; where one has no end, there is no band."""
    if not curve.low:
        return []
    ends = [ends for ends in zip(curve.x, curve.low, curve.high, strict=True) if all(map(math.isfinite, ends))]
    if len(ends) < 2:
        return []
    upper, lower = [(x, high) for x, _, high in ends], [(x, low) for x, low, _ in ends]
    return [*_path(curve, upper), *reversed(_path(curve, lower))]


def _path(curve: Curve, points: Sequence[Point]) -> Sequence[Point]:
    return list(_stairs(points)) if curve.is_step else points


def _stairs(points: Sequence[Point]) -> Iterator[Point]:
    """A step function holds a value until the next point."""
    yield points[0]
    for (_, before), (x, y) in pairwise(points):
        yield x, before
        yield x, y


def _placed(points: Sequence[Point], x_of: Scale, y_of: Scale) -> str:
    return " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
