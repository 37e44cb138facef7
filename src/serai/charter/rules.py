"""What may be said about the charter, proposals and agreements, and what says so.

| statement            | allowed when                                                              |
| -------------------- | ------------------------------------------------------------------------- |
| `charter.adopt`      | a founder's root key, the same charter as the first, once                 |
| `proposal.open`      | good standing; a topic of the charter; one effect, under its own topic    |
| `proposal.withdraw`  | the opener, while it is open                                              |
| `ballot`             | of the electorate and in good standing, between opening and closing       |
| `agreement.sign`     | invited, in good standing, adopted and not ended, not yet party           |
| `agreement.withdraw` | a party; suspension is no obstacle                                        |
| `member.accede`      | the invited member's root key                                             |
| `member.withdraw`    | a member; suspension is no obstacle                                       |
| `operator.appoint`   | good standing; right after the log that it names and its other signatures |

Nothing but the clock is allowed before every founder has signed the charter.
"""

from typing import Any, Final

from serai.charter.agreements import AgreementAction, Life
from serai.charter.articles import Mode
from serai.charter.constitution import (
    ACCESSION,
    AGREEMENT,
    CHARTER,
    RECOVERY,
    STANDING,
    genesis_of,
    needs_participants,
)
from serai.charter.decision import Choice
from serai.charter.keys import RecoveryStage, find_clash, next_record, root_keys, word_of
from serai.charter.members import MemberRecord, Standing, StandingAction
from serai.charter.motions import Proposal
from serai.charter.state import CharterState, life_of, settle
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
    Recovery,
    RecoveryObject,
    StandingChange,
)
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict

CLOCK_KIND: Final = "clock"
"""The only statement of another room that is allowed before the charter is in force."""

GENESIS: Final = "charter, adoption"
MEMBERSHIP: Final = "charter, membership"
KEYS: Final = "charter, keys"
SIGNABLE: Final = frozenset({Life.OPEN_FOR_SIGNATURE, Life.ADOPTED, Life.IN_FORCE, Life.SUSPENDED})


def judge(state: CharterState, said: Said[Any], at: Instant) -> Verdict:
    """Whether a statement of this room may be said now."""
    state = settle(state, at)
    if said.role is Role.ROOT and said.key in state.words.get(word_of(said), ()):
        return Denied(KEYS, f"key {said.key[:12]} has said this, and others of {said.member}'s root keys have not yet")
    if isinstance(said.body, CharterAdopt):
        return _judge_adopt(state, said.body, said.member)
    speaker = judge_speaker(state, said, at)
    if isinstance(speaker, Denied):
        return speaker
    match said.body:
        case ProposalOpen() as body:
            return _judge_open(state, body, said.member, at)
        case ProposalWithdraw(proposal=proposal):
            return _judge_take_back(state, proposal, said.member)
        case Ballot() as body:
            return _judge_ballot(state, body, said.member, at)
        case AgreementSign(agreement=agreement):
            return _judge_sign(state, agreement, said.member, at)
        case AgreementWithdraw(agreement=agreement):
            return _judge_leave(state, agreement, said.member)
        case MemberAccede(accession=accession):
            return _judge_accede(state, accession, said.member)
        case MemberWithdraw():
            return GRANTED
        case MemberRotate() | KeyRevoke() | RecoveryObject() | OperatorAppoint():
            return _judge_key_change(state, said, at)
        case other:
            raise AssertionError(f"expected a statement of the charter room, got {other!r}")


def judge_speaker(state: CharterState, said: Said[Any], at: Instant) -> Verdict:
    """Whether the signer may say anything at all; every room's statements pass here first.

    A suspended member may: what narrows or ends its own part is always allowed,
    and each room's rules refuse it the rest.
    """
    state = settle(state, at)
    if said.body.KIND == CLOCK_KIND:
        return GRANTED  # log time must pass while founders sign; the ledger's rules judge the clock itself
    if not state.in_force:
        waiting = ", ".join(sorted(state.founders - state.signed)) or "the founders"
        return Denied(GENESIS, f"the charter is not in force before every founder has signed it; waiting for {waiting}")
    if said.member not in state.members:
        return GRANTED  # the operator: state.py has checked its key's role
    standing = state.standings[said.member]
    if standing is Standing.INVITED and not isinstance(said.body, MemberAccede):
        return Denied(MEMBERSHIP, f"{said.member} is invited and has not acceded; sign member.accede first")
    if standing in (Standing.WITHDRAWN, Standing.EXPELLED):
        return Denied(MEMBERSHIP, f"{said.member} is {standing} and no longer a member")
    return GRANTED


def _judge_adopt(state: CharterState, body: CharterAdopt, member: MemberId) -> Verdict:
    founders = {record.id for record in body.charter.members}
    if member not in founders:
        return Denied(GENESIS, f"{member} is no founder of this charter")
    if state.charter is None:
        return _judge_founders(body)
    if state.in_force:
        return Denied(GENESIS, "the charter is in force; amend it by a proposal under topic 'charter'")
    if genesis_of(body.charter) != state.genesis:
        return Denied(GENESIS, f"the first founder signed charter {str(state.genesis)[:12]}; sign the same text")
    if member in state.signed:
        return Denied(GENESIS, f"{member} has already signed the charter")
    return GRANTED


def _judge_founders(body: CharterAdopt) -> Verdict:
    try:
        for record in body.charter.members:
            body.charter.require_suites(record)
    except ValueError as error:
        return Denied(GENESIS, str(error))
    return GRANTED


def _judge_open(state: CharterState, body: ProposalOpen, member: MemberId, at: Instant) -> Verdict:
    assert state.charter is not None
    if at.time_ms == 0:
        # The first clock would jump from 0 past every deadline and close it unheard.
        return Denied("charter, log time", "the log has no time yet; open proposals after its first clock entry")
    if state.charter.find_rule(body.topic) is None:
        topics = ", ".join(sorted(state.charter.articles))
        return Denied("charter, articles", f"no article decides topic {body.topic!r}; topics: {topics}")
    checks = (
        _judge_right(state, member),
        _judge_named(state, body),
        _judge_effect(body),
        _judge_fit(state, body, at),
    )
    return next((verdict for verdict in checks if isinstance(verdict, Denied)), GRANTED)


def _judge_right(state: CharterState, member: MemberId) -> Verdict:
    standing = state.standings.get(member, Standing.UNKNOWN)
    if standing is not Standing.GOOD:
        return Denied(MEMBERSHIP, f"this takes a member in good standing; {member} is {standing}")
    return GRANTED


def _judge_named(state: CharterState, body: ProposalOpen) -> Verdict:
    """Whom the proposal names decides who counts, so nobody may name at will."""
    assert state.charter is not None
    article = f"articles.{body.topic}"
    strangers = sorted({*body.concerned, *body.participants} - set(state.members))
    if strangers:
        return Denied(article, f"{strangers[0]} is no member; name members only")
    rule = state.charter.find_rule(body.topic)
    assert rule is not None
    expected = {change.member for change in (body.standing, body.recovery) if change is not None}
    if any(part.exclude_concerned for part in rule.chain()) and set(body.concerned) != expected:
        whom = ", ".join(expected) or "nobody"
        return Denied(
            article, f"this article leaves out the member whose standing or keys change; name {whom} as concerned"
        )
    if body.agreement is not None and set(body.participants) not in (set(), set(body.agreement.invited)):
        return Denied(article, "the participants of an agreement are those it invites; leave them out")
    if body.status is not None and body.participants:
        return Denied(article, "the participants are the agreement's parties; leave them out")
    if needs_participants(rule) and not (body.participants or body.agreement or body.status):
        return Denied(article, "this article counts participants apart; name those who take part")
    return GRANTED


def _judge_effect(body: ProposalOpen) -> Verdict:
    effects = {
        "agreement": (body.agreement, AGREEMENT),
        "status": (body.status, AGREEMENT),
        "standing": (body.standing, STANDING),
        "charter": (body.charter, CHARTER),
        "accession": (body.accession, ACCESSION),
        "recovery": (body.recovery, RECOVERY),
    }
    carried = {name: topic for name, (effect, topic) in effects.items() if effect is not None}
    if len(carried) > 1:
        return Denied(f"articles.{body.topic}", f"a proposal has one effect, this one carries {', '.join(carried)}")
    if body.amends is not None and body.agreement is None:
        return Denied(f"articles.{body.topic}", "a proposal that amends an agreement carries the new text")
    for name, topic in carried.items():
        if body.topic != topic:
            return Denied(f"articles.{topic}", f"{name} is decided under topic {topic!r}, not {body.topic!r}")
    return GRANTED


def _judge_fit(state: CharterState, body: ProposalOpen, at: Instant) -> Verdict:
    if body.agreement is not None:
        return _judge_text(state, body, at)
    if body.standing is not None:
        return _judge_standing(state, body.standing)
    if body.charter is not None:
        return _judge_amendment(state, body)
    if body.accession is not None:
        return _judge_accession(state, body)
    if body.status is not None:
        return _judge_status(state, body.status, at)
    if body.recovery is not None:
        return _judge_recovery(state, body.recovery, at)
    return GRANTED


def _judge_text(state: CharterState, body: ProposalOpen, at: Instant) -> Verdict:
    assert body.agreement is not None
    strangers = sorted(set(body.agreement.invited) - set(state.members))
    if strangers:
        return Denied("articles.agreement", f"the text invites {strangers[0]}, which is no member")
    if body.agreement.expires_ms is not None and body.agreement.expires_ms <= at.time_ms:
        return Denied("articles.agreement", "the text would have expired before it was adopted")
    if body.amends is not None and life_of(state, body.amends, at) not in SIGNABLE:
        life = life_of(state, body.amends, at)
        return Denied(
            "articles.agreement", f"agreement {body.amends[:12]} is {life}; only an adopted one can be amended"
        )
    return GRANTED


def _judge_standing(state: CharterState, change: StandingChange) -> Verdict:
    standing = state.standings.get(change.member, Standing.UNKNOWN)
    possible = {
        StandingAction.SUSPEND: (Standing.GOOD,),
        StandingAction.REINSTATE: (Standing.SUSPENDED,),
        StandingAction.EXPEL: (Standing.GOOD, Standing.SUSPENDED, Standing.INVITED),
    }
    if standing not in possible[change.action]:
        return Denied("articles.standing", f"cannot {change.action} {change.member}, whose standing is {standing}")
    return GRANTED


def _judge_amendment(state: CharterState, body: ProposalOpen) -> Verdict:
    assert state.charter is not None
    assert body.charter is not None
    try:
        state.charter.with_change(body.charter)
    except ValueError as error:
        return Denied("articles.charter", f"the amended charter would not be valid: {error}")
    return GRANTED


def _judge_accession(state: CharterState, body: ProposalOpen) -> Verdict:
    assert state.charter is not None
    assert body.accession is not None
    if body.accession.id in state.members:
        return Denied("articles.accession", f"the name {body.accession.id} is taken; choose another")
    try:
        state.charter.with_member(body.accession)
    except ValueError as error:
        return Denied("articles.accession", f"the new member does not fit the charter: {error}")
    clash = find_clash(state.keys, body.accession)
    return GRANTED if clash is None else Denied("articles.accession", clash)


def _judge_recovery(state: CharterState, change: Recovery, at: Instant) -> Verdict:
    standing = state.standings.get(change.member, Standing.UNKNOWN)
    if standing not in (Standing.GOOD, Standing.SUSPENDED):
        return Denied("articles.recovery", f"only a member has keys to recover; {change.member} is {standing}")
    if change.from_index is not None and not 0 <= change.from_index <= at.index:
        return Denied("articles.recovery", f"expected from_index of 0 to {at.index}, got {change.from_index}")
    return _judge_keys(state, state.members[change.member], change, "articles.recovery")


def _judge_status(state: CharterState, change: AgreementChange, at: Instant) -> Verdict:
    life = life_of(state, change.agreement, at)
    possible = {
        AgreementAction.SUSPEND: SIGNABLE - {Life.SUSPENDED},
        AgreementAction.RESUME: {Life.SUSPENDED},
        AgreementAction.TERMINATE: SIGNABLE,
    }
    if life not in possible[change.action]:
        return Denied("articles.agreement", f"cannot {change.action} agreement {change.agreement[:12]}: it is {life}")
    return GRANTED


def _judge_take_back(state: CharterState, proposal: Digest, member: MemberId) -> Verdict:
    found = _find_open(state, proposal)
    if isinstance(found, Denied):
        return found
    if found.opener != member:
        return Denied(found.article, f"only {found.opener}, who opened it, may take it back")
    return GRANTED


def _judge_ballot(state: CharterState, body: Ballot, member: MemberId, at: Instant) -> Verdict:
    found = _find_open(state, body.proposal)
    if isinstance(found, Denied):
        return found
    right = _judge_right(state, member)
    if isinstance(right, Denied):
        return right
    if at.time_ms < found.opens_ms:
        return Denied(found.article, f"ballots are accepted from log time {found.opens_ms}")
    if member not in found.voters:
        return Denied(found.article, f"the electorate was frozen at the opening, and {member} is not in it")
    if found.rule.exclude_concerned and member in found.body.concerned:
        return Denied(found.article, f"{member} is concerned and has no part in this decision")
    if found.rule.early_close and member in found.votes:
        return Denied(found.article, f"{member} has voted, and under this rule ballots are final")
    if body.choice in (Choice.OBJECT, Choice.RESERVE) and not body.reason.strip():
        return Denied(found.article, f"to {body.choice} takes a reason on record")
    return _judge_counter_text(found, body)


def _judge_counter_text(found: Proposal, body: Ballot) -> Verdict:
    if body.amendment is None or (found.rule.mode is Mode.SILENCE and body.choice is Choice.OBJECT):
        return GRANTED
    return Denied(found.article, "an amendment comes with an objection to a silence procedure; else open a proposal")


def _find_open(state: CharterState, proposal: Digest) -> Proposal | Denied:
    found = state.proposals.get(proposal)
    if found is None:
        return Denied("charter, proposals", f"no proposal {proposal[:12]} in the log")
    if found.decided is not None:
        outcome = found.decided.outcome
        return Denied(outcome.article, f"the proposal is {outcome.result} already: {outcome.reason}")
    return found


def _judge_sign(state: CharterState, agreement: Digest, member: MemberId, at: Instant) -> Verdict:
    article = f"agreement {agreement[:12]}"
    life = life_of(state, agreement, at)
    if life not in SIGNABLE:
        return Denied(article, f"it can be signed once adopted and until it ends; it is {life}")
    right = _judge_right(state, member)
    if isinstance(right, Denied):
        return right
    found = state.agreements[agreement]
    if not found.text.invites(member):
        return Denied(article, f"it invites {', '.join(sorted(found.text.invited))}, not {member}")
    if member in found.signatures:
        return Denied(article, f"{member} has signed it already")
    return GRANTED


def _judge_leave(state: CharterState, agreement: Digest, member: MemberId) -> Verdict:
    found = state.agreements.get(agreement)
    if found is None or member not in found.signatures:
        return Denied(f"agreement {agreement[:12]}", f"{member} is not party to it")
    return GRANTED


def _judge_accede(state: CharterState, accession: Digest, member: MemberId) -> Verdict:
    found = state.proposals.get(accession)
    record = found.body.accession if found is not None else None
    if state.standings.get(member) is not Standing.INVITED or record != state.members.get(member):
        return Denied("articles.accession", f"{member} accedes by naming the adopted proposal that invites it")
    return GRANTED


def _judge_keys(state: CharterState, record: MemberRecord, change: MemberRotate | Recovery, article: str) -> Verdict:
    assert state.charter is not None
    try:
        following = next_record(record, change)
        state.charter.with_member(following)
    except ValueError as error:
        return Denied(article, f"these keys do not fit: {error}")
    clash = find_clash(state.keys, following)
    return GRANTED if clash is None else Denied(article, clash)


def _judge_key_change(state: CharterState, said: Said[Any], at: Instant) -> Verdict:
    match said.body:
        case MemberRotate() as body:
            return _judge_rotate(state, body, said)
        case KeyRevoke() as body:
            return _judge_revoke(state, body, said.member, at)
        case OperatorAppoint() as body:
            return _judge_appoint(state, body, said.member, at)
        case body:
            return _judge_objection(state, body, said.member)


def _judge_rotate(state: CharterState, body: MemberRotate, said: Said[Any]) -> Verdict:
    record = state.members.get(body.member)
    if record is None or said.member != body.member:
        return Denied(KEYS, f"a member names its own keys; {said.member} cannot name those of {body.member}")
    if body.version != record.version + 1:
        return Denied(KEYS, f"{body.member} has keys of version {record.version}; expected {record.version + 1} next")
    present = root_keys(state.keys, record)
    if said.key not in present and not present & state.words.get(word_of(said), frozenset()):
        # Else whoever makes a key could fill the log with rotations of others.
        return Denied(KEYS, f"a present root key of {body.member} has to say this before a new one does")
    return _judge_keys(state, record, body, KEYS)


def _judge_revoke(state: CharterState, body: KeyRevoke, member: MemberId, at: Instant) -> Verdict:
    holder = state.keys.get(body.key)
    if holder is None or holder.member != member:
        return Denied(KEYS, f"key {body.key[:12]} is none of {member}'s")
    if holder.revoked:
        return Denied(KEYS, f"key {body.key[:12]} is revoked already, from index {holder.until}")
    if not holder.since <= body.from_index <= at.index:
        return Denied(KEYS, f"expected from_index of {holder.since} to {at.index}, got {body.from_index}")
    record = state.members[member]
    if len(root_keys(state.keys, record) - {body.key}) < record.root_threshold:
        return Denied(KEYS, f"too few root keys of {member} would be left; rotate them, or let the others recover them")
    return GRANTED


def _judge_objection(state: CharterState, body: RecoveryObject, member: MemberId) -> Verdict:
    found = state.recoveries.get(body.proposal)
    if found is None or found.body.member != member:
        return Denied(KEYS, f"no decision {body.proposal[:12]} gives {member} new keys")
    if found.stage is not RecoveryStage.COOLING:
        return Denied(KEYS, f"the recovery of {member}'s keys is {found.stage} already")
    return GRANTED


def _judge_appoint(state: CharterState, body: OperatorAppoint, member: MemberId, at: Instant) -> Verdict:
    right = _judge_right(state, member)
    if isinstance(right, Denied):
        return right
    gathering = state.appointing if state.appointing and state.appointing.body == body else None
    place = body.size if gathering is None else gathering.next_index
    if at.index != place:
        return Denied(
            "articles.operations", f"this signature stands at index {place}, right after what it is about, or nowhere"
        )
    if gathering is not None and member in gathering.members:
        return Denied("articles.operations", f"{member} has signed this appointment already")
    if key_id(body.operator) in state.keys:
        return Denied("articles.operations", "a successor has a key of its own, which nobody had before")
    return GRANTED
