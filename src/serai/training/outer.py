"""Outer optimizers: what everybody does with the mean pseudo-gradient of a round.

The pseudo-gradient is global minus local, so an outer step goes against it. The
optimizer's own state (momentum and the like) travels inside the model under
``outer/``, so that a model's digest covers it and a member who joins late has it.

Sources: FedAvg arXiv:1602.05629 alg. 1; FedAdagrad, FedAdam, FedYogi
arXiv:2003.00295 alg. 2; SCAFFOLD arXiv:1910.06378 alg. 1, line 16; Nesterov as
in DiLoCo arXiv:2311.08105 alg. 1. Adam here has no bias correction, as in the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.training.tensors import Model, Tensor

Array: TypeAlias = npt.NDArray[np.float64]
Slots: TypeAlias = Mapping[str, Array]

PREFIX = "outer/"


class OuterOptimizer(Protocol):
    """One step on one array; elementwise, so any split of a model gives the same bits."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays it keeps beside each parameter."""

    def update(self, gradient: Array, slots: Slots) -> tuple[Array, Slots]:
        """What to add to the parameter, and the next slots.

        Args:
            gradient: mean pseudo-gradient, ``float64``.
            slots: the kept arrays, same shape.

        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """Move by ``lr`` times the mean: FedAvg at lr 1; also the server step of FedProx and SCAFFOLD."""

    slots: ClassVar[tuple[str, ...]] = ()
    lr: float = 1.0

    def update(self, gradient: Array, slots: Slots) -> tuple[Array, Slots]:
        """Against the gradient."""
        return gradient * -self.lr, slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Nesterov:
    """Momentum that looks ahead: m = mu m + g; step lr (g + mu m)."""

    slots: ClassVar[tuple[str, ...]] = ("m",)
    lr: float = 0.7
    momentum: float = 0.9

    def update(self, gradient: Array, slots: Slots) -> tuple[Array, Slots]:
        """Against the gradient and its running sum."""
        m = slots["m"] * self.momentum + gradient
        return (gradient + m * self.momentum) * -self.lr, {"m": m}


class SecondMoment(StrEnum):
    """How an adaptive method tracks squared pseudo-gradients."""

    ADAGRAD = "fedadagrad"
    ADAM = "fedadam"
    YOGI = "fedyogi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """FedAdagrad, FedAdam and FedYogi: a step per coordinate, lr m / (sqrt(v) + tau)."""

    slots: ClassVar[tuple[str, ...]] = ("m", "v")
    second: SecondMoment
    lr: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    tau: float = 1e-8

    def update(self, gradient: Array, slots: Slots) -> tuple[Array, Slots]:
        """Against the running mean, each coordinate in units of its own size."""
        m = slots["m"] * self.beta1 + gradient * (1 - self.beta1)
        v = self._second_moment(slots["v"], gradient * gradient)
        return m / (np.sqrt(v) + self.tau) * -self.lr, {"m": m, "v": v}

    def _second_moment(self, v: Array, square: Array) -> Array:
        match self.second:
            case SecondMoment.ADAGRAD:
                return v + square
            case SecondMoment.ADAM:
                return v * self.beta2 + square * (1 - self.beta2)
            case SecondMoment.YOGI:
                return v - square * (1 - self.beta2) * np.sign(v - square)


def with_outer_state(optimizer: OuterOptimizer, parameters: Model) -> Model:
    """A model of these parameters with the optimizer's state at zero."""
    state = {
        _slot_name(slot, name): np.zeros(tensor.shape, np.float64)
        for name, tensor in parameters.items()
        for slot in optimizer.slots
    }
    return {**parameters, **state}


def outer_step(optimizer: OuterOptimizer, model: Model, gradients: Mapping[str, Array]) -> Model:
    """The next model; one array at a time, in float64, rounded once to the parameter's dtype.

    Args:
        optimizer: the outer optimizer.
        model: parameters and outer state.
        gradients: mean pseudo-gradient of each parameter, ``float64``, of its shape.

    """
    after: dict[str, Tensor] = {}
    for name, gradient in gradients.items():
        slots = {slot: model[_slot_name(slot, name)] for slot in optimizer.slots}
        change, kept = optimizer.update(gradient, slots)
        after[name] = (model[name].astype(np.float64) + change).astype(model[name].dtype)
        after.update({_slot_name(slot, name): value for slot, value in kept.items()})
    return {**model, **after}


def outer_step_within(
    optimizer: OuterOptimizer, model: Model, name: str, within: slice, gradient: Array
) -> dict[str, Tensor]:
    """One parameter and its slots after a step on some of its values; the others stay as they are.

    Args:
        optimizer: the outer optimizer.
        model: parameters and outer state.
        name: of the parameter.
        within: which of its values, end to end.
        gradient: mean pseudo-gradient of those, ``float64``.

    """
    names = {slot: _slot_name(slot, name) for slot in optimizer.slots}
    change, kept = optimizer.update(gradient, {slot: model[key].reshape(-1)[within] for slot, key in names.items()})
    stepped = (model[name].reshape(-1)[within].astype(np.float64) + change).astype(model[name].dtype)
    after = {name: _replaced(model[name], within, stepped)}
    return {**after, **{names[slot]: _replaced(model[names[slot]], within, value) for slot, value in kept.items()}}


def _replaced(tensor: Tensor, within: slice, values: Tensor) -> Tensor:
    after = tensor.copy()
    after.reshape(-1)[within] = values
    return after


def _slot_name(slot: str, name: str) -> str:
    return f"{PREFIX}{slot}/{name}"
