"""Logistic regression by Newton's method: each round sums gradients and Hessians, and takes one exact step.

The same method as NVIDIA FLARE's hello-lr example (FedAvgNewtonRaphson), whose
published figures ``tests/golden`` reproduces.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Block, Codec
from serai.recipes.standardise import scale_from, scaled
from serai.training.methods import Context, Data, Vector, classification_counts, probabilities
from serai.training.parameters import Parameters
from serai.training.scales import limit_for, step_for
from serai.training.solve import solve_positive_definite
from serai.training.tensors import Model

Array = npt.NDArray[np.float64]


class Newton:
    """Damped Newton steps on the log-likelihood.

    The model: ``weight``, ``(features,) float64``, and ``bias``, ``(1,) float64``.

    Settings: ``features``; ``damping``, the share of each step that is taken;
    ``ridge``, added to the diagonal of the mean Hessian; ``range``, the largest
    magnitude of one member's gradient or Hessian entry. Input: ``moments``, to standardise.
    """

    name: ClassVar[str] = "newton"
    outputs: ClassVar[tuple[str, ...]] = ("model", "metrics")

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model]) -> None:
        settings = Parameters(self.name, params)
        self._features = settings.integer("features", None, 1, 1_000)
        self._damping = float(settings.number("damping", "0.8", Fraction(1, 1000), Fraction(1)))
        self._ridge = float(settings.number("ridge", "1", Fraction(0), Fraction(10**9)))
        self._reach = settings.number("range", str(2**24), Fraction(1), Fraction(2**48))
        settings.finish()
        self._scale = scale_from(inputs, self._features)

    @property
    def length(self) -> int:
        """The gradient, then the upper triangle of the Hessian, row by row."""
        size = self._features + 1
        return size + size * (size + 1) // 2

    def codec(self, members: int) -> Codec:
        """64 bits: with the default range, exact to about 10^-8."""
        limit = limit_for(64, members)
        return Codec(bits=64, limit=limit, blocks=(Block(length=self.length, step=step_for(self._reach, limit)),))

    def initial(self) -> Model:
        """All weights zero."""
        return {"bias": np.zeros(1), "weight": np.zeros(self._features), **self._scale}

    def contribute(self, model: Model, data: Data, _context: Context) -> Vector:
        """X^T (y - p) and X^T D X with D = p (1 - p), over a constant first column."""
        x = self._design(model, data.x)
        p = probabilities(x @ _theta(model))
        gradient = x.T @ (data.y - p)
        hessian = (x.T * (p * (1.0 - p))) @ x
        return np.concatenate((gradient, hessian[np.triu_indices(len(gradient))]))

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """One damped step: theta + damping (H + ridge members I)^-1 g.

        Raises:
            Refused: the ridge is too small for these data.

        """
        size = self._features + 1
        hessian = np.zeros((size, size))
        upper = np.triu_indices(size)
        hessian[upper] = total[size:]
        hessian.T[upper] = total[size:]
        hessian[np.diag_indices(size)] += self._ridge * members
        step = solve_positive_definite(hessian, total[:size].astype(np.float64))
        theta = _theta(model) + step * self._damping
        return {**model, "bias": theta[:1].copy(), "weight": theta[1:].copy()}

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Yes where the log-odds are positive."""
        return classification_counts(self._log_odds(model, data.test_x) > 0, data.test_y)

    def scores(self, model: Model, x: Array) -> Array:
        """The probability of yes of each row."""
        return probabilities(self._log_odds(model, x))

    def _log_odds(self, model: Model, x: Array) -> Array:
        found: Array = self._design(model, x) @ _theta(model)
        return found

    def _design(self, model: Model, x: Array) -> Array:
        rows = scaled(model, x, self._features)
        return np.concatenate((np.ones((len(rows), 1)), rows), axis=1)


def _theta(model: Model) -> Array:
    return np.concatenate((model["bias"], model["weight"]))
