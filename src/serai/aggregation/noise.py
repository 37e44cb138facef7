"""Integer noise for sums: the discrete Gaussian, sampled exactly, a share of it from each member.

Theory of operation
    Differential privacy of a sum needs noise that no one party knows. Each member
    clips its integers to a public norm and adds a share drawn from the discrete
    Gaussian before it masks them; what the sum shows then is true up to the noise
    of all shares. A share is as large as if only ``minimum - colluders`` members
    added one: members that compare notes can take their own shares off again, and
    members that drop out never add theirs (arXiv:2102.06387 section 4).

    The noise is made of integers only, from uniform bits, by rejection: rounding a
    floating-point Gaussian leaks the value in the last digits (Mironov, CCS 2012).
    The sampler is that of Canonne, Kamath and Steinke (arXiv:2004.00010, algorithms
    1 to 3): a Bernoulli trial of exp(-p/q), a discrete Laplace, a discrete Gaussian.
    It works on one value after another in Python's integers, so it is for small
    vectors: statistics, calibrations, votes. Its running time varies with the value
    that comes out, by microseconds a member's network never sees.

    A stream of secret bits gives the same noise however often it is drawn: a zone
    that crashed between drawing and sending sends the same bytes again, and shows
    nobody two noisy versions of one vector.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from serai.aggregation.codec import Codec
from serai.aggregation.ring import Integers, Lanes
from serai.errors import Malformed, Refused

MAX_NOISY_VALUES: Final = 2**16  # a few seconds of exact sampling in Python
TAIL_SIGMAS: Final = 12  # a Gaussian is farther out with probability 10^-32: it never happens
_BUFFER: Final = 2**14  # bytes of keystream fetched at a time


class Bits(Protocol):
    """Uniform random bytes."""

    def read(self, count: int) -> bytes:
        """The next ``count`` of them."""


class SecretStream:
    """Uniform bytes from a secret: AES-256-CTR under a key of one purpose.

    Args:
        secret: at least 32 bytes that nobody else knows.
        purpose: what the bytes are for; streams of other purposes are independent.

    Raises:
        Malformed: the secret is too short to be one.

    """

    def __init__(self, secret: bytes, purpose: bytes) -> None:
        if len(secret) < 32:
            raise Malformed(
                "noise-secret",
                f"expected a secret of at least 32 bytes, got {len(secret)}; noise that others can compute hides nothing",
            )
        key = HKDFExpand(hashes.SHA256(), 32, b"serai/noise/v1 " + purpose).derive(secret)
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._buffer = b""

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if len(self._buffer) < count:
            self._buffer += self._stream.update(bytes(max(_BUFFER, count)))
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class SumNoise:
    """The noise that a plan asks each member to add, in the integers of its codec.

    Attributes:
        norm: the largest Euclidean norm of one member's integers; longer ones are shortened to it.
        variance: of the noise that is left when the colluding members have taken theirs off.
        colluders: how many members may compare notes, each knowing its own share.
        delta: the odds that the bound on epsilon does not hold.

    Raises:
        Malformed: a number is out of range.

    """

    norm: int
    variance: Fraction
    colluders: int = 1
    delta: Fraction = Fraction(1, 10**6)

    def __post_init__(self) -> None:
        if self.norm < 1 or self.variance <= 0 or self.colluders < 1 or not 0 < self.delta < 1:
            raise Malformed(
                "sum-noise",
                "expected a norm, a variance and colluders above 0 and a delta of 0 to 1, got "
                f"{self.norm}, {self.variance}, {self.colluders} and {self.delta}; "
                "each member knows its own share, so one colluder is the least",
            )

    def share(self, minimum: int) -> Fraction:
        """The variance of one member's share.

        Raises:
            Refused: colluders could be all of the members in a sum.

        """
        if minimum <= self.colluders:
            raise Refused(
                "sum-noise-members",
                f"{self.colluders} colluders of {minimum} members leave nobody's noise; raise the minimum",
            )
        return self.variance / (minimum - self.colluders)

    def reach(self, minimum: int) -> int:
        """The largest magnitude that a noisy integer of one member can have, but for odds of 10^-32."""
        return self.norm + TAIL_SIGMAS * (math.isqrt(math.ceil(self.share(minimum))) + 1)


def check_noise(codec: Codec, noise: SumNoise, minimum: int) -> None:
    """Refuse noise that a codec has no room for.

    Raises:
        Refused: a noisy integer could pass the codec's limit, so that sums could wrap; or
            the vector is too long to be sampled exactly.

    """
    if codec.length > MAX_NOISY_VALUES:
        raise Refused(
            "sum-noise-length",
            f"exact noise is for vectors of at most {MAX_NOISY_VALUES} values, this one has {codec.length}; "
            "add noise to the rows' gradients instead",
        )
    if codec.members is not None:
        raise Refused("sum-noise-codec", "noise and shared ring elements do not go together; leave members unset")
    reach = noise.reach(minimum)
    if reach > codec.limit:
        raise Refused(
            "sum-noise-range",
            f"norm and noise need a limit of {reach}, the codec has {codec.limit}; widen it or coarsen the steps",
        )


def add_noise(lanes: Lanes, noise: SumNoise, minimum: int, limit: int, bits: Bits) -> None:
    """Clip one member's integers to the norm and add its share of the noise, in place.

    Args:
        lanes: the quantised vector, one value a lane, as ``codec.encode`` gives it.
        noise: what the plan asks for.
        minimum: fewest members in a sum.
        limit: the codec's limit.
        bits: secret randomness.

    Raises:
        Refused: colluders could be all of the members in a sum.

    """
    values = lanes.view(f"<i{lanes.itemsize}")
    clip_norm(values, noise.norm)
    variance = noise.share(minimum)
    noisy = [int(value) + discrete_gaussian(variance, bits) for value in values]
    # The codec was checked to hold TAIL_SIGMAS deviations, so this cuts nothing that ever comes.
    values[:] = [max(-limit, min(limit, value)) for value in noisy]


def clip_norm(values: Integers, norm: int) -> None:
    """Shorten integers, in place, to a Euclidean norm of at most ``norm``; exact, and towards zero."""
    exact = [int(value) for value in values]
    square = sum(value * value for value in exact)
    if square <= norm * norm:
        return
    length = math.isqrt(square) + 1  # at least the norm, so that the quotient is never too long
    values[:] = [value * norm // length if value >= 0 else -(-value * norm // length) for value in exact]


def discrete_gaussian(variance: Fraction, bits: Bits) -> int:
    """An integer with probability proportional to exp(-x^2 / (2 variance)) (arXiv:2004.00010 algorithm 3)."""
    scale = math.isqrt(math.floor(variance)) + 1
    while True:
        candidate = _discrete_laplace(scale, bits)
        # exp(-(|y| - variance / scale)^2 / (2 variance))
        excess = abs(candidate) - variance / scale
        if _is_drawn(excess * excess / (2 * variance), bits):
            return candidate


def _discrete_laplace(scale: int, bits: Bits) -> int:
    """An integer with probability proportional to exp(-|x| / scale) (algorithm 2, with s = 1)."""
    while True:
        rest = _below(scale, bits)
        if not _is_drawn(Fraction(rest, scale), bits):
            continue
        wholes = 0
        while _is_drawn(Fraction(1), bits):
            wholes += 1
        magnitude = rest + scale * wholes
        is_negative = _below(2, bits) == 1
        if is_negative and magnitude == 0:
            continue  # zero would come twice as often
        return -magnitude if is_negative else magnitude


def _is_drawn(exponent: Fraction, bits: Bits) -> bool:
    """True with probability exp(-exponent), for an exponent of at least 0 (algorithm 1)."""
    while exponent > 1:
        if not _is_drawn(Fraction(1), bits):
            return False
        exponent -= 1
    count = 1
    while _below(exponent.denominator * count, bits) < exponent.numerator:
        count += 1
    return count % 2 == 1


def _below(bound: int, bits: Bits) -> int:
    """A uniform integer of 0 to ``bound - 1``, without bias."""
    width = (bound - 1).bit_length()
    if width == 0:
        return 0
    count = -(-width // 8)
    while True:
        value = int.from_bytes(bits.read(count)) >> (8 * count - width)
        if value < bound:
            return value


def spread_of_sum(noise: SumNoise, minimum: int, dimension: int) -> Fraction:
    """By how much a sum of discrete Gaussians may differ from one: tau d, rounded up (arXiv:2102.06387 prop. 13).

    Args:
        noise: what the plan asks for.
        minimum: fewest members in a sum.
        dimension: values in the vector.

    """
    honest, variance = minimum - noise.colluders, float(noise.share(minimum))
    tau = 10 * sum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, honest))
    return Fraction(np.nextafter(tau * dimension, math.inf)) if tau else Fraction(0)
