"""Counts, means, variances, histograms, level counts and correlations, over all rows or by group, in one secure sum."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Vector
from serai.recipes.grouped_rows import Groups, contributed, groups_of
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.statistics.columns import Array, Flags, Number, Places
from serai.training.statistics.summaries import DESCRIBE, DescribeSettings
from serai.training.tables import Table
from serai.training.tensors import Model


class Describe(Statistic):
    """Sums of columns.

    The model it makes, with g groups, d numbers, p pairs of them and c levels over all
    categories, all float64: ``rows`` and ``members`` ``(g,)``; ``ungrouped`` ``(1,)``; of
    each number ``present``, ``outside``, ``sum`` and ``square`` ``(g, d)`` on the scale of
    its bounds, and ``histogram`` ``(g, d, bins)``; of each pair ``pair`` ``(g, 6, p)``, over
    the rows that have both: how many, the sums of both, of both squares, and of the
    product; ``levels`` ``(g, c)``.

    Settings: ``bounds`` and ``levels``, the columns (``serai.training.statistics.notation``
    has the form); ``by``, a category whose levels are the groups; ``bins`` of the
    histograms (20); ``pairs``, ``yes`` for correlations, the default, or ``no``, that
    beside noise; ``least``, rows of a group below which a zone leaves it out (1);
    ``most_rows`` of a member (2^24); ``noise`` and ``delta``, as
    ``serai.training.statistics.protection`` says (0, which is none, and 1e-6).

    Counts are exact; other sums of K members are right to K most_rows 2^-53, in units of
    half the bounds' width or its square. One round. There is no least and no largest
    value: neither is a sum.
    """

    name: ClassVar[str] = DESCRIBE

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = DescribeSettings.read(params)
        groups, numbers = len(settings.groups), len(settings.numbers)
        sums = (
            Sum("rows", (groups,)),
            Sum("members", (groups,)),
            Sum("ungrouped", (1,)),
            Sum("present", (groups, numbers)),
            Sum("outside", (groups, numbers)),
            Sum("histogram", (groups, numbers, settings.bins)),
            Sum("levels", (groups, sum(len(one.levels) for one in settings.categories))),
            Sum("sum", (groups, numbers), reach=1),
            Sum("square", (groups, numbers), reach=1),
            Sum("pair", (groups, 6, len(settings.pairs)), reach=1),
        )
        named = NamedSums(sums, settings.most_rows, settings.noise, settings.square)
        super().__init__(named, settings.columns, settings.noise)
        self._settings = settings
        self._pairs = settings.pairs

    @property
    def cohort(self) -> int | None:
        """Fewest rows of a group that a zone does not leave out."""
        return self._settings.least if self._settings.by else None

    def contribute(self, _model: Model, data: Data, context: Context) -> Vector:
        """One pass over the rows.

        Raises:
            Refused: there are more rows than the plan allows, a column is missing, or its levels are others.

        """
        settings, table, totals = self._settings, data.table, self._sums.zeros()
        groups = groups_of(table, settings.by)
        counts, kept = contributed(groups, len(settings.groups), settings.least)
        totals["rows"] += np.where(kept, counts, 0)
        totals["members"] += kept if settings.noise is None else 1
        totals["ungrouped"] += np.count_nonzero(groups < 0)
        for batch in self._sums.batches(table.rows):
            columns = self._read(table, batch)
            for group, rows in _by_group(groups[batch], kept):
                self._add(totals, group, columns.of(rows))
        return self._sums.vector(totals, context)

    def _read(self, table: Table, batch: slice) -> "_Columns":
        numbers = [(number, *number.read(table, batch)) for number in self._settings.numbers]
        return _Columns(
            values=[values for _, values, _, _ in numbers],
            scaled=[np.where(here, number.scaled(values), 0.0) for number, values, here, _ in numbers],
            present=[here for _, _, here, _ in numbers],
            outside=[outside for _, _, _, outside in numbers],
            places=[category.read(table, batch) for category in self._settings.categories],
        )

    def _add(self, totals: Mapping[str, Array], group: int, columns: "_Columns") -> None:
        settings, rounded = self._settings, self._sums.rounded
        for place, number in enumerate(settings.numbers):
            x, here = columns.scaled[place], columns.present[place]
            totals["present"][group, place] += np.count_nonzero(here)
            totals["outside"][group, place] += np.count_nonzero(columns.outside[place])
            totals["histogram"][group, place] += histogram(number, columns.values[place][here], settings.bins)
            totals["sum"][group, place] += rounded(x).sum()
            totals["square"][group, place] += rounded(x * x).sum()
        for place, (first, second) in enumerate(self._pairs):
            x, y = columns.scaled[first], columns.scaled[second]
            x_here, y_here = columns.present[first], columns.present[second]
            # A missing value is 0 on the scale: it only has to be kept out of the other column's sums.
            pair = (
                np.count_nonzero(x_here & y_here),
                rounded(x) @ y_here,
                rounded(y) @ x_here,
                rounded(x * x) @ y_here,
                rounded(y * y) @ x_here,
                rounded(x * y).sum(),
            )
            totals["pair"][group, :, place] += pair
        start = 0
        for category, places in zip(settings.categories, columns.places, strict=True):
            stop = start + len(category.levels)
            totals["levels"][group, start:stop] += np.bincount(places[places >= 0], minlength=stop - start)
            start = stop


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Some rows of every column: a number's values, on the scale (0 where missing), what is there, what was outside."""

    values: list[Array]
    scaled: list[Array]
    present: list[Flags]
    outside: list[Flags]
    places: list[Places]

    def of(self, rows: Places) -> "_Columns":
        """Some of these rows."""
        return _Columns(
            values=[column[rows] for column in self.values],
            scaled=[column[rows] for column in self.scaled],
            present=[column[rows] for column in self.present],
            outside=[column[rows] for column in self.outside],
            places=[column[rows] for column in self.places],
        )


def histogram(number: Number, values: Array, bins: int) -> Array:
    """Counts in bins of equal width between the bounds, each with its lower edge, the last with both.

    Args:
        number: whose bounds they are.
        values: within the bounds, in the column's unit.
        bins: how many.

    """
    edges = np.linspace(float(number.low), float(number.high), bins + 1)
    places = np.minimum(np.searchsorted(edges, values, side="right") - 1, bins - 1)
    return np.bincount(places, minlength=bins).astype(np.float64)


def _by_group(groups: Groups, kept: Flags) -> Iterator[tuple[int, Places]]:
    """Each group that is kept, with the places of its rows."""
    for group in np.flatnonzero(kept):
        rows = np.flatnonzero(groups == group)
        if rows.size:
            yield int(group), rows
