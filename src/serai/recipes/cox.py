"""Proportional hazards (Cox) by Newton's method: each round sums, at each grid time, those who leave there.

Theory of operation
    A row is at risk at its own grid time and at all before it. So members sum each row
    once, at its own time, and everybody adds up from the last time to the first: that
    gives the sums over all rows at risk, which the partial likelihood with Breslow's ties
    is made of (Breslow, Biometrics 30 (1974) 89-99). Where all times lie on the grid, that
    is the pooled fit; nobody's order in time is shown beyond it.

    Weights exp(b x) are taken around the mean of x, known after the first round, so that
    they are near 1; a member's sum of weights may be 128 times the rows it may have.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Vector
from serai.errors import Refused
from serai.recipes.cross_products import add_complete
from serai.recipes.design import Design
from serai.recipes.named_sums import NamedSums, Sum
from serai.recipes.statistic import Statistic
from serai.training.methods import Context, Data
from serai.training.solve import solve_positive_definite
from serai.training.statistics.columns import Array, Flags, Places
from serai.training.statistics.survival import COX, CoxSettings
from serai.training.tables import Table
from serai.training.tensors import Model

_WEIGHT_REACH = 128


class Cox(Statistic):
    """Newton steps on the partial likelihood.

    The model it makes, with w terms, s strata (1 without), t grid points and d numbers,
    all float64, on the scale of the bounds: ``coefficients`` ``(w,)``, where the next
    round looks; ``at`` ``(w,)``, where the last one looked, and of it ``information``
    ``(w, w)`` and ``risk`` ``(s, t)``, the sum of exp(at (x - mean)) of those at risk;
    ``mean`` ``(w,)`` of the terms over all rows; ``events`` ``(s, t)``; ``event_sum``
    ``(w,)``, the terms' sum over events; ``at_risk`` ``(s, t)``; ``rows``,
    ``incomplete``, ``members`` and ``rounds`` ``(1,)``; ``outside`` ``(d,)``.

    Settings: ``time``, ``event``, ``until`` and ``step`` as in ``kaplan_meier``; ``bounds``
    and ``levels``, the terms; ``stratum``, a category whose levels have baselines of their
    own; ``most_rows`` of a member (2^24).

    Rows without a missing value and with a time of 0 or later are used. Some eight rounds
    reach the digits that the sums have.
    """

    name: ClassVar[str] = COX

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = CoxSettings.read(params)
        self._settings = settings
        self._design = Design(settings.numbers, settings.categories)
        self._size = self._design.terms
        self._pairs = list(zip(*np.triu_indices(self._size), strict=True))
        strata, points = len(settings.strata), settings.grid.points
        self._shape = (strata, points + 1)
        sums = (
            Sum("rows", (1,)),
            Sum("incomplete", (1,)),
            Sum("members", (1,)),
            Sum("outside", (len(settings.numbers),)),
            Sum("events", (strata, points)),
            Sum("leaving", self._shape),
            Sum("event_sum", (self._size,), reach=1),
            Sum("weight", self._shape, reach=_WEIGHT_REACH),
            Sum("weight_x", (self._size, *self._shape), reach=_WEIGHT_REACH),
            Sum("weight_xx", (len(self._pairs), *self._shape), reach=_WEIGHT_REACH),
        )
        super().__init__(NamedSums(sums, settings.most_rows), settings.columns)

    def initial(self) -> Model:
        """All coefficients zero."""
        left_out = {"leaving", "weight", "weight_x", "weight_xx"}
        kept = {name: value for name, value in self._sums.zeros().items() if name not in left_out}
        ones = {name: np.zeros(self._size) for name in ("coefficients", "at", "mean")}
        grids = {name: np.zeros((self._shape[0], self._shape[1] - 1)) for name in ("at_risk", "risk")}
        return {**kept, **ones, **grids, "information": np.zeros((self._size, self._size)), "rounds": np.zeros(1)}

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """One pass over the rows.

        Raises:
            Refused: there are more rows than the plan allows, a column is missing, its
                levels are others, the event is neither 0 nor 1, or the weights are
                larger than the sums have room for.

        """
        totals, table = self._sums.zeros(), data.table
        for batch in self._sums.batches(table.rows):
            rows, events = self._design.read(table, batch), self._settings.event.read(table, batch)
            complete, cells = self._cells(table, batch)
            complete &= rows.complete & ~np.isnan(events)
            add_complete(totals, complete, rows.outside)
            self._add(totals, model, rows.x[complete], cells[complete], events[complete] == 1)
        totals["members"] += totals["rows"] > 0
        return self._sums.vector(totals, context)

    def _cells(self, table: Table, batch: slice) -> tuple[Flags, Places]:
        """Which rows have a stratum and a time, and the cell of stratum and time of each."""
        settings, times = self._settings, table.number(self._settings.time)[batch]
        usable = times >= 0
        strata = np.zeros(len(times), np.intp)
        if settings.stratum is not None:
            strata = settings.stratum.read(table, batch)
            usable &= strata >= 0
        places = settings.grid.places(np.where(usable, times, 0.0))
        return usable, strata * self._shape[1] + places

    def _add(self, totals: dict[str, Array], model: Model, x: Array, cells: Places, happened: Flags) -> None:
        def at_times(rows: Places, weights: Array | None = None) -> Array:
            counts = np.bincount(rows, weights, minlength=self._shape[0] * self._shape[1])
            return counts.astype(np.float64).reshape(self._shape)

        with np.errstate(over="ignore"):  # an infinite weight is too large as well
            weight = np.exp((x - model["mean"]) @ model["coefficients"])
        if totals["weight"].sum() + weight.sum() > _WEIGHT_REACH * self._sums.most_rows:
            raise Refused(
                "weights-range",
                "the hazards of rows here are too far from the mean for the sums; plan with a larger most_rows",
            )
        totals["events"] += at_times(cells[happened])[:, :-1]
        totals["leaving"] += at_times(cells)
        in_time = happened & (cells % self._shape[1] < self._shape[1] - 1)
        totals["event_sum"] += x[in_time].sum(axis=0)
        totals["weight"] += at_times(cells, weight)
        for place in range(self._size):
            totals["weight_x"][place] += at_times(cells, weight * x[:, place])
        for place, (first, second) in enumerate(self._pairs):
            totals["weight_xx"][place] += at_times(cells, weight * x[:, first] * x[:, second])

    def combine(self, model: Model, total: Vector, _members: float) -> Model:
        """A Newton step.

        Raises:
            Refused: there is no event, or the terms depend on each other.

        """
        found = dict(self._sums.split(total))
        leaving, weight, weight_x, weight_xx = (
            found.pop(name) for name in ("leaving", "weight", "weight_x", "weight_xx")
        )
        everybody = _all(weight[None])
        if found["events"].max(initial=0.0) < 1 or not everybody[0] > 0:
            raise Refused("no-events", "no event lies on the grid among the complete rows; a hazard needs some")
        mean = model["mean"]
        if not model["rounds"][0]:
            mean = _all(weight_x) / everybody  # every weight is 1 as yet
        risk, events = _at_risk(weight), found["events"]
        some = risk > 0
        share = np.where(some & (events > 0), events / np.where(some, risk, 1.0), 0.0)
        means = _at_risk(weight_x) / np.where(some, risk, 1.0)
        gradient = found["event_sum"] - _all(events * means * some)
        information = np.zeros((self._size, self._size))
        for (first, second), product in zip(self._pairs, map(_at_risk, weight_xx), strict=True):
            spread = _all((share * product - events * some * means[first] * means[second])[None])[0]
            information[first, second] = information[second, first] = spread
        here = model["coefficients"]
        return {
            **found,
            "coefficients": here + solve_positive_definite(information, gradient),
            "at": here.copy(),
            "information": information,
            "mean": mean,
            "at_risk": _at_risk(leaving),
            "risk": risk,
            "rounds": model["rounds"] + 1,
        }


def _at_risk(leaving: Array) -> Array:
    """Sums over those who leave at each point or later; the last column, after the grid, is left out."""
    return np.cumsum(leaving[..., ::-1], axis=-1)[..., ::-1][..., :-1]


def _all(values: Array) -> Array:
    """Sums over all but the first axis, one after the other: the order of np.sum may differ between processors."""
    return np.cumsum(values.reshape(len(values), -1), axis=1)[:, -1]
