"""Vectors on their way: masked, summed and unmasked chunk by chunk, in constant memory.

Every function works on one chunk at a time and gives it out as a view that is
valid until the next one is asked for; whoever reads and writes files passes
callables. However long the vector and however many the members, a process holds
a few chunks.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from serai.aggregation.codec import Codec, Decoder, Target
from serai.aggregation.masking import Keystreams, Mask
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


def masked_chunks(codec: Codec, vector: LaneChunk, masks: Sequence[Mask]) -> Iterator[memoryview]:
    """One member's upload.

    Args:
        codec: fixed by the run.
        vector: the member's quantised vector, such as ``Encoder(codec, x).chunk``.
        masks: the member's masks for this round, from ``Roster.masks``.

    Raises:
        Refused: from the encoder, if a value is not a finite number.

    """
    ring = codec.ring
    keystreams = Keystreams(ring, masks)
    for number in range(chunk_count(codec.lanes)):
        lanes = vector(number)
        keystreams.add(lanes, number)
        yield ring.pack(lanes)


def sum_chunks(codec: Codec, uploads: Sequence[ReadChunk]) -> Iterator[memoryview]:
    """The packed sum of uploads; of masked ones at the center, still masked.

    Raises:
        Malformed: an upload's chunk has another size.

    """
    ring = codec.ring
    for number in range(chunk_count(codec.lanes)):
        yield ring.pack(sum_lanes(codec, uploads, number))


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


def unmask_chunks(codec: Codec, masked_sum: ReadChunk, masks: Sequence[Mask]) -> Iterator[Lanes]:
    """The readable sum, as reduced lanes.

    Args:
        codec: fixed by the run.
        masked_sum: the packed sum of the uploads.
        masks: what the members released, from ``Round.masks``.

    Raises:
        Malformed: a chunk has another size.

    """
    ring = codec.ring
    keystreams = Keystreams(ring, masks)
    for number in range(chunk_count(codec.lanes)):
        count = chunk_values(codec.lanes, number)
        lanes = ring.unpack(masked_sum(number), count).copy()
        keystreams.add(lanes, number)
        ring.reduce(lanes)
        yield lanes


def read_total(codec: Codec, masked_sum: ReadChunk, masks: Sequence[Mask], out: Target) -> Digest:
    """Unmask and decode a sum.

    Args:
        codec: fixed by the run.
        masked_sum: the packed sum of the uploads.
        masks: what the members released, from ``Round.masks``.
        out: ``(codec.length,) float32`` or ``float64``, filled with the sum of the members' vectors.

    Returns:
        SHA-256 of the packed unmasked sum, as ``round.result`` states it.

    Raises:
        Malformed: a chunk, or ``out``, has another size.

    """
    ring = codec.ring
    decoder = Decoder(codec, out)
    total = hashlib.sha256()
    for number, lanes in enumerate(unmask_chunks(codec, masked_sum, masks)):
        decoder.chunk(number, lanes)
        total.update(ring.pack(lanes))
    return Digest(total.hexdigest())
