"""Shamir's secret sharing: any ``threshold`` shares give a seed back, fewer say nothing about it.

Theory of operation
    A seed is the value at 0 of a polynomial of degree threshold - 1 over a prime
    field, whose other coefficients are random; share x is its value at x. Through
    fewer points than the threshold, and any value at 0, there goes exactly one
    such polynomial, so those points fit every seed equally well. (Shamir, CACM
    22(11), 1979.)

    The field's prime is 2^256 + 297, the smallest above 2^256: every 32-byte seed
    is an element, and an element takes one byte more. A Mersenne prime such as
    2^521 - 1 would double the size of each share to speed up a reduction that
    nobody waits for. Python's integers do not run in constant time; what they
    show is time, to nobody but the member's own machine.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Final, TypeAlias

from serai.aggregation.masking import SEED_BYTES
from serai.errors import Malformed

PRIME: Final = 2**256 + 297
SHARE_BYTES: Final = 33
_DRAW_BYTES: Final = 64  # reduced modulo the prime, that is uniform but for 2^-255

Random: TypeAlias = Callable[[int], bytes]
"""Gives so many unpredictable bytes."""


def split(secret: bytes, threshold: int, count: int, random: Random) -> tuple[bytes, ...]:
    """The shares 1 to ``count`` of a seed, 33 bytes each, big-endian.

    Args:
        secret: 32 bytes.
        threshold: how many shares give it back.
        count: how many are made; fewer than the threshold together never give it back.
        random: draws the polynomial; used for nothing else.

    Raises:
        Malformed: the secret is not 32 bytes, or the threshold or the count is not positive.

    """
    if len(secret) != SEED_BYTES or threshold < 1 or count < 1:
        raise Malformed(
            "share-split",
            f"expected a seed of {SEED_BYTES} bytes, a positive threshold and count, "
            f"got {len(secret)}, {threshold}, {count}",
        )
    drawn = [int.from_bytes(random(_DRAW_BYTES)) % PRIME for _ in range(threshold - 1)]
    coefficients = [*drawn, int.from_bytes(secret)]
    return tuple(_value_at(coefficients, x).to_bytes(SHARE_BYTES) for x in range(1, count + 1))


def combine(shares: Mapping[int, bytes]) -> int:
    """The value at 0 of the polynomial through some shares (Lagrange).

    Nothing in the shares tells whether they belong together: compare the result
    with a commitment to the seed. One that is 2^256 or more is no seed.

    Args:
        shares: exactly as many as the threshold, by number.

    Raises:
        Malformed: a share's number is not positive, or it is not an element of the field.

    """
    values = {x: int.from_bytes(share) for x, share in shares.items()}
    if any(x < 1 or values[x] >= PRIME or len(shares[x]) != SHARE_BYTES for x in shares):
        raise Malformed("share-form", f"expected shares of {SHARE_BYTES} bytes below the prime, numbered from 1")
    return sum(value * _weight(x, values) for x, value in values.items()) % PRIME


def _value_at(coefficients: list[int], x: int) -> int:
    """Horner's rule, highest coefficient first."""
    value = 0
    for coefficient in coefficients:
        value = (value * x + coefficient) % PRIME
    return value


def _weight(x: int, points: Mapping[int, int]) -> int:
    """What the value at x counts in the value at 0."""
    others = [other for other in points if other != x]
    return prod(others) * pow(prod(other - x for other in others), -1, PRIME)
