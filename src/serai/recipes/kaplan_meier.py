"""Events and departures at each point of a public grid of times, by group: all that Kaplan-Meier and log-rank need."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Vector
from serai.recipes.grouped_rows import contributed, groups_of
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.statistics.columns import Array, Flags, Places
from serai.training.statistics.survival import KAPLAN_MEIER, KaplanMeierSettings
from serai.training.tables import Table
from serai.training.tensors import Model

_SQUARE = 3  # a row is an event, a departure and a row of its group; or else one that is left out


class KaplanMeier(Statistic):
    """Counts of events by time.

    The model it makes, with g groups and t grid points, all float64: ``events`` ``(g, t)``;
    ``leaving`` ``(g, t + 1)``, rows whose time ends at each point, with event or without, and
    after the last; ``rows`` and ``members`` ``(g,)``; ``unusable`` ``(1,)``, rows without a time, an event or a group,
    or with a time below 0.

    Settings: ``time``, a column of numbers; ``event``, ``COLUMN`` of 0 and 1 or
    ``COLUMN=LEVEL``; ``until`` and ``step``, the grid, in the unit of the times; ``by``, a category whose
    ``levels`` are the groups; ``least``, ``most_rows``, ``noise`` and ``delta`` as in ``describe``.

    A time counts as the first grid point at or after it; after ``until``, a row has left without
    an event. Counts are exact. One round.
    """

    name: ClassVar[str] = KAPLAN_MEIER

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = KaplanMeierSettings.read(params)
        groups, points = len(settings.groups), settings.grid.points
        sums = (
            Sum("events", (groups, points)),
            Sum("leaving", (groups, points + 1)),
            Sum("rows", (groups,)),
            Sum("members", (groups,)),
            Sum("unusable", (1,)),
        )
        named = NamedSums(sums, settings.most_rows, settings.noise, _SQUARE)
        super().__init__(named, settings.columns, settings.noise)
        self._settings = settings

    @property
    def cohort(self) -> int | None:
        """Fewest rows of a group that a zone does not leave out."""
        return self._settings.least if self._settings.by else None

    def contribute(self, _model: Model, data: Data, context: Context) -> Vector:
        """Two passes over the rows: which groups have enough of them, then the counts.

        Raises:
            Refused: there are more rows than the plan allows, a column is missing, its
                levels are others, or the event is neither 0 nor 1.

        """
        settings, table, totals = self._settings, data.table, self._sums.zeros()
        groups = groups_of(table, settings.by)
        for batch in self._sums.batches(table.rows):
            groups[batch][~self._usable(table, batch)] = -1
        counts, kept = contributed(groups, len(settings.groups), settings.least)
        totals["rows"] += np.where(kept, counts, 0)
        totals["members"] += kept if settings.noise is None else 1
        totals["unusable"] += np.count_nonzero(groups < 0)
        for batch in self._sums.batches(table.rows):
            some = groups[batch].astype(np.intp)
            used = (some >= 0) & kept[some]
            self._add(totals, table, batch, some, used)
        return self._sums.vector(totals, context)

    def _usable(self, table: Table, batch: slice) -> Flags:
        times, events = table.number(self._settings.time)[batch], self._settings.event.read(table, batch)
        return (times >= 0) & ~np.isnan(events)

    def _add(self, totals: Mapping[str, Array], table: Table, batch: slice, groups: Places, used: Flags) -> None:
        settings, points = self._settings, self._settings.grid.points
        places = settings.grid.places(table.number(settings.time)[batch][used])
        cells = groups[used] * (points + 1) + places
        happened = settings.event.read(table, batch)[used] == 1
        shape = (len(settings.groups), points + 1)
        size = shape[0] * shape[1]
        totals["leaving"] += np.bincount(cells, minlength=size).reshape(shape)
        totals["events"] += np.bincount(cells[happened], minlength=size).reshape(shape)[:, :points]
