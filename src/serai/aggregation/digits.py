"""Small signed digits, many to a ring element: exact sums at nearly the cost of their entropy.

Theory of operation
    K members each send digits q of -L to L. Their sum lies in -LK to LK, which
    is one of r = 2LK + 1 values, so D digits in base r share one element of the
    ring: x = q_0 + q_1 r + ... + q_(D-1) r^(D-1), with r^D <= 2^bits. Digits that
    are balanced around zero never carry: the sum of K such elements is the
    element of the summed digits, and no larger than (r^D - 1) / 2. Adding that
    number makes every digit a plain one of 0 to r - 1, which division by r reads
    one after the other. So neither the ring nor the masks know of digits, and
    reading a sum does not need to know how many of the K members are in it.

    Three levels and four members (L = 1, K = 4) put 20 digits into 64 bits, 3.2
    bits a digit; the least possible is log2(9) = 3.17. What a mask covers looks
    random and cannot be compressed, so what is not packed here is paid for.

    The values of one chunk lie in planes: with m elements in the chunk, digit k
    of element j is value k m + j. A plane is then a stretch of the vector, and each
    operation below runs over memory from left to right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from serai.aggregation.ring import Integers, Lanes, Ring

_STRETCH: Final = 2**15  # elements at a time: 256 KiB, so that all planes of a stretch are worked on in cache


@dataclass(frozen=True, slots=True)
class Digits:
    """How digits share ring elements.

    Attributes:
        ring: the ring of the elements.
        largest: LK, the largest magnitude of a summed digit.

    """

    ring: Ring
    largest: int

    @property
    def radix(self) -> int:
        """How many values a summed digit can have."""
        return 2 * self.largest + 1

    @property
    def per_lane(self) -> int:
        """Digits in a ring element; 0 if not even one fits."""
        count, reach = 0, self.radix
        while reach <= 1 << self.ring.bits:
            count, reach = count + 1, reach * self.radix
        return count

    def lanes(self, values: int) -> int:
        """Ring elements that hold ``values`` digits."""
        return -(-values // self.per_lane)


@dataclass(frozen=True, slots=True)
class Plane:
    """A stretch of one chunk's lanes and the values that are one digit of each.

    Attributes:
        first: the first lane, counted in the chunk.
        last: the lane after the last.
        start: the first value, counted in the chunk.
        stop: the value after the last; fewer than there are lanes where the vector ends.

    """

    first: int
    last: int
    start: int
    stop: int


def stretches(digits: Digits, lanes: int, values: int) -> Iterator[list[Plane]]:
    """The planes of a chunk, least significant digit first, one cache-sized stretch of lanes after another.

    Args:
        digits: how values share lanes.
        lanes: lanes of the chunk.
        values: values of the chunk.

    """
    for first in range(0, lanes, _STRETCH):
        last = min(first + _STRETCH, lanes)
        starts = (lane * lanes for lane in range(digits.per_lane))
        yield [Plane(first, last, min(start + first, values), min(start + last, values)) for start in starts]


def push(into: Integers, radix: int, values: Integers) -> None:
    """Shift elements by a digit and put the next, less significant one in; there may be fewer of it."""
    np.multiply(into, into.dtype.type(radix), out=into)
    head = into[: values.size]
    np.add(head, values, out=head)


def lift(lanes: Lanes, digits: Digits) -> Lanes:
    """Summed elements as plain numbers whose digits are all from 0 to r - 1; a fresh array."""
    middle = (digits.radix**digits.per_lane - 1) // 2
    lifted: Lanes = np.add(lanes, lanes.dtype.type(middle))
    digits.ring.reduce(lifted)
    return lifted


def pop(lifted: Lanes, digits: Digits, quotient: Lanes) -> Integers:
    """Take the least significant digit off lifted elements.

    Args:
        lifted: holds the digits, as signed integers, afterwards.
        digits: how values share lanes.
        quotient: holds the elements without that digit afterwards; same size and dtype.

    """
    radix = lifted.dtype.type(digits.radix)
    np.floor_divide(lifted, radix, out=quotient)
    rest = lifted.view(f"<i{lifted.itemsize}")
    np.subtract(lifted, quotient * radix, out=lifted)
    np.subtract(rest, rest.dtype.type(digits.largest), out=rest)
    return rest
