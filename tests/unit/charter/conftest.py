"""A center for the tests of this room: it judges and applies, and keeps the time it is told."""

import hashlib
from dataclasses import replace
from fractions import Fraction

import pytest

from serai.charter.agreements import AgreementText, Clause, Life, Term
from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.constitution import TOPICS, Charter
from serai.charter.decision import Choice, Outcome
from serai.charter.members import MemberRecord
from serai.charter.rules import judge
from serai.charter.state import CharterState, apply, life_of, outcome_of, parties_of, settle
from serai.charter.statements import AgreementSign, Ballot, CharterAdopt, ProposalOpen
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied, Granted, Verdict

WINDOW_MS = 100
START_MS = 1_000


def public_key(member: str, role: str) -> bytes:
    return hashlib.sha256(f"{member} {role}".encode()).digest()


def record(member: str, groups: tuple[str, ...] = ()) -> MemberRecord:
    roles = (Role.ROOT, Role.DELEGATE, Role.STEWARD, Role.ZONE, Role.WITNESS)
    keys = {role.value: (public_key(member, role),) for role in roles}
    return MemberRecord(id=MemberId(member), name=member.title(), keys=keys, groups=groups)


def majority(**changes: object) -> Rule:
    quorum = Criterion(share=HALF, base=Base.ELIGIBLE)
    rule = Rule(mode=Mode.VOTE, window_ms=WINDOW_MS, criteria=(Criterion(share=HALF),), quorum=quorum)
    return replace(rule, **changes)


def charter(members: tuple[str, ...] = ("a", "b", "c", "d", "e"), **changes: object) -> Charter:
    two_thirds = Criterion(share=Fraction(2, 3), strict=False, base=Base.ELIGIBLE)
    rules = {topic: majority() for topic in TOPICS}
    rules |= {
        "standing": majority(exclude_concerned=True, criteria=(two_thirds,)),
        "operations": Rule(mode=Mode.SILENCE, window_ms=WINDOW_MS, fallback=majority()),
        "consensus": Rule(mode=Mode.CONSENSUS, window_ms=WINDOW_MS),
        "quick": majority(early_close=True),
        "noticed": majority(notice_ms=10),
    }
    founding = Charter(
        name="Caravan",
        origin="serai.example/caravan",
        log_key="serai.example/caravan+00000000+AA==",
        operator=public_key("operator", "operator"),
        members=tuple(record(member) for member in members),
        articles=rules,
        faulty=1,
        notice_ms=50,
    )
    return replace(founding, **changes)


def text(**changes: object) -> AgreementText:
    draft = AgreementText(
        title="Heart disease",
        language="en",
        text="Research on heart disease.",
        scope=("train",),
        clauses=(Clause(id="1", text="At least ten rows."),),
        terms=(Term(name="min_cohort", value=10, clause="1"),),
        ratifications=2,
    )
    return replace(draft, **changes)


class Center:
    """The room's rules and state, driven one statement at a time."""

    def __init__(self, founding: Charter) -> None:
        self.state = CharterState()
        self.founding = founding
        self.at = Instant(0, START_MS)
        self.said: list[tuple[Said, Instant]] = []

    def found(self) -> "Center":
        for member in self.founding.members:
            self.do(member.id, CharterAdopt(charter=self.founding), Role.ROOT)
        return self

    def say(
        self, member: str, body: object, role: Role = Role.DELEGATE, key: bytes | None = None
    ) -> tuple[Verdict, Digest]:
        """Judge a statement and apply it if it is granted; every entry settles first, as the fold does."""
        at = self.at
        self.state = settle(self.state, at)
        name = digest_of(f"statement {at.index}".encode())
        said = Said(name, body, MemberId(member), role, key_id(key or public_key(member, role)), name)
        verdict = judge(self.state, said, at)
        if isinstance(verdict, Granted):
            self.state = apply(self.state, said, at)
            self.said.append((said, at))
        self.at = Instant(at.index + 1, at.time_ms)
        return verdict, name

    def do(self, member: str, body: object, role: Role = Role.DELEGATE, key: bytes | None = None) -> Digest:
        verdict, name = self.say(member, body, role, key)
        assert isinstance(verdict, Granted), verdict
        return name

    def refuse(self, member: str, body: object, role: Role = Role.DELEGATE, key: bytes | None = None) -> Denied:
        verdict, _ = self.say(member, body, role, key)
        assert isinstance(verdict, Denied), f"expected a denial of {body}"
        return verdict

    def wait(self, time_ms: int) -> None:
        """Let log time pass, which the next entry notices."""
        self.at = Instant(self.at.index + 1, self.at.time_ms + time_ms)
        self.state = settle(self.state, self.at)

    def open(self, topic: str = "project", opener: str = "a", **changes: object) -> Digest:
        return self.do(opener, ProposalOpen(topic=topic, title="T", text="Shall we?", **changes))

    def vote(self, proposal: Digest, choice: str, *members: str) -> None:
        for member in members:
            self.do(member, Ballot(proposal=proposal, choice=Choice(choice), reason="on record"))

    def outcome(self, proposal: Digest) -> Outcome:
        return outcome_of(self.state, proposal, self.at)

    def decide(self, proposal: Digest, choice: str = "yes", members: tuple[str, ...] = ("a", "b", "c", "d")) -> Outcome:
        self.vote(proposal, choice, *members)
        self.wait(WINDOW_MS)
        return self.outcome(proposal)

    def agreement(self, *signers: str, **changes: object) -> Digest:
        """An adopted agreement, signed."""
        agreement = self.open("agreement", agreement=text(**changes))
        self.decide(agreement)
        for member in signers:
            self.do(member, AgreementSign(agreement=agreement))
        return agreement

    def life(self, agreement: Digest) -> Life:
        return life_of(self.state, agreement, self.at)

    def parties(self, agreement: Digest) -> frozenset[MemberId]:
        return parties_of(self.state, agreement, self.at)


@pytest.fixture
def center() -> Center:
    return Center(charter()).found()


@pytest.fixture
def make_center() -> type[Center]:
    return Center


@pytest.fixture
def make_charter():
    return charter


@pytest.fixture
def make_record():
    return record


@pytest.fixture
def make_text():
    return text


@pytest.fixture
def make_majority():
    return majority
