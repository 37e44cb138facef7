"""An update as small digits on a public scale, what rounding leaves over, and how scales follow the updates.

Theory of operation
    A digit of -L to L is a parameter's update in units of a step; steps must be the same for
    everybody and known before the round, else digits could not be summed. The step is a
    multiple of the block's scale, a power of two in sixteenths taken from integer roots, not
    from ``exp`` and ``log``, so that it has the same bits everywhere. Beside its digits a member reports,
    for each block, by how many sixteenths of an octave the root mean square of its update is off.

    Rounding to three levels loses a fifth of an update's energy, which the member keeps and adds to
    its next update (error feedback, arXiv:1901.09847). That converges only if a quantiser loses
    less than it is given; the loss is computed for a normal distribution, and feedback is refused
    where it is too large.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Refused
from serai.training.methods import Vector
from serai.training.tensors import Tensor

Array: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

STEPS: Final[Mapping[int, float]] = {
    1: 1.224,
    2: 0.8431,
    3: 0.6508,
    5: 0.4546,
    7: 0.3534,
    15: 0.1932,
    31: 0.1055,
    127: 0.0309,
}
"""The uniform step, in root mean squares, that loses least of a normal distribution, by L (Max, IRE Trans. IT-6 (1960) 7-12)."""

FINEST, COARSEST = -1088, 1088  # sixteenths of an octave: 2^-68 to 2^68, well within float32
_MOST_LOST: Final = 0.7  # of an update's energy; error feedback amplifies what is lost by 1/(1 - lost)
_DOWN, _UP = -8, 40  # a report's reach: half an octave down, so that members without a block hardly lower its scale
_HELD: Final = 4.0  # a residual is kept up to this many root mean squares of an update


@dataclass(frozen=True, slots=True)
class Blocks:
    """Neighbouring values in groups that have a scale each.

    Attributes:
        lengths: of the groups, each above 0.
        starts: where each begins.

    """

    lengths: Integers
    starts: Integers

    @classmethod
    def of(cls, lengths: Integers) -> "Blocks":
        """Groups of these lengths, one after another."""
        return cls(lengths, np.cumsum(lengths) - lengths)

    def rms(self, values: Vector) -> Array:
        """The root mean square of each group."""
        squares = np.square(values, dtype=np.float64)
        return np.asarray(np.sqrt(np.add.reduceat(squares, self.starts) / self.lengths), np.float64)

    def sums(self, values: Integers) -> Integers:
        """The exact sum of each group."""
        summed: Integers = np.add.reduceat(values, self.starts)
        return summed

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Each group's value for each of its members."""
        return np.repeat(values, self.lengths)


@dataclass(frozen=True, slots=True)
class Digits:
    """An update as it travels.

    Attributes:
        values: whole numbers of -L to L, float32.
        rest: what rounding left of the update, float32.
        off: for each block, sixteenths of an octave from its scale to the update's size.
        clipped: digits that were cut at -L or L.

    """

    values: Vector
    rest: Vector
    off: Integers
    clipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiser:
    """How a parameter's update becomes a digit.

    Attributes:
        levels: L; digits are -L to L.
        step: in root mean squares of the block.
        feedback: whether a member keeps what rounding lost.

    Raises:
        Refused: ``feedback``, and the quantiser loses more than error feedback allows.

    """

    levels: int
    step: float
    feedback: bool = True

    def __post_init__(self) -> None:
        lost = lost_energy(self.levels, self.step)
        if self.feedback and lost > _MOST_LOST:
            raise Refused(
                "feedback-diverges",
                f"{self.levels} levels at a step of {self.step:g} rms lose {lost:.2f} of an update's energy, "
                f"and error feedback needs at most {_MOST_LOST}; "
                f"use a step near {STEPS.get(self.levels, 4 / (self.levels + 2)):g} or turn feedback off",
            )

    @property
    def report_digits(self) -> int:
        """Digits that a block's report takes."""
        digits = 1
        while (self._base**digits - 1) // 2 < _UP:
            digits += 1
        return digits

    def steps(self, scale: Tensor) -> Array:
        """What a digit of each block is worth; the same bits everywhere."""
        return rms_of(scale) * self.step

    def encode(self, update: Vector, residual: Vector | None, scale: Tensor, blocks: Blocks) -> Digits:
        """Round an update and what earlier rounding left over.

        Args:
            update: float32.
            residual: of as many values; None if there is none.
            scale: the public scales of the blocks.
            blocks: which values share one.

        """
        moved = blocks.rms(update)
        wanted = update if residual is None else update + residual
        steps = blocks.spread(self.steps(scale).astype(np.float32))
        values = wanted / steps
        np.rint(values, out=values)
        clipped = int(np.count_nonzero(np.abs(values) > self.levels))
        np.clip(values, -self.levels, self.levels, out=values)
        rest = _held(wanted - values * steps, np.maximum(moved, rms_of(scale)), blocks)
        return Digits(values, rest, octaves_of(blocks.rms(wanted)) - scale, clipped)

    def report(self, off: npt.NDArray[Any]) -> Vector:
        """Each block's report in balanced digits, least significant first; float32."""
        rest = np.clip(np.rint(off), _DOWN, _UP).astype(np.int64)
        digits = np.empty((rest.size, self.report_digits), np.float32)
        for place in range(self.report_digits):
            digit = (rest + self.levels) % self._base - self.levels
            digits[:, place] = digit
            rest = (rest - digit) // self._base
        return digits.reshape(-1)

    def read_reports(self, summed: Integers) -> Integers:
        """The sum of each block's reports."""
        digits = summed.reshape(-1, self.report_digits)
        weights = np.array([self._base**place for place in range(self.report_digits)], np.int64)
        reports: Integers = (digits * weights).sum(axis=1)
        return reports

    @property
    def _base(self) -> int:
        return 2 * self.levels + 1


def lost_energy(levels: int, step: float) -> float:
    """E(Q(x) - x)^2 / E x^2 of nearest rounding to ``levels`` steps either side, for normal x of root mean square 1."""
    half = _energy_lost_between(0.0, step / 2, 0.0)
    for level in range(1, levels + 1):
        end = math.inf if level == levels else (level + 0.5) * step
        half += _energy_lost_between((level - 0.5) * step, end, level * step)
    return 2 * half


def octaves_of(values: npt.NDArray[np.floating[Any]]) -> Integers:
    """16 log2 of positive numbers, to the nearest whole one; the smallest there is for 0."""
    mantissa, exponent = np.frexp(values)  # mantissa of 0.5 to 1
    octaves = (exponent.astype(np.int64) - 1) * 16 + np.searchsorted(_BORDERS, mantissa * 2, side="right")
    return np.where(values > 0, np.clip(octaves, FINEST, COARSEST), FINEST)


def rms_of(octaves: Tensor) -> Array:
    """2^(octaves / 16), the same bits everywhere."""
    whole, sixteenths = np.divmod(octaves.astype(np.int64), 16)
    return np.asarray(np.ldexp(_ROOTS[sixteenths], whole), np.float64)


def _held(residual: Vector, reference: Array, blocks: Blocks) -> Vector:
    """What is kept for the next round; cut where a scale that was far off made it pile up."""
    most = _HELD * reference
    share = most / np.maximum(blocks.rms(residual), most)
    if share.min() < 1.0:
        residual *= blocks.spread(share.astype(np.float32))
    return residual


def _root_of_two(numerator: int) -> float:
    """2^(numerator / 32) from integer square roots, cut at 50 bits."""
    root = 1 << (numerator + 32 * 50)
    for _ in range(5):
        root = math.isqrt(root)
    return root / 2**50


_ROOTS: Final = np.array([_root_of_two(2 * sixteenth) for sixteenth in range(16)])
_BORDERS: Final = np.array([_root_of_two(2 * sixteenth + 1) for sixteenth in range(16)])


def _energy_lost_between(start: float, end: float, level: float) -> float:
    """The integral of (x - level)^2 over the normal density from ``start`` to ``end``."""
    mass = (math.erf(end / math.sqrt(2)) - math.erf(start / math.sqrt(2))) / 2
    moment = _density(start) - _density(end)
    outside = 0.0 if math.isinf(end) else end * _density(end)
    return (1 + level * level) * mass - (outside - start * _density(start)) - 2 * level * moment


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
