"""A log for the tests of this room: it judges and applies by the fold's own functions, and keeps the time it is told."""

import hashlib
from dataclasses import replace

import pytest
from immutables import Map

from serai.aggregation.state import Closed, Progress, Round
from serai.aggregation.statements import RoundClose, RoundOpen, RoundResult
from serai.analytics.state import EvaluationRecord
from serai.analytics.statements import Evaluation
from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.constitution import TOPICS, Charter
from serai.charter.decision import Choice
from serai.charter.members import MemberRecord
from serai.charter.state import apply as apply_charter
from serai.charter.state import settle
from serai.charter.statements import AgreementSign, Ballot, CharterAdopt, ProposalOpen
from serai.hub.state import ReleaseRecord
from serai.hub.statements import Release
from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied, Granted
from serai.programme.fairness import assess
from serai.programme.indicators import Moment, measure
from serai.state import State, apply, judge, record_of
from serai.testing.documents import agreement_text, run_plan
from serai.training.state import Run
from serai.zones.statements import Column, Offer

MEMBERS = ("bern", "lima", "oslo", "suva")
WINDOW_MS = 1_000
DAY_MS = 24 * 3_600_000
ROWS = {"bern": 100, "lima": 80, "oslo": 10, "suva": 5}
JOINT = digest_of(b"joint")
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


def name(text):
    return digest_of(text.encode())


class World:
    """A log in which runs went as it is told, without the words that would have made them go."""

    def __init__(self, log):
        self.log = log
        for member in log.members:
            self.offer(member, ROWS.get(member, 50))
        self.runs = 0

    def offer(self, member, rows, dataset=None):
        column = Column(name="x", kind="number", unit="", description="")
        body = Offer(
            dataset=name(dataset or member),
            title="T",
            description="D",
            rows=rows,
            columns=(column,),
            jurisdiction="XX",
            terms=(),
        )
        return self.log.do(member, body, Role.STEWARD)

    def run(self, *, planner="bern", opener="bern", summed=("bern", "lima"), wait_ms=DAY_MS, rounds=1, agreement=None):
        """A run of the given rounds under a new agreement, each of all members with the given uploads; its id."""
        log = self.log
        agreement = agreement or log.adopt(
            "Shall we?", opener, "agreement", agreement=agreement_text(invited=log.members)
        )
        log.wait(wait_ms)
        self.runs += 1
        id_ = name(f"run {self.runs}")
        plan = run_plan(
            agreement, dict.fromkeys(log.members, name("o")), "newton", {"features": "3"}, rounds=rounds, round_ms=1
        )
        keys = Map({member: bytes([number]) * 32 for number, member in enumerate(log.members)})
        state = log.state
        run = Run(id=id_, plan=plan, planner=planner, at=state.now, keys=keys)
        log.state = replace(state, runs=replace(state.runs, plans=state.runs.plans.set(id_, run)))
        for number in range(rounds):
            self.round(id_, number, summed)
        return id_

    def round(self, run, number, summed):
        state = self.log.state
        body = RoundOpen(
            run=run, number=number, model=name("m"), participants=self.log.members, deadline_ms=state.time_ms, steps={}
        )
        id_ = name(f"{run} {number}")
        close = RoundClose(open=id_, uploads=dict.fromkeys(summed, name("u")), masked_sum=name("s"))
        results = {member: RoundResult(close=name("c"), total=name("t"), model=JOINT) for member in summed}
        made = Round(
            id=id_,
            salt=id_,
            body=body,
            at=state.now,
            done=number,
            closed=Closed(id=name("c"), body=close, at=state.now),
            results=Map(results),
        )
        rounds = replace(
            state.rounds,
            rounds=state.rounds.rounds.set(id_, made),
            runs=state.rounds.runs.set(run, Progress(current=id_, opened=number + 1, finished=number)),
        )
        self.log.state = replace(state, rounds=rounds)

    def evaluate(self, run, member, model, correct, n=100):
        state = self.log.state
        id_ = name(f"{run} {member} {model}")
        body = Evaluation(run=run, model=model, offer=name("o"), counts={"n": n, "correct": correct})
        found = EvaluationRecord(id=id_, member=member, body=body, at=state.now)
        by_model = state.analytics.by_model
        members = by_model.get((run, model), Map()).set(member, id_)
        analytics = replace(
            state.analytics,
            evaluations=state.analytics.evaluations.set(id_, found),
            by_model=by_model.set((run, model), members),
        )
        self.log.state = replace(state, analytics=analytics)

    def release(self, run):
        state = self.log.state
        body = Release(
            run=run, model=JOINT, size_bytes=1, format="x", title="T", card=JOINT, license="MIT", evaluations=()
        )
        at = Instant(state.size + len(state.hub.releases), state.time_ms)
        record = ReleaseRecord(id=name(f"release {run}"), member="bern", body=body, at=at)
        self.log.state = replace(state, hub=replace(state.hub, releases=state.hub.releases.set(record.id, record)))

    @property
    def moment(self):
        state = self.log.state
        return Moment(record=record_of(state), programme=state.programme, at=state.now)

    def assess(self, index, **options):
        return assess(self.moment, **options)[index]

    def measure(self, indicator):
        return measure(self.moment)[indicator]


@pytest.fixture
def world(log):
    return World(log)


@pytest.fixture
def make_world():
    return World


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def make_log():
    return Log
