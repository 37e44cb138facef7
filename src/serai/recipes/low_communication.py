"""The settings of low-communication training that recipes share, and its rounds around any local training.

How a member trains: ``lr``, the peak; ``steps`` a round, unless the round's opening says how many; ``rounds``
of the run, as many as the plan has; ``warm_steps``, over which the rate rises; ``ahead``, steps of the next
round that a member takes while its vector travels: of ``steps``, and in proportion of a round that has others.

What travels: ``levels`` (L: a digit is -L to L), ``quantile_step`` (in root mean squares; the best
one for normal updates unless given), ``feedback`` (``yes`` or ``no``); ``fragments``, parts of the model
that travel in turn; ``last_levels``, L of a last round in which every parameter travels (``none`` for a
last round like the others; with several fragments that loses what members learnt since each one's turn).

What is done with it: ``outer_lr``; ``momentum`` (0 for plain averaging), which begins to count after
``warm_momentum`` rounds of a fragment.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Final, TypeAlias, TypeVar

import numpy as np

from serai.aggregation.codec import Codec
from serai.errors import Malformed
from serai.recipes.engines.adapter import Engine, read_all, write_all
from serai.training.fragments import Layout
from serai.training.lowcomm import LowComm, Schedule, rounds_in
from serai.training.methods import MAX_STEPS, Context, Data, Vector
from serai.training.offsets import Offsets
from serai.training.outer import Averaging, Nesterov
from serai.training.parameters import Parameters
from serai.training.quantiser import STEPS, Quantiser
from serai.training.tensors import Model, Tensor

T = TypeVar("T")

START: Final = "start"
"""Name under which a plan's inputs give parameters to start from, such as a public base."""

_MAX_FRAGMENTS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a member trains between two sums.

    Attributes:
        lr: peak learning rate of the local optimizer.
        steps: H, local steps a round, unless its opening says how many.
        rounds: of the whole run, at whose end the rate has fallen to a tenth.
        warm: steps over which the rate rises, counted over the whole run in rounds of ``steps``.
        ahead: of so many steps, those of the next round that are taken while a vector travels.

    """

    lr: float
    steps: int
    rounds: int
    warm: int = 0
    ahead: int = 0

    def rates(self, done: int, steps: int | None = None) -> list[float]:
        """The learning rates of one round's steps.

        They follow the progress of the run, so that members who take more steps
        a round, or fewer, have the same rate at the same time.

        Args:
            done: rounds before it.
            steps: how many it has here; H if None.

        """
        count = self.steps if steps is None else steps
        width = self.steps / count
        return [self._rate(done * self.steps + step * width, width) for step in range(count)]

    def _rate(self, at: float, width: float) -> float:
        if at < self.warm:
            return min(self.lr, self.lr * (at + width) / self.warm)
        share = min(1.0, (at - self.warm) / max(1, self.steps * self.rounds - self.warm))
        return self.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True, slots=True)
class Steps:
    """Local steps to take now.

    Attributes:
        first: which step of the round they begin with.
        rates: the learning rate of each.

    """

    first: int
    rates: list[float]

    def of(self, batches: Iterable[T]) -> Iterator[T]:
        """Their batches out of a round's."""
        return islice(batches, self.first, self.first + len(self.rates))


Train: TypeAlias = Callable[[Model, Steps], tuple[Model, float]]
"""From some parameters, steps: the parameters after them, and the mean loss before each, nats."""


def trained_by(engine: Engine[T], batches: Iterable[T], memory: MutableMapping[str, Tensor]) -> Train:
    """Steps of an engine over a round's batches."""

    def train(start: Model, steps: Steps) -> tuple[Model, float]:
        write_all(engine, start)
        loss = engine.inner_steps(steps.of(batches), steps.rates, memory)
        return read_all(engine), loss

    return train


class LowCommunication(ABC):
    """What recipes of low-communication rounds share: everything but the model, its local training and its evaluation.

    A subclass has ``_lowcomm``, what travels and what is done with it, and ``_pace``.
    """

    _lowcomm: LowComm
    _pace: Pace

    @property
    def length(self) -> int:
        """A digit for each parameter that travels at once, and the blocks' reports."""
        return self._lowcomm.length

    @property
    def last_length(self) -> int:
        """A digit for each parameter, if the last round is to bring every one."""
        return self._lowcomm.last_length

    @property
    def ahead(self) -> int:
        """Local steps taken while a vector travels."""
        return self._pace.ahead

    def codec(self, members: int) -> Codec:
        """Digits, as many to a ring element as fit."""
        return self._lowcomm.codec(members)

    def last_codec(self, members: int) -> Codec | None:
        """The last round's digits; None if it is like the others."""
        return self._lowcomm.last_codec(members)

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """One outer step along the mean of the members' updates."""
        return self._lowcomm.combine(model, total, members)

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """The steps of a round that were not taken ahead, from the global model and this member's offset, quantised.

        Raises:
            Refused: the local model is not finite, or the plan has not as many rounds as the recipe.

        """
        train = self._trainer(model, data, context)
        taken, nats = Offsets(context).ahead
        steps = Steps(taken, self._pace.rates(rounds_in(model), self._steps(context))[taken:])
        local, loss = self._lowcomm.begin(model, context), 0.0
        if steps.rates:
            local, loss = train(local, steps)
        vector = self._lowcomm.message(model, local, context)
        count = taken + len(steps.rates)
        mean = (taken * nats + len(steps.rates) * loss) / count
        context.figures["steps"] = count
        if math.isfinite(mean):
            context.figures["micronats"] = round(mean * 10**6)
        return vector

    def train_ahead(self, model: Model, data: Data, context: Context) -> None:
        """The first steps of the next round, from where the joint model is likely to be, while the vector travels.

        Raises:
            Refused: the local model is not finite.

        """
        train = self._trainer(model, data, context)
        whole = self._steps(context)
        count = self._pace.ahead * whole // self._pace.steps
        if count and not Offsets(context).ahead[0]:
            steps = Steps(0, self._pace.rates(rounds_in(model) + 1, whole)[:count])
            local, loss = train(self._lowcomm.begin_ahead(model, context), steps)
            self._lowcomm.keep_ahead(model, local, context, count, loss)

    @abstractmethod
    def _trainer(self, model: Model, data: Data, context: Context) -> Train:
        """How this member takes local steps in a round."""

    def _steps(self, context: Context) -> int:
        return context.steps or self._pace.steps


def read_start(inputs: Mapping[str, Model], layout: Layout, what: str = "a model") -> Model | None:
    """The parameters that a plan gives to start from, under the name ``start``; None if it gives none.

    Raises:
        Malformed: one is missing, or of another shape.

    """
    start = inputs.get(START)
    if start is None:
        return None
    for name, shape in layout.shapes.items():
        if name not in start or start[name].shape != shape:
            raise Malformed("recipe-input", f"expected {what} to start from with {name} of shape {shape}")
    return {name: start[name].astype(np.float32) for name in layout.names}


def read_pace(settings: Parameters, lr: str) -> Pace:
    """Read ``lr``, ``steps``, ``rounds``, ``warm_steps`` and ``ahead``.

    Args:
        settings: the plan's params.
        lr: the learning rate unless given.

    Raises:
        Malformed: a setting is out of range.

    """
    steps = settings.integer("steps", 50, 1, MAX_STEPS)
    return Pace(
        lr=float(settings.number("lr", lr, Fraction(1, 10**9), Fraction(10))),
        steps=steps,
        rounds=settings.integer("rounds", None, 1, 10**6),
        warm=settings.integer("warm_steps", 0, 0, 10**9),
        ahead=settings.integer("ahead", 0, 0, steps),
    )


def read_lowcomm(settings: Parameters, layout: Layout, pace: Pace) -> LowComm:
    """Read how updates are quantised and applied.

    Raises:
        Malformed: a setting is out of range.
        Refused: error feedback would diverge with this quantiser.

    """
    levels = int(settings.choice("levels", "1", tuple(map(str, STEPS))))
    quantiser = Quantiser(
        levels=levels,
        step=float(settings.number("quantile_step", str(STEPS[levels]), Fraction(1, 1000), Fraction(1000))),
        feedback=settings.choice("feedback", "yes", ("yes", "no")) == "yes",
    )
    lr = float(settings.number("outer_lr", "1", Fraction(0), Fraction(10)))
    momentum = float(settings.number("momentum", "0", Fraction(0), Fraction(99, 100)))
    optimizer = Nesterov(lr=lr, momentum=momentum) if momentum else Averaging(lr=lr)
    schedule = _read_schedule(settings, layout, pace)
    first_rms = pace.lr * math.sqrt(pace.steps * schedule.fragments)
    return LowComm(layout, quantiser, optimizer, first_rms, schedule)


def _read_schedule(settings: Parameters, layout: Layout, pace: Pace) -> Schedule:
    last = settings.choice("last_levels", "none", ("none", *map(str, STEPS)))
    return Schedule(
        fragments=settings.integer("fragments", 1, 1, min(layout.values, _MAX_FRAGMENTS)),
        plain=settings.integer("warm_momentum", 15, 0, MAX_STEPS),
        last=None if last == "none" else Quantiser(levels=int(last), step=STEPS[int(last)], feedback=False),
        rounds=pace.rounds,
    )
