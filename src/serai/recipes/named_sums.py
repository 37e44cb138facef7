"""Named sums end to end in one vector, and the codec that keeps each as exact as the ring allows.

Theory of operation
    Counts travel as whole numbers. Of every other sum it is public how much one row
    can add to it (its reach), and how many rows a member may have; the step is the
    smallest power of two with which 2^52 steps cover both. With 2^24 rows and a reach
    of 1 that is 2^-28, so a sum of K members is off by at most K 2^-29.
    With noise, all sums have one step, which leaves room for the noise too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isqrt, prod
from typing import Final

import numpy as np

from serai.aggregation.codec import Block, Codec, Vector
from serai.aggregation.noise import MAX_NOISY_VALUES, SecretStream, discrete_gaussian
from serai.errors import Malformed, Refused
from serai.training.methods import Context
from serai.training.scales import limit_for, step_for
from serai.training.statistics.columns import Array
from serai.training.statistics.protection import Noise
from serai.training.tensors import Model

MAX_VALUES: Final = 2**22  # 32 MiB on the way
_LIMIT: Final = 2**52
_BATCH: Final = 2**16  # rows at a time: what is computed from them fits a processor's cache
_DEVIATIONS: Final = 16  # a Gaussian is farther out with odds of 10^-57


@dataclass(frozen=True, slots=True)
class Sum:
    """One array of sums.

    Attributes:
        name: under which the model has it.
        shape: of the array; empty dimensions are allowed.
        reach: the largest magnitude that one row adds to a value, on average over a member's
            rows; 0 for counts, to which a row adds 0 or 1.

    """

    name: str
    shape: tuple[int, ...]
    reach: int = 0


class NamedSums:
    """Some arrays of sums as one vector.

    Args:
        sums: the arrays in their order.
        most_rows: the most rows that one member may have, also an attribute.
        noise: what each member adds to its vector, if anything.
        square: the largest square of the Euclidean norm of what one row adds to the vector; needed for noise.

    Raises:
        Malformed: there are more than 2^22 values, or more than 2^16 with noise.

    """

    def __init__(self, sums: tuple[Sum, ...], most_rows: int, noise: Noise | None = None, square: int = 0) -> None:
        self._sums = tuple(one for one in sums if prod(one.shape))
        self._empty = tuple(one for one in sums if not prod(one.shape))
        self.most_rows = most_rows
        self._noise = noise
        self._variance = noise.ratio**2 * square if noise else Fraction(0)
        most = MAX_NOISY_VALUES if noise else MAX_VALUES
        if not 0 < self.length <= most:
            raise Malformed(
                "recipe-size", f"expected 1 to {most} sums, these settings make {self.length}; ask for less at once"
            )

    @property
    def length(self) -> int:
        """Values in the vector."""
        return sum(prod(one.shape) for one in self._sums)

    def codec(self, members: int) -> Codec:
        """The codec; its steps do not depend on the number of members.

        Raises:
            Refused: more than 2,047 members.

        """
        if limit_for(64, members) < _LIMIT:
            raise Refused("ring-too-small", f"statistics are for at most 2047 members, not {members}")
        blocks = tuple(Block(length=prod(one.shape), step=self._step(one)) for one in self._sums)
        return Codec(bits=64, limit=_LIMIT, blocks=blocks)

    def zeros(self) -> dict[str, Array]:
        """Nothing added up yet."""
        return {one.name: np.zeros(one.shape) for one in (*self._sums, *self._empty)}

    def batches(self, rows: int) -> Iterator[slice]:
        """A member's rows, some at a time.

        Raises:
            Refused: there are more than the plan allows.

        """
        if rows > self.most_rows:
            raise Refused(
                "rows-range",
                f"the plan allows {self.most_rows} rows a member, there are {rows}; plan with a larger most_rows",
            )
        return (slice(start, min(start + _BATCH, rows)) for start in range(0, rows, _BATCH))

    def rounded(self, values: Array) -> Array:
        """What rows add, in whole steps where noise shall hide each of them; else as it is."""
        if self._noise is None:
            return values
        step = float(self._common_step())
        result: Array = np.rint(values / step) * step
        return result

    def vector(self, totals: Mapping[str, Array], context: Context) -> Vector:
        """A member's sums as its vector, with its noise.

        Raises:
            Refused: there is no secret to draw noise from.

        """
        vector = np.concatenate([totals[one.name].reshape(-1) for one in self._sums])
        if self._noise is None:
            return vector
        if not context.secret:
            raise Refused("no-secret", "noise needs a secret of this zone; a public seed would give it away")
        bits, step = SecretStream(context.secret, b"rows of sums"), self._common_step()
        steps = [discrete_gaussian(self._variance / step**2, bits) for _ in range(len(vector))]
        return vector + np.array(steps, np.float64) * float(step)

    def split(self, total: Vector) -> Model:
        """The arrays of a decoded sum."""
        found: dict[str, Array] = {one.name: np.zeros(one.shape) for one in self._empty}
        start = 0
        for one in self._sums:
            stop = start + prod(one.shape)
            found[one.name] = total[start:stop].astype(np.float64).reshape(one.shape)
            start = stop
        return found

    def _step(self, one: Sum) -> Fraction:
        if self._noise is not None:
            return self._common_step()
        return step_for(Fraction(one.reach * self.most_rows), _LIMIT) if one.reach else Fraction(1)

    def _common_step(self) -> Fraction:
        reach = max(max(1, one.reach) for one in self._sums) * self.most_rows
        return step_for(Fraction(reach + _DEVIATIONS * (isqrt(ceil(self._variance)) + 1)), _LIMIT)
