"""k-means by Lloyd's algorithm: each round sums the rows nearest to each center."""

import hashlib
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Vector
from serai.recipes.cross_products import add_complete
from serai.recipes.design import Design
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.statistics.columns import Array
from serai.training.statistics.components import KMEANS, KmeansSettings
from serai.training.tensors import Model


class Kmeans(Statistic):
    """Centers that move to the mean of the rows nearest to them.

    The model it makes, with k clusters and d numbers, all float64: ``center`` ``(k, d)``, on
    the scale of the bounds; of the assignment to the centers before, ``size`` ``(k,)``,
    ``inertia`` ``(1,)``, the sum of squared distances, and ``moved`` ``(1,)``, the farthest
    that a coordinate of a center then moved; ``rows``, ``incomplete`` and ``members``
    ``(1,)``; ``outside`` ``(d,)``.

    Settings: ``bounds``; ``clusters``; ``seed`` of the first centers, which lie anywhere
    within the bounds (0); ``most_rows`` of a member (2^24). Distances are on the scale of
    the bounds, so bounds are weights: tight ones make a column count for more.

    As many rounds as it takes; a center without rows stays where it is.
    """

    name: ClassVar[str] = KMEANS

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = KmeansSettings.read(params)
        numbers, clusters = len(settings.numbers), settings.clusters
        sums = (
            Sum("rows", (1,)),
            Sum("incomplete", (1,)),
            Sum("members", (1,)),
            Sum("outside", (numbers,)),
            Sum("size", (clusters,)),
            Sum("sum", (clusters, numbers), reach=1),
            Sum("inertia", (1,), reach=4 * numbers),
        )
        super().__init__(NamedSums(sums, settings.most_rows), tuple(number.name for number in settings.numbers))
        self._settings = settings
        self._design = Design(settings.numbers, ())

    def initial(self) -> Model:
        """Centers drawn from the seed by SHA-256, uniform within the bounds."""
        shape = (self._settings.clusters, len(self._settings.numbers))
        kept = {name: value for name, value in self._sums.zeros().items() if name != "sum"}
        return {**kept, "center": first_centers(self._settings.seed, *shape), "moved": np.zeros(1)}

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """One pass over the rows.

        Raises:
            Refused: there are more rows than the plan allows, or a column is missing.

        """
        totals, centers = self._sums.zeros(), model["center"]
        for batch in self._sums.batches(data.table.rows):
            rows = self._design.read(data.table, batch)
            x = rows.x[rows.complete]
            add_complete(totals, rows.complete, rows.outside)
            distances = np.stack([np.square(x - center).sum(axis=1) for center in centers], axis=1)
            nearest = distances.argmin(axis=1)
            totals["size"] += np.bincount(nearest, minlength=len(centers))
            for place in range(x.shape[1]):
                totals["sum"][:, place] += np.bincount(nearest, x[:, place], minlength=len(centers))
            totals["inertia"] += distances.min(axis=1).sum()
        totals["members"] += totals["rows"] > 0
        return self._sums.vector(totals, context)

    def combine(self, model: Model, total: Vector, _members: float) -> Model:
        """Each center at the mean of its rows."""
        found = dict(self._sums.split(total))
        size, before = found["size"][:, None], model["center"]
        center = np.where(size > 0, found.pop("sum") / np.maximum(size, 1.0), before)
        return {**found, "center": center, "moved": np.max(np.abs(center - before)).reshape(1)}


def first_centers(seed: int, clusters: int, numbers: int) -> Array:
    """Centers ``(clusters, numbers)``, of -1 to 1: the first 53 bits of SHA-256 over ``kmeans <seed> <place>``."""
    words = (hashlib.sha256(f"kmeans {seed} {place}".encode()).digest() for place in range(clusters * numbers))
    return np.array([(int.from_bytes(word[:8]) >> 11) * 2.0**-52 - 1 for word in words]).reshape(clusters, numbers)
