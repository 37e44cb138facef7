"""The network on tables: its size, its answers and gradients in numpy, and its local steps on them.

One hidden layer (ReLU) and one yes-or-no answer. Where the gradients come from is
an argument, so that another library can give them.
"""

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from serai.recipes.engines.adamw import Array32, adamw_step
from serai.training.tensors import Model, Tensor

BETAS: Final = (0.9, 0.99)

Rows: TypeAlias = tuple[Array32, Array32]
"""Features ``(n, features)`` and labels ``(n,)``, 0 or 1."""

Gradients: TypeAlias = Callable[[Model, Rows], tuple[float, dict[str, Array32]]]
"""The mean log-loss of some rows, nats, and its gradient by each parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Its size.

    Attributes:
        features: columns of the table.
        hidden: units of the hidden layer.

    """

    features: int
    hidden: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters' shapes by name, sorted."""
        return {
            "hidden_bias": (self.hidden,),
            "hidden_weight": (self.features, self.hidden),
            "out_bias": (1,),
            "out_weight": (self.hidden,),
        }


class NumpyNetwork:
    """A network whose values and moments are numpy arrays.

    Args:
        network: its size.
        decay: of AdamW.
        gradients: where they come from.

    """

    def __init__(self, network: Network, decay: float, gradients: Gradients | None = None) -> None:
        self._values = {name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()}
        self._decay = decay
        self._gradients = gradients or gradients_of

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""
        return tuple(self._values)

    def read(self, name: str) -> Tensor:
        """A parameter's present value."""
        return self._values[name].copy()

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""
        self._values[name] = np.array(values, np.float32)

    def inner_steps(
        self, batches: Iterable[Rows], rates: Iterable[float], memory: MutableMapping[str, Tensor]
    ) -> float:
        """One AdamW step for each batch; returns the mean loss before each step."""
        losses = []
        for rows, rate in zip(batches, rates, strict=True):
            loss, gradients = self._gradients(self._values, rows)
            adamw_step(self._values, gradients, memory, (rate, self._decay), BETAS)
            losses.append(loss)
        return float(np.mean(losses)) if losses else 0.0


def forward(model: Model, x: Array32) -> tuple[Array32, Array32]:
    """The hidden layer ``(n, hidden)`` and the log-odds ``(n,)``."""
    hidden = np.maximum(x @ model["hidden_weight"] + model["hidden_bias"], 0)
    return hidden, hidden @ model["out_weight"] + model["out_bias"]


def gradients_of(model: Model, rows: Rows) -> tuple[float, dict[str, Array32]]:
    """The mean log-loss and its gradients, by hand."""
    x, y = rows
    hidden, odds = forward(model, x)
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1/infinity the right answer
        error = (1 / (1 + np.exp(-odds)) - y) / np.float32(len(x))
    with np.errstate(invalid="ignore"):  # a model that diverged is refused when its round ends
        nats = float(np.mean(np.logaddexp(0, odds) - y * odds))
    back = np.outer(error, model["out_weight"]) * (hidden > 0)
    return nats, {
        "hidden_bias": back.sum(axis=0),
        "hidden_weight": x.T @ back,
        "out_bias": error.sum(keepdims=True),
        "out_weight": hidden.T @ error,
    }
