"""Quantiles by narrowing an interval around each: one histogram a round, inside the bin of the round before."""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Vector
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.statistics.columns import Array
from serai.training.statistics.summaries import QUANTILES, QuantilesSettings
from serai.training.tensors import Model


class Quantiles(Statistic):
    """Intervals that hold the quantiles.

    The quantile of p is the least value that at least a share p of the rows do not exceed.

    The model it makes, with d numbers and q probabilities, all float64: ``low`` and ``high`` ``(d, q)``, in the
    columns' units; ``below`` ``(d, q)``, rows below ``low``; ``present`` and ``outside`` ``(d,)``;
    ``rows`` and ``members`` ``(1,)``.

    Settings: ``bounds``; ``probabilities``, rising (0.25,0.5,0.75); ``bins``, into which each round cuts each
    interval (64); ``most_rows`` of a member (2^24).

    After r rounds an interval is bins^r times narrower than the bounds, and holds the
    quantile of all rows, exactly. As many rounds as that precision needs; a quantile is some row's value,
    so do not ask for more than is needed.
    """

    name: ClassVar[str] = QUANTILES

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = QuantilesSettings.read(params)
        numbers, shares = len(settings.numbers), len(settings.probabilities)
        sums = (
            Sum("rows", (1,)),
            Sum("members", (1,)),
            Sum("present", (numbers,)),
            Sum("outside", (numbers,)),
            Sum("counts", (numbers, shares, settings.bins)),
        )
        named = NamedSums(sums, settings.most_rows)
        super().__init__(named, tuple(number.name for number in settings.numbers))
        self._settings = settings

    def initial(self) -> Model:
        """The bounds themselves."""
        shape = (len(self._settings.numbers), len(self._settings.probabilities))
        low, high = (
            np.array([[float(bound)] * shape[1] for bound in bounds])
            for bounds in zip(*((number.low, number.high) for number in self._settings.numbers), strict=True)
        )
        kept = {name: value for name, value in self._sums.zeros().items() if name != "counts"}
        return {**kept, "low": low, "high": high, "below": np.zeros(shape)}

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """One pass over the rows.

        Raises:
            Refused: there are more rows than the plan allows, or a column is missing.

        """
        table, totals = data.table, self._sums.zeros()
        totals["rows"] += table.rows
        totals["members"] += table.rows > 0
        edges = _edges(model, self._settings.bins)
        for batch in self._sums.batches(table.rows):
            for place, number in enumerate(self._settings.numbers):
                values, present, outside = number.read(table, batch)
                totals["present"][place] += np.count_nonzero(present)
                totals["outside"][place] += np.count_nonzero(outside)
                for share in range(len(self._settings.probabilities)):
                    counts = _count(values[present], edges[place, share], float(number.high))
                    totals["counts"][place, share] += counts
        return self._sums.vector(totals, context)

    def combine(self, model: Model, total: Vector, _members: float) -> Model:
        """The bin in which each quantile lies; an interval without rows stays as it is."""
        found = dict(self._sums.split(total))
        counts, edges = found.pop("counts"), _edges(model, self._settings.bins)
        low, high, below = (model[name].copy() for name in ("low", "high", "below"))
        for place, n in enumerate(found["present"]):
            for share, probability in enumerate(self._settings.probabilities):
                reached = below[place, share] + np.cumsum(counts[place, share])
                bins = np.flatnonzero(reached >= _rank(probability, int(n)))
                if n > 0 and bins.size:
                    bin_ = int(bins[0])
                    low[place, share], high[place, share] = edges[place, share, bin_ : bin_ + 2]
                    below[place, share] = reached[bin_] - counts[place, share, bin_]
        return {**found, "low": low, "high": high, "below": below}


def _rank(probability: Fraction, rows: int) -> int:
    """Which row in rising order is the quantile, from 1."""
    return max(1, -(-probability.numerator * rows // probability.denominator))


def _edges(model: Model, bins: int) -> Array:
    """Edges inside each interval, ``(d, q, bins + 1)``; the last is exactly its upper end."""
    low, high = model["low"][..., None], model["high"][..., None]
    inner = low + (high - low) * (np.arange(bins) / bins)
    return np.concatenate((inner, high), axis=-1)


def _count(values: Array, edges: Array, highest: float) -> Array:
    """Rows in each bin, lower edges included; the highest bound itself is in the bin that ends with it."""
    bins = len(edges) - 1
    places = np.searchsorted(edges, values, side="right") - 1
    places[(values == highest) & (edges[-1] == highest)] = bins - 1
    return np.bincount(places[(places >= 0) & (places < bins)], minlength=bins).astype(np.float64)
