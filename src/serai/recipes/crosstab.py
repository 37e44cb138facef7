"""A contingency table of two categories, by the levels of a third if asked, in one secure sum."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Vector
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.statistics.summaries import CROSSTAB, CrosstabSettings
from serai.training.tensors import Model

_SQUARE = 1  # a row is in one cell, or incomplete


class Crosstab(Statistic):
    """Counts of each combination of levels.

    The model it makes, with s strata (1 without), r rows and c columns, all float64: ``count`` ``(s, r, c)``;
    ``members``, of the same shape, how many added to each cell; ``incomplete`` ``(1,)``, rows
    that lack a category.

    Settings: ``rows``, ``columns`` and optionally ``stratum``, different categories;
    ``levels`` of each; ``least``, ``most_rows``, ``noise`` and ``delta`` as in ``describe``, ``least`` for
    each cell: a zone leaves out those cells in which it has fewer rows.

    Counts are exact. One round.
    """

    name: ClassVar[str] = CROSSTAB

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = CrosstabSettings.read(params)
        sums = (Sum("count", settings.shape), Sum("members", settings.shape), Sum("incomplete", (1,)))
        named = NamedSums(sums, settings.most_rows, settings.noise, _SQUARE)
        super().__init__(named, tuple(one.name for one in settings.read_columns), settings.noise)
        self._settings = settings

    @property
    def cohort(self) -> int | None:
        """Fewest rows of a cell that a zone does not leave out."""
        return self._settings.least

    def contribute(self, _model: Model, data: Data, context: Context) -> Vector:
        """One pass over the rows.

        Raises:
            Refused: there are more rows than the plan allows, a column is missing, or its levels are others.

        """
        settings, totals = self._settings, self._sums.zeros()
        for batch in self._sums.batches(data.table.rows):
            cells = np.zeros(batch.stop - batch.start, np.intp)
            complete = np.ones(cells.size, np.bool_)
            for category in settings.read_columns:
                places = category.read(data.table, batch)
                cells = cells * len(category.levels) + places
                complete &= places >= 0
            totals["count"] += np.bincount(cells[complete], minlength=totals["count"].size).reshape(settings.shape)
            totals["incomplete"] += np.count_nonzero(~complete)
        kept = totals["count"] >= settings.least
        totals["count"] *= kept
        totals["members"] += kept if settings.noise is None else 1
        return self._sums.vector(totals, context)
