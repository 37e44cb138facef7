"""A project's life: each way on, what it needs, who takes it, and what stops it."""

from dataclasses import replace

import pytest

from serai.charter.statements import AgreementSign, AgreementWithdraw, ProposalOpen
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.programme.project_rules import judge_restraint
from serai.programme.projects import commitment_of
from serai.programme.reviews import enough
from serai.programme.stages import LIFE, Need, Stage, Who, find_transition, ways_on
from serai.programme.statements import (
    PROJECT_STATEMENTS,
    Document,
    HoldKind,
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
from serai.state import Jobs, digest_state, record_of
from serai.testing.documents import agreement_text, run_plan
from serai.training.statements import Action
from serai.zones.statements import Approval, Grant

WINDOW_MS = 1_000
JOINT = digest_of(b"joint")


def document(kind, language="en", **changes):
    return replace(Document(kind=kind, digest=digest_of(kind.encode()), language=language), **changes)


class Life:
    """A project of bern's in a log of four members, taken on step by step."""

    def __init__(self, world):
        self.world, self.log = world, world.log
        self.id = self.log.do("bern", ProjectOpen(title="Rivers", need="Floods come unannounced.", language="en"))
        self.agreement = self.dry_run = self.run = None

    @property
    def project(self):
        return self.log.state.programme.projects.projects[self.id]

    def step(self, to, **fields):
        way = find_transition(self.project.stage, to)
        documents = tuple(document(kind) for kind in way.documents) if way else ()
        return ProjectAdvance(project=self.id, to=to, **{"documents": documents, **fields})

    def go(self, to, member="bern", **fields):
        self.log.do(member, self.step(to, **fields))
        assert self.project.stage is to

    def denied(self, to, member="bern", **fields):
        return self.log.refuse(member, self.step(to, **fields))

    def review(self, member, score=4):
        return ReviewOpen(
            project=self.id, technical=score, scientific=5, text=f"{member} likes it.", salt=member.encode() * 8
        )

    def declare(self, *members, conflict=""):
        for member in members:
            self.log.do(member, ReviewDeclare(project=self.id, conflict=conflict))

    def commit(self, *members):
        for member in members:
            made = commitment_of(self.review(member), member)
            self.log.do(member, ReviewCommit(project=self.id, commitment=made))

    def open(self, *members):
        for member in members:
            self.log.do(member, self.review(member))

    def decide(self, text="{}", **effect):
        return self.log.adopt(text.format(self.id), **effect)

    def until(self, stage):
        """Take the project to a stage as it should go."""
        order = [way for way in Stage if way is not Stage.RENEWAL]
        for step in order[order.index(self.project.stage) + 1 : order.index(stage) + 1]:
            getattr(self, f"_to_{step.name.lower()}")()
        assert self.project.stage is stage
        return self

    def _to_concept(self):
        self.log.say("lima", ProjectBack(project=self.id))
        self.go(Stage.CONCEPT)

    def _to_proposal(self):
        self.go(Stage.PROPOSAL)

    def _to_review(self):
        self.go(Stage.REVIEW)

    def _to_decision(self):
        reviewers = ("lima", "oslo", "suva")
        self.declare(*reviewers)
        self.commit(*reviewers)
        self.open(*reviewers)
        self.go(Stage.DECISION)

    def _to_agreement(self):
        text = agreement_text(invited=self.log.members)
        self.agreement = self.decide("Project {}", topic="agreement", agreement=text)
        self.go(Stage.AGREEMENT, proposal=self.agreement)

    def _to_allocation(self):
        self.log.sign(self.agreement, "bern", "lima", "oslo")
        self.go(Stage.ALLOCATION, "lima")

    def _to_dry_run(self):
        self.grant("bern", "lima")
        self.go(Stage.DRY_RUN, "lima")

    def grant(self, *members):
        for member in members:
            self.log.do(
                member, Grant(offer=self.world.offer(member, 50), agreement=self.agreement, terms=()), Role.STEWARD
            )

    def _to_run(self):
        self.dry_run = self.world.run(agreement=self.agreement)
        self.go(Stage.RUN, run=self.dry_run)

    def _to_evaluation(self):
        self.run = self.world.run(agreement=self.agreement)
        self.go(Stage.EVALUATION, run=self.run)

    def evaluate(self, *members):
        for member in members:
            self.world.evaluate(self.run, member, JOINT, 90)

    def consent(self, *members):
        for member in members:
            self.log.do(member, Approval(subject=JOINT, comment=""), Role.STEWARD)

    def _to_release(self):
        self.evaluate("bern", "lima")
        self.consent("bern", "lima")
        self.go(Stage.RELEASE)

    def _to_use(self):
        self.world.release(self.run)
        hub = self.log.state.hub
        hub = replace(hub, by_model=hub.by_model.set(JOINT, next(iter(hub.releases))))
        self.log.state = replace(self.log.state, hub=hub)
        self.go(Stage.USE)

    def restraint(self, body):
        return judge_restraint(record_of(self.log.state), self.log.state.programme.projects, body)

    def plan(self):
        offers = dict.fromkeys(self.log.members, digest_of(b"o"))
        return run_plan(self.agreement, offers, "newton", {"features": "3"}, rounds=1, round_ms=1)


@pytest.fixture
def life(world):
    return Life(world)


# The table


def test_every_stage_is_reached_and_every_stage_but_the_last_leads_on():
    assert {way.to for way in LIFE} | {Stage.NEED} == set(Stage)
    assert {way.origin for way in LIFE} == set(Stage) - {Stage.CLOSED}


def test_there_is_one_way_at_most_between_two_stages():
    ways = [(way.origin, way.to) for way in LIFE]
    assert len(set(ways)) == len(ways)


def test_every_need_is_asked_for_somewhere():
    assert {need for way in LIFE for need in way.needs} == set(Need)


def test_a_project_can_be_ended_from_everywhere():
    assert {way.origin for way in LIFE if way.to is Stage.CLOSED} == set(Stage) - {Stage.CLOSED}


def test_what_was_agreed_is_never_ended_by_the_lead_alone():
    bound = {stage for stage in Stage if any(way.who is Who.PARTY for way in ways_on(stage))}
    assert all(way.who is Who.PARTY for way in LIFE if way.to is Stage.CLOSED and way.origin in bound)


# From a need to the close


def test_a_project_goes_from_need_to_close(life):
    life.until(Stage.USE)
    life.log.do("lima", ProjectBenefit(project=life.id, text="Two basins warned.", evidence=(JOINT,)))
    life.go(Stage.CLOSED, "oslo")
    assert [step.stage for step in life.project.steps] == [
        *(Stage.NEED, Stage.CONCEPT, Stage.PROPOSAL, Stage.REVIEW, Stage.DECISION, Stage.AGREEMENT, Stage.ALLOCATION),
        *(Stage.DRY_RUN, Stage.RUN, Stage.EVALUATION, Stage.RELEASE, Stage.USE, Stage.CLOSED),
    ]
    assert (life.project.dry_run, life.project.run, life.project.agreement) == (life.dry_run, life.run, life.agreement)
    assert life.project.benefits[0].text == "Two basins warned."
    assert "was closed" in life.log.refuse("lima", ProjectBack(project=life.id)).reason


def test_a_renewed_project_runs_again_on_runs_of_its_own(life):
    life.until(Stage.USE)
    assert life.denied(Stage.RENEWAL).article == "project 5"
    life.go(Stage.RENEWAL, proposal=life.decide())
    life.go(Stage.ALLOCATION)
    life.go(Stage.DRY_RUN)
    for old in (life.dry_run, life.run):
        assert "rested on before" in life.denied(Stage.RUN, run=old).reason
    life.go(Stage.RUN, run=life.world.run(agreement=life.agreement))


def test_a_renewal_may_come_under_an_amended_text(life):
    life.until(Stage.USE)
    life.go(Stage.RENEWAL, proposal=life.decide())
    amended = life.decide(
        "Again {}", topic="agreement", agreement=agreement_text(invited=life.log.members), amends=life.agreement
    )
    life.go(Stage.AGREEMENT, proposal=amended)
    assert life.project.agreement == amended


def test_a_model_that_is_not_good_enough_is_trained_again(life):
    life.until(Stage.EVALUATION)
    life.go(Stage.RUN, "oslo", note="suva gains nothing")
    assert life.project.dry_run == life.dry_run
    again = life.world.run(agreement=life.agreement)
    life.go(Stage.EVALUATION, run=again)
    assert life.project.run == again


@pytest.mark.parametrize("stage", [Stage.NEED, Stage.CONCEPT, Stage.PROPOSAL, Stage.REVIEW, Stage.DECISION])
def test_before_anything_is_agreed_the_lead_may_drop_it(life, stage):
    life.until(stage)
    assert life.denied(Stage.CLOSED, "lima").article == "project 3"
    life.go(Stage.CLOSED, note="no money")


@pytest.mark.parametrize("stage", [Stage.AGREEMENT, Stage.DRY_RUN, Stage.EVALUATION])
def test_what_was_agreed_ends_early_by_decision_and_with_a_close_out(life, stage):
    life.until(stage)
    life.log.say("bern", AgreementSign(agreement=life.agreement))
    assert "spells out" in life.denied(Stage.CLOSED).reason
    decided = life.decide("End {}.")
    assert life.denied(Stage.CLOSED, proposal=decided, documents=()).article == "project 4"
    life.go(Stage.CLOSED, proposal=decided)


# What each way needs


@pytest.mark.parametrize(
    ("stage", "to", "said"),
    [
        (Stage.NEED, Stage.CONCEPT, "another member backs it"),
        (Stage.REVIEW, Stage.DECISION, "3 reviews are open"),
        (Stage.DECISION, Stage.AGREEMENT, "an adopted proposal spells out"),
        (Stage.ALLOCATION, Stage.DRY_RUN, "2 parties grant data"),
        (Stage.DRY_RUN, Stage.RUN, "names a run under agreement"),
        (Stage.RUN, Stage.EVALUATION, "names a run under agreement"),
        (Stage.EVALUATION, Stage.RELEASE, "bern, lima evaluates model"),
        (Stage.RELEASE, Stage.USE, "is released"),
    ],
)
def test_a_way_whose_need_is_not_in_the_log_is_closed(life, stage, to, said):
    life.until(stage)
    denied = life.denied(to)
    assert denied.article == "project 5"
    assert said in denied.reason


def test_an_agreement_that_is_not_in_force_allocates_nothing(life):
    life.until(Stage.AGREEMENT)
    life.log.sign(life.agreement, "bern")
    assert "is in force, and it is open-for-signature" in life.denied(Stage.ALLOCATION).reason


def test_the_lead_cannot_lay_hands_on_an_agreement_that_does_not_name_the_project(life):
    life.until(Stage.DECISION)
    text = agreement_text(invited=life.log.members)
    foreign = life.log.adopt("Something else.", topic="agreement", agreement=text)
    assert "spells out" in life.denied(Stage.AGREEMENT, proposal=foreign).reason
    assert "carries an agreement" in life.denied(Stage.AGREEMENT, proposal=life.decide()).reason
    undecided = life.log.do(
        "bern", ProposalOpen(topic="agreement", title="T", text=f"Project {life.id}", agreement=text)
    )
    assert "an adopted proposal" in life.denied(Stage.AGREEMENT, proposal=undecided).reason


def test_an_agreement_is_that_of_one_project(life):
    other = Life(life.world)
    text = agreement_text(invited=life.log.members)
    for each in (life, other):
        each.until(Stage.DECISION)
    shared = life.decide(f"Projects {{}} and {other.id}", topic="agreement", agreement=text)
    life.go(Stage.AGREEMENT, proposal=shared)
    assert "that of a project already" in other.denied(Stage.AGREEMENT, proposal=shared).reason


def test_a_grant_of_one_who_left_does_not_count(life):
    life.until(Stage.ALLOCATION)
    life.grant("bern", "lima")
    life.log.do("lima", AgreementWithdraw(agreement=life.agreement))
    assert "1 do" in life.denied(Stage.DRY_RUN).reason


def test_a_run_that_was_not_under_the_agreement_or_has_not_finished_proves_nothing(life):
    life.until(Stage.DRY_RUN)
    foreign = life.world.run()
    assert "names a run under" in life.denied(Stage.RUN, run=foreign).reason
    unfinished = life.world.run(agreement=life.agreement, rounds=2)
    rounds = life.log.state.rounds
    halted = replace(rounds, runs=rounds.runs.set(unfinished, replace(rounds.runs[unfinished], finished=0)))
    life.log.state = replace(life.log.state, rounds=halted)
    assert "has finished" in life.denied(Stage.RUN, run=unfinished).reason


def test_a_run_that_only_looked_at_a_model_is_none_that_a_project_rests_on(life):
    life.until(Stage.RUN)
    runs, looked = life.log.state.runs, life.world.run(agreement=life.agreement)
    run = life.log.state.runs.plans[looked]
    looks = replace(run, plan=replace(run.plan, action=Action.EVALUATE))
    life.log.state = replace(life.log.state, runs=replace(runs, plans=life.log.state.runs.plans.set(looked, looks)))
    assert "only looks at one" in life.denied(Stage.EVALUATION, run=looked).reason


def test_the_dry_run_is_not_the_run(life):
    life.until(Stage.RUN)
    assert "rested on before" in life.denied(Stage.EVALUATION, run=life.dry_run).reason


def test_a_release_takes_every_steward_s_consent_and_not_a_delegate_s(life):
    life.until(Stage.EVALUATION)
    life.evaluate("bern", "lima")
    life.consent("bern")
    life.log.do("lima", Approval(subject=JOINT, comment=""), Role.DELEGATE)
    assert "a steward of lima approves" in life.denied(Stage.RELEASE).reason
    life.consent("lima")
    life.go(Stage.RELEASE)


# Who, documents, forms


def test_each_way_is_taken_by_whom_it_is_for(life):
    life.log.do("lima", ProjectBack(project=life.id))
    assert "bern leads" in life.denied(Stage.CONCEPT, "lima").reason
    life.until(Stage.AGREEMENT)
    life.log.sign(life.agreement, "bern", "lima")
    assert "suva is none" in life.denied(Stage.ALLOCATION, "suva").reason
    life.log.sign(life.agreement, "suva")  # a late accession
    life.go(Stage.ALLOCATION, "suva")


def test_no_stage_is_skipped(life):
    denied = life.denied(Stage.RUN)
    assert denied.article == "project 3"
    assert "goes to concept, closed, not to run" in denied.reason


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ((), "comes an authoritative concept"),
        ((document("concept", authoritative=False),), "comes an authoritative concept"),
        ((document("concept"), document("concept", "fr")), "one language is authoritative, not 2"),
        ((document("concept"), document("annex", authoritative=False)), "one language is authoritative, not 0"),
        ((document("concept"), document("concept", authoritative=False)), "once in each language"),
        (tuple(document("concept", f"x{n}", authoritative=not n) for n in range(65)), "at most 64"),
    ],
)
def test_documents_come_with_one_authoritative_text_of_each_kind(life, documents, said):
    life.log.do("lima", ProjectBack(project=life.id))
    denied = life.denied(Stage.CONCEPT, documents=documents)
    assert denied.article == "project 4"
    assert said in denied.reason


def test_translations_come_beside_the_authoritative_text(life):
    life.log.do("lima", ProjectBack(project=life.id))
    both = (document("concept"), document("concept", "fr", authoritative=False))
    life.go(Stage.CONCEPT, documents=both)
    assert life.project.steps[-1].documents == both


@pytest.mark.parametrize("changes", [{"title": " "}, {"need": ""}, {"language": ""}])
def test_a_need_says_what_is_needed(log, changes):
    body = replace(ProjectOpen(title="Rivers", need="Floods.", language="en"), **changes)
    assert log.refuse("bern", body).article == "project 2"


def test_a_backer_is_somebody_else_and_backs_once(life):
    assert life.log.refuse("bern", ProjectBack(project=life.id)).article == "project 2"
    life.log.do("lima", ProjectBack(project=life.id))
    assert life.log.refuse("lima", ProjectBack(project=life.id)).article == "project 2"
    assert life.log.refuse("lima", ProjectBack(project=JOINT)).article == "project 1"


def test_a_log_without_a_time_has_no_projects(log):
    log.state = replace(log.state, time_ms=0)
    assert log.refuse("bern", ProjectOpen(title="T", need="N", language="en")).article == "project 1"


# Blind review


def test_no_review_opens_before_all_have_committed(life):
    life.until(Stage.REVIEW)
    life.declare("lima", "oslo", "suva")
    life.commit("lima", "oslo")
    assert life.log.refuse("lima", life.review("lima")).article == "review 4"
    life.commit("suva")
    life.open("lima")
    assert "all 3 committed to; 1 are" in life.denied(Stage.DECISION).reason
    life.open("oslo", "suva")
    life.go(Stage.DECISION)


def test_conflicts_are_declared_first_and_end_a_reviewer_s_part(life):
    life.until(Stage.REVIEW)
    commit = ReviewCommit(project=life.id, commitment=JOINT)
    assert "has not declared" in life.log.refuse("lima", commit).reason
    life.declare("lima", conflict="We would run it.")
    assert "declared a conflict" in life.log.refuse("lima", commit).reason
    assert life.log.refuse("lima", ReviewDeclare(project=life.id)).article == "review 2"
    assert life.log.refuse("bern", ReviewDeclare(project=life.id)).article == "review 1"


def test_a_review_is_the_one_that_was_committed_to(life):
    life.until(Stage.REVIEW)
    life.declare("lima", "oslo", "suva")
    life.commit("lima", "oslo", "suva")
    assert life.log.refuse("lima", ReviewCommit(project=life.id, commitment=JOINT)).article == "review 3"
    for changes in ({"technical": 5}, {"text": "No."}, {"salt": bytes(32)}, {"technical": 6}, {"salt": b""}):
        assert life.log.refuse("lima", replace(life.review("lima"), **changes)).article == "review 5"
    life.open("lima")
    assert life.log.refuse("lima", life.review("lima")).article == "review 5"
    assert life.log.refuse("suva", ReviewDeclare(project=life.id)).article == "review 2"


def test_a_copied_commitment_opens_for_nobody_else(life):
    assert commitment_of(life.review("lima"), "lima") != commitment_of(life.review("lima"), "oslo")


def test_one_that_never_commits_or_never_opens_holds_nobody_up_for_ever(life):
    life.until(Stage.REVIEW)
    life.declare("lima", "oslo", "suva")
    life.commit("lima", "oslo")
    life.log.wait()
    assert life.log.refuse("lima", life.review("lima")).article == "review 4"  # two are not enough
    life.commit("suva")
    life.open("lima", "oslo")
    life.log.wait()
    assert "3 reviews are open" in life.denied(Stage.DECISION).reason
    life.open("suva")
    life.go(Stage.DECISION)


def test_where_enough_have_committed_time_opens_their_reviews(make_world, make_log):
    life = Life(make_world(make_log(("bern", "lima", "oslo", "suva", "cusco"))))
    life.until(Stage.REVIEW)
    life.declare("lima", "oslo", "suva", "cusco")
    life.commit("lima", "oslo", "suva")
    assert "once cusco has committed" in life.log.refuse("lima", life.review("lima")).reason
    life.log.wait()
    life.open("lima", "oslo", "suva")
    life.go(Stage.DECISION)


def test_a_review_that_never_opens_is_not_waited_for_where_enough_have(make_world, make_log):
    life = Life(make_world(make_log(("bern", "lima", "oslo", "suva", "cusco"))))
    life.until(Stage.REVIEW)
    life.declare("lima", "oslo", "suva", "cusco")
    life.commit("lima", "oslo", "suva", "cusco")
    life.open("lima", "oslo", "suva")
    assert life.denied(Stage.DECISION).article == "project 5"
    life.log.wait(2 * WINDOW_MS)
    life.go(Stage.DECISION)


def test_a_better_proposal_is_reviewed_anew(life):
    life.until(Stage.REVIEW)
    life.declare("lima", conflict="ours")
    life.go(Stage.PROPOSAL)
    life.go(Stage.REVIEW)
    life.declare("lima")
    assert life.project.panel.free == {"lima"}
    life.go(Stage.PROPOSAL)
    assert life.log.refuse("oslo", ReviewDeclare(project=life.id)).article == "review 1"


def test_in_a_small_bloc_all_others_are_enough(make_world, make_log):
    life = Life(make_world(make_log(("bern", "lima", "oslo"))))
    assert enough(record_of(life.log.state), life.project, life.log.state.now) == 2


# Holds


def test_an_incident_freezes_runs_until_it_is_lifted(life):
    life.until(Stage.RUN)
    run = life.world.run(agreement=life.agreement)
    jobs = Jobs(life.log.state, life.log.state.now)
    assert run in jobs
    hold = life.log.do("oslo", ProjectHold(project=life.id, kind=HoldKind.INCIDENT, reason="A leak."), Role.ZONE)
    assert run not in Jobs(life.log.state, life.log.state.now)
    assert "is frozen: A leak." in life.restraint(life.plan()).reason
    assert "oslo holds it for incident" in life.denied(Stage.EVALUATION, run=run).reason
    life.log.do("oslo", ProjectLift(project=life.id, hold=hold, reason="Sealed."))
    assert run in Jobs(life.log.state, life.log.state.now)
    assert life.restraint(life.plan()) is None
    life.go(Stage.EVALUATION, run=run)


def test_an_incident_in_one_project_stops_no_other_run(life):
    life.until(Stage.RUN)
    other = life.world.run()
    life.log.sign(life.log.state.runs.plans[other].plan.agreement)
    life.log.do("oslo", ProjectHold(project=life.id, kind=HoldKind.INCIDENT, reason="A leak."))
    assert other in Jobs(life.log.state, life.log.state.now)


def test_a_dispute_keeps_the_stage_and_lets_runs_go_on(life):
    life.until(Stage.RUN)
    run = life.world.run(agreement=life.agreement)
    life.log.do("oslo", ProjectHold(project=life.id, kind=HoldKind.DISPUTE, reason="Credit."))
    assert run in Jobs(life.log.state, life.log.state.now)
    assert life.denied(Stage.EVALUATION, run=run).article == "project 6"


def test_a_hold_ends_by_who_placed_it_or_by_a_decision_that_names_it(life):
    life.until(Stage.RUN)
    hold = life.log.do("oslo", ProjectHold(project=life.id, kind=HoldKind.INCIDENT, reason="A leak."))
    lift = ProjectLift(project=life.id, hold=hold, reason="No leak.")
    assert life.log.refuse("bern", lift).article == "project 8"
    assert life.log.refuse("bern", replace(lift, proposal=life.decide("Go on."))).article == "project 8"
    assert "what was found" in life.log.refuse("oslo", replace(lift, reason=" ")).reason
    life.log.do("bern", replace(lift, proposal=life.decide(f"Lift {hold}.")))
    assert life.project.open_holds == ()
    assert "no hold" in life.log.refuse("oslo", lift).reason


def test_only_those_bound_hold_a_project_once_for_each_kind_and_say_why(life):
    life.until(Stage.ALLOCATION)
    hold = ProjectHold(project=life.id, kind=HoldKind.INCIDENT, reason="A leak.")
    assert life.log.refuse("suva", hold).article == "project 7"
    assert life.log.refuse("oslo", replace(hold, reason=" ")).article == "project 7"
    life.log.do("oslo", hold)
    assert life.log.refuse("oslo", hold).article == "project 7"
    life.log.do("oslo", replace(hold, kind=HoldKind.DISPUTE))
    life.log.do("lima", hold)


# What other rooms are held to


@pytest.mark.parametrize("stage", [Stage.ALLOCATION, Stage.EVALUATION, Stage.USE])
def test_no_run_is_planned_out_of_its_stage(life, stage):
    life.until(stage)
    denied = life.restraint(life.plan())
    assert denied.article == "project 10"
    assert "takes dry-run or run" in denied.reason


@pytest.mark.parametrize("stage", [Stage.RUN, Stage.EVALUATION, Stage.USE])
def test_a_model_is_evaluated_for_as_long_as_it_is_used(life, stage):
    life.until(stage)
    assert life.restraint(replace(life.plan(), action=Action.EVALUATE)) is None


def test_before_its_first_run_a_project_evaluates_nothing(life):
    life.until(Stage.ALLOCATION)
    denied = life.restraint(replace(life.plan(), action=Action.EVALUATE))
    assert "takes dry-run or evaluation or release or run or use" in denied.reason


def test_a_run_that_no_project_goes_by_is_free(life):
    life.until(Stage.ALLOCATION)
    assert life.restraint(replace(life.plan(), agreement=JOINT)) is None
    assert life.restraint(ProjectBack(project=life.id)) is None


def test_a_model_is_released_in_its_stage_and_of_its_run(life):
    life.until(Stage.EVALUATION)
    life.world.release(life.run)
    (release,) = (record.body for record in life.log.state.hub.releases.values())
    assert "takes release" in life.restraint(release).reason
    life.evaluate("bern", "lima")
    life.consent("bern", "lima")
    life.go(Stage.RELEASE)
    assert life.restraint(release) is None
    assert "releases what run" in life.restraint(replace(release, run=life.dry_run)).reason
    assert life.restraint(replace(release, run=JOINT)) is None  # the hub's own rules know no such run


def test_the_fold_asks_the_project_before_the_rules_of_runs(life):
    life.until(Stage.ALLOCATION)
    verdict, _ = life.log.say("bern", life.plan())
    assert verdict.article == "project 10"


def test_benefits_are_told_by_parties_once_the_model_is_in_use(life):
    told = ProjectBenefit(project=life.id, text="Two basins warned.")
    life.until(Stage.RELEASE)
    assert life.log.refuse("lima", told).article == "project 9"
    life.until(Stage.USE)
    assert life.log.refuse("suva", told).article == "project 9"
    assert life.log.refuse("lima", replace(told, text=" ")).article == "project 9"
    life.log.do("lima", told)


def test_the_same_words_give_the_same_state_in_every_replay(make_world, make_log):
    first, second = (Life(make_world(make_log())).until(Stage.USE).log.state for _ in range(2))
    assert digest_state(first) == digest_state(second)


def test_every_statement_about_projects_is_known_to_the_fold():
    assert [body.KIND for body in PROJECT_STATEMENTS] == [
        *("project.open", "project.back", "project.advance", "review.declare", "review.commit", "review.open"),
        *("project.hold", "project.lift", "project.benefit"),
    ]
