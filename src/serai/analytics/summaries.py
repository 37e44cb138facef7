"""Means, spreads, histograms, correlations and quantiles from sums.

Numbers were summed on the scale of their bounds, where x = middle + half * z; every
figure here is back in the column's own unit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import sqrt
from typing import TypeAlias

import numpy as np

from serai.analytics.frames import Cell, Curve, Frame, Result, group_frame, ratio, whole
from serai.analytics.notes import group_notes, noise_notes
from serai.training.statistics.columns import Array, Number
from serai.training.statistics.summaries import DescribeSettings, QuantilesSettings
from serai.training.tensors import Model

_Read: TypeAlias = Callable[[DescribeSettings, Model, int, str], Iterable[tuple[Cell, ...]]]
"""Rows of a table about one group, given by its place and its name."""

_QUARTILES = (0.25, 0.5, 0.75)


def describe(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``describe``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = DescribeSettings.read(params)
    heading = settings.by.name if settings.by else ""
    groups = list(enumerate(settings.groups))

    def frame(name: str, columns: tuple[str, ...], read: _Read) -> Frame:
        rows = (row for group in groups for row in read(settings, model, *group))
        return group_frame(name, columns, rows, is_grouped=bool(heading))

    return Result(
        title="Columns" + (f" by {heading}" if heading else ""),
        frames=(
            frame("groups", ("members", "rows"), _groups),
            frame("numbers", _NUMBERS, _numbers),
            frame("levels", _LEVELS, _levels),
            frame("pairs", _PAIRS, _pairs),
            frame("histograms", _BINS, _bins),
        ),
        curves=tuple(curve for group in groups for curve in _curves(settings, model, *group)),
        y_label="rows",
        notes=(
            *([f"{whole(model['ungrouped'][0])} rows lack {heading} and are in no group"] if heading else []),
            "values outside the bounds count as the bound",
            "there is no least and no largest value, for neither is a sum",
            f"quartiles are interpolated in a histogram of {settings.bins} bins, and right to the width of one",
            "variances and covariances divide by one less than the rows that have the column, or both columns",
            *group_notes(settings.by, settings.least),
            *noise_notes(settings.noise, settings.square),
        ),
    )


_NUMBERS = (
    "column", "n", "missing", "outside", "mean", "error", "variance", "deviation", "quartile_1", "median", "quartile_3",
)  # fmt: skip
_LEVELS = ("column", "level", "n", "share")
_PAIRS = ("first", "second", "n", "covariance", "correlation")
_BINS = ("column", "low", "high", "n")


def _groups(_settings: DescribeSettings, model: Model, group: int, name: str) -> Iterator[tuple[Cell, ...]]:
    yield name, whole(model["members"][group]), whole(model["rows"][group])


def _numbers(settings: DescribeSettings, model: Model, group: int, name: str) -> Iterator[tuple[Cell, ...]]:
    rows = model["rows"][group]
    for place, number in enumerate(settings.numbers):
        n = float(model["present"][group, place])
        mean = ratio(model["sum"][group, place], n)
        variance = _covariance(n, *(float(model[part][group, place]) for part in ("sum", "sum", "square")))
        spread = None if variance is None else max(variance, 0.0) * number.half**2
        yield (
            name,
            number.name,
            whole(n),
            whole(rows - n),
            whole(model["outside"][group, place]),
            None if mean is None else number.middle + number.half * mean,
            None if spread is None else sqrt(spread / n),
            spread,
            None if spread is None else sqrt(spread),
            *_quartiles(number, model["histogram"][group, place]),
        )


def _covariance(n: float, first: float, second: float, product: float) -> float | None:
    """The sample covariance of sums; None of fewer than two rows."""
    return (product - first * second / n) / (n - 1) if n >= 1.5 else None


def _quartiles(number: Number, counts: Array) -> tuple[float | None, ...]:
    counts = np.maximum(counts, 0.0)
    reached = np.cumsum(counts)
    if reached[-1] <= 0:
        return (None,) * len(_QUARTILES)
    edges, wanted = np.array(_edges(number, len(counts))), np.array(_QUARTILES) * reached[-1]
    bins = np.searchsorted(reached, wanted)  # the first that reaches so many, so never an empty one
    into = (wanted - (reached[bins] - counts[bins])) / counts[bins]
    return tuple(map(float, edges[bins] + into * (edges[bins + 1] - edges[bins])))


def _levels(settings: DescribeSettings, model: Model, group: int, name: str) -> Iterator[tuple[Cell, ...]]:
    """Counts of each level and its share of the rows that have one; a row without a level for those that lack it."""
    start = 0
    for category in settings.categories:
        counts = model["levels"][group, start : start + len(category.levels)]
        start += len(category.levels)
        for level, count in zip(category.levels, counts, strict=True):
            yield name, category.name, level, whole(count), ratio(count, counts.sum())
        yield name, category.name, None, whole(model["rows"][group] - counts.sum()), None


def _pairs(settings: DescribeSettings, model: Model, group: int, name: str) -> Iterator[tuple[Cell, ...]]:
    for place, (first, second) in enumerate(settings.pairs):
        n, x, y, xx, yy, xy = map(float, model["pair"][group, :, place])
        one, other = settings.numbers[first], settings.numbers[second]
        covariance, *spreads = (_covariance(n, *sums) for sums in ((x, y, xy), (x, x, xx), (y, y, yy)))
        deviations = [sqrt(max(spread or 0.0, 0.0)) for spread in spreads]
        yield (
            name,
            one.name,
            other.name,
            whole(n),
            None if covariance is None else covariance * one.half * other.half,
            None if covariance is None else ratio(covariance, deviations[0] * deviations[1]),
        )


def _bins(settings: DescribeSettings, model: Model, group: int, name: str) -> Iterator[tuple[Cell, ...]]:
    for place, number in enumerate(settings.numbers):
        edges = _edges(number, settings.bins)
        counts = map(whole, model["histogram"][group, place])
        yield from ((name, number.name, *bin_) for bin_ in zip(edges[:-1], edges[1:], counts, strict=True))


def _curves(settings: DescribeSettings, model: Model, group: int, name: str) -> Iterator[Curve]:
    """A histogram of each number, as steps that end at 0."""
    for place, number in enumerate(settings.numbers):
        counts = (*map(float, model["histogram"][group, place]), 0.0)
        label = f"{number.name}, {name}" if name else number.name
        yield Curve(label, _edges(number, settings.bins), counts, is_step=True)


def _edges(number: Number, bins: int) -> tuple[float, ...]:
    return tuple(map(float, np.linspace(float(number.low), float(number.high), bins + 1)))


def quantiles(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``quantiles``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = QuantilesSettings.read(params)
    total = float(model["rows"][0])
    rows: list[tuple[Cell, ...]] = []
    for place, number in enumerate(settings.numbers):
        n = float(model["present"][place])
        counts = whole(n), whole(total - n), whole(model["outside"][place])
        for share, probability in enumerate(settings.probabilities):
            low, high = (float(model[end][place, share]) for end in ("low", "high"))
            ends = ((low + high) / 2, low, high) if n > 0 else (None, None, None)
            rows.append((number.name, float(probability), *ends, *counts))
    return Result(
        title="Quantiles",
        frames=(
            Frame(
                "quantiles", ("column", "probability", "value", "low", "high", "n", "missing", "outside"), tuple(rows)
            ),
        ),
        notes=(
            f"{whole(total)} rows of {whole(model['members'][0])} members",
            "each quantile lies from low up to high, and value is halfway",
            "a quantile is the least value that so large a share of rows does not exceed",
            "values outside the bounds count as the bound",
        ),
    )
