"""A log for the tests of this room: it judges and applies by the fold's own functions, and keeps the time it is told."""

import hashlib
from dataclasses import replace

import pytest

from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.constitution import TOPICS, Charter
from serai.charter.decision import Choice
from serai.charter.members import MemberRecord
from serai.charter.state import apply as apply_charter
from serai.charter.state import settle
from serai.charter.statements import AgreementSign, Ballot, CharterAdopt, ProposalOpen
from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied, Granted
from serai.state import State, apply, judge

MEMBERS = ("bern", "lima", "oslo", "suva")
WINDOW_MS = 1_000
START_MS = 1_790_000_000_000  # in September 2026
ROLES = (Role.ROOT, Role.DELEGATE, Role.STEWARD, Role.ZONE, Role.WITNESS)


def public_key(member, role):
    return hashlib.sha256(f"{member} {role}".encode()).digest()


def charter(members=MEMBERS):
    vote = Rule(
        mode=Mode.VOTE,
        window_ms=WINDOW_MS,
        criteria=(Criterion(share=HALF, base=Base.ELIGIBLE),),
        early_close=True,
    )
    articles = dict.fromkeys(TOPICS, vote)
    articles["operations"] = Rule(mode=Mode.SILENCE, window_ms=WINDOW_MS)
    return Charter(
        name="Caravan",
        origin="serai.example/caravan",
        log_key="serai.example/caravan+00000000+AA==",
        operator=public_key("operator", "operator"),
        members=tuple(
            MemberRecord(id=member, name=member, keys={role.value: (public_key(member, role),) for role in ROLES})
            for member in members
        ),
        articles=articles,
        weights={"votes": dict.fromkeys(members, 1)},
    )


class Log:
    """What members say, one statement at a time."""

    def __init__(self, members=MEMBERS):
        self.members = members
        self.state = State(time_ms=START_MS)
        founding = charter(members)
        for member in members:
            said = self.said(member, CharterAdopt(charter=founding), Role.ROOT)
            self.state = replace(
                self.state, charter=apply_charter(self.state.charter, said, self.state.now), size=self.state.size + 1
            )

    def said(self, member, body, role):
        name = digest_of(f"statement {self.state.size}".encode())
        return Said(name, body, MemberId(member), role, key_id(public_key(member, role)), name)

    def say(self, member, body, role=Role.DELEGATE):
        at = self.state.now
        self.state = replace(self.state, charter=settle(self.state.charter, at))
        said = self.said(member, body, role)
        verdict = judge(self.state, said, at)
        if isinstance(verdict, Granted):
            self.state = apply(self.state, said, at)
        self.state = replace(self.state, size=at.index + 1)
        return verdict, said.id

    def do(self, member, body, role=Role.DELEGATE):
        verdict, name = self.say(member, body, role)
        assert isinstance(verdict, Granted), verdict
        return name

    def refuse(self, member, body, role=Role.DELEGATE):
        verdict, _ = self.say(member, body, role)
        assert isinstance(verdict, Denied), f"expected a denial of {body}"
        return verdict

    def wait(self, ms=WINDOW_MS):
        self.state = replace(self.state, time_ms=self.state.time_ms + ms)
        self.state = replace(self.state, charter=settle(self.state.charter, self.state.now))

    @property
    def now_ms(self):
        return self.state.time_ms

    def adopt(self, text, opener="bern", topic="project", **effect):
        proposal = self.do(opener, ProposalOpen(topic=topic, title="T", text=text, **effect))
        for member in self.members:
            self.do(member, Ballot(proposal=proposal, choice=Choice.YES))
        return proposal

    def sign(self, agreement, *members):
        for member in members or self.members:
            self.do(member, AgreementSign(agreement=agreement))

    def at(self, time_ms):
        return Instant(self.state.size, time_ms)


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def make_log():
    return Log
