"""Limits and steps for a recipe's codec: as fine as the ring allows for the range a method needs."""

from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serai.errors import Refused

ROW_DIGITS: Final = 40  # a member with 2^40 rows has other problems
_MAX_LIMIT: Final = 2**52  # one bit below what float64 counts exactly, so that rounding to a step never ties on it


def limit_for(bits: int, members: int) -> int:
    """The largest magnitude each of ``members`` may send so that their sum fits ``bits`` bits.

    Raises:
        Refused: not even -1, 0 and 1 fit.

    """
    limit = min(((1 << bits) - 1) // (2 * members), _MAX_LIMIT)
    if limit < 1:
        raise Refused("ring-too-small", f"{members} members need more than {bits} bits; widen the ring")
    return limit


def step_for(reach: Fraction, limit: int) -> Fraction:
    """The smallest power of two with which ``limit`` steps cover ``reach``.

    A power of two makes encoding and decoding exact scalings: the only rounding
    is the one to whole steps.
    """
    ratio = reach / limit
    exponent = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    step = Fraction(2) ** (exponent - 1)
    while step * limit < reach:
        step *= 2
    return step


def write_rows(rows: int, out: npt.NDArray[np.floating[Any]]) -> None:
    """Write a row count as binary digits into ``out``, ``(ROW_DIGITS,)``.

    One value could not hold it: in a ring of a few bits the limit is far below
    the number of rows. Digits of 0 or 1 fit every ring, and their sums still
    give the exact total.

    Raises:
        Refused: no rows, or too many.

    """
    if not 0 < rows < 1 << ROW_DIGITS:
        raise Refused("rows-range", f"expected 1 to 2^{ROW_DIGITS}-1 training rows, got {rows}")
    out[:] = [rows >> digit & 1 for digit in range(ROW_DIGITS)]


def read_rows(total: npt.NDArray[np.floating[Any]]) -> int:
    """The total of all row counts from the summed digits, ``(ROW_DIGITS,)``."""
    return sum(round(float(count)) << digit for digit, count in enumerate(total))
