"""A small neural network on tables, in numpy alone, trained by low-communication rounds.

One hidden layer (ReLU) and one yes-or-no answer; AdamW (arXiv:1711.05101) inside.
It shows that low-communication rounds need no framework, and serves members
whose machines have none.
"""

import math
from collections.abc import Iterator, Mapping, MutableMapping
from fractions import Fraction
from typing import ClassVar, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Codec
from serai.errors import Malformed, Refused
from serai.recipes.low_communication import Steps, Train, read_pace, read_rounds
from serai.recipes.parameters import Parameters
from serai.recipes.standardise import scale_from, scaled
from serai.training.fragments import Layout
from serai.training.methods import Context, Data, Vector, classification_counts
from serai.training.tensors import Model, Tensor

Array32: TypeAlias = npt.NDArray[np.float32]

START: Final = "start"
"""Name under which a plan's inputs give a model to start from."""

_BETA1, _BETA2, _EPSILON = 0.9, 0.99, 1e-8
_STEP, _M, _V = "inner/step", "inner/m/", "inner/v/"


class Mlp:
    """Local AdamW on a two-layer network, and low-communication rounds.

    The model: ``hidden_weight (features, hidden)``, ``hidden_bias (hidden,)``,
    ``out_weight (hidden,)``, ``out_bias (1,)``, float32, and what low-communication rounds keep.

    Settings: ``features``, ``hidden``; ``batch`` rows a step; ``decay``; ``seed`` of the
    start; and those of ``low_communication``.
    Inputs: ``moments``, to standardise; ``start``, a model to start from.

    Args:
        params: the settings.
        inputs: the input models.

    """

    name: ClassVar[str] = "mlp"
    outputs: ClassVar[tuple[str, ...]] = ("model", "metrics")

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model]) -> None:
        settings = Parameters(self.name, params)
        self._features = settings.integer("features", None, 1, 1_000_000)
        hidden = settings.integer("hidden", 32, 1, 1_000_000)
        self._batch = settings.integer("batch", 32, 1, 2**20)
        self._decay = float(settings.number("decay", "0.01", Fraction(0), Fraction(1)))
        pace = read_pace(settings, "0.01")
        shapes = {
            "hidden_bias": (hidden,),
            "hidden_weight": (self._features, hidden),
            "out_bias": (1,),
            "out_weight": (hidden,),
        }
        layout = Layout(shapes=shapes)
        self._rounds = read_rounds(settings, layout, pace)
        seed = settings.integer("seed", 0, 0, 2**63)
        settings.finish()
        self._scale = scale_from(inputs, self._features)
        self._start = _start_from(inputs, layout, seed)

    @property
    def length(self) -> int:
        """A digit for each parameter that travels at once, and the blocks' reports."""
        return self._rounds.length

    @property
    def last_length(self) -> int:
        """A digit for each parameter, if the last round is to bring every one."""
        return self._rounds.last_length

    @property
    def ahead(self) -> int:
        """Local steps taken while a vector travels."""
        return self._rounds.ahead

    def codec(self, members: int) -> Codec:
        """Digits, as many to a ring element as fit."""
        return self._rounds.codec(members)

    def last_codec(self, members: int) -> Codec | None:
        """The last round's digits; None if it is like the others."""
        return self._rounds.last_codec(members)

    def initial(self) -> Model:
        """The model to start from, or small weights."""
        return {**self._rounds.initial(self._start), **self._scale}

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """Local steps from the global model and this member's offset, quantised."""
        return self._rounds.contribute(model, context, self._trainer(model, data, context))

    def train_ahead(self, model: Model, data: Data, context: Context) -> None:
        """The next round's first steps, while the vector travels."""
        self._rounds.train_ahead(model, context, self._trainer(model, data, context))

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """One outer step along the mean of the members' updates."""
        return self._rounds.combine(model, total, members)

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Yes where the log-odds are positive."""
        x = scaled(model, data.test_x, self._features).astype(np.float32)
        return classification_counts(_forward(model, x)[1] > 0, data.test_y)

    def _trainer(self, model: Model, data: Data, context: Context) -> Train:
        if not len(data.x):
            raise Refused("rows-range", "expected at least one training row, got none")
        x, y = scaled(model, data.x, self._features).astype(np.float32), data.y.astype(np.float32)

        def train(start: Model, steps: Steps) -> tuple[Model, float]:
            local, nats = dict(start), 0.0
            for rate, rows in zip(steps.rates, steps.of(self._batches(len(x), context)), strict=True):
                loss, gradients = _loss_and_gradients(local, x[rows], y[rows])
                nats += loss
                _adamw(local, gradients, context.memory, (rate, self._decay))
            return local, nats / len(steps.rates)

        return train

    def _batches(self, count: int, context: Context) -> Iterator[npt.NDArray[np.int64]]:
        generator = context.generator()
        while True:
            yield generator.integers(0, count, self._batch)


def _forward(model: Model, x: Array32) -> tuple[Array32, Array32]:
    """The hidden layer ``(n, hidden)`` and the log-odds ``(n,)``."""
    hidden = np.maximum(x @ model["hidden_weight"] + model["hidden_bias"], 0)
    return hidden, hidden @ model["out_weight"] + model["out_bias"]


def _loss_and_gradients(model: Model, x: Array32, y: Array32) -> tuple[float, dict[str, Array32]]:
    """The mean log-loss, nats, and its gradients."""
    hidden, odds = _forward(model, x)
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


def _adamw(
    local: dict[str, Array32],
    gradients: Mapping[str, Array32],
    memory: MutableMapping[str, Tensor],
    pace: tuple[float, float],
) -> None:
    """One step in place; ``pace`` is learning rate and decay. Moments stay in the member's memory."""
    rate, decay = pace
    step = int(memory[_STEP][0]) + 1 if _STEP in memory else 1
    memory[_STEP] = np.array([step], np.int64)
    for name, gradient in gradients.items():
        zero = np.zeros_like(gradient)
        m = memory.get(_M + name, zero) * _BETA1 + gradient * (1 - _BETA1)
        v = memory.get(_V + name, zero) * _BETA2 + gradient * gradient * (1 - _BETA2)
        memory[_M + name], memory[_V + name] = m, v
        move = m / (1 - _BETA1**step) / (np.sqrt(v / (1 - _BETA2**step)) + _EPSILON)
        local[name] = local[name] * np.float32(1 - rate * decay) - (move * rate).astype(np.float32)


def _start_from(inputs: Mapping[str, Model], layout: Layout, seed: int) -> Model:
    start = inputs.get(START)
    if start is not None:
        for name, shape in layout.shapes.items():
            if name not in start or start[name].shape != shape:
                raise Malformed("recipe-input", f"expected a model to start from with {name} of shape {shape}")
        return {name: start[name].astype(np.float32) for name in layout.names}
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn: dict[str, Array32] = {}
    for name in layout.names:
        shape = layout.shapes[name]
        # Uniform, so that no ``exp`` or ``log`` is in it and members begin with the same bits.
        width = 0.0 if name.endswith("bias") else 2 * math.sqrt(3 / shape[0])
        drawn[name] = ((generator.random(shape) - 0.5) * width).astype(np.float32)
    return drawn
