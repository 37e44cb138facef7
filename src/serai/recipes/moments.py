"""Means and standard deviations over everybody's rows, in one sum of n, sum x and sum x^2."""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

import numpy as np

from serai.aggregation.codec import Block, Codec
from serai.errors import Refused
from serai.recipes.standardise import scaled
from serai.training.methods import Context, Data, Vector
from serai.training.parameters import Parameters
from serai.training.scales import limit_for, step_for
from serai.training.tensors import Model


class Moments:
    """Moments of the training features.

    The model it makes: ``mean`` and ``std``, ``(features,) float64``, and ``n``. A
    feature that never varies gets std 1, so that scaling leaves it at zero.

    Settings: ``features``; ``range``, the largest sum of squares one member may have.
    """

    name: ClassVar[str] = "moments"
    outputs: ClassVar[tuple[str, ...]] = ("aggregate",)

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = Parameters(self.name, params)
        self._features = settings.integer("features", None, 1, 100_000)
        self._reach = settings.number("range", str(2**32), Fraction(1), Fraction(2**48))
        settings.finish()

    @property
    def length(self) -> int:
        """n, then sums, then sums of squares."""
        return 1 + 2 * self._features

    def codec(self, members: int) -> Codec:
        """64 bits: with the default range, exact to about 10^-6."""
        limit = limit_for(64, members)
        return Codec(
            bits=64,
            limit=limit,
            blocks=(
                Block(length=1, step=Fraction(1)),
                Block(length=2 * self._features, step=step_for(self._reach, limit)),
            ),
        )

    def initial(self) -> Model:
        """Nothing counted yet."""
        return {"mean": np.zeros(self._features), "n": np.zeros(1), "std": np.ones(self._features)}

    def contribute(self, model: Model, data: Data, _context: Context) -> Vector:
        """One pass over the rows."""
        x = scaled(model, data.x, self._features)
        return np.concatenate(([len(x)], x.sum(axis=0), (x * x).sum(axis=0)))

    def combine(self, _model: Model, total: Vector, _members: float) -> Model:
        """Mean, and the population's standard deviation.

        Raises:
            Refused: the sum counts no rows.

        """
        n = float(total[0])
        if n < 1:
            raise Refused("no-rows", "the sum counts no rows; moments of nothing do not exist")
        mean = total[1 : 1 + self._features].astype(np.float64) / n
        variance = total[1 + self._features :].astype(np.float64) / n - mean * mean
        # Below what the sums' rounding could leave of a constant feature, it counts as constant.
        varies = variance > (mean * mean + 1.0) * 2.0**-40
        std = np.where(varies, np.sqrt(np.where(varies, variance, 1.0)), 1.0)
        return {"mean": mean, "n": np.array([n]), "std": std}

    def evaluate(self, _model: Model, data: Data) -> Mapping[str, int]:
        """Statistics are not scored; how many rows stood behind them is all there is to say."""
        return {"n": len(data.x)}
