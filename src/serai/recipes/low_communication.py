"""The settings of low-communication training that recipes share.

``levels`` (L: a digit is -L to L), ``quantile_step`` (in root mean squares; the best
one for normal updates unless given), ``feedback`` (``yes`` or ``no``), ``outer_lr`` and
``momentum`` (0 for plain averaging, which is right below about fifteen rounds).
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from serai.recipes.parameters import Parameters
from serai.training.lowcomm import STEPS, Layout, LowComm, Quantiser
from serai.training.outer import Averaging, Nesterov


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a member trains between two sums.

    Attributes:
        lr: peak learning rate of the local optimizer.
        steps: H, local steps a round.
        warm: steps over which the rate rises, counted over the whole run.
        total: steps of the whole run, at whose end the rate has fallen to a tenth.

    """

    lr: float
    steps: int
    warm: int
    total: int

    def rates(self, round_number: int) -> list[float]:
        """The learning rates of one round's steps."""
        first = round_number * self.steps
        return [self._rate(step) for step in range(first, first + self.steps)]

    def _rate(self, step: int) -> float:
        if step < self.warm:
            return self.lr * (step + 1) / self.warm
        share = min(1.0, (step - self.warm) / max(1, self.total - self.warm))
        return self.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


def read_pace(settings: Parameters, lr: str) -> Pace:
    """Read ``lr``, ``steps``, ``rounds`` and ``warm_steps``.

    Args:
        settings: the plan's params.
        lr: the learning rate unless given.

    Raises:
        Malformed: a setting is out of range.

    """
    steps = settings.integer("steps", 50, 1, 10**6)
    return Pace(
        lr=float(settings.number("lr", lr, Fraction(1, 10**9), Fraction(10))),
        steps=steps,
        warm=settings.integer("warm_steps", 0, 0, 10**9),
        total=steps * settings.integer("rounds", None, 1, 10**6),
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
    return LowComm(layout, quantiser, optimizer, pace.lr * math.sqrt(pace.steps))
