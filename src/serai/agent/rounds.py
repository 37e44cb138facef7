"""One round at one member: contribute under masks, release once, read the sum, take the common step.

Theory of operation
-------------------
Each function does one thing that the log calls for and may be called again
after a crash: it then does the same with the same bytes. What is said goes
through ``Zone.say_once``; the seed of the self mask is drawn once; an upload
that was announced is sent again as it lies in this zone's store, never
computed anew.

Before it releases, the zone asks for more than before it uploads. An upload is
noise to everybody; a release makes the sum readable. So a release needs the
close to be under a checkpoint that a quorum of members cosigned: two closes of
one round cannot both have that.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from serai.agent.checking import WHOLE_CHUNKS, true_sum
from serai.agent.journal import Upload
from serai.agent.zone import FETCH_BYTES, Zone
from serai.aggregation.codec import Codec, Encoder, Source, Target, Vector
from serai.aggregation.exchange import LaneChunk, digested_chunks, read_total
from serai.aggregation.job import Job
from serai.aggregation.masking import Roster
from serai.aggregation.noise import SecretStream, add_noise
from serai.aggregation.ring import CHUNK_VALUES, Bytes
from serai.aggregation.state import Round
from serai.aggregation.statements import Deal, RoundRelease, RoundResult, RoundUpload
from serai.errors import Unverified
from serai.kernel.ids import Digest, digest_of

_log = logging.getLogger(__name__)
_NARROW_SUM: Final = 2**23  # smaller sums are exact in float32, which halves the memory of a large model


def mask_vector(zone: Zone, job: Job, this: Round, vector: Source, memory: Digest) -> Upload:
    """Quantise and mask a vector into this zone's store, and journal that it is there.

    Raises:
        Refused: a value is not a finite number; nothing was stored.
        Unavailable: the disk is full.

    """
    roster = roster_of(zone, job, this)
    seed = zone.journal.seed(this.id, lambda: zone.random(32))
    masks = roster.masks(zone.keys.agreement(key_name(job.run)), seed)
    chunks: list[bytes] = []
    encoder = Encoder(job.codec, vector)
    with zone.blobs.writer(job.codec.upload_bytes) as writer:
        for chunk, digest in digested_chunks(job.codec, _quantised(zone, job, this, encoder), masks, zone.threads):
            chunks.append(digest)
            writer.write(chunk)
        blob = writer.commit()
    upload = Upload(blob, b"".join(chunks), job.codec.upload_bytes, memory)
    zone.journal.record_upload(this.id, upload)
    if encoder.clipped:
        _log.warning(
            "round %d of run %s: %d of %d values were beyond what the codec holds, and were cut; a wider one loses less",
            this.body.number,
            job.run[:12],
            encoder.clipped,
            job.codec.length,
        )
    return upload


def _quantised(zone: Zone, job: Job, this: Round, encoder: Encoder) -> LaneChunk:
    """The vector's integers chunk by chunk, with this member's share of the noise if the plan asks for it."""
    if job.noise is None:
        return encoder.chunk
    lanes = encoder.chunk(0)  # a noisy vector is short: one chunk
    secret = SecretStream(zone.journal.secret(this.id, lambda: zone.random(32)), b"sums")
    add_noise(lanes, job.noise, job.minimum, job.codec.limit, secret)
    return lambda _number: lanes


def send_upload(
    zone: Zone, this: Round, upload: Upload, deal: Deal | None, figures: Mapping[str, int] = MappingProxyType({})
) -> int:
    """Bring a masked vector to the center and announce it in the log, with the deal that lies there already.

    Returns:
        The announcement's index in the log, as the center says.

    Raises:
        Unavailable: the center does not answer.

    """
    zone.center.put_blob(upload.blob, zone.blobs.path(upload.blob) or _read_all(zone, upload.blob))
    chunk_list = digest_of(upload.chunks)
    if len(upload.chunks) > 32 * WHOLE_CHUNKS:
        zone.center.put_blob(chunk_list, upload.chunks)
    body = RoundUpload(
        open=this.id,
        blob=upload.blob,
        chunks=chunk_list,
        size_bytes=upload.size_bytes,
        deal=deal,
        figures=dict(figures),
    )
    return zone.say_once(f"upload {this.id}", upload.blob, lambda: body)


def release(zone: Zone, job: Job, this: Round) -> None:
    """Make known what unmasks this member's upload, for the one close of the round.

    Raises:
        Conflict: this zone released for another close of the round.
        Unavailable: the center does not answer.

    """
    assert this.closed is not None
    roster = roster_of(zone, job, this)
    agreement = zone.keys.agreement(key_name(job.run))
    body = RoundRelease(
        close=this.closed.id,
        self_seed=zone.journal.seed(this.id, lambda: zone.random(32)),
        pair_seeds=roster.pair_seeds(agreement, this.missing),
    )
    zone.say_once(f"release {this.id}", this.closed.id, lambda: body)


def read_sum(zone: Zone, job: Job, this: Round) -> tuple[Vector, Digest]:
    """The sum of a released round, ``(length,)`` float32 or float64, and the digest of its integers.

    Raises:
        Unverified: the masked sum is not the one in the close.
        Missing: the center does not have it.

    """
    masked_sum = true_sum(zone, this)
    stream = BlobStream(zone, masked_sum, job.codec)
    total: Vector = np.empty(job.length, sum_dtype(job.codec))
    digest = read_total(job.codec, stream.chunk, this.masks, total, zone.threads)
    if stream.digest != masked_sum:
        raise Unverified("masked-sum", f"the masked sum of round {this.body.number} is not the one in its close")
    return total, digest


def bring_sum(zone: Zone, job: Job, this: Round) -> None:
    """Have the masked sum of a closed round in this zone's store, whole and verified.

    Raises:
        Unverified, Missing: as ``read_sum``.

    """
    zone.bring(true_sum(zone, this), job.codec.upload_bytes)


def take_sum(zone: Zone, job: Job, this: Round, out: Target) -> Digest:
    """Decode the sum of a released round, which ``bring_sum`` has brought, stretch by stretch; as ``read_sum``.

    Args:
        zone: this member's side.
        job: what the plan says.
        this: the round.
        out: takes the stretches; ``sum_dtype`` is its dtype.

    Returns:
        The digest of the sum's integers.

    """
    with zone.blobs.open(true_sum(zone, this)) as file:
        size = job.codec.ring.packed_bytes(CHUNK_VALUES)
        return read_total(job.codec, lambda _number: file.read(size), this.masks, out, zone.threads)


def sum_dtype(codec: Codec) -> np.dtype[Any]:
    """What a sum is decoded to: the narrower type if it is exact."""
    return np.dtype(np.float32 if codec.largest_sum < _NARROW_SUM else np.float64)


def say_result(zone: Zone, this: Round, total: Digest, model: Digest, *, objects: bool = False) -> None:
    """State what this member computed from the sum, and whether it objects to it.

    Raises:
        Unavailable: the center does not answer.

    """
    assert this.closed is not None
    body = RoundResult(close=this.closed.id, total=total, model=model, objects=objects)
    zone.say_once(f"result {this.id}", model, lambda: body)


def key_name(run: Digest) -> str:
    """Under which name the keyring has a run's X25519 key."""
    return f"run-{run}"


class BlobStream:
    """The chunks of a vector, in order and hashed on the way: from this zone's store, or from the center in one request."""

    def __init__(self, zone: Zone, blob: Digest, codec: Codec) -> None:
        size = codec.ring.packed_bytes(CHUNK_VALUES)
        self._size = size
        self._total = codec.upload_bytes
        if zone.blobs.has(blob):
            self._pieces = _stored(zone, blob, size)
        else:
            self._pieces = zone.center.stream_blob(blob, max(1, FETCH_BYTES // size) * size)
        self._buffer = memoryview(b"")
        self._hash = hashlib.sha256()

    def chunk(self, number: int) -> Bytes:
        """The next chunk; ``number`` counts from 0 without a gap."""
        if not self._buffer:
            self._buffer = memoryview(next(self._pieces, b""))
            self._hash.update(self._buffer)
        size = min(self._size, self._total - number * self._size)
        chunk, self._buffer = self._buffer[:size], self._buffer[size:]
        return chunk

    @property
    def digest(self) -> Digest:
        """SHA-256 of what was read so far."""
        return Digest(self._hash.hexdigest())


def _stored(zone: Zone, blob: Digest, piece_bytes: int) -> Iterator[bytes]:
    with zone.blobs.open(blob) as file:
        while piece := file.read(piece_bytes):
            yield piece


def roster_of(zone: Zone, job: Job, this: Round) -> Roster:
    """The round as this member sees it: what it derives its masks from."""
    keys = {member: job.keys[member] for member in this.body.participants}
    return Roster(me=zone.member, keys=keys, salt=bytes.fromhex(this.salt))


def _read_all(zone: Zone, blob: Digest) -> bytes:
    with zone.blobs.open(blob) as file:
        return file.read()
