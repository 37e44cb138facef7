"""Linear and logistic regression from sums.

Sources: Seber and Lee, Linear Regression Analysis, 3 and 4; McCullagh and Nelder, Generalized
Linear Models, 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, log1p, nan

import numpy as np

from serai.analytics.coefficients import (
    INTERVAL_NOTE,
    RIDGE_NOTE,
    Likelihood,
    convergence_note,
    inverse,
    on_own_scale,
    rank_notes,
    root,
)
from serai.analytics.distributions import f_p, student_p, student_quantile
from serai.analytics.frames import Cell, Frame, Result, ratio, whole
from serai.analytics.moments import moments
from serai.analytics.notes import complete_notes, outside_frame
from serai.training.statistics.columns import Array
from serai.training.statistics.regression import LinearSettings, LogisticSettings
from serai.training.tensors import Model


def linear(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``linear``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = LinearSettings.read(params)
    penalty = np.array([settings.ridge / term.half**2 for term in settings.terms])
    fit = _least_squares(model, len(settings.numbers), penalty)
    found = on_own_scale(
        fit.values, fit.covariance, settings.terms, settings.outcome.half, has_errors=not settings.ridge
    )
    found.estimates[0] += settings.outcome.middle
    rows: list[tuple[Cell, ...]] = [
        (name, estimate, error, t, None if t is None else student_p(t, fit.freedom), *ends)
        for name, estimate, error, t, ends in found.tests(student_quantile(fit.freedom))
    ]
    return Result(
        title=f"Linear regression of {settings.outcome.name}",
        frames=(
            Frame("coefficients", ("term", "estimate", "error", "t", "p", "low", "high"), tuple(rows)),
            fit.frame(settings.outcome.half),
            outside_frame((*settings.numbers, settings.outcome), model),
        ),
        notes=(
            *complete_notes(model),
            *([RIDGE_NOTE] if settings.ridge else []),
            *rank_notes(fit.matrix),
            "intervals are 95 %, by Student's t",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeastSquares:
    """A fit on the scale of the bounds.

    Attributes:
        values: the intercept, then the terms.
        covariance: of these.
        matrix: of the normal equations, about the means.
        n: rows.
        total: squares of the outcome about its mean.
        left: squares about the fit.

    """

    values: Array
    covariance: Array
    matrix: Array
    n: float
    total: float
    left: float

    @property
    def freedom(self) -> float:
        """Rows less coefficients."""
        return self.n - len(self.values)

    def frame(self, unit: float) -> Frame:
        """How well it fits; ``unit`` is what 1 of the outcome's scale is worth."""
        columns = ("n", "df", "r_squared", "adjusted_r_squared", "f", "f_p", "deviation")
        head = whole(self.n), whole(self.freedom)
        if self.freedom <= 0 or self.total <= 0:
            return Frame("fit", columns, ((*head, None, None, None, None, None),))
        terms, spread = len(self.values) - 1, self.left / self.freedom
        f = ratio((self.total - self.left) / terms, spread)
        p = None if f is None else f_p(f, terms, self.freedom)
        squares = 1 - self.left / self.total, 1 - spread / (self.total / (self.n - 1))
        return Frame("fit", columns, ((*head, *squares, f, p, root(spread) * unit),))


def _least_squares(model: Model, outcome: int, penalty: Array) -> _LeastSquares:
    """Solve the normal equations.

    Args:
        model: cross products.
        outcome: the outcome's place among the summed columns.
        penalty: what the ridge adds for each term.

    """
    n = float(model["rows"][0])
    means, cross = moments(model)
    x_means, y_mean, yy = np.delete(means, outcome), float(means[outcome]), float(cross[outcome, outcome])
    xx, xy = np.delete(np.delete(cross, outcome, 0), outcome, 1), np.delete(cross[outcome], outcome)
    matrix = xx + np.diag(penalty)
    inverted = inverse(matrix)
    slopes = inverted @ xy
    left = max(yy - 2 * float(slopes @ xy) + float(slopes @ xx @ slopes), 0.0)
    freedom = n - len(slopes) - 1
    spread = left / freedom if freedom > 0 else nan
    # The intercept is the mean of y less what the slopes make of the mean row.
    lift = np.concatenate((-x_means[None], np.eye(len(slopes))))
    values = lift @ slopes
    values[0] += y_mean
    covariance = spread * (lift @ inverted @ lift.T)
    covariance[0, 0] += spread / max(n, 1.0)
    return _LeastSquares(values=values, covariance=covariance, matrix=matrix, n=n, total=yy, left=left)


def logistic(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``logistic``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = LogisticSettings.read(params)
    terms, n, yes = settings.terms, float(model["rows"][0]), float(model["yes"][0])
    penalty = np.array([0.0, *(settings.ridge / term.half**2 for term in terms)])
    covariance = inverse(model["information"] + np.diag(penalty))
    found = on_own_scale(model["coefficients"], covariance, terms, has_errors=not settings.ridge)
    likelihood = Likelihood(
        n=n,
        events=yes,
        value=float(model["likelihood"][0]),
        # Where all are yes, or none is, the constant fits exactly.
        null=yes * log(yes / n) + (n - yes) * log1p(-yes / n) if 0 < yes < n else 0.0,
        terms=len(terms),
        is_penalised=settings.ridge > 0,
    )
    return Result(
        title=f"Logistic regression of {settings.outcome.column}",
        frames=(
            found.frame("odds_ratio", has_intercept=True),
            likelihood.frame(),
            outside_frame(settings.numbers, model),
        ),
        notes=(
            *complete_notes(model),
            *([RIDGE_NOTE] if settings.ridge else []),
            convergence_note(model["coefficients"] - model["best"], covariance, int(model["rounds"][0])),
            INTERVAL_NOTE,
        ),
    )
