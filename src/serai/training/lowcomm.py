"""Low-communication rounds: few bits of a pseudo-gradient on a public scale, error feedback, outer step.

Theory of operation
    A member trains from the global model for many steps and sends one digit of
    -L to L for each parameter: its pseudo-gradient (global - local, DiLoCo,
    arXiv:2311.08105) in units of a step. Steps must be the same for everybody and
    known before the round, else digits could not be summed; so they are part of the
    model, one for each block (a tensor, or a row of an embedding), and its digest
    covers them. They follow the updates' size: beside its digits a member reports, for each
    block, by how many sixteenths of an octave the root mean square of its update is
    off the public scale. Only the sum of the reports is seen, and moves the scale
    by their mean. The first scale is what AdamW moves a weight in a random walk of
    H steps, lr sqrt(H).

    Rounding to three levels loses a fifth of an update's energy, which the member
    keeps and adds to its next update (error feedback, arXiv:1901.09847). That converges only if a
    quantiser loses less than it is given; the loss is computed for a normal
    distribution, and feedback is refused where it is too large.

    Successive sums also tell how far momentum carries: with Nesterov momentum mu
    and correlation rho between successive updates a unit of update moves the
    model by about eta (1 + mu / (1 - mu rho)). Both are kept in the model.

    What members compute alone may differ by chip. What they compute from the sum
    is elementwise in float64, or exact in integers; scales are powers of two in
    sixteenths taken from integer roots, not from ``exp`` and ``log``.
"""

import math
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Block, Codec
from serai.errors import Refused
from serai.training.methods import Vector
from serai.training.outer import Array, Averaging, Nesterov, outer_step, with_outer_state
from serai.training.tensors import Model, Tensor, slices

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

SCALE: Final = "lowcomm/scale"
GAIN: Final = "lowcomm/gain"
_LAST: Final = "lowcomm/last"
_LAST_SCALE: Final = "lowcomm/last_scale"
_RESIDUAL: Final = "lowcomm/residual"

_MOST_LOST: Final = 0.7  # of an update's energy; error feedback amplifies what is lost by 1/(1 - lost)
_TOO_STEADY: Final = 0.7  # correlation of successive updates at which momentum overshoots instead of helping
_DOWN, _UP = -8, 40  # a report's reach: half an octave down, so that members without a block hardly lower its scale
_FINEST, _COARSEST = -1088, 1088  # sixteenths: 2^-68 to 2^68, well within float32
_HELD: Final = 4.0  # a residual is kept up to this many root mean squares of an update
_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The parameters of a model and the blocks that share a scale.

    Attributes:
        shapes: by name, in the order of the vector, which is that of the names.
        by_row: names of those whose rows have a scale each, such as an embedding:
            rows that one member never sees move less than others.

    """

    shapes: Mapping[str, tuple[int, ...]]
    by_row: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""
        return tuple(sorted(self.shapes))

    @property
    def values(self) -> int:
        """Number of parameters."""
        return sum(self.block_lengths)

    @property
    def block_lengths(self) -> tuple[int, ...]:
        """Parameters in each block."""
        return tuple(self._lengths())

    def _lengths(self) -> Iterator[int]:
        for name in self.names:
            shape = self.shapes[name]
            if name in self.by_row:
                yield from [math.prod(shape[1:])] * shape[0]
            else:
                yield math.prod(shape)


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


def lost_energy(levels: int, step: float) -> float:
    """E(Q(x) - x)^2 / E x^2 of nearest rounding to ``levels`` steps either side, for normal x of root mean square 1."""
    half = _energy_lost_between(0.0, step / 2, 0.0)
    for level in range(1, levels + 1):
        end = math.inf if level == levels else (level + 0.5) * step
        half += _energy_lost_between((level - 0.5) * step, end, level * step)
    return 2 * half


def effective_step(optimizer: Averaging | Nesterov, rho: float) -> float:
    """How far a unit of update moves the model in the end, eta (1 + mu / (1 - mu rho)).

    Args:
        optimizer: the outer optimizer.
        rho: correlation of successive updates.

    """
    mu = optimizer.momentum if isinstance(optimizer, Nesterov) else 0.0
    return optimizer.lr * (1 + mu / (1 - mu * rho)) if mu else optimizer.lr


class LowComm:
    """Everything of a low-communication method but the local steps.

    Args:
        layout: the model's parameters.
        quantiser: what a member sends of its update.
        optimizer: the outer optimizer.
        first_rms: expected size of a parameter's update in the first round, such as lr sqrt(steps).

    """

    def __init__(self, layout: Layout, quantiser: Quantiser, optimizer: Averaging | Nesterov, first_rms: float) -> None:
        self.layout = layout
        self.quantiser = quantiser
        self._optimizer = optimizer
        self._first = int(octaves_of(np.array([first_rms]))[0])
        self._lengths = np.array(layout.block_lengths, np.int64)
        self._starts = np.array([0, *accumulate(layout.block_lengths)][:-1], np.int64)
        self._base = 2 * quantiser.levels + 1
        self._digits = _digits_for(_UP, self._base)

    @property
    def length(self) -> int:
        """Values in a vector: a digit for each parameter, and a few for each block's report."""
        return self.layout.values + self._lengths.size * self._digits

    def codec(self, members: int) -> Codec:
        """As many digits to a ring element as the sum of ``members`` leaves room for."""
        whole = Block(length=self.length, step=Fraction(1))
        return Codec(bits=_BITS, limit=self.quantiser.levels, blocks=(whole,), members=members)

    def initial(self, parameters: Model) -> Model:
        """A model of these parameters with everything that later rounds keep in it."""
        blocks = self._lengths.size
        return {
            **with_outer_state(self._optimizer, parameters),
            SCALE: np.full(blocks, self._first, np.int32),
            GAIN: np.zeros(2, np.float64),
            _LAST: np.zeros(self.layout.values, np.int16),
            _LAST_SCALE: np.full(blocks, self._first, np.int32),
        }

    def message(self, model: Model, local: Model, memory: MutableMapping[str, Tensor]) -> Vector:
        """What a member sends after its local steps.

        Args:
            model: the global model they began from.
            local: the parameters they ended at.
            memory: holds what rounding lost before; changed.

        Returns:
            ``(length,) float32``, whole numbers of -L to L.

        Raises:
            Refused: a parameter is not a finite number.

        """
        count, levels = self.layout.values, self.quantiser.levels
        update = np.empty(count, np.float32)
        for name, place in slices(model, self.layout.names):
            np.subtract(model[name].reshape(-1), local[name].reshape(-1), out=update[place], casting="same_kind")
        moved = self._rms(update)
        if self.quantiser.feedback and _RESIDUAL in memory:
            update += memory[_RESIDUAL]
        wanted = self._rms(update)
        if not np.isfinite(wanted).all():
            raise Refused(
                "not-finite", "the local model holds NaN or infinity; lower the learning rate or check the data"
            )
        public = rms_of(model[SCALE])
        steps = np.repeat((public * self.quantiser.step).astype(np.float32), self._lengths)
        vector = np.empty(self.length, np.float32)
        digits = vector[:count]
        np.divide(update, steps, out=digits)
        np.rint(digits, out=digits)
        np.clip(digits, -levels, levels, out=digits)
        if self.quantiser.feedback:
            update -= digits * steps
            memory[_RESIDUAL] = self._held(update, np.maximum(moved, public))
        vector[count:] = self._report(octaves_of(wanted) - model[SCALE])
        return vector

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """The next model from the summed digits of ``members``; the same bits everywhere."""
        count = self.layout.values
        summed = np.rint(total[:count]).astype(np.int64)
        steps = rms_of(model[SCALE]) * self.quantiser.step
        mean: Array = summed * np.repeat(steps, self._lengths) / members
        rho = self._correlation(model, summed, steps)
        optimizer = self._optimizer
        if isinstance(optimizer, Nesterov) and rho > _TOO_STEADY:
            optimizer = replace(optimizer, momentum=0.0)
        gradients = {name: mean[place].reshape(model[name].shape) for name, place in slices(model, self.layout.names)}
        reports = self._read_reports(np.rint(total[count:]).astype(np.int64))
        scale = model[SCALE] + (2 * reports + members) // (2 * members)  # their mean, to the nearest
        return {
            **outer_step(optimizer, model, gradients),
            SCALE: np.clip(scale, _FINEST, _COARSEST).astype(np.int32),
            GAIN: np.array([rho, effective_step(optimizer, rho)]),
            _LAST: np.clip(summed, -(2**15) + 1, 2**15 - 1).astype(np.int16),
            _LAST_SCALE: model[SCALE],
        }

    def _rms(self, values: Vector) -> Array:
        squares = np.square(values, dtype=np.float64)
        return np.asarray(np.sqrt(np.add.reduceat(squares, self._starts) / self._lengths), np.float64)

    def _held(self, residual: Vector, reference: Array) -> Vector:
        """What is kept for the next round; cut where a scale that was far off made it pile up."""
        found = self._rms(residual)
        share = np.minimum(1.0, _HELD * reference / np.maximum(found, np.finfo(np.float64).tiny))
        if share.min() < 1.0:
            residual *= np.repeat(share.astype(np.float32), self._lengths)
        return residual

    def _report(self, off: Integers) -> Vector:
        """Each block's report in balanced digits, least significant first."""
        rest = np.clip(off, _DOWN, _UP)
        digits = np.empty((rest.size, self._digits), np.float32)
        for place in range(self._digits):
            digit = (rest + self.quantiser.levels) % self._base - self.quantiser.levels
            digits[:, place] = digit
            rest = (rest - digit) // self._base
        return digits.reshape(-1)

    def _read_reports(self, summed: Integers) -> Integers:
        digits = summed.reshape(-1, self._digits)
        weights = np.array([self._base**place for place in range(self._digits)], np.int64)
        reports: Integers = (digits * weights).sum(axis=1)
        return reports

    def _correlation(self, model: Model, summed: Integers, steps: Array) -> float:
        """The cosine of this sum and the last: exact integers for each block, then their sum in order."""
        last = model[_LAST].astype(np.int64)
        last_steps = rms_of(model[_LAST_SCALE]) * self.quantiser.step
        both = _weigh(np.add.reduceat(summed * last, self._starts), steps, last_steps)
        this_norm = _weigh(np.add.reduceat(summed * summed, self._starts), steps, steps)
        last_norm = _weigh(np.add.reduceat(last * last, self._starts), last_steps, last_steps)
        norms = math.sqrt(this_norm) * math.sqrt(last_norm)
        return both / norms if norms else 0.0


def octaves_of(values: npt.NDArray[np.floating[Any]]) -> Integers:
    """16 log2 of positive numbers, to the nearest whole one; the smallest there is for 0."""
    mantissa, exponent = np.frexp(values)  # mantissa of 0.5 to 1
    octaves = (exponent.astype(np.int64) - 1) * 16 + np.searchsorted(_BORDERS, mantissa * 2, side="right")
    return np.where(values > 0, np.clip(octaves, _FINEST, _COARSEST), _FINEST)


def rms_of(octaves: Tensor) -> Array:
    """2^(octaves / 16), the same bits everywhere."""
    whole, sixteenths = np.divmod(octaves.astype(np.int64), 16)
    return np.asarray(np.ldexp(_ROOTS[sixteenths], whole), np.float64)


def _root_of_two(numerator: int) -> float:
    """2^(numerator / 32) from integer square roots, cut at 50 bits."""
    root = 1 << (numerator + 32 * 50)
    for _ in range(5):
        root = math.isqrt(root)
    return root / 2**50


_ROOTS: Final = np.array([_root_of_two(2 * sixteenth) for sixteenth in range(16)])
_BORDERS: Final = np.array([_root_of_two(2 * sixteenth + 1) for sixteenth in range(16)])


def _digits_for(reach: int, base: int) -> int:
    """Balanced digits that hold numbers up to ``reach``."""
    digits = 1
    while (base**digits - 1) // 2 < reach:
        digits += 1
    return digits


def _weigh(dots: Integers, first: Array, second: Array) -> float:
    total = 0.0
    for dot, one, other in zip(dots.tolist(), first.tolist(), second.tolist(), strict=True):
        total += dot * one * other
    return total


def _energy_lost_between(start: float, end: float, level: float) -> float:
    """The integral of (x - level)^2 over the normal density from ``start`` to ``end``."""
    mass = (math.erf(end / math.sqrt(2)) - math.erf(start / math.sqrt(2))) / 2
    moment = _density(start) - _density(end)
    outside = 0.0 if math.isinf(end) else end * _density(end)
    return (1 + level * level) * mass - (outside - start * _density(start)) - 2 * level * moment


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
