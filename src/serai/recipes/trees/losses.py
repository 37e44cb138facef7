"""What trees make small: the loss of a yes-or-no label, or the squared error of a number; each row's part in whole steps."""

import decimal
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol, TypeAlias

import numpy as np

from serai.errors import Malformed, Refused
from serai.recipes.trees.layout import Array
from serai.training.parameters import Parameters
from serai.training.tensors import Tensor

_LOG: Final = decimal.Context(prec=30)  # its logarithm is rounded correctly, so it is the same everywhere
_REACH: Final = Fraction(10**15)

Planes: TypeAlias = tuple[Array, ...]
"""Gradients, and Hessians unless they are all 1: whole numbers of steps, ``(n,)`` each."""


class Loss(Protocol):
    """A loss by its first two derivatives, which are rounded to 2^-bits of the largest that they can be."""

    @property
    def steps(self) -> tuple[float, ...]:
        """What one unit of each plane of a histogram is worth: of rows, gradients, and Hessians unless they are 1."""

    @property
    def unit(self) -> float:
        """What a margin of 1 is where gradients are of -1 to 1."""

    @property
    def middle(self) -> float:
        """The answer between no and yes."""

    def labels(self, y: Tensor) -> Array:
        """Labels as the loss takes them, ``(n,)``.

        Raises:
            Refused: one is none.

        """

    def total(self, y: Array) -> float:
        """The sum of labels, a whole number."""

    def derivatives(self, margins: Array, y: Array) -> Planes:
        """Of each row's loss by its margin."""

    def base(self, rows: float, total: float) -> float:
        """The margin that fits best if all rows get the same; the same bits everywhere."""

    def answers(self, margins: Array) -> Array:
        """What is said of rows with these margins, ``(n,)``."""


@dataclass(frozen=True, slots=True)
class LogLoss:
    """Of labels 0 and 1, whose margin is the log-odds of 1.

    Attributes:
        bits: binary places of a gradient, two more of a Hessian.

    """

    bits: int
    unit: float = 1.0
    middle: float = 0.5

    @property
    def steps(self) -> tuple[float, ...]:
        """Rows, gradients of -1 to 1, Hessians of 0 to 1/4."""
        return 1.0, 2.0**-self.bits, 2.0 ** -(self.bits + 2)

    def labels(self, y: Tensor) -> Array:
        """As they are.

        Raises:
            Refused: one is neither 0 nor 1.

        """
        labels = np.asarray(y, np.float64)
        if not ((labels == 0) | (labels == 1)).all():
            raise Refused("labels", "boosting: expected labels 0 and 1; for others set loss to squared_error")
        return labels

    def total(self, y: Array) -> float:
        """How many are 1."""
        return float(np.count_nonzero(y))

    def derivatives(self, margins: Array, y: Array) -> Planes:
        """With p the probability of 1: p - y and p (1 - p)."""
        p = self.answers(margins)
        _, step, finer = self.steps
        return np.rint((p - y) / step), np.rint(p * (1.0 - p) / finer)

    def base(self, rows: float, total: float) -> float:
        """The log-odds of all rows; half a row stands for none, whose odds would be infinite."""
        odds = _LOG.divide(decimal.Decimal(max(total, 0.5)), decimal.Decimal(max(rows - total, 0.5)))
        return float(_LOG.ln(odds))

    def answers(self, margins: Array) -> Array:
        """The probability of 1."""
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1/infinity the right answer
            result: Array = 1.0 / (1.0 + np.exp(-margins))
        return result


@dataclass(frozen=True, slots=True)
class SquaredError:
    """Half the square of margin less label; every Hessian is 1.

    Attributes:
        bits: binary places of a gradient over the labels' range.
        low: the least label; lower ones count as this.
        unit: the greatest label less the least; greater ones count as the greatest.

    """

    bits: int
    low: float
    unit: float

    @property
    def steps(self) -> tuple[float, ...]:
        """Rows, and gradients of -1 to 1 of the labels' range."""
        return 1.0, 2.0**-self.bits

    @property
    def middle(self) -> float:
        """Of the labels' range."""
        return self.low + self.unit / 2

    def labels(self, y: Tensor) -> Array:
        """Within their range.

        Raises:
            Refused: one is not a finite number.

        """
        labels = np.asarray(y, np.float64)
        if not np.isfinite(labels).all():
            raise Refused("labels", "boosting: a row lacks a label; drop such rows")
        return np.clip(labels, self.low, self.low + self.unit)

    def total(self, y: Array) -> float:
        """In steps above the least; each label is rounded, so that the sum is the same whoever has which."""
        return float(np.rint((y - self.low) / self.unit / self.steps[1]).sum())

    def derivatives(self, margins: Array, y: Array) -> Planes:
        """The margin less the label; no longer than the range, which margins hardly ever leave."""
        return (np.rint(np.clip((margins - y) / self.unit, -1.0, 1.0) / self.steps[1]),)

    def base(self, rows: float, total: float) -> float:
        """The mean label."""
        return self.low + self.unit * (total * self.steps[1] / rows)

    def answers(self, margins: Array) -> Array:
        """The margins."""
        return margins


def read_loss(settings: Parameters) -> Loss:
    """The loss that ``loss``, ``gradient_bits`` and, of numbers, ``label_low`` and ``label_high`` name.

    Raises:
        Malformed: a setting is out of range.

    """
    is_binary = settings.choice("loss", "log_loss", ("log_loss", "squared_error")) == "log_loss"
    bits = settings.integer("gradient_bits", 12, 1, 40)
    if is_binary:
        return LogLoss(bits)
    low = settings.number("label_low", "0", -_REACH, _REACH)
    high = settings.number("label_high", "1", -_REACH, _REACH)
    if low >= high:
        raise Malformed("recipe-param", f"boosting: expected label_low below label_high, got {low} and {high}")
    return SquaredError(bits, float(low), float(high - low))
