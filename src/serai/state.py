"""The whole center as a value: one log in, one state out.

The log is the truth; state is a pure fold of it; every member runs the same
fold. This module is that fold:

- ``recognise`` reads one entry: who said what, with a signature that holds.
- ``judge`` answers: may this be said now? If not, which article says so?
- ``apply`` answers: what is true after it was said?
- ``replay`` does the three for every entry, from nothing. It reads no clock:
  time is what the log itself proves (``clock`` entries).

An entry that cannot be recognised or that ``judge`` denies stays in the log and
is void: it has no effect in any member's replay, and ``State.void`` keeps the
reason. So the center need not be trusted to keep bad statements out.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from immutables import Map

from serai.aggregation import rules as sum_rules
from serai.aggregation import state as sums
from serai.aggregation import statements as sum_statements
from serai.aggregation.job import Job
from serai.aggregation.state import RoundsState
from serai.analytics import rules as analytics_rules
from serai.analytics import state as analytics
from serai.analytics import statements as analytics_statements
from serai.analytics.state import AnalyticsState
from serai.charter import rules as charter_rules
from serai.charter import state as charter
from serai.charter import statements as charter_statements
from serai.charter.agreements import AgreementText, Life
from serai.charter.state import CharterState
from serai.charter.succession import log_keys
from serai.errors import Malformed, SeraiError, Unverified
from serai.hub import rules as hub_rules
from serai.hub import state as hub
from serai.hub import statements as hub_statements
from serai.hub.state import HubState
from serai.kernel.canonical import canonical, decode
from serai.kernel.collector import collector_paused
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.plain import from_plain, to_plain
from serai.kernel.records import from_json
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.ledger import statements as ledger_statements
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.note import NoteKeyKind, parse_vkey
from serai.ledger.policy import Witnessed, Witnesses, open_witnessed
from serai.programme import rules as programme_rules
from serai.programme import state as programme
from serai.programme import statements as programme_statements
from serai.programme.projects import is_frozen
from serai.programme.record import Record
from serai.programme.state import ProgrammeState
from serai.training import rules as training_rules
from serai.training import state as training
from serai.training import statements as training_statements
from serai.training.state import RunsState
from serai.zones import rules as zone_rules
from serai.zones import state as zones
from serai.zones import statements as zone_statements
from serai.zones.state import ZonesState, approving_members
from serai.zones.terms import judge_forms

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a log of ``size`` entries adds up to.

    Attributes:
        size: number of entries folded in.
        time_ms: log time: the median member timestamp of the last ``clock``.
        frontier: the right edge of their tree, so that a statement about the log so far can be judged.
        seen: index of each effective statement by its id.
        void: why the entry at an index has no effect.
        attested: digests of the state at a size, by that size and by the member whose zone found it.
        receipts: who handed a statement to the center and did not find it in the log, by the statement's id.
        speakers: id of the key that signed the effective statement at an index.
        disputed: the same, of statements that a key made which was revoked from before then.

    """

    size: int = 0
    time_ms: int = 0
    frontier: Frontier = field(default_factory=Frontier)
    charter: CharterState = field(default_factory=CharterState)
    zones: ZonesState = field(default_factory=ZonesState)
    runs: RunsState = field(default_factory=RunsState)
    rounds: RoundsState = field(default_factory=RoundsState)
    analytics: AnalyticsState = field(default_factory=AnalyticsState)
    hub: HubState = field(default_factory=HubState)
    programme: ProgrammeState = field(default_factory=ProgrammeState)
    seen: Map[Digest, int] = field(default_factory=Map)
    void: Map[int, Denied] = field(default_factory=Map)
    attested: Map[int, Map[MemberId, Digest]] = field(default_factory=Map)
    receipts: Map[Digest, Map[MemberId, ledger_statements.Receipt]] = field(default_factory=Map)
    speakers: Map[int, KeyId] = field(default_factory=Map)
    disputed: Map[int, KeyId] = field(default_factory=Map)

    @property
    def now(self) -> Instant:
        """The instant at which the next entry would be said."""
        return Instant(self.size, self.time_ms)


def replay(entries: Iterable[bytes]) -> State:
    """What a log adds up to. Every member gets the same answer, or someone lies."""
    return fold(State(), entries)


def fold(state: State, entries: Iterable[bytes]) -> State:
    """The state after more entries, in order."""
    with collector_paused():
        for entry in entries:
            state = advance(state, entry)
    return state


def advance(state: State, entry: bytes) -> State:
    """The state after one more entry; a void entry only takes its place and its reason."""
    at, frontier = state.now, state.frontier.append(leaf_hash(entry))
    settled = charter.settle(state.charter, at)  # what time alone has decided, mostly nothing
    if settled is not state.charter:
        state = _disown(replace(state, charter=settled), state.charter, at)
    said = recognise(state, entry)
    verdict = said if isinstance(said, Denied) else judge(state, said, at)
    if isinstance(verdict, Denied):
        return replace(state, size=state.size + 1, frontier=frontier, void=state.void.set(at.index, verdict))
    assert not isinstance(said, Denied)
    after = _disown(apply(state, said, at), state.charter, at)
    return replace(
        after,
        size=state.size + 1,
        frontier=frontier,
        seen=after.seen.set(said.id, at.index),
        speakers=after.speakers.set(at.index, said.key),
    )


def recognise(state: State, entry: bytes) -> Said[Any] | Denied:
    """Read one entry: a known kind, a known key, a signature that holds."""
    try:
        envelope = parse_envelope(entry)
        kind = KINDS.get(envelope.kind)
        if kind is None:
            return Denied("log 1", f"no statement of kind {envelope.kind!r} is known here; update, or correct it")
        body: Any = from_json(kind, envelope.predicate)
        holder = charter.holder_of(state.charter, envelope.signer, body)
        if holder is None:
            return Denied("log 2", f"key {envelope.signer[:12]} belongs to no member in the charter")
        if holder.until is not None:
            how = "was revoked" if holder.revoked else "ended"
            return Denied(
                "log 9", f"{holder.role} key {envelope.signer[:12]} of {holder.member} {how} at {holder.until}"
            )
        envelope.verify(holder.public)
    except (Malformed, Unverified) as error:
        return Denied("log 3", error.message)
    return Said(envelope.id, body, holder.member, holder.role, envelope.signer, Digest(leaf_hash(entry).hex()))


def judge(state: State, said: Said[Any], at: Instant) -> Verdict:
    """May this be said now? If not: which article says so, and why."""
    if said.id in state.seen:
        return Denied("log 4", f"this statement already stands at index {state.seen[said.id]}; once is enough")
    if said.role not in said.body.ROLES:
        roles = " or ".join(sorted(said.body.ROLES))
        return Denied("log 5", f"a {said.body.KIND} needs a {roles} key, and was signed with a {said.role} key")
    if not state.charter.in_force and not isinstance(said.body, charter_statements.CharterAdopt):
        return Denied("log 6", "nothing can be said before every founder has signed the charter")
    room = _ROOMS[said.body.KIND]
    speaker = GRANTED if room is Room.CHARTER else charter_rules.judge_speaker(state.charter, said, at)
    return speaker if isinstance(speaker, Denied) else _judge_in(room, state, said, at)


def _judge_in(room: "Room", state: State, said: Said[Any], at: Instant) -> Verdict:
    match room:
        case Room.CHARTER:
            return _judge_terms(said) or _judge_successor(state, said) or charter_rules.judge(state.charter, said, at)
        case Room.LEDGER if isinstance(said.body, ledger_statements.StateAttest):
            return _judge_attest(state, said.body, said.member, at)
        case Room.LEDGER if isinstance(said.body, ledger_statements.Receipt):
            return _judge_receipt(state, said.body, said.member, at)
        case Room.LEDGER:
            return _judge_clock(state, said.body, at)
        case Room.ZONES:
            return zone_rules.judge(state.charter, state.zones, said, at)
        case Room.TRAINING:
            return _restraint(state, said) or training_rules.judge(Mandates(state, at), state.runs, said, at)
        case Room.AGGREGATION:
            return sum_rules.judge(Jobs(state, at), state.rounds, said, at)
        case Room.ANALYTICS:
            return analytics_rules.judge(
                lambda run: participants_of(state, run), state.zones, state.analytics, said, at
            )
        case Room.HUB:
            evidence = hub_rules.Evidence(
                charter=state.charter,
                analytics=state.analytics,
                run=outcome_of(state, said.body.run, at),
                approvals=approving_members(state.zones, said.body.model),
            )
            return _restraint(state, said) or hub_rules.judge(evidence, state.hub, said, at)
        case Room.PROGRAMME:
            return programme_rules.judge(record_of(state), state.programme, said, at)


def apply(state: State, said: Said[Any], at: Instant) -> State:
    """What is true after a statement that ``judge`` granted."""
    match _ROOMS[said.body.KIND]:
        case Room.CHARTER:
            return replace(state, charter=charter.apply(state.charter, said, at))
        case Room.LEDGER if isinstance(said.body, ledger_statements.StateAttest):
            found = state.attested.get(said.body.size, Map()).set(said.member, said.body.digest)
            return replace(state, attested=state.attested.set(said.body.size, found))
        case Room.LEDGER if isinstance(said.body, ledger_statements.Receipt):
            given = state.receipts.get(said.body.statement, Map()).set(said.member, said.body)
            return replace(state, receipts=state.receipts.set(said.body.statement, given))
        case Room.LEDGER:
            return replace(state, time_ms=_witnessed(state, said.body).time_ms)
        case Room.ZONES:
            return replace(state, zones=zones.apply(state.zones, said, at))
        case Room.TRAINING:
            return replace(state, runs=training.apply(state.runs, said, at))
        case Room.AGGREGATION:
            return replace(state, rounds=sums.apply(state.rounds, said, at))
        case Room.ANALYTICS:
            return replace(state, analytics=analytics.apply(state.analytics, said, at))
        case Room.HUB:
            return replace(state, hub=hub.apply(state.hub, said, at))
        case Room.PROGRAMME:
            return replace(state, programme=programme.apply(state.programme, record_of(state), said, at))


def _disown(state: State, before: CharterState, at: Instant) -> State:
    """Undo what is open of statements that have become disputed; what is finished keeps the mark."""
    if state.charter.disputes is before.disputes:
        return state
    for dispute in state.charter.disputes[len(before.disputes) :]:
        indices = [index for index in range(dispute.start, dispute.end) if state.speakers.get(index) == dispute.key]
        state = replace(
            state,
            charter=charter.disown(state.charter, frozenset(indices), at),
            zones=zones.disown(state.zones, frozenset(indices), at),
            runs=training.disown(state.runs, frozenset(indices)),
            disputed=state.disputed.update(dict.fromkeys(indices, dispute.key)),
        )
    return state


# What one room needs to know of another


@dataclass(frozen=True, slots=True)
class Mandates:
    """What each agreement permits now, as the training room asks for it."""

    state: State
    at: Instant

    def __call__(self, agreement: Digest) -> training_rules.Mandate | None:
        """The mandate of an agreement in force; None for any other."""
        if charter.life_of(self.state.charter, agreement, self.at) is not Life.IN_FORCE:
            return None
        return training_rules.Mandate(
            parties=charter.parties_of(self.state.charter, agreement, self.at),
            scope=frozenset(self.state.charter.agreements[agreement].text.scope),
        )


@dataclass(frozen=True, slots=True)
class Jobs(Mapping[Digest, Job]):
    """The runs in progress as the aggregation room asks for them, one at a time."""

    state: State
    at: Instant

    def __getitem__(self, run: Digest) -> Job:
        """The job of a run that nobody holds and whose agreement is in force, over the members still bound by it."""
        found = self.state.runs.plans.get(run)
        if found is None or is_frozen(self.state.programme.projects, found.plan.agreement):
            raise KeyError(run)
        job = _job(_Same(self.state.charter), _Same(self.state.runs), run, self.at.time_ms)
        if job is None:
            raise KeyError(run)
        return job

    def __iter__(self) -> Iterator[Digest]:
        """Every run that was planned and is in progress."""
        return (run for run in self.state.runs.plans if run in self)

    def __len__(self) -> int:
        """How many runs are in progress."""
        return sum(1 for _ in self)

    def __contains__(self, run: object) -> bool:
        """Whether a run is in progress."""
        try:
            self[Digest(str(run))]
        except KeyError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Same(Generic[T]):
    """Equal to itself and to nothing that merely looks the same, so that comparing costs nothing."""

    value: T

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@functools.lru_cache(maxsize=16)  # every entry of a round asks, and neither charter nor runs change within one
def _job(charter_state: _Same[CharterState], runs: _Same[RunsState], run: Digest, time_ms: int) -> Job | None:
    found = runs.value.plans.get(run)
    if found is None:
        return None
    at, agreement = Instant(0, time_ms), found.plan.agreement
    if charter.life_of(charter_state.value, agreement, at) is not Life.IN_FORCE:
        return None
    parties = charter.parties_of(charter_state.value, agreement, at)
    return None if training.is_frozen(found, parties) else training.job_of(runs.value, run, parties)


def participants_of(state: State, run: Digest) -> frozenset[MemberId]:
    """The members that joined a run; nobody for a run that the log does not have."""
    found = state.runs.plans.get(run)
    return frozenset() if found is None else frozenset(found.keys)


def outcome_of(state: State, run: Digest, at: Instant) -> hub_rules.RunOutcome | None:
    """What a run came to, as a release needs to know it; None for an unknown run."""
    found = state.runs.plans.get(run)
    if found is None:
        return None
    last = sums.current_round(state.rounds, run)
    job = Jobs(state, at).get(run)
    return hub_rules.RunOutcome(
        run=run,
        agreement=found.plan.agreement,
        purpose=found.plan.purpose,
        code=found.plan.code,
        outputs=found.plan.outputs,
        minimum=found.plan.minimum,
        participants=frozenset() if last is None else last.summed,
        model=None if job is None else sums.final_model(state.rounds, job),
    )


def record_of(state: State) -> Record:
    """What the other rooms have on record, as the programme asks for it."""
    return Record(
        charter=state.charter,
        zones=state.zones,
        runs=state.runs,
        rounds=state.rounds,
        analytics=state.analytics,
        hub=state.hub,
    )


def digest_state(state: State) -> Digest:
    """One digest for all that a log adds up to; members compare theirs."""
    return digest_of(encode_state(state))


def encode_state(state: State) -> bytes:
    """All that a log adds up to as canonical JSON, the bytes that ``digest_state`` is the digest of."""
    with collector_paused():
        return canonical(to_plain(state))


def decode_state(data: bytes, max_bytes: int) -> State:
    """Read a state from what ``encode_state`` made.

    Raises:
        Malformed: the bytes are longer than ``max_bytes``, or have another form.

    """
    with collector_paused():
        return from_plain(State, decode(data, max_bytes))


class Room(Enum):
    """The rooms that have statements."""

    CHARTER = "charter"
    LEDGER = "ledger"
    ZONES = "zones"
    TRAINING = "training"
    AGGREGATION = "aggregation"
    ANALYTICS = "analytics"
    HUB = "hub"
    PROGRAMME = "programme"


_STATEMENTS: Final[Mapping[Room, tuple[type[Body], ...]]] = {
    Room.CHARTER: charter_statements.STATEMENTS,
    Room.LEDGER: ledger_statements.STATEMENTS,
    Room.ZONES: zone_statements.STATEMENTS,
    Room.TRAINING: training_statements.STATEMENTS,
    Room.AGGREGATION: sum_statements.STATEMENTS,
    Room.ANALYTICS: analytics_statements.STATEMENTS,
    Room.HUB: hub_statements.STATEMENTS,
    Room.PROGRAMME: programme_statements.STATEMENTS,
}

_ROOMS: Final[Mapping[str, Room]] = {body.KIND: room for room, bodies in _STATEMENTS.items() for body in bodies}

KINDS: Final[Mapping[str, type[Body]]] = {body.KIND: body for bodies in _STATEMENTS.values() for body in bodies}
"""Everything that can be said, by its name in the log."""


def _restraint(state: State, said: Said[Any]) -> Denied | None:
    """A project's stage, or an incident in it, may forbid what the rules of runs and releases would allow."""
    return programme_rules.judge_restraint(record_of(state), state.programme, said.body)


def _judge_terms(said: Said[Any]) -> Denied | None:
    """An agreement's machine terms must be ones that zones understand, or every zone would refuse it later."""
    agreement = getattr(said.body, "agreement", None)
    if not isinstance(agreement, AgreementText):
        return None
    return next(iter(judge_forms(agreement.terms, "agreement")), None)


def _judge_successor(state: State, said: Said[Any]) -> Denied | None:
    """A successor's key must be one that can sign its heads, under a name that no log had, after this very history."""
    body = said.body
    if not isinstance(body, charter_statements.OperatorAppoint):
        return None
    try:
        key = parse_vkey(body.log_key)
    except Malformed as error:
        return Denied("log 10", error.message)
    if key.kind is not NoteKeyKind.ED25519 or key.public != body.operator:
        return Denied("log 10", "a successor signs its heads and its statements with one Ed25519 key")
    assert state.charter.charter is not None, "judge lets no appointment in before the charter is in force"
    earlier = log_keys(state.charter.charter, state.charter.successions)
    if key.name in {log_key.partition("+")[0] for log_key in earlier}:
        return Denied("log 10", f"{key.name} names an earlier log; witnesses know a log by its name, so take a new one")
    if body.size == state.size and body.root != state.frontier.root().hex():
        return Denied("log 10", f"the first {body.size} entries have another root than the one that was signed")
    return None


def _judge_attest(state: State, attest: ledger_statements.StateAttest, member: MemberId, at: Instant) -> Verdict:
    """Whether a digest is right is for each replay to see; this asks that they can be compared, and are said once."""
    if attest.size > at.index or not ledger_statements.is_compared(attest.size):
        return Denied("log 11", f"zones compare states at sizes that all know, up to here, not at {attest.size}")
    if member in state.attested.get(attest.size, Map()):
        return Denied("log 11", f"{member} has said what it finds after {attest.size} entries")
    return GRANTED


def _judge_receipt(state: State, receipt: ledger_statements.Receipt, member: MemberId, at: Instant) -> Verdict:
    """Whether the center withheld is for readers to conclude; this asks for a receipt that can be true, said once."""
    if not 0 <= receipt.size <= at.index:
        return Denied("log 12", f"the receipt is about {receipt.size} entries, there are {at.index} yet")
    stands = state.seen.get(receipt.statement)
    if stands is not None and stands < receipt.size:
        return Denied("log 12", f"the statement stands at index {stands}, within the {receipt.size} entries looked at")
    if receipt.seen_ms - receipt.handed_ms < ledger_statements.LEAST_WAIT_MS:
        return Denied(
            "log 12", f"a receipt needs a wait of {ledger_statements.LEAST_WAIT_MS // 1000} s, for news to come"
        )
    if (
        len(receipt.answer) > ledger_statements.MAX_ANSWER_CHARS
        or len(receipt.code) > ledger_statements.MAX_ANSWER_CHARS
    ):
        return Denied("log 12", f"a receipt quotes at most {ledger_statements.MAX_ANSWER_CHARS} characters")
    if member in state.receipts.get(receipt.statement, Map()):
        return Denied("log 12", f"{member} has given a receipt for that statement")
    return GRANTED


def _judge_clock(state: State, clock: ledger_statements.Clock, at: Instant) -> Verdict:
    """Time moves when a quorum of members has cosigned a checkpoint of this log, and only forward."""
    try:
        witnessed = _witnessed(state, clock)
    except SeraiError as error:
        return Denied("log 7", error.message)
    if witnessed.time_ms < state.time_ms:
        return Denied("log 8", f"log time is {state.time_ms} and does not go back to {witnessed.time_ms}")
    if witnessed.checkpoint.size > at.index:
        return Denied("log 8", f"the checkpoint is of {witnessed.checkpoint.size} entries, there are {at.index} yet")
    return GRANTED


def _witnessed(state: State, clock: ledger_statements.Clock) -> Witnessed:
    founding = state.charter.charter
    assert founding is not None, "judge lets no clock in before the charter is in force"
    witnesses = Witnesses(charter.witness_keys(state.charter), charter.witness_faults(state.charter))
    return open_witnessed(clock.checkpoint, parse_vkey(founding.log_key), witnesses)
