"""Integers modulo 2^bits: the lanes they are computed in and the bytes they travel in.

Theory of operation
    A vector of the ring Z/2^bits lives in memory as unsigned *lanes* of the next
    machine width (8, 16, 32 or 64 bits). Because 2^bits divides the lane's
    modulus, lanes may be added and subtracted with the machine's own wrap-around
    and reduced only when they are written. On the wire, value k of a vector
    occupies bits k*bits to k*bits+bits-1, least significant bit first, so a
    vector is one bit string; the last byte is filled with zeros. Vectors are
    handled in chunks of 2^18 values, which begin on whole bytes for every width
    and fit a processor's cache.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.aggregation.packing import pack_bits, unpack_bits
from serai.errors import Malformed

Lanes: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Integers: TypeAlias = npt.NDArray[np.signedinteger[Any]]
Bytes: TypeAlias = bytes | memoryview

CHUNK_VALUES: Final = 2**18  # 256 KiB to 2 MiB of lanes: one chunk stays in the second-level cache
MIN_BITS: Final = 2  # -1, 0 and 1 need two bits
MAX_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Ring:
    """The integers modulo 2^bits.

    Raises:
        Malformed: ``bits`` is not within 2 to 64.

    """

    bits: int

    def __post_init__(self) -> None:
        if not MIN_BITS <= self.bits <= MAX_BITS:
            raise Malformed("ring-bits", f"expected a ring of {MIN_BITS} to {MAX_BITS} bits, got {self.bits}")

    @property
    def lane_bits(self) -> int:
        """Width of a lane: 8, 16, 32 or 64."""
        return max(8, 1 << (self.bits - 1).bit_length())

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The lanes' dtype, little-endian on every machine."""
        return np.dtype(f"<u{self.lane_bits // 8}")

    @property
    def is_full(self) -> bool:
        """Whether values fill their lanes, so that lanes travel as they are."""
        return self.bits == self.lane_bits

    def zeros(self, count: int) -> Lanes:
        """A zero vector of ``count`` values."""
        return np.zeros(count, self.dtype)

    def add(self, into: Lanes, lanes: Lanes) -> None:
        """Add a vector to another in place."""
        np.add(into, lanes, out=into)

    def subtract(self, into: Lanes, lanes: Lanes) -> None:
        """Subtract a vector from another in place."""
        np.subtract(into, lanes, out=into)

    def reduce(self, lanes: Lanes) -> None:
        """Bring lanes to their representatives 0 to 2^bits-1, in place."""
        if not self.is_full:
            np.bitwise_and(lanes, lanes.dtype.type((1 << self.bits) - 1), out=lanes)

    def signed(self, lanes: Lanes) -> Integers:
        """Lanes as signed integers -2^(bits-1) to 2^(bits-1)-1; a view where values fill their lanes."""
        spare = self.lane_bits - self.bits
        signed_dtype = np.dtype(f"<i{self.lane_bits // 8}")
        if not spare:
            return lanes.view(signed_dtype)
        # Lift the value's sign bit to the lane's, then let the arithmetic shift spread it.
        integers = np.left_shift(lanes, lanes.dtype.type(spare)).view(signed_dtype)
        np.right_shift(integers, integers.dtype.type(spare), out=integers)
        return integers

    def packed_bytes(self, count: int) -> int:
        """Size of ``count`` values on the wire."""
        return (count * self.bits + 7) // 8

    def pack(self, lanes: Lanes) -> memoryview:
        """The wire bytes of a vector, modulo 2^bits.

        Where values fill their lanes this is a view of ``lanes``, not a copy.
        """
        if self.is_full:
            return lanes.view(np.uint8).data
        return pack_bits(lanes, self.bits).data

    def unpack(self, data: Bytes, count: int) -> Lanes:
        """Read ``count`` values; a view of ``data`` where values fill their lanes.

        What fills the last byte is ignored: nobody can spoil a sum with it.

        Raises:
            Malformed: ``data`` has another size.

        """
        expected = self.packed_bytes(count)
        if len(data) != expected:
            raise Malformed(
                "vector-size", f"expected {expected} bytes for {count} values of {self.bits} bits, got {len(data)}"
            )
        if self.is_full:
            return np.frombuffer(data, self.dtype)
        return unpack_bits(data, self.bits, count, self.dtype)


def chunk_bytes(bits: int) -> int:
    """Size on the wire of a whole chunk (2^18 values) in a ring of ``bits``."""
    return CHUNK_VALUES * bits // 8


def chunk_count(length: int) -> int:
    """How many chunks a vector of ``length`` values has."""
    return -(-length // CHUNK_VALUES)


def chunk_values(length: int, chunk: int) -> int:
    """How many values chunk number ``chunk`` of a vector of ``length`` values has.

    Raises:
        Malformed: the vector has no such chunk.

    """
    if not 0 <= chunk < chunk_count(length):
        raise Malformed("chunk-number", f"a vector of {length} values has no chunk {chunk}")
    return min(CHUNK_VALUES, length - chunk * CHUNK_VALUES)
