"""Laws of projects: whatever members say in whatever order, no stage is skipped and no review opens early."""

import hashlib
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from serai.charter.constitution import Charter
from serai.charter.members import MemberRecord
from serai.charter.presets import PRESETS, with_window
from serai.charter.state import apply as apply_charter
from serai.charter.statements import CharterAdopt
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import Said
from serai.kernel.verdict import Granted
from serai.programme.projects import commitment_of
from serai.programme.stages import Stage, find_transition
from serai.programme.statements import (
    Document,
    HoldKind,
    ProjectAdvance,
    ProjectBack,
    ProjectHold,
    ProjectLift,
    ProjectOpen,
    ReviewCommit,
    ReviewDeclare,
    ReviewOpen,
)
from serai.state import State, apply, digest_state, judge

MEMBERS = ("bern", "lima", "oslo")
WINDOW_MS = 10
ENOUGH = 2  # of three members, all but the lead
DOCUMENTS = ("concept", "proposal", "impact-assessment", "close-out")

members = st.sampled_from(MEMBERS)
stages = st.sampled_from([stage for stage in Stage if stage not in (Stage.RUN, Stage.RENEWAL)])
reviewing = st.one_of(
    st.tuples(members, st.just("back")),
    st.tuples(members, st.just("advance"), stages),
    st.tuples(members, st.just("on")),
    st.tuples(members, st.just("declare"), st.sampled_from(["", "", "ours"])),
    st.tuples(members, st.just("commit")),
    st.tuples(members, st.just("open")),
)
acts = st.one_of(
    reviewing,
    st.tuples(members, st.just("hold"), st.sampled_from(list(HoldKind))),
    st.tuples(members, st.just("lift")),
    st.tuples(members, st.just("wait"), st.integers(1, 2 * WINDOW_MS)),
)


def public_key(member, role):
    return hashlib.sha256(f"{member}{role}".encode()).digest()


def record(member):
    keys = {role: (public_key(member, role),) for role in Role if role is not Role.OPERATOR}
    return MemberRecord(id=member, name=member, keys={role.value: key for role, key in keys.items()})


FOUNDING = Charter(
    name="C",
    origin="o",
    log_key="k",
    operator=bytes(32),
    members=tuple(record(member) for member in MEMBERS),
    articles=with_window(PRESETS["consortium"], WINDOW_MS),
)


class Log:
    def __init__(self):
        self.state = State(time_ms=1_000)
        self.granted = []
        for member in MEMBERS:
            said = self.said(member, CharterAdopt(charter=FOUNDING))
            charter = apply_charter(self.state.charter, said, self.state.now)
            self.state = replace(self.state, charter=charter, size=self.state.size + 1)
        self.project = self.say("bern", ProjectOpen(title="T", need="N", language="en"))

    def said(self, member, body):
        name, role = digest_of(f"{self.state.size}".encode()), min(body.ROLES)
        return Said(name, body, member, role, key_id(public_key(member, role)), name)

    def say(self, member, body):
        said = self.said(member, body)
        if isinstance(judge(self.state, said, self.state.now), Granted):
            self.state = apply(self.state, said, self.state.now)
            self.granted.append(body)
        self.state = replace(self.state, size=self.state.size + 1)
        return said.id

    @property
    def found(self):
        return self.state.programme.projects.projects[self.project]

    def do(self, member, act, *given):
        match act:
            case "back":
                self.say(member, ProjectBack(project=self.project))
            case "advance":
                self.advance(member, *given)
            case "on":  # to where a project without trouble would go, so that some stories come far
                order = list(Stage)
                self.advance(member, order[min(order.index(self.found.stage) + 1, len(order) - 1)])
            case "declare":
                self.say(member, ReviewDeclare(project=self.project, conflict=given[0]))
            case "commit":
                self.say(
                    member, ReviewCommit(project=self.project, commitment=commitment_of(self.review(member), member))
                )
            case "open":
                self.say(member, self.review(member))
            case "hold":
                self.say(member, ProjectHold(project=self.project, kind=given[0], reason="R"))
            case "lift":
                for hold in self.found.open_holds[:1]:
                    self.say(member, ProjectLift(project=self.project, hold=hold.id, reason="R"))
            case "wait":
                self.state = replace(self.state, time_ms=self.state.time_ms + given[0])

    def advance(self, member, to):
        way = find_transition(self.found.stage, to)
        kinds = way.documents if way else DOCUMENTS
        documents = tuple(Document(kind=kind, digest=digest_of(b""), language="en") for kind in kinds)
        self.say(member, ProjectAdvance(project=self.project, to=to, documents=documents))

    def review(self, member):
        return ReviewOpen(project=self.project, technical=1, scientific=2, text="T", salt=member.encode() * 8)


def told(story):
    log = Log()
    for member, act, *rest in story:
        before = log.found
        log.do(member, act, *rest)
        yield before, log


@settings(max_examples=150, deadline=None)
@given(st.lists(acts, max_size=40))
def test_whatever_is_said_no_stage_is_skipped_and_holds_hold(story):
    for before, log in told(story):
        if len(log.found.steps) > len(before.steps):
            assert find_transition(before.stage, log.found.stage) is not None
            assert not before.open_holds
            assert before.stage is not Stage.CLOSED


@settings(max_examples=150, deadline=None)
@given(st.lists(reviewing, min_size=10, max_size=60))
def test_no_review_opens_before_enough_have_committed_and_none_commits_after(story):
    started = [("lima", "back"), ("bern", "on"), ("bern", "on"), ("bern", "on")]
    for before, log in told([*started, *story]):
        panel = log.found.panel
        assert set(panel.reviews) <= set(panel.commitments) <= panel.free
        if panel.reviews:
            assert len(panel.commitments) >= ENOUGH
            assert panel.free == set(panel.commitments)
        if before.panel.reviews and log.found.since == before.since:
            assert panel.commitments == before.panel.commitments


@settings(max_examples=50, deadline=None)
@given(st.lists(acts, max_size=40))
def test_the_same_words_add_up_to_the_same_state(story):
    digests = set()
    for _ in range(2):
        log = Log()
        for member, act, *rest in story:
            log.do(member, act, *rest)
        digests.add(digest_state(log.state))
    assert len(digests) == 1
