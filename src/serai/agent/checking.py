"""Members recompute the center's sums from the uploads; whoever finds a wrong one goes on with the true one.

Theory of operation
-------------------
The center adds the uploads up, because all members fetching all of them costs K
times the traffic. One that adds something of its own would bend the model for
everybody alike, so equal results prove nothing against it: somebody has to look.

*Who looks.* A small sum, of up to four chunks, is recomputed whole by each of K
members with probability 8/K, and by all of them where there are no more than 8.
So nobody looks with probability (1 - 8/K)^K <= e^-8, one in 3,000, at 8 K
downloads a round and not K^2. Of a large sum each member recomputes one chunk
drawn at random: a center that bends a share p of it escapes K members with
probability (1-p)^K. Draws come from the zone's own randomness after the close,
so the center cannot foresee them, and are journalled, so it gets no second one
by refusing whoever looks.

*What a look leads to.* Whoever finds the sum wrong computes the true one from
the same uploads, keeps it, and states its result from that. Results that differ
halt the run in every member's replay, and the audit tells who errs. Where
everybody looked all results are the true one, and the lie changes nothing but
the log, where it stands for the audit. Whoever is refused an upload cannot know
the sum. It tries again until twice the plan's round time has passed since the
close, and then says so: it states a result over nothing, which no other equals.
"""

import logging
from typing import Final

from serai.agent.zone import Zone
from serai.aggregation.job import Job
from serai.aggregation.ring import CHUNK_VALUES, Bytes, chunk_count, chunk_values
from serai.aggregation.state import Round
from serai.aggregation.statements import RoundResult
from serai.errors import SeraiError, Unverified
from serai.kernel.ids import Digest, MemberId, digest_of

WHOLE_CHUNKS: Final = 4  # a sum of up to so many chunks, a million values, is checked whole
LOOKS: Final = 8  # how many members look at a small sum, on average
UNSEEN: Final = digest_of(b"")  # the total of a result by who was not shown what to add up
_log = logging.getLogger(__name__)


def check_sum(zone: Zone, job: Job, this: Round) -> None:
    """Look at the masked sum of a closed round, if it is this member's turn; call again after a failure.

    Afterwards ``true_sum`` names the masked sum to use. One that was recomputed whole
    lies in this zone's store and need not be fetched.

    Raises:
        Unverified: an upload is not what its member signed.
        Missing: the center does not have an upload, or the sum.
        Unavailable: the center does not answer, or the disk is full.

    """
    assert this.closed is not None
    stated, uploads = this.closed.body.masked_sum, _Uploads(zone, job, this)
    try:
        if uploads.is_short:
            found = uploads.keep_sum() if _is_called(zone, this) else stated
        else:
            number = _draw(zone, this) % uploads.count
            found = stated if uploads.has_chunk_of(stated, number) else uploads.keep_sum()
    except SeraiError as error:
        if error.code != "disk-full" and this.is_released:
            _halt_if_late(zone, job, this)
        raise
    if found != stated:
        zone.journal.decide(f"sum {this.id}", found)
        _log.warning(
            "the masked sum of round %d of run %s is not the sum of its uploads; this zone goes on with the true one, "
            "and `serai audit` tells who errs",
            this.body.number,
            job.run[:12],
        )


def true_sum(zone: Zone, this: Round) -> Digest:
    """The masked sum that this member uses in a closed round: the stated one, unless it found another."""
    assert this.closed is not None
    return Digest(zone.journal.decision(f"sum {this.id}") or this.closed.body.masked_sum)


class _Uploads:
    """The uploads that the log names, compared with what their members signed, and added up."""

    def __init__(self, zone: Zone, job: Job, this: Round) -> None:
        self._zone = zone
        self._this = this
        self._codec = job.codec
        self._chunk_bytes = job.codec.ring.packed_bytes(CHUNK_VALUES)
        self._lists: dict[MemberId, bytes] = {}

    @property
    def count(self) -> int:
        """How many chunks each of them has."""
        return chunk_count(self._codec.lanes)

    @property
    def is_short(self) -> bool:
        """Whether a look is at all of the sum."""
        return self.count <= WHOLE_CHUNKS

    def has_chunk_of(self, masked_sum: Digest, number: int) -> bool:
        """Whether a chunk of the center's sum is the sum of that chunk of each upload."""
        shown = self._zone.center.read_blob(masked_sum, number * self._chunk_bytes, self._chunk_bytes)
        return bytes(self._sum_chunk(number)) == shown

    def keep_sum(self) -> Digest:
        """Add all of them up into this zone's store."""
        parts = iter([self._sum_whole()]) if self.is_short else map(self._sum_chunk, range(self.count))
        with self._zone.blobs.writer() as writer:
            for part in parts:
                writer.write(part)
            return writer.commit()

    def _sum_whole(self) -> Bytes:
        ring, count = self._codec.ring, self._codec.lanes
        lanes = ring.zeros(count)
        for member in self._this.summed:
            ring.add(lanes, ring.unpack(self._read_whole(member), count))
        return ring.pack(lanes)

    def _sum_chunk(self, number: int) -> Bytes:
        ring, count = self._codec.ring, chunk_values(self._codec.lanes, number)
        lanes = ring.zeros(count)
        for member in self._this.summed:
            ring.add(lanes, ring.unpack(self._read_chunk(member, number), count))
        return ring.pack(lanes)

    def _read_whole(self, member: MemberId) -> bytes:
        body = self._this.uploads[member].body
        data = self._read(body.blob, 0, body.size_bytes)
        if digest_of(data) != body.blob:
            raise Unverified("upload-blob", f"the center's copy of {member}'s upload is not what {member} signed")
        return data

    def _read_chunk(self, member: MemberId, number: int) -> bytes:
        chunk = self._read(self._this.uploads[member].body.blob, number * self._chunk_bytes, self._chunk_bytes)
        if self._chunk_list(member)[32 * number : 32 * number + 32].hex() != digest_of(chunk):
            raise Unverified("upload-blob", f"chunk {number} of {member}'s upload is not what {member} signed")
        return chunk

    def _chunk_list(self, member: MemberId) -> bytes:
        if member not in self._lists:
            stated = self._this.uploads[member].body.chunks
            chunks = self._zone.center.read_blob(stated, 0, 32 * self.count)
            if digest_of(chunks) != stated:
                raise Unverified("upload-blob", f"the center's chunk list of {member}'s upload is not what it signed")
            self._lists[member] = chunks
        return self._lists[member]

    def _read(self, blob: Digest, offset: int, length: int) -> bytes:
        if self._zone.blobs.has(blob):
            return self._zone.blobs.read_range(blob, offset, length)
        return self._zone.center.read_blob(blob, offset, length)


def _is_called(zone: Zone, this: Round) -> bool:
    """Whether it is this member's turn to look at a small sum."""
    members = len(this.summed)
    return members <= LOOKS or _draw(zone, this) * members < LOOKS * 2**64


def _draw(zone: Zone, this: Round) -> int:
    """64 random bits, the same whenever they are asked for in this round."""
    return int.from_bytes(zone.journal.draw(this.id, lambda: zone.random(8)))


def _halt_if_late(zone: Zone, job: Job, this: Round) -> None:
    """Halt the run if the time to show this member the uploads is over: a center must not choose who looks."""
    assert this.closed is not None
    if zone.now_ms() < this.closed.at.time_ms + 2 * job.round_ms:
        return
    body = RoundResult(close=this.closed.id, total=UNSEEN, model=this.body.model)
    zone.say_once(f"result {this.id}", body.model, lambda: body)
    _log.error(
        "the center does not show what the sum of round %d of run %s was made of; this zone says so, which halts it",
        this.body.number,
        job.run[:12],
    )
