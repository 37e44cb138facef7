"""Vectors on their way: masked, summed and unmasked chunk by chunk, in constant memory.

Whoever reads and writes files passes callables. However long the vector and
however many the members, a process holds a few chunks: one for each thread that
it lets work on them, and one that is given out.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from serai.aggregation.codec import Codec, Decoder, Target
from serai.aggregation.masking import Keystreams, Mask
from serai.aggregation.pipeline import in_order
from serai.aggregation.ring import Bytes, Lanes, chunk_count, chunk_values
from serai.kernel.ids import Digest

ReadChunk: TypeAlias = Callable[[int], Bytes]
"""Gives the packed bytes of one chunk, by its number, of one vector."""

LaneChunk: TypeAlias = Callable[[int], Lanes]
"""Gives the ring elements of one chunk, by its number; they may be overwritten."""


class ChunkDigests:
    """Digests of a blob while it passes by: of the whole, and of its list of chunks.

    The second lets somebody who fetches one chunk check it without the others.

    Attributes:
        chunks: SHA-256 of each chunk so far, 32 bytes each.
        size_bytes: bytes so far.

    """

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size_bytes = 0
        self._blob = hashlib.sha256()

    def add(self, chunk: Bytes) -> None:
        """Take in the next chunk."""
        self._blob.update(chunk)
        self.chunks.append(hashlib.sha256(chunk).digest())
        self.size_bytes += len(chunk)

    @property
    def blob(self) -> Digest:
        """SHA-256 of all bytes so far."""
        return Digest(self._blob.hexdigest())

    @property
    def chunk_list(self) -> Digest:
        """SHA-256 over the chunks' digests."""
        return digest_chunk_list(self.chunks)


def digest_chunk_list(chunks: Sequence[bytes]) -> Digest:
    """What ``round.upload`` says of its chunks: SHA-256 over their SHA-256 digests in order."""
    return Digest(hashlib.sha256(b"".join(chunks)).hexdigest())


class Masking:
    """Masks chunks of a vector or of a sum; several threads may each take a chunk.

    Args:
        codec: fixed by the run.
        masks: the masks to add.

    """

    def __init__(self, codec: Codec, masks: Sequence[Mask]) -> None:
        self._ring = codec.ring
        self._masks = masks
        self._idle: deque[Keystreams] = deque()  # one for each thread that has come by; they cannot be shared

    def add(self, lanes: Lanes, number: int) -> None:
        """Add every mask to the lanes of a chunk, in place."""
        try:
            keystreams = self._idle.pop()
        except IndexError:
            keystreams = Keystreams(self._ring, self._masks)
        keystreams.add(lanes, number)
        self._idle.append(keystreams)


def masked_chunks(codec: Codec, vector: LaneChunk, masks: Sequence[Mask], threads: int = 1) -> Iterator[memoryview]:
    """One member's upload.

    Args:
        codec: fixed by the run.
        vector: the member's quantised vector, such as ``Encoder(codec, x).chunk``.
        masks: the member's masks for this round, from ``Roster.masks``.
        threads: how many work on it; with several, ``vector`` is called from each of them.

    Raises:
        Refused: from the encoder, if a value is not a finite number.

    """
    return in_order(threads, _masker(codec, vector, masks), range(chunk_count(codec.lanes)))


def digested_chunks(
    codec: Codec, vector: LaneChunk, masks: Sequence[Mask], threads: int = 1
) -> Iterator[tuple[memoryview, bytes]]:
    """One member's upload as ``masked_chunks`` gives it, each chunk with its SHA-256, 32 bytes.

    Raises:
        Refused: from the encoder, if a value is not a finite number.

    """
    mask = _masker(codec, vector, masks)

    def digested(number: int) -> tuple[memoryview, bytes]:
        chunk = mask(number)
        return chunk, hashlib.sha256(chunk).digest()

    return in_order(threads, digested, range(chunk_count(codec.lanes)))


def _masker(codec: Codec, vector: LaneChunk, masks: Sequence[Mask]) -> Callable[[int], memoryview]:
    masking = Masking(codec, masks)

    def mask(number: int) -> memoryview:
        lanes = vector(number)
        masking.add(lanes, number)
        return codec.ring.pack(lanes)

    return mask


def sum_chunks(codec: Codec, uploads: Sequence[ReadChunk], threads: int = 1) -> Iterator[memoryview]:
    """The packed sum of uploads; of masked ones at the center, still masked.

    Args:
        codec: fixed by the run.
        uploads: what is added.
        threads: how many work on it; with several, each of ``uploads`` is called from all of them, in any order.

    Raises:
        Malformed: an upload's chunk has another size.

    """
    return in_order(
        threads, lambda number: codec.ring.pack(sum_lanes(codec, uploads, number)), range(chunk_count(codec.lanes))
    )


def sum_lanes(codec: Codec, uploads: Sequence[ReadChunk], number: int) -> Lanes:
    """The sum of one chunk of some uploads, as fresh lanes.

    Raises:
        Malformed: an upload's chunk has another size.

    """
    ring = codec.ring
    count = chunk_values(codec.lanes, number)
    total = ring.zeros(count)
    for read in uploads:
        ring.add(total, ring.unpack(read(number), count))
    return total


def unmask_chunks(codec: Codec, masked_sum: ReadChunk, masks: Sequence[Mask], threads: int = 1) -> Iterator[Lanes]:
    """The readable sum, as reduced lanes.

    Args:
        codec: fixed by the run.
        masked_sum: the packed sum of the uploads; asked for its chunks in order, from the caller's thread.
        masks: what the members released, from ``Round.masks``.
        threads: how many work on it.

    Raises:
        Malformed: a chunk has another size.

    """
    masking = Masking(codec, masks)

    def unmask(chunk: tuple[int, Bytes]) -> Lanes:
        number, packed = chunk
        lanes = codec.ring.unpack(packed, chunk_values(codec.lanes, number)).copy()
        masking.add(lanes, number)
        codec.ring.reduce(lanes)
        return lanes

    chunks = ((number, masked_sum(number)) for number in range(chunk_count(codec.lanes)))
    return in_order(threads, unmask, chunks)


def read_total(codec: Codec, masked_sum: ReadChunk, masks: Sequence[Mask], out: Target, threads: int = 1) -> Digest:
    """Unmask and decode a sum.

    Args:
        codec: fixed by the run.
        masked_sum: the packed sum of the uploads; asked for its chunks in order, from the caller's thread.
        masks: what the members released, from ``Round.masks``.
        out: ``(codec.length,) float32`` or ``float64``, filled with the sum of the members' vectors.
        threads: how many work on it; ``out`` is written from the caller's.

    Returns:
        SHA-256 of the packed unmasked sum, as ``round.result`` states it.

    Raises:
        Malformed: a chunk, or ``out``, has another size.

    """
    ring = codec.ring
    decoder = Decoder(codec, out)
    total = hashlib.sha256()
    for number, lanes in enumerate(unmask_chunks(codec, masked_sum, masks, threads)):
        decoder.chunk(number, lanes)
        total.update(ring.pack(lanes))
    return Digest(total.hexdigest())
