"""The zone's own account of what leaves: a receipt is written first, signed and chained, and then it leaves.

Theory of operation
-------------------
A receipt is written once for each thing, just before that is sent for the first
time; what is sent again after a crash are the same bytes, which have their receipt.

===============================  ==========================================================
a crash                          leaves
===============================  ==========================================================
before the receipt               nothing: nothing was sent
after it, before the sending     a receipt of what has not left yet. The agent sends it when
                                 it is up again; or, if its round has closed meanwhile,
                                 never, and the log does not have it
after the sending                a receipt of what has left
===============================  ==========================================================

So there is a receipt of everything that left, and a few may be of what stayed.
``compare`` tells those apart by the log, which has everything that left.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from serai.agent.admission import Prepared, refresh
from serai.agent.held import COUNTS, VECTOR
from serai.agent.journal import Upload
from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.aggregation.masking import SEED_BYTES
from serai.aggregation.state import Round
from serai.kernel.canonical import canonical
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.state import State
from serai.training.state import Run
from serai.zones.facts import PrivacyCost
from serai.zones.uses import Left, Use


@dataclass(frozen=True, slots=True)
class Account:
    """Writes receipts for one run.

    Attributes:
        zone: the member's side of everything.
        run: the run.
        view: the log.
        prepared: the run's program and rows.

    """

    zone: Zone
    run: Run
    view: View
    prepared: Prepared

    def write_vector(
        self, this: Round, upload: Upload, figures: Mapping[str, int], privacy: PrivacyCost | None
    ) -> None:
        """A masked vector is about to leave, with figures in the clear."""
        rows, subjects = len(self.prepared.data.x), self.prepared.subjects
        about = _About(
            left=Left.VECTOR,
            about=this.id,
            rows=rows,
            subjects=subjects[0] if subjects else None,
            bytes=upload.size_bytes,
            digest=upload.blob,
            shown=figures,
            privacy=privacy,
            airlock=self._looked_at(this.id, VECTOR),
        )
        self._write(about)

    def write_unmasking(self, this: Round, privacy: PrivacyCost | None) -> None:
        """What makes a sum with this zone's vector readable is about to leave."""
        subjects = self.prepared.subjects
        about = _About(
            left=Left.UNMASKING,
            about=this.id,
            rows=len(self.prepared.data.x),
            subjects=subjects[0] if subjects else None,
            bytes=SEED_BYTES * (1 + len(this.missing)),
            digest=this.uploads[self.zone.member].body.blob,
            shown={},
            privacy=privacy,
            airlock=self._looked_at(this.id, VECTOR),
        )
        self._write(about)

    def write_counts(self, model: Digest, counts: Mapping[str, int], subjects: int | None) -> None:
        """Counts are about to leave in the clear."""
        written = canonical(dict(counts))
        about = _About(
            left=Left.COUNTS,
            about=model,
            rows=counts.get("n"),
            subjects=subjects,
            bytes=len(written),
            digest=digest_of(written),
            shown=counts,
            privacy=None,
            airlock=self._looked_at(model, COUNTS),
        )
        self._write(about)

    def _looked_at(self, about: Digest, kind: str) -> str:
        passed = self.zone.journal.airlock.passed(about, kind)
        held = self.zone.journal.airlock.find(Digest(passed.item)) if passed and passed.item else None
        return f"{held.decision} by {held.decided_by}, {held.decided_ms} ms" if held else ""

    def _write(self, about: "_About") -> None:
        zone, run, plan = self.zone, self.run, self.run.plan
        offer = plan.offers[zone.member]
        facts = refresh(zone, run, self.view, self.prepared.facts)
        signer = zone.keys.signer(Role.ZONE)

        def sign(number: int, previous: Digest) -> bytes:
            body = Use(
                number=number,
                previous=previous,
                at_ms=zone.now_ms(),
                size=self.view.size,
                left=about.left,
                run=run.id,
                about=about.about,
                offer=offer,
                dataset=self.view.state.zones.offers[offer].body.dataset,
                agreement=plan.agreement,
                purpose=plan.purpose,
                planner=run.planner,
                recipe=plan.recipe,
                code=plan.code,
                rows=about.rows,
                subjects=about.subjects,
                bytes=about.bytes,
                digest=about.digest,
                shown=dict(about.shown),
                receivers=facts.recipients or (),
                privacy=about.privacy,
                airlock=about.airlock,
            )
            return sign_body(body, signer)

        zone.journal.uses.write(f"{about.left} {run.id} {about.about} {about.digest}", sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    """What of a ``Use`` differs from output to output of a run."""

    left: Left
    about: Digest
    rows: int | None
    subjects: int | None
    bytes: int
    digest: Digest
    shown: Mapping[str, int]
    privacy: PrivacyCost | None
    airlock: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Receipts beside the log.

    Attributes:
        missing: what the log has of this member, and no receipt is kept of.
        unseen: receipts of what the log does not have: it has not left, or not yet.

    """

    missing: tuple[str, ...]
    unseen: tuple[Use, ...]


def compare(state: State, member: MemberId, uses: Iterable[Use]) -> Compared:
    """Hold a member's receipts against what the log has of it, from the first receipt on."""
    kept = {(use.left, use.run, use.about, use.digest): use for use in uses}
    since = min((use.size for use in kept.values()), default=0)
    logged = {key: index for key, index in _logged(state, member) if index >= since}
    missing = sorted((index, key) for key, index in logged.items() if key not in kept)
    return Compared(
        missing=tuple(f"entry {index}: {left} of run {run[:12]}" for index, (left, run, _, _) in missing),
        unseen=tuple(use for key, use in kept.items() if key not in logged),
    )


def find_zone_key(state: State, member: MemberId, key: KeyId) -> bytes | None:
    """A zone key that a member has, or has had."""
    holder = state.charter.keys.get(key)
    return holder.public if holder and (holder.member, holder.role) == (member, Role.ZONE) else None


def _logged(state: State, member: MemberId) -> Iterator[tuple[tuple[Left, Digest, Digest, Digest], int]]:
    """What the log has of a member that was made of its rows, each with the index at which it shows first."""
    for this in state.rounds.rounds.values():
        run, upload = this.body.run, this.uploads.get(member)
        if upload is None:
            continue
        yield (Left.VECTOR, run, this.id, upload.body.blob), state.seen[upload.id]
        if this.closed is not None and member in this.releases:
            yield (Left.UNMASKING, run, this.id, upload.body.blob), this.closed.at.index
    for record in state.analytics.evaluations.values():
        if record.member == member:
            digest = digest_of(canonical(dict(record.body.counts)))
            yield (Left.COUNTS, record.body.run, record.body.model, digest), record.at.index
