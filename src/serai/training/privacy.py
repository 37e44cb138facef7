"""Noise on gradients, so that a model tells hardly anything about any one row (DP-SGD, arXiv:1607.00133 alg. 1).

Theory of operation
    Each step draws its rows independently (Poisson sampling), cuts each row's
    gradient to a norm, adds Gaussian noise to the sum, and divides by the
    *expected* number of rows. Whatever is done with the result afterwards, here or
    anywhere, costs no more privacy. What it costs is fixed before the run by three
    numbers, the ``Mechanism``, and counted by ``agent.accounting``.

    Both the choice of rows and the noise come from a secret of the zone. The seed of
    a step's shuffling does not do: it is made of public words, so that anybody could
    compute noise drawn from it and take it off again. The secret is drawn once a
    round and journalled, so a step repeated after a crash gives the same bytes.

    Each normal number is the mean of four, times two: from one alone, the last
    digits of a floating-point Gaussian can be undone (arXiv:2107.10138).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from serai.aggregation.noise import SecretStream
from serai.errors import Refused
from serai.training.methods import Context

_SUMMED: Final = 4
_MARGIN: Final = 1 - 2.0**-20  # float32 sums round; what is cut to the norm must not end up above it


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """What one member's steps in one round do, as an accountant needs to know it.

    Attributes:
        noise: standard deviation of the noise, in units of the norm each row is cut to.
        rate: the odds with which each row is drawn for a step.
        steps: steps in a round.
        delta: the odds that the bound on epsilon does not hold.

    """

    noise: Fraction
    rate: Fraction
    steps: int
    delta: Fraction


@runtime_checkable
class PrivateRecipe(Protocol):
    """A recipe that can say what its rounds cost."""

    def mechanism(self, rows: int) -> Mechanism | None:
        """What a round does to each of a member's rows; None without noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowNoise:
    """How rows are drawn, cut and hidden.

    Attributes:
        clip: the norm each row's gradient is cut to.
        noise: standard deviation of the noise, in units of ``clip``.
        batch: rows expected in a step.

    """

    clip: Fraction
    noise: Fraction
    batch: int

    def rate(self, rows: int) -> Fraction:
        """The odds with which each of so many rows is drawn."""
        return min(Fraction(1), Fraction(self.batch, rows))

    def expected(self, rows: int) -> int:
        """Rows expected in a step; what the noisy sum is divided by."""
        return min(self.batch, rows)


class PrivateSteps:
    """The secret part of a member's private steps in one round.

    Args:
        settings: how rows are drawn, cut and hidden.
        rows: how many there are.
        context: whose secret everything is drawn from.

    Raises:
        Refused: there are no rows, or no secret to draw from.

    """

    def __init__(self, settings: RowNoise, rows: int, context: Context) -> None:
        if rows < 1:
            raise Refused("no-rows", "there are no rows to draw from")
        if not context.secret:
            raise Refused("no-secret", "noise needs a secret of this zone; a public seed would give it away")
        self._rows = rows
        self._clip = float(settings.clip) * _MARGIN
        self._deviation = float(settings.clip * settings.noise)
        rate = settings.rate(rows)
        self._threshold = None if rate == 1 else math.floor(rate * 2**64)
        self._sampling = SecretStream(context.secret, b"rows")
        self._noise = SecretStream(context.secret, b"gradients")

    def batches(self, steps: int) -> Iterator[npt.NDArray[np.intp]]:
        """The rows of each step; there may be none in one."""
        everything = np.arange(self._rows)
        for _ in range(steps):
            if self._threshold is None:
                yield everything
            else:
                drawn = np.frombuffer(self._sampling.read(8 * self._rows), "<u8")
                yield np.flatnonzero(drawn < np.uint64(self._threshold))

    def factors(self, norms: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What to multiply each row's gradient by so that none is longer than the clip.

        Args:
            norms: ``(n,)`` norms of the rows' gradients over all parameters.

        """
        clip = np.float32(self._clip)
        return np.asarray(clip / np.maximum(norms, clip), np.float32)

    def noise(self, count: int) -> npt.NDArray[np.float32]:
        """What to add to ``count`` values of the sum."""
        normal = normals(self._noise, count * _SUMMED).reshape(_SUMMED, count).sum(axis=0) / math.sqrt(_SUMMED)
        return np.asarray(normal * self._deviation, np.float32)


def normals(stream: SecretStream, count: int) -> npt.NDArray[np.float64]:
    """Standard normal numbers from secret bits (Box and Muller 1958)."""
    half = -(-count // 2)
    words = np.frombuffer(stream.read(16 * half), "<u8") >> np.uint64(11)
    uniform = (words.astype(np.float64) + 1) * 2.0**-53  # of (0, 1]: the logarithm exists
    radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * math.pi * uniform[half:]
    return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]
