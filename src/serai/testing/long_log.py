"""A log of any length as the work of a bloc makes it: agreements, data, plans, and many rounds of joint runs.

Every entry is signed by the key that would say it and has an effect. Blobs are
named and not there: a replay asks for none.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from serai.agent.mirror import CHECKPOINT, name_of
from serai.agent.session import MIRROR_FILE
from serai.aggregation.statements import RoundClose, RoundOpen, RoundRelease, RoundResult, RoundUpload
from serai.analytics.statements import Evaluation
from serai.charter.decision import Choice
from serai.charter.statements import AgreementSign, Ballot, ProposalOpen
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role, Signer
from serai.kernel.statement import Body, sign_body
from serai.ledger.checkpoint import LogSigner, cosign
from serai.ledger.statements import Clock
from serai.programme.items import Item, Kind
from serai.programme.statements import PlanAdd
from serai.state import State, advance, replay
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore, StoredEntry
from serai.testing.documents import agreement_text, run_plan
from serai.testing.processes import ORIGIN
from serai.training.state import job_of
from serai.training.statements import RunJoin
from serai.zones.statements import Approval, Column, Grant, Offer

ROUNDS: Final = 40  # of each run
_MINUTE_MS: Final = 60_000


class LongLog:
    """Goes on with a log.

    Args:
        state: what the log adds up to so far: at least a charter in force, and a time.
        log: signs its checkpoints, and speaks for the center.
        signer: what signs for a member in a role.

    Attributes:
        state: what it adds up to now.
        entries: what was added.

    """

    def __init__(self, state: State, log: LogSigner, signer: Callable[[MemberId, Role], Signer]) -> None:
        assert state.time_ms, "a plan is made at a time"
        self.state = state
        self.entries: list[bytes] = []
        self._log = log
        self._signer = signer
        self._members = sorted(state.charter.members)
        self._number = 0

    def grow(self, count: int) -> None:
        """Add entries, so many at least: one agreement after the other, each with a run of its own."""
        until = self.state.size + count
        while self.state.size < until:
            agreement = self._agree()
            self._train(agreement, {str(member): self._grant(agreement, member) for member in self._members})

    def _agree(self) -> Digest:
        first, *_ = self._members
        self._number += 1
        goal = Item(number=str(self._number), kind=Kind.GOAL, title=f"Goal {self._number}", text="What we want next.")
        self._say(PlanAdd(items=(goal,)), first)
        text = replace(agreement_text(invited=tuple(self._members)), title=f"Joint work {self._number}")
        opening = ProposalOpen(topic="agreement", title=text.title, text="Shall we?", agreement=text)
        proposal = self._say(opening, first)
        for member in self._members:
            self._say(Ballot(proposal=proposal, choice=Choice.YES, reason="as our capital decided"), member)
        for member in self._members:
            self._say(AgreementSign(agreement=proposal), member)
            self._say(Approval(subject=proposal, comment="seen"), member, Role.STEWARD)
        return proposal

    def _grant(self, agreement: Digest, member: MemberId) -> Digest:
        offer = self._say(self._offer(member), member, Role.STEWARD)
        self._say(Grant(offer=offer, agreement=agreement, terms=()), member, Role.STEWARD)
        return offer

    def _offer(self, member: MemberId) -> Offer:
        return Offer(
            dataset=self._fresh(member),
            title=f"{member}'s rows",
            description="synthetic",
            rows=1000,
            columns=tuple(Column(name=f"x{n}", kind="number", unit="", description="a feature") for n in range(8)),
            jurisdiction="XX",
            terms=(),
        )

    def _train(self, agreement: Digest, offers: dict[str, Digest]) -> None:
        plan = run_plan(agreement, offers, "newton", {"features": "8"}, rounds=ROUNDS, round_ms=_MINUTE_MS)
        run = self._say(plan, self._members[0])
        for member in self._members:
            self._say(RunJoin(plan=run, agg_key=bytes.fromhex(self._fresh(member))), member, Role.ZONE)
        model = plan.initial
        for number in range(ROUNDS):
            model = self._round(run, number, model)
            self._tell_time()
        for member in self._members:
            counts = {"n": 250, "correct": 200, "tp": 90, "fp": 20, "tn": 110, "fn": 30}
            said = Evaluation(run=run, model=model, offer=offers[str(member)], counts=counts)
            self._say(said, member, Role.ZONE)

    def _round(self, run: Digest, number: int, model: Digest) -> Digest:
        job = job_of(self.state.runs, run)
        assert job is not None, "members have joined it"
        deadline_ms = self.state.time_ms + _MINUTE_MS
        opening = RoundOpen(
            run=run, number=number, model=model, participants=tuple(self._members), deadline_ms=deadline_ms
        )
        opened = self._say_for_center(opening)
        uploads = {member: self._fresh(member) for member in self._members}
        for member, blob in uploads.items():
            size = job.at(number).codec.upload_bytes
            upload = RoundUpload(open=opened, blob=blob, chunks=digest_of(blob.encode()), size_bytes=size)
            self._say(upload, member, Role.ZONE)
        close = self._say_for_center(RoundClose(open=opened, uploads=uploads, masked_sum=digest_of(b"sum")))
        for member in self._members:
            seed = bytes.fromhex(self._fresh(member))
            self._say(RoundRelease(close=close, self_seed=seed, pair_seeds={}), member, Role.ZONE)
        result = RoundResult(close=close, total=digest_of(opened.encode()), model=digest_of(close.encode()))
        for member in self._members:
            self._say(result, member, Role.ZONE)
        return result.model

    def _tell_time(self) -> None:
        """A minute has passed, and every member has cosigned the log since."""
        note = self._log.sign(self.state.size, self.state.frontier.root())
        body, time_s = note.partition("\n\n")[0] + "\n", (self.state.time_ms + _MINUTE_MS) // 1000
        lines = [cosign(body, member, self._signer(member, Role.WITNESS), time_s) for member in self._members]
        self._say_for_center(Clock(checkpoint=note + "".join(lines)))

    def _say(self, body: Body, member: MemberId, role: Role = Role.DELEGATE) -> Digest:
        return self._add(sign_body(body, self._signer(member, role)))

    def _say_for_center(self, body: Body) -> Digest:
        return self._add(sign_body(body, self._log.signer))

    def _add(self, entry: bytes) -> Digest:
        index = self.state.size
        self.state = advance(self.state, entry)
        assert index not in self.state.void, f"{self.state.void[index]}"
        self.entries.append(entry)
        return parse_envelope(entry).id

    def _fresh(self, member: MemberId) -> Digest:
        """Some digest of a member's that there was not before."""
        return digest_of(f"{member} {self.state.size}".encode())


def lengthen(folder: Path, members: Sequence[str], size: int) -> None:
    """Go on with the log of a ``ProcessBloc``, in the stores of its center and its first member; none of them runs.

    Args:
        folder: of the bloc.
        members: all of them.
        size: of the log afterwards, at least.

    """
    stores = [LogStore(folder / "center" / "log.sqlite"), LogStore(folder / members[0] / MIRROR_FILE)]
    entries = stores[0].read(0, stores[0].size)
    keys = {name: Keyring(folder / name / "keys") for name in (*members, "center")}
    log = LogSigner(ORIGIN, keys["center"].signer(Role.OPERATOR))
    work = LongLog(replay(entries), log, lambda member, role: keys[member].signer(role))
    work.grow(size - len(entries))
    note = log.sign(work.state.size, work.state.frontier.root())
    for store in stores:
        new = [*entries, *work.entries][store.size :]
        named = [StoredEntry(name_of(entry), entry) for entry in new]
        store.mirror(store.size, named, {CHECKPOINT: note.encode()})
        store.close()
