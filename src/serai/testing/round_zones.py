"""Members at a round, each with its real zone: what one says, and remembers, when it is shown a state of the log.

What a zone does hangs on its journal and on the round that it is shown, and on
nothing else. So each case is computed once, by the agent's own functions on a real
journal, and looked up from then on; that is what makes it cheap to try them all.
"""

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from serai.agent.journal import Journal, Upload
from serai.agent.recovery import recover_all, send_deal
from serai.agent.rounds import key_name, mask_vector, may_release, release, roster_of, say_result, send_upload
from serai.agent.settings import ZoneSettings
from serai.agent.zone import Zone
from serai.aggregation.codec import Block, Codec
from serai.aggregation.exchange import read_total, sum_chunks
from serai.aggregation.job import Job
from serai.aggregation.masking import Mask
from serai.aggregation.state import Round, SaidInRound
from serai.aggregation.statements import STATEMENTS
from serai.errors import Conflict
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.records import from_json
from serai.kernel.statement import Said
from serai.storage.blobs import MemoryBlobs
from serai.storage.keyring import Keyring

RUN: Final = digest_of(b"run")
INITIAL: Final = digest_of(b"model 0")
ROUND_MS: Final = 10
_KINDS: Final = {kind.KIND: kind for kind in STATEMENTS}


@dataclass(frozen=True, slots=True)
class Memory:
    """What a journal holds.

    Attributes:
        words: topic, what it was decided about, and the entry.
        seeds: round, and seed.
        uploads: round, and upload.
        losses: how often all of it was lost; a zone draws other numbers then.

    """

    words: tuple[tuple[str, str, bytes], ...] = ()
    seeds: tuple[tuple[Digest, bytes], ...] = ()
    uploads: tuple[tuple[Digest, Upload], ...] = ()
    losses: int = 0


@dataclass(frozen=True, slots=True)
class RoundView:
    """What a member is shown.

    Attributes:
        round: as its history has it.
        name: equal for equal rounds.
        lost: the members that are.
        is_witnessed: whether a quorum has cosigned the close.

    """

    round: Round
    name: int
    lost: frozenset[MemberId]
    is_witnessed: bool


@dataclass(frozen=True, slots=True)
class Deed:
    """What a zone did when it was shown a round.

    Attributes:
        memory: what its journal holds afterwards.
        said: the statements that it sent.
        refused: what it would not do, in its own words; empty if it did all it was asked.

    """

    memory: Memory
    said: tuple[SaidInRound, ...]
    refused: str


@dataclass(frozen=True, slots=True)
class Row:
    """An upload as its maker knows it: whose vector, from which model, and its masks by partner, its own under its name."""

    member: MemberId
    model: Digest
    masks: Mapping[MemberId, Mask]


class Zones:
    """The zones of some members in one run.

    Args:
        folder: for their keys.
        members: who takes part, each with a vector of its own.
        minimum: fewest members in a sum.
        threshold: how many can release for a lost one; 0 if nobody can.
        rounds: of the run.

    Attributes:
        job: the run.
        blobs: all that was ever sent.
        rows: every masked vector that was ever sent, by its blob.

    """

    def __init__(self, folder: Path, members: Collection[MemberId], minimum: int, threshold: int, rounds: int) -> None:
        self._keys = {member: Keyring.create(folder / member, [Role.ZONE]) for member in members}
        self.job = Job(
            run=RUN,
            keys={member: keys.agreement(key_name(RUN)).public for member, keys in self._keys.items()},
            minimum=minimum,
            rounds=rounds,
            codec=Codec(bits=16, limit=100, blocks=(Block(length=1, step=Fraction(1)),)),
            length=1,
            initial=INITIAL,
            round_ms=ROUND_MS,
            threshold=threshold,
        )
        self.blobs = MemoryBlobs()
        self.rows: dict[Digest, Row] = {}
        self.vectors = {member: float(3**place) for place, member in enumerate(sorted(members))}
        self._deeds: dict[object, Deed] = {}

    def show(self, member: MemberId, memory: Memory, view: RoundView) -> Deed:
        """What a member does when it is shown a round.

        Args:
            member: who.
            memory: what its journal holds.
            view: what it is shown.

        """
        case = (member, memory, view.name, view.lost, view.is_witnessed)
        if case not in self._deeds:
            self._deeds[case] = self._do(member, memory, view)
        return self._deeds[case]

    @functools.cache  # noqa: B019  # as many as there are closes
    def masked_sum(self, blobs: tuple[Digest, ...]) -> Digest:
        """The digest of the true sum of some uploads, which lies among the blobs afterwards."""
        read = [functools.partial(self._chunk, blob) for blob in blobs]
        with self.blobs.writer() as writer:
            for chunk in sum_chunks(self.job.codec, read):
                writer.write(chunk)
            return writer.commit()

    def read_sum(self, this: Round) -> tuple[float, Digest]:
        """What a released round's sum says, and the digest of its integers."""
        assert this.closed is not None
        total = np.empty(1, np.float64)
        masked = this.closed.body.masked_sum
        digest = read_total(self.job.codec, functools.partial(self._chunk, masked), this.masks, total)
        return float(total[0]), digest

    def _chunk(self, blob: Digest, number: int) -> bytes:
        size = self.job.codec.upload_bytes
        return self.blobs.read_range(blob, number * size, size)

    def _do(self, member: MemberId, memory: Memory, view: RoundView) -> Deed:
        journal, sent = _Notebook(memory), list[bytes]()
        refused = ""
        try:
            self._attend(self._zone(member, journal, sent), view)
        except Conflict as error:
            refused = error.message
        journal.close()
        return Deed(journal.memory, tuple(self._read(member, entry) for entry in sent), refused)

    def _attend(self, zone: Zone, view: RoundView) -> None:
        """What ``Runner`` does for a round, without what it computes."""
        job, this = self.job, view.round
        if this.is_released:
            if zone.member in this.body.participants and zone.member not in this.results:
                _, total = self.read_sum(this)
                say_result(zone, this, total, digest_of(f"model after {total}".encode()))
        elif this.closed is None:
            if zone.member in this.body.participants and zone.member not in this.uploads:
                vector = np.array([self.vectors[zone.member]])
                upload = zone.journal.upload(this.id) or mask_vector(zone, job, this, vector, INITIAL)
                self.rows[upload.blob] = self._row(zone, this)
                send_upload(zone, this, upload, send_deal(zone, job, this))
        elif may_release(zone, this, this.closed.at.index + view.is_witnessed):
            release(zone, job, this)
        elif zone.member in this.releases:
            recover_all(zone, job, this, view.lost)

    def _row(self, zone: Zone, this: Round) -> Row:
        seed = zone.journal.seed(this.id, lambda: zone.random(32))
        masks = roster_of(zone, self.job, this).masks(zone.keys.agreement(key_name(RUN)), seed)
        partners = [zone.member, *(other for other in sorted(this.body.participants) if other != zone.member)]
        return Row(zone.member, this.body.model, dict(zip(partners, masks, strict=True)))

    def _zone(self, member: MemberId, journal: "_Notebook", sent: list[bytes]) -> Zone:
        nothing: Any = None
        return Zone(
            settings=_settings(member),
            center=_Post(self.blobs, sent),  # type: ignore[arg-type]  # a round asks it for these verbs alone
            keys=self._keys[member],
            mirror=nothing,
            journal=journal,
            blobs=self.blobs,
            vault=nothing,
            programs=nothing,
            now_ms=lambda: 0,
            random=_draws(member, journal),
        )

    @staticmethod
    def _read(member: MemberId, entry: bytes) -> SaidInRound:
        envelope = parse_envelope(entry)
        body: Any = from_json(_KINDS[envelope.kind], envelope.predicate)
        return Said(envelope.id, body, member, Role.ZONE, envelope.signer, digest_of(entry))


class _Notebook(Journal):
    """A real journal that begins with what another one held, and tells what it holds."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(None)
        self.memory = Memory(losses=memory.losses)
        for topic, about, entry in memory.words:
            self.word(topic, about, functools.partial(bytes, entry))
        for round_id, seed in memory.seeds:
            self.seed(round_id, functools.partial(bytes, seed))
        for round_id, upload in memory.uploads:
            self.record_upload(round_id, upload)

    def word(self, topic: str, about: str, sign: Callable[[], bytes]) -> bytes:
        is_new = self.decision(topic) is None
        entry = super().word(topic, about, sign)
        if is_new:
            self.memory = replace(self.memory, words=(*self.memory.words, (topic, about, entry)))
        return entry

    def seed(self, round_id: Digest, draw: Callable[[], bytes]) -> bytes:
        seed = super().seed(round_id, draw)
        if (round_id, seed) not in self.memory.seeds:
            self.memory = replace(self.memory, seeds=(*self.memory.seeds, (round_id, seed)))
        return seed

    def record_upload(self, round_id: Digest, upload: Upload) -> None:
        super().record_upload(round_id, upload)
        if (round_id, upload) not in self.memory.uploads:
            self.memory = replace(self.memory, uploads=(*self.memory.uploads, (round_id, upload)))


class _Post:
    """Takes what a zone sends, and shows all blobs that were ever sent."""

    def __init__(self, blobs: MemoryBlobs, sent: list[bytes]) -> None:
        self._blobs = blobs
        self._sent = sent

    def submit(self, entry: bytes) -> int:
        self._sent.append(entry)
        return 0

    def put_blob(self, digest: Digest, source: bytes) -> None:
        with self._blobs.writer() as writer:
            writer.write(source)
            writer.commit(digest)

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        return self._blobs.read_range(digest, offset, length)


def _draws(member: MemberId, journal: _Notebook) -> Callable[[int], bytes]:
    """Randomness that is the same for the same journal, and another after each draw and each loss."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        memory = journal.memory
        drawn = f"{member} {memory.losses} {len(memory.words)} {len(memory.seeds)} {count}"
        return hashlib.sha256(drawn.encode()).digest()[:size]

    return draw


@functools.cache
def _settings(member: MemberId) -> ZoneSettings:
    return ZoneSettings(
        home=Path("/nowhere"),
        member=member,
        name=member,
        jurisdiction="",
        center_url="",
        genesis=None,
        max_staleness_s=1,
        policy=(),
        legal=(),
        datasets={},
    )
