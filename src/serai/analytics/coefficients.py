"""Coefficients on the columns' own scale, with errors, tests and intervals.

Sums were taken on the scale of the bounds, x = middle + half * z. With a ridge
there are no errors: a penalised fit is biased on purpose, and the usual ones
would claim too much.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Final, TypeAlias

import numpy as np

from serai.analytics.distributions import Z_95, chi_square_p, normal_p
from serai.analytics.frames import Cell, Frame, whole
from serai.training.statistics.columns import Array, Term

Interval: TypeAlias = tuple[float | None, float | None]

RIDGE_NOTE: Final = "a ridge was set: estimates are drawn to 0 and have no errors"
INTERVAL_NOTE: Final = "intervals are 95 %, normal on the scale of the coefficients; p is Wald's"

_INTERCEPT: Final = "(intercept)"
_CONVERGED: Final = 1e-4  # of a standard error: a Newton step after that moves nothing that is shown
_RANK: Final = 2.0**-40  # of the largest eigenvalue: below it, terms depend on each other as far as sums can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """What a fit found.

    Attributes:
        names: the intercept first.
        estimates: as many.
        errors: standard errors, NaN where there are none.

    """

    names: tuple[str, ...]
    estimates: Array
    errors: Array

    def tests(self, within: float) -> Iterator[tuple[str, float, float | None, float | None, Interval]]:
        """Name, estimate, error, their quotient, and an interval of ``within`` errors; None for what there is not."""
        for name, estimate, error in zip(self.names, map(float, self.estimates), map(float, self.errors), strict=True):
            if error > 0:
                yield name, estimate, error, estimate / error, (estimate - within * error, estimate + within * error)
            else:
                yield name, estimate, None, None, (None, None)

    def frame(self, ratio: str, *, has_intercept: bool) -> Frame:
        """A table with Wald's tests and the exponentials of the estimates.

        Args:
            ratio: what an exponential is called.
            has_intercept: whether the intercept means something.

        """
        rows: list[tuple[Cell, ...]] = []
        for name, estimate, error, z, ends in self.tests(Z_95):
            p = None if z is None else normal_p(z)
            rows.append((name, estimate, error, z, p, *ends, *map(_exp, (estimate, *ends))))
        columns = ("term", "estimate", "error", "z", "p", "low", "high", ratio, "ratio_low", "ratio_high")
        return Frame("coefficients", columns, tuple(rows if has_intercept else rows[1:]))


def on_own_scale(
    values: Array, covariance: Array, terms: Sequence[Term], unit: float = 1.0, *, has_errors: bool = True
) -> Coefficients:
    """Coefficients from the scale of the bounds to the columns' own.

    Args:
        values: the intercept, then the terms.
        covariance: of these.
        terms: their scales.
        unit: what 1 of the outcome's scale is worth.
        has_errors: False after a ridge.

    """
    halves, middles = (np.array([getattr(term, part) for term in terms]) for part in ("half", "middle"))
    change = np.diag(np.concatenate(([1.0], 1 / halves)))
    change[0, 1:] = -middles / halves
    variance = np.diagonal(change @ covariance @ change.T) * unit**2
    return Coefficients(
        names=(_INTERCEPT, *(term.name for term in terms)),
        estimates=(change @ values) * unit,
        errors=np.sqrt(np.where(variance > 0, variance, np.nan)) if has_errors else np.full(len(values), np.nan),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How well a model of events fits.

    Attributes:
        n: rows.
        events: among them.
        value: log-likelihood.
        null: that of the model without terms.
        terms: how many there are.
        is_penalised: whether a ridge was set, so that twice the difference is no chi-square.

    """

    n: float
    events: float
    value: float
    null: float
    terms: int
    is_penalised: bool = False

    def frame(self) -> Frame:
        """The likelihood ratio test of all terms."""
        chi_square = None if self.is_penalised else max(2 * (self.value - self.null), 0.0)
        p = None if chi_square is None else chi_square_p(chi_square, self.terms)
        columns = ("n", "events", "log_likelihood", "null_log_likelihood", "chi_square", "df", "p")
        return Frame(
            "fit", columns, ((whole(self.n), whole(self.events), self.value, self.null, chi_square, self.terms, p),)
        )


def inverse(matrix: Array) -> Array:
    """The inverse of a symmetric matrix; where terms depend on each other, that of what they span."""
    return np.asarray(np.linalg.pinv(matrix, rcond=_RANK, hermitian=True), np.float64)


def rank_notes(matrix: Array) -> tuple[str, ...]:
    """Whether terms depend on each other."""
    rank = np.linalg.matrix_rank(matrix, tol=_RANK * float(np.abs(matrix).max(initial=0.0)), hermitian=True)
    lacking = len(matrix) - int(rank)
    return (f"{lacking} of the terms depend on the others: single coefficients mean nothing",) if lacking else ()


def convergence_note(step: Array, covariance: Array, rounds: int) -> str:
    """Whether the last step was small beside what the data leave open."""
    errors = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    moved = float(np.max(np.abs(step) / np.where(errors > 0, errors, 1.0), initial=0.0))
    if moved <= _CONVERGED:
        return f"it converged: the last of {rounds} steps moved no coefficient by more than {moved:.1e} of its error"
    return (
        f"IT DID NOT CONVERGE: the last of {rounds} steps still moved a coefficient by {moved:.2g} of its error; "
        "plan more rounds, or, if it never does, drop the term that separates the outcomes or set a ridge"
    )


def _exp(value: float | None) -> float | None:
    return None if value is None or value > 700 else exp(value)


def root(value: float) -> float:
    """The square root of what rounding may have left a little below 0."""
    return sqrt(max(value, 0.0))
