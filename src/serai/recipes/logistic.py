"""Logistic regression by Newton's method with step halving, so that it ends where the pooled fit ends."""

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
from serai.training.statistics.columns import Array
from serai.training.statistics.regression import LOGISTIC, LogisticSettings
from serai.training.tensors import Model

_LIKELIHOOD_REACH = 64  # of a row, on average; a worse fit counts as this bad
_SLACK = 2.0**-20  # by which share the rounding of sums may make a likelihood look worse


class Logistic(Statistic):
    """Newton steps on the log-likelihood.

    The model it makes, with w terms and d numbers, all float64, on the scale of the bounds,
    the intercept first: ``coefficients`` ``(w + 1,)``, where the next round looks; ``best``
    ``(w + 1,)``, the best point looked at, and of it ``likelihood`` ``(1,)``, the
    log-likelihood without the ridge's part, and ``information`` ``(w + 1, w + 1)``, the
    Hessian of its negative; ``rows``, ``yes``, ``incomplete``, ``members`` and ``rounds``
    ``(1,)``; ``outside`` ``(d,)``.

    Settings: ``outcome``, ``COLUMN`` of 0 and 1 or ``COLUMN=LEVEL``; ``bounds`` and
    ``levels``, the terms; ``ridge``, half of which times each squared coefficient, on the
    column's own scale, is taken from the log-likelihood, as 1/C of scikit-learn's
    ``LogisticRegression`` (0); ``most_rows`` of a member (2^24).

    Each round looks at one point and takes one step from it; a step to a worse point is
    halved. Some eight rounds reach the digits that the sums have.
    """

    name: ClassVar[str] = LOGISTIC

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = LogisticSettings.read(params)
        self._settings = settings
        self._design = Design(settings.numbers, settings.categories)
        self._size = self._design.terms + 1
        self._upper = np.triu_indices(self._size)
        halves = np.array([1.0, *(term.half for term in settings.terms)])
        self._penalty = settings.ridge / (halves * halves)
        self._penalty[0] = 0.0
        sums = (
            Sum("rows", (1,)),
            Sum("yes", (1,)),
            Sum("incomplete", (1,)),
            Sum("members", (1,)),
            Sum("outside", (len(settings.numbers),)),
            Sum("likelihood", (1,), reach=_LIKELIHOOD_REACH),
            Sum("gradient", (self._size,), reach=1),
            Sum("hessian", (len(self._upper[0]),), reach=1),
        )
        super().__init__(NamedSums(sums, settings.most_rows), settings.columns)

    def initial(self) -> Model:
        """All coefficients zero."""
        kept = {name: value for name, value in self._sums.zeros().items() if name not in {"gradient", "hessian"}}
        start = np.zeros(self._size)
        information = np.zeros((self._size, self._size))
        return {**kept, "coefficients": start, "best": start.copy(), "information": information, "rounds": np.zeros(1)}

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """Log-likelihood, gradient and Hessian of complete rows.

        Raises:
            Refused: there are more rows than the plan allows, a column is missing, its
                levels are others, or the outcome is neither 0 nor 1.

        """
        totals, coefficients = self._sums.zeros(), model["coefficients"]
        for batch in self._sums.batches(data.table.rows):
            rows, outcome = self._design.read(data.table, batch), self._settings.outcome.read(data.table, batch)
            complete = rows.complete & ~np.isnan(outcome)
            add_complete(totals, complete, rows.outside)
            y = outcome[complete]
            x = np.concatenate((np.ones((len(y), 1)), rows.x[complete]), axis=1)
            odds = x @ coefficients
            p = np.exp(-np.logaddexp(0.0, -odds))
            totals["yes"] += y.sum()
            totals["likelihood"] -= np.logaddexp(0.0, np.where(y > 0.5, -odds, odds)).sum()
            totals["gradient"] += x.T @ (y - p)
            totals["hessian"] += ((x.T * (p * (1.0 - p))) @ x)[self._upper]
        totals["members"] += totals["rows"] > 0
        worst = -_LIKELIHOOD_REACH * max(1.0, float(totals["rows"][0]))
        totals["likelihood"] = np.maximum(totals["likelihood"], worst)
        return self._sums.vector(totals, context)

    def combine(self, model: Model, total: Vector, _members: float) -> Model:
        """A Newton step from a better point; half the way back from a worse one.

        Raises:
            Refused: no row is complete, or the terms depend on each other.

        """
        found = dict(self._sums.split(total))
        if found["rows"][0] < 1:
            raise Refused("no-rows", "no member has a row without a missing value in these columns")
        gradient, triangle = found.pop("gradient"), found.pop("hessian")
        here, best, rounds = model["coefficients"], model["best"], model["rounds"] + 1
        if model["rounds"][0] and self._is_worse(found["likelihood"], here, model["likelihood"], best):
            return {**model, "coefficients": (here + best) / 2, "rounds": rounds}
        information = np.zeros((self._size, self._size))
        information[self._upper] = triangle
        information.T[self._upper] = triangle
        penalised = information + np.diag(self._penalty)
        step = solve_positive_definite(penalised, gradient - self._penalty * here)
        return {**found, "coefficients": here + step, "best": here.copy(), "information": information, "rounds": rounds}

    def _is_worse(self, likelihood: Array, here: Array, known: Array, best: Array) -> bool:
        new, old = (self._penalised(*point) for point in ((likelihood, here), (known, best)))
        return new < old - abs(old) * _SLACK

    def _penalised(self, likelihood: Array, point: Array) -> float:
        # One after the other: the order of np.sum may differ between processors.
        return float(likelihood[0]) - float(np.cumsum(self._penalty * point * point)[-1]) / 2
