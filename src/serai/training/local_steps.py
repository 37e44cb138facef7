"""Local steps on any framework, and the weighted pseudo-gradient a member sends.

An ``Adapter`` shows a model as named arrays, whatever trains it (numpy, torch on
any chip, JAX, ...), so that members with different engines can sit in one run.
A member's vector is its row count n times (global - local), then n itself in
binary digits: both are sums, and their quotient is FedAvg's weighted mean
(arXiv:1602.05629 alg. 1).
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np

from serai.aggregation.codec import Block, Codec
from serai.training.methods import Context, Data, Vector
from serai.training.outer import Array, OuterOptimizer, outer_step
from serai.training.scales import ROW_DIGITS, limit_for, read_rows, step_for, write_rows
from serai.training.tensors import Model, Tensor, slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What holds a member's local steps near the others; it changes the gradient of each step.

    Attributes:
        proximal: mu of FedProx: adds mu (local - global) (arXiv:1812.06127 eq. 2).
        corrections: added as they are, by name; SCAFFOLD's c - c_i (arXiv:1910.06378 eq. 3).

    """

    proximal: float = 0.0
    corrections: Model = field(default_factory=dict)


class Adapter(Protocol):
    """A model inside some framework, seen as named float32 arrays."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""

    def read(self, name: str) -> Tensor:
        """A parameter's present value."""

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""

    def inner_steps(self, data: Data, context: Context, drift: Drift) -> int:
        """Train from the present values; returns the weight of this member, its row count."""


def local_codec(values: int, members: int, bits: int, reach: Fraction) -> Codec:
    """A codec for ``values`` parameters and the row digits.

    Args:
        values: number of parameters.
        members: how many vectors may be summed.
        bits: width of the ring.
        reach: the largest n (global - local) of one parameter that is not clipped.

    """
    limit = limit_for(bits, members)
    return Codec(
        bits=bits,
        limit=limit,
        blocks=(Block(length=values, step=step_for(reach, limit)), Block(length=ROW_DIGITS, step=Fraction(1))),
    )


def train_locally(adapter: Adapter, model: Model, data: Data, context: Context, drift: Drift) -> Vector:
    """Take a member's local steps from the global model and return its vector.

    Returns:
        ``(n_params + ROW_DIGITS,) float64``; afterwards the adapter holds the local model.

    """
    for name in adapter.names:
        adapter.write(name, model[name])
    rows = adapter.inner_steps(data, context, drift)
    values = sum(model[name].size for name in adapter.names)
    vector = np.empty(values + ROW_DIGITS, np.float64)
    for name, place in slices(model, adapter.names):
        difference = vector[place].reshape(model[name].shape)
        # Subtracted in the parameters' own precision, as they are stored; the weight is applied in float64.
        np.copyto(difference, model[name] - adapter.read(name))
        difference *= rows
    write_rows(rows, vector[values:])
    return vector


def apply_mean(optimizer: OuterOptimizer, names: tuple[str, ...], model: Model, total: Vector) -> Model:
    """The next model from the sum of everybody's vectors; the same bits everywhere.

    Args:
        optimizer: the outer optimizer.
        names: the parameters, in the order of the vector.
        model: parameters and outer state.
        total: ``(n_params + ROW_DIGITS,)`` decoded sum.

    """
    rows = float(read_rows(total[-ROW_DIGITS:]))
    gradients: dict[str, Array] = {
        name: total[place].astype(np.float64).reshape(model[name].shape) / rows for name, place in slices(model, names)
    }
    return outer_step(optimizer, model, gradients)
