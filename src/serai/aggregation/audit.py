"""Anyone recomputes a round from its uploads and releases, whole or by chunks, bit for bit.

Nothing here needs a secret or a member's data: uploads are masked blobs, and
the releases are in the log. ``verify_round`` reads every upload once, in
constant memory. ``recompute_chunk`` checks one chunk for a small part of the cost;
a participant that checks a few chunks drawn at random before it states its
result would find a center that falsified a share p of them with probability
1 - (1-p)^n.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from serai.aggregation.codec import Codec
from serai.aggregation.exchange import ChunkDigests, digest_chunk_list
from serai.aggregation.masking import Keystreams
from serai.aggregation.ring import Bytes, chunk_count, chunk_values
from serai.aggregation.state import Round
from serai.errors import Unverified
from serai.kernel.ids import Digest, MemberId, digest_of

ReadBlob: TypeAlias = Callable[[Digest, int], Bytes]
"""Gives the bytes of one chunk, by its number, of a blob."""


def verify_round(codec: Codec, this: Round, read: ReadBlob) -> None:
    """Recompute the sums of a round from its uploads and compare with what was stated.

    Raises:
        Unverified: the round is not released yet; or an upload, the masked sum or
            somebody's result is not what its digest in the log says.
        Malformed: an upload's chunk has another size.

    """
    closed = _released(this)
    ring = codec.ring
    keystreams = Keystreams(ring, this.masks)
    uploads = {member: ChunkDigests() for member in sorted(closed)}
    masked_sum, total = hashlib.sha256(), hashlib.sha256()
    for number in range(chunk_count(codec.lanes)):
        count = chunk_values(codec.lanes, number)
        lanes = ring.zeros(count)
        for member, digests in uploads.items():
            data = read(closed[member], number)
            digests.add(data)
            ring.add(lanes, ring.unpack(data, count))
        masked_sum.update(ring.pack(lanes))
        keystreams.add(lanes, number)
        total.update(ring.pack(lanes))
    for member, digests in uploads.items():
        body = this.uploads[member].body
        _compare(f"the upload of {member}", body.blob, digests.blob)
        _compare(f"the chunk list of {member}", body.chunks, digests.chunk_list)
    assert this.closed is not None
    _compare("the masked sum", this.closed.body.masked_sum, Digest(masked_sum.hexdigest()))
    for member in sorted(this.results):
        _compare(f"the total of {member}", this.results[member].total, Digest(total.hexdigest()))


def recompute_chunk(
    codec: Codec, this: Round, number: int, chunk_lists: Mapping[MemberId, Sequence[bytes]], read: ReadBlob
) -> memoryview:
    """Recompute one packed chunk of a round's total, to compare with the total that is used.

    Args:
        codec: fixed by the run.
        this: a round that everybody in the sum has released.
        number: which chunk.
        chunk_lists: SHA-256 of each chunk of each upload, as ``ChunkDigests.chunks`` has them.
        read: gives chunks of uploads.

    Raises:
        Unverified: the round is not released yet, or a chunk list or a chunk is
            not what the log commits to.
        Malformed: an upload's chunk has another size.

    """
    closed = _released(this)
    ring = codec.ring
    count = chunk_values(codec.lanes, number)
    lanes = ring.zeros(count)
    for member in sorted(closed):
        chunks = chunk_lists.get(member, ())
        _compare(f"the chunk list of {member}", this.uploads[member].body.chunks, digest_chunk_list(chunks))
        if len(chunks) != chunk_count(codec.lanes):
            raise Unverified("sum-wrong", f"{member} committed to {len(chunks)} chunks of {chunk_count(codec.lanes)}")
        data = read(closed[member], number)
        _compare(f"chunk {number} of {member}", Digest(chunks[number].hex()), digest_of(data))
        ring.add(lanes, ring.unpack(data, count))
    Keystreams(ring, this.masks).add(lanes, number)
    return ring.pack(lanes)


def _released(this: Round) -> Mapping[MemberId, Digest]:
    if this.closed is None or not this.is_released:
        waiting = ", ".join(sorted(this.unreleased)) or "its close"
        raise Unverified("sum-unreadable", f"round {this.body.number} still waits for {waiting}; audit it afterwards")
    return this.closed.body.uploads


def _compare(what: str, stated: Digest, found: Digest) -> None:
    if stated != found:
        raise Unverified("sum-wrong", f"{what} should be {stated[:12]}, recomputed it is {found[:12]}")
