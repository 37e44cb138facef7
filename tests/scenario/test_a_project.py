"""A joint project from a need to the close, with real runs, an incident in the midst of one, and a model released."""

import pytest

from serai.analytics.state import evaluations_of
from serai.charter.decision import Choice
from serai.charter.state import parties_of
from serai.charter.statements import AgreementSign, AgreementWithdraw, Ballot, ProposalOpen
from serai.errors import Refused
from serai.hub.statements import Release
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.programme.fairness import assess
from serai.programme.indicators import Moment, measure
from serai.programme.items import Item, Kind
from serai.programme.projects import commitment_of
from serai.programme.stages import Stage, find_transition
from serai.programme.statements import (
    Document,
    HoldKind,
    PlanAdd,
    PlanReport,
    PlanSnapshot,
    ProjectAdvance,
    ProjectBack,
    ProjectBenefit,
    ProjectHold,
    ProjectLift,
    ProjectOpen,
    ReviewCommit,
    ReviewDeclare,
    ReviewOpen,
)
from serai.state import record_of
from serai.testing.documents import agreement_text
from serai.zones.statements import Approval

FEATURES = {"features": "3"}
DAY_MS = 24 * 3_600_000


class Told:
    """The story of one project of bern's."""

    def __init__(self, story):
        self.story, self.bloc = story, story.bloc
        self.id = self.bloc.say("bern", ProjectOpen(title="Hearts", need="Nobody has enough rows.", language="en"))

    @property
    def stage(self):
        return self.bloc.state.programme.projects.projects[self.id].stage

    def go(self, member, to, **cited):
        way = find_transition(self.stage, to)
        documents = tuple(Document(kind=kind, digest=digest_of(kind.encode()), language="en") for kind in way.documents)
        self.bloc.say(member, ProjectAdvance(project=self.id, to=to, documents=documents, **cited))

    def review(self, *members):
        reviews = {
            member: ReviewOpen(project=self.id, technical=4, scientific=5, text="Good.", salt=member.encode() * 8)
            for member in members
        }
        for member in members:
            self.bloc.say(member, ReviewDeclare(project=self.id))
        for member, review in reviews.items():
            self.bloc.say(member, ReviewCommit(project=self.id, commitment=commitment_of(review, member)))
        for member, review in reviews.items():
            self.bloc.say(member, review)

    def agree(self):
        text = agreement_text(invited=tuple(self.bloc.members))
        proposal = self.bloc.say(
            "bern", ProposalOpen(topic="agreement", title="Hearts", text=f"For project {self.id}.", agreement=text)
        )
        self.bloc.say("bern", Ballot(proposal=proposal, choice=Choice.YES))
        self.bloc.say("lima", Ballot(proposal=proposal, choice=Choice.RESERVE, reason="Rows of children stay out."))
        self.bloc.say("oslo", Ballot(proposal=proposal, choice=Choice.ABSTAIN))
        return proposal

    def join(self, agreement, *members):
        for member in members:
            self.bloc.say(member, AgreementSign(agreement=agreement))
            self.bloc.grant(member, agreement)
        self.bloc.settle()

    def release(self, run):
        state = self.bloc.state
        model = self.story.final(run)
        evaluations = evaluations_of(state.analytics, run, model).values()
        return Release(
            run=run,
            model=model,
            size_bytes=self.bloc.center_parts.blobs.size(model),
            format="safetensors",
            title="Hearts",
            card=digest_of(b"card"),
            license="Apache-2.0",
            evaluations=tuple(evaluation.id for evaluation in evaluations),
        )

    @property
    def moment(self):
        state = self.bloc.state
        return Moment(record=record_of(state), programme=state.programme, at=state.now)


@pytest.fixture
def told(story):
    return Told(story)


def test_a_project_goes_from_a_need_to_a_released_model_in_use_and_closes(told):
    bloc = told.bloc
    bloc.say("lima", ProjectBack(project=told.id))
    told.go("bern", Stage.CONCEPT)
    told.go("bern", Stage.PROPOSAL)
    told.go("bern", Stage.REVIEW)
    told.review("lima", "oslo")
    told.go("bern", Stage.DECISION)
    agreement = told.agree()
    told.go("bern", Stage.AGREEMENT, proposal=agreement)
    told.join(agreement, "bern", "lima")  # oslo stays out, and stops nobody
    told.go("lima", Stage.ALLOCATION)
    with pytest.raises(Refused, match="takes dry-run or run"):
        bloc.train(agreement, "newton", 1, FEATURES)

    told.go("lima", Stage.DRY_RUN)
    dry_run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    told.go("bern", Stage.RUN, run=dry_run)
    told.join(agreement, "oslo")  # late, to the text as it stands

    run = bloc.train(agreement, "newton", 3, FEATURES)
    told.story.step_until(lambda: told.story.round(run) and told.story.round(run).uploads)
    hold = bloc.say("oslo", ProjectHold(project=told.id, kind=HoldKind.INCIDENT, reason="A leak?"), Role.ZONE)
    bloc.settle()
    frozen = told.story.round(run)
    assert (frozen.body.number, frozen.closed) == (0, None), "nothing goes on while an incident lasts"
    bloc.say("oslo", ProjectLift(project=told.id, hold=hold, reason="No leak."))
    bloc.settle()
    assert told.story.final(run) is not None
    told.go("oslo", Stage.EVALUATION, run=run)

    with pytest.raises(Refused, match="this takes release"):
        bloc.say("bern", told.release(run))
    for member in ("bern", "lima"):
        bloc.say(member, Approval(subject=told.story.final(run), comment=""), Role.STEWARD)
    with pytest.raises(Refused, match="a steward of oslo approves"):
        told.go("bern", Stage.RELEASE)
    bloc.say("oslo", Approval(subject=told.story.final(run), comment=""), Role.STEWARD)
    told.go("bern", Stage.RELEASE)
    bloc.say("bern", told.release(run))
    told.go("bern", Stage.USE)
    bloc.say("lima", ProjectBenefit(project=told.id, text="Two clinics use it."))
    bloc.say("oslo", AgreementWithdraw(agreement=agreement, reason="Our law has changed."))
    told.go("lima", Stage.CLOSED)
    bloc.settle()

    assert told.stage is Stage.CLOSED
    assert parties_of(bloc.state.charter, agreement, bloc.state.now) == {"bern", "lima"}
    figures = measure(told.moment)
    assert (figures["runs_finished"], figures["models_released"], figures["releasing_members"]) == (2, 1, 3)
    assert (figures["projects_closed"], figures["projects_open"], figures["benefit_reports"]) == (1, 0, 1)
    fair = assess(told.moment)
    assert fair["inclusion"].members == {"bern": 1, "lima": 1, "oslo": 1}
    assert fair["reviews"].members == {"bern": None, "lima": 1, "oslo": 1}


def test_a_task_of_the_plan_is_done_by_a_release_and_the_year_s_figures_stand_in_every_replay(told):
    bloc = told.bloc
    due_ms = bloc.now_ms + 30 * DAY_MS
    items = (
        Item(number="1", kind=Kind.GOAL, title="Health"),
        Item(number="1.1", kind=Kind.ACTION, title="Hearts"),
        Item(number="1.1.1", kind=Kind.TASK, title="Name the need", owner="bern", due_ms=due_ms),
    )
    bloc.say("lima", PlanAdd(items=items))
    bloc.pass_time(4 * DAY_MS)
    bloc.say("bern", PlanReport(task="1.1.1", text="Named.", evidence=(told.id,), done=True))
    bloc.pass_time(130 * DAY_MS)
    values = measure(told.moment)
    assert (values["tasks_done"], values["projects_open"]) == (1, 1)
    with pytest.raises(Refused, match="tasks_done is 1 in the log, not 2"):
        bloc.say("oslo", PlanSnapshot(year=2026, values={**values, "tasks_done": values["tasks_done"] + 1}))
    bloc.say("oslo", PlanSnapshot(year=2026, values=values))
    bloc.settle()
    for member in bloc.members.values():
        assert member.state.programme.plan.snapshots[2026].values == values
