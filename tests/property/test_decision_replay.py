"""Laws of the fold: whatever members say and however time jumps, replays agree and what is decided stays decided."""

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from serai.charter.agreements import AgreementText
from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.constitution import TOPICS, Charter
from serai.charter.decision import Choice, Result
from serai.charter.members import MemberRecord
from serai.charter.rules import judge
from serai.charter.state import (
    CharterState,
    apply,
    get_proposal,
    life_of,
    next_deadline_ms,
    obliged_by,
    outcome_of,
    parties_of,
    settle,
)
from serai.charter.statements import (
    AgreementChange,
    AgreementSign,
    AgreementWithdraw,
    Ballot,
    CharterAdopt,
    MemberAccede,
    MemberWithdraw,
    ProposalOpen,
    ProposalWithdraw,
    StandingChange,
)
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import Granted

MEMBERS = tuple("abcd")
NEWCOMER = "e"
EVERYONE = (*MEMBERS, NEWCOMER)


def record(member):
    keys = {
        role: (hashlib.sha256(f"{member}{role}".encode()).digest(),)
        for role in (Role.ROOT, Role.DELEGATE, Role.WITNESS)
    }
    return MemberRecord(id=member, name=member, keys={role.value: key for role, key in keys.items()})


VOTE = Rule(mode=Mode.VOTE, window_ms=3, criteria=(Criterion(share=HALF),))
STANDING = Rule(
    mode=Mode.VOTE,
    window_ms=2,
    criteria=(Criterion(share=Fraction(1, 2), base=Base.ELIGIBLE),),
    exclude_concerned=True,
    early_close=True,
)
ARTICLES = dict.fromkeys(TOPICS, VOTE) | {
    "standing": STANDING,
    "project": Rule(mode=Mode.CONSENSUS, window_ms=2, notice_ms=1, fallback=VOTE),
    "operations": Rule(mode=Mode.SILENCE, window_ms=2, fallback=VOTE),
}
FOUNDING = Charter(
    name="C",
    origin="o",
    log_key="k",
    operator=bytes(32),
    members=tuple(record(member) for member in MEMBERS),
    articles=ARTICLES,
    faulty=1,
    notice_ms=3,
)


@dataclass(frozen=True)
class Step:
    """One move: who, what, about which of the proposals so far, and how long after the last."""

    kind: str
    member: str
    target: int
    choice: Choice
    pause_ms: int


steps = st.builds(
    Step,
    kind=st.sampled_from(
        ["ballot"] * 6
        + ["all vote yes", "sign"] * 5
        + ["operations", "project", "agreement", "agreement", "standing", "accession", "status"] * 2
        + ["take back", "leave", "withdraw"]
        + ["accede"] * 3
    ),
    member=st.sampled_from(EVERYONE),
    target=st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 9]),
    choice=st.sampled_from(list(Choice)),
    pause_ms=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 2, 7]),
)


def body_of(step, proposals):
    """The statement of a step; it may well be one that the rules refuse."""
    target = proposals[step.target % len(proposals)] if proposals else digest_of(b"nothing")
    other = EVERYONE[step.target % 5]
    opening = {"title": "T", "text": "t"}
    action = ("suspend", "reinstate", "expel")[step.target % 3]
    amendment = "other" if step.target % 4 == 0 and step.choice is Choice.OBJECT else None
    bodies = {
        "ballot": lambda: Ballot(proposal=target, choice=step.choice, reason="r", amendment=amendment),
        "sign": lambda: AgreementSign(agreement=target),
        "leave": lambda: AgreementWithdraw(agreement=target),
        "take back": lambda: ProposalWithdraw(proposal=target),
        "withdraw": MemberWithdraw,
        "accede": lambda: MemberAccede(accession=target),
        "operations": lambda: ProposalOpen(topic="operations", **opening),
        "project": lambda: ProposalOpen(topic="project", **opening),
        "agreement": lambda: ProposalOpen(
            topic="agreement",
            agreement=AgreementText(
                title="T", language="en", text="t", scope=("train",), ratifications=1, effective_ms=3, expires_ms=30
            ),
            amends=target if step.target % 5 == 0 and proposals else None,
            **opening,
        ),
        "standing": lambda: ProposalOpen(
            topic="standing", concerned=(other,), standing=StandingChange(member=other, action=action), **opening
        ),
        "accession": lambda: ProposalOpen(topic="accession", accession=record(NEWCOMER), **opening),
        "status": lambda: ProposalOpen(
            topic="agreement",
            status=AgreementChange(agreement=target, action=("suspend", "resume", "terminate")[step.target % 3]),
            **opening,
        ),
    }
    return bodies[step.kind]()


def founded():
    state = CharterState()
    for index, member in enumerate(MEMBERS):
        name = digest_of(member.encode())
        said = Said(name, CharterAdopt(charter=FOUNDING), member, Role.ROOT, name, name)
        assert judge(state, said, Instant(index, 0)) == Granted()
        state = apply(state, said, Instant(index, 0))
    return state


def statements_of(step, proposals):
    """Who says what in a step."""
    if step.kind == "all vote yes":
        ballot = replace(step, kind="ballot", choice=Choice.YES)
        return [(member, body_of(ballot, proposals)) for member in MEMBERS]
    return [(step.member, body_of(step, proposals))]


def run(moves):
    """The state after each statement, with its instant."""
    state, proposals, at = founded(), [], Instant(len(MEMBERS), 1)
    for step in moves:
        at = Instant(at.index, at.time_ms + step.pause_ms)
        for member, body in statements_of(step, proposals):
            state = settle(state, at)
            name = digest_of(f"{at.index}".encode())
            role = Role.ROOT if isinstance(body, MemberAccede) else Role.DELEGATE
            said = Said(name, body, member, role, name, name)
            if isinstance(judge(state, said, at), Granted):
                state = apply(state, said, at)
            yield state, at
            at = Instant(at.index + 1, at.time_ms)
        proposals = sorted(state.proposals, key=lambda proposal: (-state.proposals[proposal].opened.index, proposal))


moves = st.lists(steps, max_size=40)


@given(moves)
@settings(max_examples=60, deadline=None)
def test_two_replays_of_one_log_agree(moves):
    assert list(run(moves)) == list(run(moves))


@given(moves)
@settings(max_examples=60, deadline=None)
def test_what_is_decided_stays_decided_and_the_agenda_holds_the_rest(moves):
    decided = {}
    for state, at in run(moves):
        for proposal, ended in decided.items():
            assert get_proposal(state, proposal).decided == ended
        for name, proposal in state.proposals.items():
            assert (proposal.decided is None) == (name in state.agenda)
            if proposal.decided is not None:
                decided[name] = proposal.decided
                assert proposal.decided.time_ms <= at.time_ms
                assert proposal.decided.outcome.result in (Result.ADOPTED, Result.REJECTED)
            else:
                assert proposal.closes_ms > at.time_ms
        assert state.due_ms == min((closes_ms for closes_ms, _ in state.agenda.values()), default=None)


@given(moves, st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_questions_ahead_of_time_change_nothing_and_agree_with_what_comes(moves, ahead_ms):
    for state, at in run(moves):
        later = Instant(at.index + 1, at.time_ms + ahead_ms)
        settled = settle(state, later)
        for proposal in state.proposals:
            assert outcome_of(state, proposal, later) == outcome_of(settled, proposal, later)
        deadline_ms = next_deadline_ms(state, at)
        assert deadline_ms is None or deadline_ms > at.time_ms
        if state.agenda:
            assert deadline_ms is not None


@given(moves)
@settings(max_examples=60, deadline=None)
def test_nothing_changes_between_deadlines(moves):
    for state, at in run(moves):
        deadline_ms = next_deadline_ms(state, at)
        calm = Instant(at.index + 1, at.time_ms + 1_000 if deadline_ms is None else deadline_ms - 1)
        assert settle(state, calm) == state
        for agreement in state.agreements:
            assert life_of(state, agreement, calm) == life_of(state, agreement, at)


@given(moves)
@settings(max_examples=60, deadline=None)
def test_parties_signed_and_owe_their_duties(moves):
    for state, at in run(moves):
        for name, agreement in state.agreements.items():
            parties = parties_of(state, name, at)
            assert parties <= frozenset(agreement.signatures)
            assert parties <= obliged_by(state, name, at)


@given(st.permutations([(member, choice) for member, choice in zip(MEMBERS, Choice, strict=False)]), st.booleans())
def test_the_order_in_which_members_vote_does_not_matter(order, with_change):
    opening = digest_of(b"opening")
    state = founded()
    body = ProposalOpen(topic="agreement", title="T", text="t")
    state = apply(state, Said(opening, body, "a", Role.DELEGATE, opening, opening), Instant(9, 1))
    earlier = [(member, Choice.NO) for member, _ in order] if with_change else []
    for index, (member, choice) in enumerate([*earlier, *order], start=10):
        name = digest_of(f"{index}".encode())
        ballot = Ballot(proposal=opening, choice=choice, reason="r")
        state = apply(state, Said(name, ballot, member, Role.DELEGATE, name, name), Instant(index, 1))
    outcome = outcome_of(state, opening, Instant(99, 4))
    assert outcome.reason == "it takes yes from more than 1/2 of heads cast: 1 yes, 2 no, 1 abstaining, 0 silent"
