"""Sums and products of columns over complete rows: what covariances and least squares are made of."""

from collections.abc import Mapping, Sequence

import numpy as np

from serai.aggregation.codec import Vector
from serai.recipes.design import Design
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.statistics.columns import Array, Category, Flags, Number
from serai.training.tensors import Model


class CrossProducts(Statistic):
    """Sums over rows of z and of z z^T, z being a row of the design.

    The model it makes, with w terms and d numbers, all float64: ``rows`` that are complete,
    ``incomplete`` ones, and ``members`` with complete ones, ``(1,)`` each; ``outside``
    ``(d,)``; ``sum`` ``(w,)``; ``product`` ``(w (w + 1) / 2,)``, the upper triangle row by row.

    Args:
        numbers: columns of numbers.
        categories: columns of categories.
        most_rows: the most rows that one member may have.

    """

    def __init__(self, numbers: Sequence[Number], categories: Sequence[Category], most_rows: int) -> None:
        self._design = Design(numbers, categories)
        terms = self._design.terms
        sums = (
            Sum("rows", (1,)),
            Sum("incomplete", (1,)),
            Sum("members", (1,)),
            Sum("outside", (len(numbers),)),
            Sum("sum", (terms,), reach=1),
            Sum("product", (terms * (terms + 1) // 2,), reach=1),
        )
        columns = (*(one.name for one in numbers), *(one.name for one in categories))
        super().__init__(NamedSums(sums, most_rows), columns)

    def contribute(self, _model: Model, data: Data, context: Context) -> Vector:
        """One pass over the rows.

        Raises:
            Refused: there are more rows than the plan allows, a column is missing, or its levels are others.

        """
        totals = self._sums.zeros()
        upper = np.triu_indices(self._design.terms)
        for batch in self._sums.batches(data.table.rows):
            rows = self._design.read(data.table, batch)
            x = rows.x[rows.complete]
            add_complete(totals, rows.complete, rows.outside)
            totals["sum"] += x.sum(axis=0)
            totals["product"] += (x.T @ x)[upper]
        totals["members"] += totals["rows"] > 0
        return self._sums.vector(totals, context)


def add_complete(totals: Mapping[str, Array], complete: Flags, outside: Flags) -> None:
    """Count some rows: how many are used, how many lack something, and whose values were set to a bound."""
    totals["rows"] += np.count_nonzero(complete)
    totals["incomplete"] += np.count_nonzero(~complete)
    totals["outside"] += np.count_nonzero(outside[complete], axis=0)
