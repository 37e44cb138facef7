"""Logistic regression by local SGD, with FedAvg, FedProx, SCAFFOLD, FedAdam, FedYogi, FedAdagrad or Nesterov outside.

float32 throughout the local steps, in the order of operations of PyTorch's
``Linear``, ``BCELoss`` and ``SGD``, so that published runs can be compared digit by digit.
With ``clip`` and ``noise`` the steps are those of DP-SGD (``training.privacy``).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Codec
from serai.errors import Malformed
from serai.recipes.standardise import scale_from, scaled
from serai.training.control_variates import corrections, remember
from serai.training.local_steps import Drift, apply_mean, local_codec, train_locally
from serai.training.methods import Context, Data, Vector, classification_counts, probabilities
from serai.training.outer import Adaptive, Averaging, Nesterov, OuterOptimizer, SecondMoment, with_outer_state
from serai.training.parameters import Parameters
from serai.training.privacy import Mechanism, PrivateSteps, RowNoise
from serai.training.scales import ROW_DIGITS
from serai.training.tensors import Model, Tensor

Array32: TypeAlias = npt.NDArray[np.float32]
START: Final = "start"
"""Name under which a plan's inputs give a model to start from."""

_NAMES: Final = ("bias", "weight")
_OUTER: Final = ("fedavg", "fedprox", "scaffold", "nesterov", "fedadam", "fedyogi", "fedadagrad")


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSgd:
    """Plain SGD: learning rate, rows a batch, steps a round."""

    lr: float
    batch: int
    steps: int


Rows: TypeAlias = npt.NDArray[np.integer]
Order: TypeAlias = Callable[[int, InnerSgd, Context], Iterator[Rows]]
"""Which rows each local step uses, given how many there are."""

Slope: TypeAlias = Callable[[Rows, Array32, Array32], tuple[Array32, np.float32]]
"""The gradient over some rows at a weight and a bias."""


def shuffled(rows: int, inner: InnerSgd, context: Context) -> Iterator[npt.NDArray[np.integer]]:
    """Fresh permutations one after another; the last batch of each may be smaller."""
    generator = context.generator()
    taken = 0
    while rows:
        permutation = generator.permutation(rows)
        for start in range(0, rows, inner.batch):
            if taken == inner.steps:
                return
            taken += 1
            yield permutation[start : start + inner.batch]


class LogisticModel:
    """Logistic regression in numpy behind the training adapter.

    Args:
        features: number of features.
        inner: the local optimizer.
        order: which rows each step uses.
        private: how rows are drawn and hidden instead; None leaves the gradients as they are.

    """

    def __init__(self, features: int, inner: InnerSgd, order: Order, private: RowNoise | None = None) -> None:
        self._parameters: dict[str, Array32] = {
            "bias": np.zeros(1, np.float32),
            "weight": np.zeros(features, np.float32),
        }
        self._inner = inner
        self._order = order
        self._private = private

    @property
    def names(self) -> tuple[str, ...]:
        """bias, weight."""
        return _NAMES

    def read(self, name: str) -> Tensor:
        """A parameter's present value."""
        return self._parameters[name]

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""
        np.copyto(self._parameters[name], values)

    def inner_steps(self, data: Data, context: Context, drift: Drift) -> int:
        """SGD on the mean log-loss of each batch.

        Raises:
            Refused: noise is asked for, and there is no secret to draw it from.

        """
        x, y = data.x.astype(np.float32), data.y.astype(np.float32)
        weight, bias = self._parameters["weight"].copy(), self._parameters["bias"].copy()
        weight_0, bias_0 = weight.copy(), bias.copy()
        weight_c = drift.corrections.get("weight", np.float32(0))
        bias_c = drift.corrections.get("bias", np.float32(0))
        lr, mu = np.float32(self._inner.lr), np.float32(drift.proximal)
        batches, slope = self._slope(x, y, context)
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1/infinity the right answer
            for rows in batches:
                weight_g, bias_g = slope(rows, weight, bias)
                weight -= lr * (weight_g + weight_c + mu * (weight - weight_0))
                bias -= lr * (bias_g + bias_c + mu * (bias - bias_0))
        self._parameters = {"bias": bias, "weight": weight}
        return len(x)

    def _slope(self, x: Array32, y: Array32, context: Context) -> tuple[Iterator[Rows], Slope]:
        """The rows of each step, and what gives the gradient over them."""
        if self._private is None:
            batches = self._order(len(x), self._inner, context)
            return batches, lambda rows, weight, bias: _mean_slope(x[rows], y[rows], weight, bias)
        steps = PrivateSteps(self._private, len(x), context)
        lengths = np.sqrt(np.einsum("ij,ij->i", x, x) + 1)  # a row's gradient is its error times (row, 1)
        expected = np.float32(self._private.expected(len(x)))

        def slope(rows: Rows, weight: Array32, bias: Array32) -> tuple[Array32, np.float32]:
            batch, noise = x[rows], steps.noise(len(weight) + 1)
            error = _error(batch, y[rows], weight, bias)
            error *= steps.factors(np.abs(error) * lengths[rows])
            return (error @ batch + noise[1:]) / expected, (error.sum() + noise[0]) / expected

        return steps.batches(self._inner.steps), slope


class LocalSgd:
    """Local SGD on logistic regression under an outer optimizer.

    The model: ``weight``, ``(features,) float32``, and ``bias``, ``(1,) float32``.

    Settings: ``features``; ``lr``, ``batch``, ``steps`` inside; ``outer`` and ``outer_lr``, and
    of some outer optimizers ``momentum``, ``mu``, ``beta1``, ``beta2``, ``tau``; ``bits`` of
    the ring and ``range``, the largest row count times change of one parameter. For privacy of
    each row: ``clip``, the norm its gradient is cut to; ``noise``, the noise's standard deviation
    in units of ``clip``; ``delta``, the odds that the bound on epsilon does not hold.
    Inputs: ``moments``, to standardise; ``start``, a model to start from.

    Args:
        params: the settings.
        inputs: the input models.
        order: which rows each step uses; shuffled unless a recorded run is followed.

    """

    name: ClassVar[str] = "local_sgd"

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model], order: Order = shuffled) -> None:
        settings = Parameters(self.name, params)
        self._features = settings.integer("features", None, 1, 1_000_000)
        self._inner = InnerSgd(
            lr=float(settings.number("lr", "0.01", Fraction(0), Fraction(1000))),
            batch=settings.integer("batch", 32, 1, 2**20),
            steps=settings.integer("steps", 100, 1, 10**6),
        )
        self._private, self._delta = _read_privacy(settings, self._inner.batch)
        self._bits = settings.integer("bits", 64, 2, 64)
        self._reach = settings.number("range", str(2**20), Fraction(1, 2**20), Fraction(2**48))
        self._method = settings.choice("outer", "fedavg", _OUTER)
        self._mu = (
            float(settings.number("mu", "0.01", Fraction(0), Fraction(1000))) if self._method == "fedprox" else 0.0
        )
        self._outer_lr, self._outer = _outer_optimizer(self._method, settings)
        settings.finish()
        self._scale = scale_from(inputs, self._features)
        self._start = _start_from(inputs, self._features)
        self._order = order

    @property
    def outputs(self) -> tuple[str, ...]:
        """The model, and without noise the metrics: counts over held-back rows are exact, and would undo it."""
        return ("model", "metrics") if self._private is None else ("model",)

    @property
    def length(self) -> int:
        """The parameters, then the row count's digits."""
        return self._features + 1 + ROW_DIGITS

    def codec(self, members: int) -> Codec:
        """As fine as the ring allows."""
        return local_codec(self._features + 1, members, self._bits, self._reach)

    def initial(self) -> Model:
        """Zeros, or the model to start from, with the outer optimizer at rest."""
        return {**with_outer_state(self._outer, self._start), **self._scale}

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """Local steps from the global model."""
        rows = scaled(model, data.x, self._features)
        local = Data(x=rows, y=data.y, test_x=data.test_x, test_y=data.test_y, names=data.names)
        adapter = LogisticModel(self._features, self._inner, self._order, self._private)
        if self._method != "scaffold":
            return train_locally(adapter, model, local, context, Drift(proximal=self._mu))
        path = self._inner.lr * self._inner.steps * self._outer_lr
        used = corrections(context.memory, model, context.round, path)
        vector = train_locally(adapter, model, local, context, Drift(corrections=used))
        share = np.float32(self._outer_lr)
        reached = {name: model[name] + share * (adapter.read(name) - model[name]) for name in _NAMES}
        remember(context.memory, reached, used, context.round)
        return vector

    def mechanism(self, rows: int) -> Mechanism | None:
        """What a round does to each of a member's rows; None without noise."""
        if self._private is None or self._private.noise == 0:
            return None
        return Mechanism(
            noise=self._private.noise, rate=self._private.rate(rows), steps=self._inner.steps, delta=self._delta
        )

    def combine(self, model: Model, total: Vector, _members: float) -> Model:
        """One outer step along the mean weighted by rows."""
        return apply_mean(self._outer, _NAMES, model, total)

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Yes where the log-odds are positive."""
        return classification_counts(self._log_odds(model, data.test_x) > 0, data.test_y)

    def scores(self, model: Model, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of yes of each row."""
        return probabilities(self._log_odds(model, x))

    def _log_odds(self, model: Model, x: npt.NDArray[np.float64]) -> Array32:
        rows = scaled(model, x, self._features).astype(np.float32)
        found: Array32 = rows @ model["weight"] + model["bias"]
        return found


def _error(x: Array32, y: Array32, weight: Array32, bias: Array32) -> Array32:
    error: Array32 = 1 / (1 + np.exp(-(x @ weight + bias))) - y
    return error


def _mean_slope(x: Array32, y: Array32, weight: Array32, bias: Array32) -> tuple[Array32, np.float32]:
    """The gradient of the mean log-loss."""
    error = _error(x, y, weight, bias)
    error /= np.float32(len(y))
    return error @ x, error.sum()


def _outer_optimizer(method: str, settings: Parameters) -> tuple[float, OuterOptimizer]:
    adaptive = method in set(SecondMoment)
    lr = float(settings.number("outer_lr", "0.01" if adaptive else "1", Fraction(0), Fraction(1000)))
    if method == "nesterov":
        momentum = float(settings.number("momentum", "0.9", Fraction(0), Fraction(1)))
        return lr, Nesterov(lr=lr, momentum=momentum)
    if not adaptive:
        return lr, Averaging(lr=lr)
    return lr, Adaptive(
        second=SecondMoment(method),
        lr=lr,
        beta1=float(settings.number("beta1", "0.9", Fraction(0), Fraction(1))),
        beta2=float(settings.number("beta2", "0.999", Fraction(0), Fraction(1))),
        tau=float(settings.number("tau", "1e-8", Fraction(1, 10**12), Fraction(1))),
    )


def _start_from(inputs: Mapping[str, Model], features: int) -> Model:
    start = inputs.get(START)
    if start is None:
        return {"bias": np.zeros(1, np.float32), "weight": np.zeros(features, np.float32)}
    shapes = {"bias": (1,), "weight": (features,)}
    if any(name not in start or start[name].shape != shapes[name] for name in _NAMES):
        raise Malformed("recipe-input", f"expected a model to start from with bias (1,) and weight ({features},)")
    return {name: start[name].astype(np.float32) for name in _NAMES}


def _read_privacy(settings: Parameters, batch: int) -> tuple[RowNoise | None, Fraction]:
    clip = settings.number("clip", "0", Fraction(0), Fraction(10**6))
    noise = settings.number("noise", "0", Fraction(0), Fraction(10**6))
    delta = settings.number("delta", "1e-6", Fraction(1, 10**12), Fraction(1, 10))
    if clip == 0 and noise > 0:
        raise Malformed("recipe-param", "local_sgd: noise without clip hides nothing; set clip, such as 1")
    return (RowNoise(clip=clip, noise=noise, batch=batch) if clip else None), delta
