"""Reals as integers on one public scale: quantise what a member sends, read what the sum says.

Theory of operation
    A vector is cut into blocks; every member uses the same step for a block,
    fixed before the round. Scales that differ by sender could not be summed. A
    member sends q = round(x / step), clipped to [-L, L]. The sum of K members
    lies in [-L*K, L*K]; with 2^bits >= 2*L*K + 1 it cannot wrap, so it is read
    back exactly as a signed integer, and times the step as a real number. Where
    the plan fixes K, several such values share one ring element as digits (see
    ``digits``); else each value has an element of its own.
    Encoding is each member's own affair. Decoding is not: everybody must get the
    same bits, so it is one conversion and one multiplication in float64 (IEEE
    754), rounded once more where float32 is asked for.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.aggregation.digits import Digits, lift, pop, push, stretches
from serai.aggregation.ring import CHUNK_VALUES, Integers, Lanes, Ring, chunk_count, chunk_values
from serai.errors import Malformed, Refused

Vector: TypeAlias = npt.NDArray[np.floating[Any]]

MAX_LIMIT: Final = 2**53 - 1  # the largest magnitude that float64 and canonical JSON hold exactly
_FLOAT32_LIMIT: Final = 2**20  # up to here a float32 quotient is off by less than a sixteenth of a step
_PIECE: Final = 2**16  # values at a time: 512 KiB of float64, so that each pass finds the last one's in cache


class Source(Protocol):
    """A vector to read: an array, or whatever gives stretches of one as an array does."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(length,)``."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """``float32`` or ``float64``."""

    def __getitem__(self, place: slice, /) -> Vector:
        """The values of a stretch, which the reader does not change."""


class Target(Protocol):
    """A vector to write: an array, or whatever takes stretches of one as an array does."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(length,)``."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """``float32`` or ``float64``."""

    def __setitem__(self, place: slice, values: Vector, /) -> None:
        """Round a stretch of ``float64`` values to the dtype and take it; each place is written once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of the vector that shares one step.

    Attributes:
        length: number of values.
        step: what one unit of the integer is worth.

    Raises:
        Malformed: the length or the step is not positive.

    """

    length: int
    step: Fraction

    def __post_init__(self) -> None:
        if self.length < 1 or self.step <= 0:
            raise Malformed("codec-block", f"expected a positive length and step, got {self.length} and {self.step}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How a run turns vectors into ring elements, fixed by its plan.

    Attributes:
        bits: the ring is the integers modulo 2^bits.
        limit: L, the largest magnitude one member may send.
        blocks: consecutive stretches of the vector with their steps.
        members: K, the most vectors that are ever summed; where it is given, as many
            values share a ring element as K times the limit leaves room for.

    Raises:
        Malformed: bits not within 2 to 64, limit not within 1 to 2^53-1, no block, or
            not even one value of that many members fits a ring element.

    """

    bits: int
    limit: int
    blocks: tuple[Block, ...]
    members: int | None = None

    def __post_init__(self) -> None:
        Ring(self.bits)
        if not 1 <= self.limit <= MAX_LIMIT:
            raise Malformed("codec-limit", f"expected a limit of 1 to 2^53-1, got {self.limit}")
        if not self.blocks:
            raise Malformed("codec-blocks", "expected at least one block; a codec without values sums nothing")
        if self.members is not None and (self.members < 1 or not self.digits):
            raise Malformed(
                "codec-members",
                f"expected a sum of at least one member that fits {self.bits} bits, "
                f"got {self.members} with a limit of {self.limit}; widen the ring or lower the limit",
            )

    @property
    def length(self) -> int:
        """Number of values in a vector."""
        return sum(block.length for block in self.blocks)

    @property
    def lanes(self) -> int:
        """Number of ring elements in a vector: what is masked, summed, sent and cut into chunks."""
        return -(-self.length // self.digits)

    @property
    def digits(self) -> int:
        """How many values share a ring element."""
        return 1 if self.members is None else Digits(self.ring, self.limit * self.members).per_lane

    @property
    def largest_sum(self) -> int:
        """The largest magnitude that a value of a sum can have."""
        return (1 << (self.bits - 1)) - 1 if self.members is None else self.limit * self.members

    @property
    def ring(self) -> Ring:
        """The ring the values are summed in."""
        return Ring(self.bits)

    @property
    def upload_bytes(self) -> int:
        """Size of one member's upload."""
        return self.ring.packed_bytes(self.lanes)


def is_wide_enough(codec: Codec, members: int) -> bool:
    """Whether the sum of ``members`` vectors fits the ring: 2^bits >= 2*L*K + 1, and digits have room for it."""
    if codec.members is not None:
        return members <= codec.members
    return 1 << codec.bits >= 2 * codec.limit * members + 1


def check(codec: Codec, members: int) -> None:
    """Refuse a codec whose ring the sum of ``members`` vectors could wrap around.

    Raises:
        Refused: 2^bits < 2*L*K + 1, or more members than the codec's digits have room for.

    """
    if codec.members is not None and members > codec.members:
        raise Refused(
            "ring-too-small", f"the codec leaves room for {codec.members} members, not {members}; plan it for {members}"
        )
    if not is_wide_enough(codec, members):
        need = (2 * codec.limit * members).bit_length()
        raise Refused(
            "ring-too-small",
            f"{members} members with a limit of {codec.limit} need {need} bits, the ring has {codec.bits}; "
            "widen the ring or lower the limit",
        )


class Encoder:
    """Quantises one member's vector, chunk by chunk, in bounded memory; several threads may each take a chunk.

    Args:
        codec: blocks, steps and limit.
        vector: ``(codec.length,) float32`` or ``float64``.

    Raises:
        Malformed: the vector has another shape or dtype.

    """

    def __init__(self, codec: Codec, vector: Source) -> None:
        _check_vector(codec, vector)
        self._codec = codec
        self._vector = vector
        self._pieces = Pieces(codec)
        self._clipped: dict[int, int] = {}
        self._dtype = np.float32 if vector.dtype == np.float32 and codec.limit <= _FLOAT32_LIMIT else np.float64

    @property
    def clipped(self) -> int:
        """Values cut to the limit in the chunks so far; many of them mean that the step is too small."""
        return sum(self._clipped.values())

    def chunk(self, number: int) -> Lanes:
        """The ring elements of one chunk, as a fresh array.

        Raises:
            Refused: a value is not a finite number.
            Malformed: there is no such chunk.

        """
        lanes: Lanes = np.empty(chunk_values(self._codec.lanes, number), self._codec.ring.dtype)
        integers = lanes.view(f"<i{lanes.itemsize}")
        if self._codec.members is None:
            offset = number * CHUNK_VALUES
            self._clipped[number] = self._quantise_range(offset, offset + lanes.size, integers)
        else:
            self._clipped[number] = self._push_digits(number, integers)
        return lanes

    def _push_digits(self, number: int, integers: Integers) -> int:
        codec = self._codec
        digits = _digits(codec)
        offset = number * CHUNK_VALUES * codec.digits
        values = min(codec.length - offset, integers.size * codec.digits)
        clipped = 0
        for planes in stretches(digits, integers.size, values):
            into = integers[planes[0].first : planes[0].last]
            into.fill(0)
            digit = np.empty_like(into)
            for plane in reversed(planes):
                found = digit[: plane.stop - plane.start]
                clipped += self._quantise_range(offset + plane.start, offset + plane.stop, found)
                push(into, digits.radix, found)
        return clipped

    def _quantise_range(self, first: int, last: int, out: Integers) -> int:
        scratch: Vector = np.empty(min(_PIECE, last - first), self._dtype)
        clipped = 0
        for start, stop, step in self._pieces.between(first, last):
            clipped += self._quantise(
                self._vector[start:stop], step, scratch[: stop - start], out[start - first : stop - first]
            )
        return clipped

    def _quantise(self, values: Vector, step: float, scratch: Vector, out: Integers) -> int:
        limit = self._codec.limit
        clipped = 0
        with np.errstate(over="ignore", invalid="ignore"):
            np.divide(values, scratch.dtype.type(step), out=scratch)
        np.rint(scratch, out=scratch)
        # Written so that a NaN fails it: minimum and maximum hand a NaN on.
        if not (scratch.min() >= -limit and scratch.max() <= limit):
            check_finite(values)
            clipped = int(np.count_nonzero(np.abs(scratch) > limit))
            np.clip(scratch, -limit, limit, out=scratch)
        np.copyto(out, scratch, casting="unsafe")
        return clipped


class Decoder:
    """Reads sums back as real numbers, chunk by chunk, the same bits everywhere.

    Args:
        codec: blocks and steps.
        out: ``(codec.length,) float32`` or ``float64``, written stretch by stretch.

    Raises:
        Malformed: ``out`` has another shape or dtype.

    """

    def __init__(self, codec: Codec, out: Target) -> None:
        _check_vector(codec, out)
        self._codec = codec
        self._out = out
        self._pieces = Pieces(codec)
        self._scratch = np.empty(min(_PIECE, codec.length), np.float64)

    def chunk(self, number: int, lanes: Lanes) -> None:
        """Write the values of one chunk of the sum.

        Raises:
            Malformed: there is no such chunk, or it has another number of ring elements.

        """
        count = chunk_values(self._codec.lanes, number)
        if lanes.size != count:
            raise Malformed("vector-size", f"expected {count} ring elements in chunk {number}, got {lanes.size}")
        if self._codec.members is None:
            self._write(number * CHUNK_VALUES, self._codec.ring.signed(lanes))
        else:
            self._pop_digits(number, lanes)

    def _pop_digits(self, number: int, lanes: Lanes) -> None:
        codec = self._codec
        digits = _digits(codec)
        offset = number * CHUNK_VALUES * codec.digits
        values = min(codec.length - offset, lanes.size * codec.digits)
        for planes in stretches(digits, lanes.size, values):
            lifted = lift(lanes[planes[0].first : planes[0].last], digits)
            quotient = np.empty_like(lifted)
            for plane in planes:
                found = pop(lifted, digits, quotient)
                self._write(offset + plane.start, found[: plane.stop - plane.start])
                lifted, quotient = quotient, lifted

    def _write(self, first: int, integers: Integers) -> None:
        for start, stop, step in self._pieces.between(first, first + integers.size):
            scratch = self._scratch[: stop - start]
            np.copyto(scratch, integers[start - first : stop - first])
            np.multiply(scratch, step, out=scratch)
            self._out[start:stop] = scratch


def encode(codec: Codec, vector: Source) -> tuple[Lanes, int]:
    """Quantise a whole vector; returns the ring elements and how many values were clipped.

    Raises:
        Refused: a value is not a finite number.
        Malformed: the vector has another shape or dtype.

    """
    encoder = Encoder(codec, vector)
    lanes = codec.ring.zeros(codec.lanes)
    for number in range(chunk_count(codec.lanes)):
        offset = number * CHUNK_VALUES
        lanes[offset : offset + CHUNK_VALUES] = encoder.chunk(number)
    return lanes, encoder.clipped


def decode(codec: Codec, lanes: Lanes, dtype: type[np.floating[Any]] = np.float64) -> Vector:
    """Read a whole sum; ``dtype`` is ``float64`` or ``float32``.

    Raises:
        Malformed: ``lanes`` has another length than the codec.

    """
    out: Vector = np.empty(codec.length, dtype)
    decoder = Decoder(codec, out)
    if lanes.size != codec.lanes:
        raise Malformed("vector-size", f"expected {codec.lanes} ring elements, got {lanes.size}")
    for number in range(chunk_count(codec.lanes)):
        offset = number * CHUNK_VALUES
        decoder.chunk(number, lanes[offset : offset + CHUNK_VALUES])
    return out


def check_finite(values: Vector) -> None:
    """Refuse NaN and infinity.

    Raises:
        Refused: there is one.

    """
    if not np.isfinite(values).all():
        raise Refused("not-finite", "a vector holds NaN or infinity; lower the learning rate or check the data")


class Pieces:
    """Cuts a range of values where the step changes, and into cache-sized pieces."""

    def __init__(self, codec: Codec) -> None:
        self._ends = tuple(itertools.accumulate(block.length for block in codec.blocks))
        self._steps = tuple(float(block.step) for block in codec.blocks)

    def between(self, start: int, stop: int) -> Iterator[tuple[int, int, float]]:
        """Pieces as (start, stop, step) that cover ``start`` to ``stop`` in order."""
        block = bisect_right(self._ends, start)
        while start < stop:
            end = min(stop, self._ends[block], start + _PIECE)
            yield start, end, self._steps[block]
            start = end
            if start == self._ends[block]:
                block += 1


def _digits(codec: Codec) -> Digits:
    return Digits(codec.ring, codec.largest_sum)


def _check_vector(codec: Codec, vector: Source | Target) -> None:
    if vector.shape != (codec.length,) or vector.dtype not in (np.float32, np.float64):
        raise Malformed(
            "vector-form",
            f"expected ({codec.length},) float32 or float64, got {vector.shape} {vector.dtype}",
        )
