"""What the charter's statements add up to, and the questions other rooms ask of it.

Theory of operation: a decision takes effect by itself, at its deadline or with
the ballot that completes it; nobody announces it. ``settle`` brings about
whatever log time has decided, in order of deadline and then of opening, so that
a suspension decided at noon is heeded by a count at one. It costs one
comparison while nothing is due. ``apply`` and every query that takes ``at``
settle first; the fold over the log calls ``settle`` at *every* entry, so that
a stage that opens because a deadline has passed opens at the same log time in
every replay.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from immutables import Map

from serai.charter.agreements import Agreement, AgreementAction, Life
from serai.charter.constitution import Charter, genesis_of, weights_of
from serai.charter.decision import Outcome, Result, Tally, Voter
from serai.charter.keys import (
    Dispute,
    RecoveryRecord,
    RecoveryStage,
    find_clash,
    has_enough,
    next_record,
    revoked,
    with_record,
    word_of,
)
from serai.charter.members import KeyHolder, MemberRecord, Standing, StandingAction
from serai.charter.motions import Proposal, Vote
from serai.charter.statements import (
    AgreementChange,
    AgreementSign,
    AgreementWithdraw,
    Ballot,
    CharterAdopt,
    KeyRevoke,
    MemberAccede,
    MemberRotate,
    MemberWithdraw,
    OperatorAppoint,
    ProposalOpen,
    ProposalWithdraw,
    RecoveryObject,
    StandingChange,
)
from serai.charter.succession import Appointing, Succession, is_carried, with_operator, with_signer
from serai.errors import Missing
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import Said
from serai.kernel.units import Instant

_GONE = frozenset({Standing.UNKNOWN, Standing.INVITED, Standing.WITHDRAWN, Standing.EXPELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterState:
    """Everything that the charter's statements have made true.

    Attributes:
        charter: as amended so far; before all founders signed, the candidate.
        genesis: digest of the founding charter.
        version: 1 for the founding charter, one more for each change.
        founders: the members that must sign it.
        signed: the founders that have.
        members: everyone who was ever a member or invited to be.
        standings: where each of them stands.
        leaving: members who withdrew or were expelled, with the log time at which their duties end.
        keys: every key ever admitted, with its holder and its time.
        words: root keys that have said something for which their member's threshold
            asks more, by what they said.
        disputes: what revoked keys may have said without their members.
        recoveries: by the decision that gives a member new keys.
        proposals: by id.
        agenda: the proposals still open, with their deadline and log index.
        due_ms: the earliest deadline on the agenda, or end of a cooling-off.
        agreements: by id.
        appointing: an appointment of a successor to the center that lacks signatures.
        successions: the completed ones, in order.

    """

    charter: Charter | None = None
    genesis: Digest | None = None
    version: int = 0
    founders: frozenset[MemberId] = frozenset()
    signed: frozenset[MemberId] = frozenset()
    members: Map[MemberId, MemberRecord] = field(default_factory=Map)
    standings: Map[MemberId, Standing] = field(default_factory=Map)
    leaving: Map[MemberId, int] = field(default_factory=Map)
    keys: Map[KeyId, KeyHolder] = field(default_factory=Map)
    words: Map[Digest, frozenset[KeyId]] = field(default_factory=Map)
    disputes: tuple[Dispute, ...] = ()
    recoveries: Map[Digest, RecoveryRecord] = field(default_factory=Map)
    proposals: Map[Digest, Proposal] = field(default_factory=Map)
    agenda: Map[Digest, tuple[int, int]] = field(default_factory=Map)
    due_ms: int | None = None
    agreements: Map[Digest, Agreement] = field(default_factory=Map)
    appointing: Appointing | None = None
    successions: tuple[Succession, ...] = ()

    @property
    def in_force(self) -> bool:
        """Whether every founder has signed the charter."""
        return self.charter is not None and self.signed == self.founders


# What other rooms ask


def holder_of(state: CharterState, key: KeyId, body: Any) -> KeyHolder | None:
    """Whose key signed a statement, or None for a stranger's; its time may be over.

    Before there is a charter, the keys are those of the charter being adopted; a
    new root key speaks for the set that it is to be part of.
    """
    if state.charter is None and isinstance(body, CharterAdopt):
        return next((holder for holder in body.charter.holders() if key_id(holder.public) == key), None)
    if isinstance(body, MemberRotate) and key not in state.keys:
        new = (public for public in body.keys.get(Role.ROOT, ()) if key_id(public) == key)
        return next((KeyHolder(body.member, Role.ROOT, public) for public in new), None)
    return state.keys.get(key)


def outcome_of(state: CharterState, proposal: Digest, at: Instant) -> Outcome:
    """What has become of a proposal.

    While a fallback's stage is open the result is *open*; the reason names the stage.

    Raises:
        Missing: no proposal of that id.

    """
    found = get_proposal(settle(state, at), proposal)
    if found.decided is not None:
        return found.decided.outcome
    if at.time_ms < found.opens_ms:
        return Outcome(Result.OPEN, f"ballots are accepted from log time {found.opens_ms}", f"{found.article}, notice")
    stage = f" under fallback {found.stage}" if found.stage else ""
    reason = f"ballots are accepted{stage} until log time {found.closes_ms}"
    return Outcome(Result.OPEN, reason, f"{found.article}, window")


def tally_of(state: CharterState, proposal: Digest, at: Instant) -> Tally:
    """How the members that count have voted on a proposal in its current stage.

    Raises:
        Missing: no proposal of that id.

    """
    state = settle(state, at)
    return get_proposal(state, proposal).tally(absentees(state))


def get_proposal(state: CharterState, proposal: Digest) -> Proposal:
    """A proposal by id.

    Raises:
        Missing: no proposal of that id.

    """
    found = state.proposals.get(proposal)
    if found is None:
        raise Missing("proposal-unknown", f"no proposal {proposal[:12]} in the log; check the id, or catch up first")
    return found


def life_of(state: CharterState, agreement: Digest, at: Instant) -> Life:
    """Where an agreement stands; ``UNKNOWN`` if there is none of that id."""
    state = settle(state, at)
    found = state.agreements.get(agreement)
    if found is None:
        return Life.UNKNOWN
    successors = (state.agreements[successor] for successor in found.amended_by)
    return found.life(at.time_ms, replaced=any(item.has_entered(at.time_ms) for item in successors))


def parties_of(state: CharterState, agreement: Digest, at: Instant) -> frozenset[MemberId]:
    """Members who signed an agreement, did not leave it, and are in good standing.

    Withdrawal and suspension count at once: nothing may use a member's data after.
    """
    state = settle(state, at)
    found = state.agreements.get(agreement)
    return frozenset() if found is None else _signers(state, found)


def obliged_by(state: CharterState, agreement: Digest, at: Instant) -> frozenset[MemberId]:
    """Members with duties under an agreement: every signer, and those whose notice still runs."""
    state = settle(state, at)
    found = state.agreements.get(agreement)
    if found is None:
        return frozenset()
    leaving = frozenset(member for member, until_ms in found.leaving.items() if at.time_ms < until_ms)
    served = frozenset(member for member, until_ms in state.leaving.items() if at.time_ms >= until_ms)
    return (frozenset(found.signatures) | leaving) - served


def standing_of(state: CharterState, member: MemberId, at: Instant) -> Standing:
    """Where a member stands; ``UNKNOWN`` if there is none of that id."""
    return settle(state, at).standings.get(member, Standing.UNKNOWN)


def in_good_standing(state: CharterState, member: MemberId, at: Instant) -> bool:
    """Whether a member has all its rights."""
    return standing_of(state, member, at) is Standing.GOOD


def members_in_good_standing(state: CharterState, at: Instant) -> frozenset[MemberId]:
    """Every member that has all its rights."""
    return _good(settle(state, at))


def witness_keys(state: CharterState) -> Mapping[MemberId, bytes]:
    """The raw witness key of every member; suspension silences a voice, not a witness.

    A member whose witness key is revoked is no witness until it has a new one.
    """
    return {
        member: record.keys[Role.WITNESS][0]
        for member, record in state.members.items()
        if state.standings[member] not in _GONE and state.keys[key_id(record.keys[Role.WITNESS][0])].until is None
    }


def witness_faults(state: CharterState) -> int:
    """How many of the present witnesses may be faulty: the charter's number, while members suffice.

    With 3 * faulty >= members no quorum could be both safe and reachable.
    """
    return 0 if state.charter is None else min(state.charter.faulty, (max(len(witness_keys(state)), 1) - 1) // 3)


def next_deadline_ms(state: CharterState, at: Instant) -> int | None:
    """The next log time at which something changes by itself, or None."""
    state = settle(state, at)
    times = [state.due_ms] if state.due_ms is not None else []
    times += [found.ends_ms for found in _cooling(state)]
    times += [state.proposals[proposal].opens_ms for proposal in state.agenda]
    for agreement in state.agreements.values():
        if agreement.adopted_ms is not None and not agreement.terminated:
            times.append(agreement.text.effective_ms)
            times += [agreement.text.expires_ms] if agreement.text.expires_ms is not None else []
    return min((time_ms for time_ms in times if time_ms > at.time_ms), default=None)


def absentees(state: CharterState) -> frozenset[MemberId]:
    """Members whose ballots do not count for now."""
    return frozenset(member for member, standing in state.standings.items() if standing is not Standing.GOOD)


# What statements do


def apply(state: CharterState, said: Said[Any], at: Instant) -> CharterState:
    """The state after a statement that ``rules.judge`` granted."""
    state = settle(state, at)
    if isinstance(said.body, CharterAdopt) and state.charter is None:
        state = _found(said.body.charter)
    if said.role is not Role.ROOT:
        return _take_effect(state, said, at)
    word = word_of(said)
    words = state.words.get(word, frozenset()) | {said.key}
    if not has_enough(state.keys, state.members[said.member], said.body, words):
        return replace(state, words=state.words.set(word, words))
    state = replace(state, words=state.words.delete(word) if word in state.words else state.words)
    return _take_effect(state, said, at)


def _take_effect(state: CharterState, said: Said[Any], at: Instant) -> CharterState:
    match said.body:
        case CharterAdopt():
            return replace(state, signed=state.signed | {said.member})
        case ProposalOpen() as body:
            return _open(state, body, said, at)
        case ProposalWithdraw(proposal=proposal):
            return _end(state, state.proposals[proposal].withdrawn(at.time_ms), at)
        case Ballot() as body:
            return _cast(state, body, said, at)
        case AgreementSign(agreement=agreement):
            return _recount(state, state.agreements[agreement].with_signature(said.member, at), at)
        case AgreementWithdraw(agreement=agreement):
            assert state.charter is not None
            left = state.agreements[agreement].with_withdrawal(said.member, at.time_ms, state.charter.notice_ms)
            return _recount(state, left, at)
        case MemberAccede():
            return _with_standing(state, said.member, Standing.GOOD, at)
        case MemberWithdraw():
            return _with_standing(state, said.member, Standing.WITHDRAWN, at)
        case MemberRotate() | KeyRevoke() | RecoveryObject() | OperatorAppoint():
            return _change_keys(state, said, at)
        case other:
            raise AssertionError(f"expected a statement of the charter room, got {other!r}")


def _change_keys(state: CharterState, said: Said[Any], at: Instant) -> CharterState:
    match said.body:
        case MemberRotate() as body:
            return _with_keys(state, next_record(state.members[body.member], body), at.index + 1)
        case KeyRevoke(key=key, from_index=start, reason=reason):
            keys, dispute = revoked(state.keys, key, start, at.index + 1, reason)
            return replace(state, keys=keys, disputes=(*state.disputes, dispute))
        case RecoveryObject(proposal=proposal):
            return _with_recovery(state, replace(state.recoveries[proposal], stage=RecoveryStage.OBJECTED))
        case body:
            return _appoint(state, body, said.member, at)


def disown(state: CharterState, indices: Collection[int], at: Instant) -> CharterState:
    """Undo what is still open of disputed statements: proposals, ballots, signatures under what is not in force.

    What is decided or in force stays as it is: others have built on it.

    Args:
        state: after the revocation.
        indices: log indices of the statements.
        at: now.

    """
    for id_ in sorted(state.agenda, key=lambda item: (state.agenda[item], item)):
        proposal = state.proposals[id_].without_votes(indices)
        if proposal.opened.index in indices:
            state = _end(state, proposal.disowned(at.time_ms), at)
        else:
            state = replace(state, proposals=state.proposals.set(id_, proposal))
    for id_ in sorted(state.agreements):
        agreement = state.agreements[id_].without_signatures(indices, at.time_ms)
        if agreement is not state.agreements[id_]:
            state = _recount(state, agreement, at)
    return state


def settle(state: CharterState, at: Instant) -> CharterState:
    """Bring about whatever log time has decided; without effect a second time."""
    while state.due_ms is not None and state.due_ms <= at.time_ms:
        cooled = min(_cooling(state), key=lambda found: (found.ends_ms, found.proposal), default=None)
        if cooled is not None and cooled.ends_ms == state.due_ms:
            state = _recover(state, cooled, at)
        else:
            due = min(state.agenda, key=lambda proposal: (state.agenda[proposal], proposal))
            state = _advance(state, state.proposals[due], at)
    return state


def _found(charter: Charter) -> CharterState:
    return CharterState(
        charter=charter,
        genesis=genesis_of(charter),
        version=1,
        founders=frozenset(member.id for member in charter.members),
        members=Map({member.id: member for member in charter.members}),
        standings=Map({member.id: Standing.GOOD for member in charter.members}),
        keys=Map({key_id(holder.public): holder for holder in charter.holders()}),
    )


def _with_keys(state: CharterState, record: MemberRecord, index: int) -> CharterState:
    """Put a member's next keys in force from a log index on; a recovery that was under way is overtaken."""
    assert state.charter is not None
    state = replace(
        state,
        charter=state.charter.with_member(record),
        version=state.version + 1,
        members=state.members.set(record.id, record),
        keys=with_record(state.keys, record, index),
    )
    for found in _cooling(state):
        if found.body.member == record.id:
            state = _with_recovery(state, replace(found, stage=RecoveryStage.OVERTAKEN))
    return state


def _recover(state: CharterState, found: RecoveryRecord, at: Instant) -> CharterState:
    """Give a member the keys that the others decided on; keys that no longer fit have no effect."""
    charter, before, member = state.charter, state.keys, found.body.member
    assert charter is not None
    state = _with_recovery(state, replace(found, stage=RecoveryStage.OVERTAKEN))
    try:
        record = next_record(state.members[member], found.body)
        charter.with_member(record)
    except ValueError:
        return state
    if state.standings[member] in _GONE or find_clash(before, record) is not None:
        return state
    state = _with_keys(state, record, at.index)
    for key in sorted(
        key for key, holder in state.keys.items() if holder.until is not None and before[key].until is None
    ):
        if found.body.from_index is not None:
            start = max(found.body.from_index, before[key].since)
            keys, dispute = revoked(state.keys, key, start, at.index, f"recovery {found.proposal[:12]}")
            state = replace(state, keys=keys, disputes=(*state.disputes, dispute))
    return _with_recovery(state, replace(found, stage=RecoveryStage.EFFECTIVE))


def _with_recovery(state: CharterState, found: RecoveryRecord) -> CharterState:
    return _with_agenda(replace(state, recoveries=state.recoveries.set(found.proposal, found)), state.agenda)


def _cooling(state: CharterState) -> list[RecoveryRecord]:
    return [found for found in state.recoveries.values() if found.stage is RecoveryStage.COOLING]


def _open(state: CharterState, body: ProposalOpen, said: Said[Any], at: Instant) -> CharterState:
    assert state.charter is not None
    rule = state.charter.find_rule(body.topic)
    assert rule is not None, "rules.judge let a topic in that has none"
    opens_ms = at.time_ms + rule.notice_ms
    proposal = Proposal(
        id=said.id,
        body=body,
        opener=said.member,
        opened=at,
        version=state.version,
        rule=rule,
        voters=Map({member: _voter(state.charter, state.members[member]) for member in _good(state)}),
        participants=_participants(state, body),
        opens_ms=opens_ms,
        closes_ms=opens_ms + rule.window_ms,
    )
    if body.agreement is not None:
        agreement = Agreement(id=said.id, text=body.agreement, amends=body.amends)
        state = replace(state, agreements=state.agreements.set(said.id, agreement))
    return _scheduled(state, proposal)


def _voter(charter: Charter, record: MemberRecord) -> Voter:
    return Voter(groups=frozenset(record.groups), weights=weights_of(charter, record.id))


def _participants(state: CharterState, body: ProposalOpen) -> frozenset[MemberId]:
    if body.status is not None:
        return _signers(state, state.agreements[body.status.agreement])
    if body.agreement is not None:
        return frozenset(body.agreement.invited) or _good(state)
    return frozenset(body.participants)


def _cast(state: CharterState, body: Ballot, said: Said[Any], at: Instant) -> CharterState:
    proposal = state.proposals[body.proposal]
    state = _advance(state, proposal.with_vote(said.member, Vote(body.choice, body.reason, said.id, at)), at)
    if body.amendment is None:
        return state
    return _open(state, replace(proposal.body, text=body.amendment), said, at)


def _advance(state: CharterState, proposal: Proposal, at: Instant) -> CharterState:
    """Store a proposal, and if its ballots or its deadline decide it, what follows."""
    outcome = proposal.outcome(absentees(state), at.time_ms)
    if outcome.result is Result.OPEN:
        return _scheduled(state, proposal)
    if outcome.result is Result.FALLBACK:
        return _scheduled(state, proposal.with_fallback(at.time_ms))
    return _end(state, proposal.with_end(outcome, min(at.time_ms, proposal.closes_ms)), at)


def _scheduled(state: CharterState, proposal: Proposal) -> CharterState:
    slot = (proposal.closes_ms, proposal.opened.index)
    proposals = state.proposals.set(proposal.id, proposal)
    due_ms = proposal.closes_ms if state.due_ms is None else min(state.due_ms, proposal.closes_ms)
    if state.agenda.get(proposal.id, slot) != slot:  # a fallback moved its deadline, which may have been the earliest
        return _with_agenda(replace(state, proposals=proposals), state.agenda.set(proposal.id, slot))
    return replace(state, proposals=proposals, agenda=state.agenda.set(proposal.id, slot), due_ms=due_ms)


def _with_agenda(state: CharterState, agenda: Map[Digest, tuple[int, int]]) -> CharterState:
    times = [closes_ms for closes_ms, _ in agenda.values()] + [found.ends_ms for found in _cooling(state)]
    due_ms = min(times, default=None)
    return replace(state, agenda=agenda, due_ms=due_ms)


def _end(state: CharterState, proposal: Proposal, at: Instant) -> CharterState:
    """Take a decided proposal off the agenda and bring about what it carries."""
    assert proposal.decided is not None
    state = replace(state, proposals=state.proposals.set(proposal.id, proposal))
    state = _with_agenda(state, state.agenda.delete(proposal.id))
    if proposal.decided.outcome.result is not Result.ADOPTED:
        return _reject(state, proposal)
    body = proposal.body
    if body.agreement is not None:
        return _adopt_agreement(state, proposal.id, proposal.decided.time_ms, at)
    if body.standing is not None:
        return _change_standing(state, body.standing, at)
    if body.charter is not None:
        return _amend(state, proposal)
    if body.accession is not None:
        return _invite(state, body.accession, at)
    if body.status is not None:
        return _change_agreement(state, body.status)
    if body.recovery is not None:
        assert state.charter is not None
        ends_ms = at.time_ms + state.charter.cooling_ms  # not from the deadline: the old keys see the decision only now
        return _with_recovery(state, RecoveryRecord(proposal=proposal.id, body=body.recovery, ends_ms=ends_ms))
    return state


def _reject(state: CharterState, proposal: Proposal) -> CharterState:
    if proposal.id not in state.agreements:
        return state
    return _with_agreement(state, replace(state.agreements[proposal.id], rejected=True))


def _adopt_agreement(state: CharterState, agreement: Digest, time_ms: int, at: Instant) -> CharterState:
    adopted = replace(state.agreements[agreement], adopted_ms=time_ms)
    if adopted.amends is not None:
        amended = state.agreements[adopted.amends]
        state = _with_agreement(state, replace(amended, amended_by=(*amended.amended_by, agreement)))
    return _recount(state, adopted, at)


def _amend(state: CharterState, proposal: Proposal) -> CharterState:
    assert state.charter is not None
    assert proposal.body.charter is not None
    return replace(state, charter=state.charter.with_change(proposal.body.charter), version=state.version + 1)


def _invite(state: CharterState, record: MemberRecord, at: Instant) -> CharterState:
    """Admit a new member's keys; of two accessions that clash, the first adopted stands."""
    assert state.charter is not None
    try:
        state.charter.with_member(record)
    except ValueError:  # the charter has changed since it was asked
        return state
    if record.id in state.members or any(key_id(holder.public) in state.keys for holder in record.holders()):
        return state
    state = _with_keys(state, record, at.index)
    return replace(state, standings=state.standings.set(record.id, Standing.INVITED))


def _change_agreement(state: CharterState, change: AgreementChange) -> CharterState:
    agreement = state.agreements[change.agreement]
    match change.action:
        case AgreementAction.SUSPEND:
            return _with_agreement(state, replace(agreement, suspended=True))
        case AgreementAction.RESUME:
            return _with_agreement(state, replace(agreement, suspended=False))
        case AgreementAction.TERMINATE:
            return _with_agreement(state, replace(agreement, terminated=True))


def _change_standing(state: CharterState, change: StandingChange, at: Instant) -> CharterState:
    """A change that no longer fits, such as suspending who has left, has no effect."""
    moves = {
        (Standing.GOOD, StandingAction.SUSPEND): Standing.SUSPENDED,
        (Standing.SUSPENDED, StandingAction.REINSTATE): Standing.GOOD,
        (Standing.INVITED, StandingAction.EXPEL): Standing.EXPELLED,
        (Standing.GOOD, StandingAction.EXPEL): Standing.EXPELLED,
        (Standing.SUSPENDED, StandingAction.EXPEL): Standing.EXPELLED,
    }
    standing = moves.get((state.standings[change.member], change.action))
    return state if standing is None else _with_standing(state, change.member, standing, at)


def _with_standing(state: CharterState, member: MemberId, standing: Standing, at: Instant) -> CharterState:
    """Change a standing, then whatever was waiting for that member alone."""
    state = replace(state, standings=state.standings.set(member, standing))
    if standing in (Standing.WITHDRAWN, Standing.EXPELLED):
        assert state.charter is not None
        state = replace(state, leaving=state.leaving.set(member, at.time_ms + state.charter.notice_ms))
    for agreement in sorted(state.agreements):
        if member in state.agreements[agreement].signatures:
            state = _recount(state, state.agreements[agreement], at)
    for proposal in sorted(state.agenda, key=lambda item: (state.agenda[item], item)):
        if proposal in state.agenda:  # one that was decided by an earlier turn of this loop is off it
            state = _advance(state, state.proposals[proposal], at)
    return state


def _appoint(state: CharterState, body: OperatorAppoint, member: MemberId, at: Instant) -> CharterState:
    assert state.charter is not None
    gathered = with_signer(state.appointing, body, member)
    voters = {name: _voter(state.charter, state.members[name]) for name in _good(state)}
    if not is_carried(state.charter, voters, gathered.members, (len(witness_keys(state)), witness_faults(state))):
        return replace(state, appointing=gathered)
    charter, keys = with_operator(state.charter, state.keys, body, at.index + 1)
    done = Succession(body=body, members=gathered.members, before=state.charter.log_key, since=at.index + 1)
    state = replace(state, charter=charter, version=state.version + 1, keys=keys)
    return replace(state, appointing=None, successions=(*state.successions, done))


def _recount(state: CharterState, agreement: Agreement, at: Instant) -> CharterState:
    return _with_agreement(state, agreement.with_count(len(_signers(state, agreement)), at.time_ms))


def _with_agreement(state: CharterState, agreement: Agreement) -> CharterState:
    return replace(state, agreements=state.agreements.set(agreement.id, agreement))


def _signers(state: CharterState, agreement: Agreement) -> frozenset[MemberId]:
    return frozenset(member for member in agreement.signatures if state.standings[member] is Standing.GOOD)


def _good(state: CharterState) -> frozenset[MemberId]:
    return frozenset(member for member, standing in state.standings.items() if standing is Standing.GOOD)
