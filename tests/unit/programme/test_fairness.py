"""Fairness indices over logs made by hand: what each measures, for whom, and when it alarms."""

from dataclasses import replace
from fractions import Fraction

import pytest
from immutables import Map

from serai.aggregation.state import Closed, Progress, Round
from serai.aggregation.statements import RoundClose, RoundOpen, RoundResult
from serai.analytics.state import EvaluationRecord
from serai.analytics.statements import Evaluation
from serai.charter.decision import Choice
from serai.charter.statements import Ballot, ProposalOpen, ProposalWithdraw
from serai.errors import Missing
from serai.hub.state import ReleaseRecord
from serai.hub.statements import Release
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.units import Instant
from serai.programme.fairness import INDICES, assess, sides_of
from serai.programme.indicators import INDICATORS, Moment, active_members, measure
from serai.state import record_of
from serai.testing.documents import agreement_text, run_plan
from serai.training.state import Run
from serai.zones.statements import Column, Offer

DAY_MS = 24 * 3_600_000
ROWS = {"bern": 100, "lima": 80, "oslo": 10, "suva": 5}
JOINT = digest_of(b"joint")


def name(text):
    return digest_of(text.encode())


class World:
    """A log in which runs went as it is told, without the words that would have made them go."""

    def __init__(self, log):
        self.log = log
        for member, rows in ROWS.items():
            self.offer(member, rows)
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

    def run(self, planner="bern", opener="bern", summed=("bern", "lima"), wait_ms=DAY_MS, rounds=1):
        """A run of the given rounds under a new agreement, each of all members with the given uploads; its id."""
        log = self.log
        agreement = log.adopt("Shall we?", opener, "agreement", agreement=agreement_text(invited=log.members))
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
        return Moment(record=record_of(state), plan=state.programme.plan, at=state.now)

    def assess(self, index, **options):
        return assess(self.moment, **options)[index]

    def measure(self, indicator):
        return measure(self.moment)[indicator]


@pytest.fixture
def world(log):
    return World(log)


# Who is small


def test_small_is_below_the_median_of_rows_offered(world):
    assert sides_of(world.moment, "rows").small == {"oslo", "suva"}


def test_a_dataset_counts_once_however_often_it_is_offered(world):
    world.offer("suva", 90, "suva")
    world.offer("suva", 90, "suva")
    assert world.measure("rows_offered") == 100 + 80 + 10 + 90
    assert sides_of(world.moment, "rows").small == {"lima", "oslo"}


def test_small_can_be_a_matter_of_weights_or_of_a_group(world):
    assert sides_of(world.moment, "weight:votes").small == frozenset()
    for yardstick in ("weight:wealth", "group:island", "wealth"):
        with pytest.raises(Missing):
            sides_of(world.moment, yardstick)


# Indices


def test_parity_of_leads_compares_how_often_small_and_large_members_are_heard(world):
    log = world.log
    for opener, choice in (("bern", "yes"), ("lima", "yes"), ("oslo", "no"), ("suva", "yes"), ("suva", "no")):
        proposal = log.do(opener, ProposalOpen(topic="project", title="T", text="?"))
        for member in log.members:
            log.do(member, Ballot(proposal=proposal, choice=Choice(choice)))
    found = world.assess("lead_parity")
    assert found.members == {"bern": 1, "lima": 1, "oslo": 0, "suva": Fraction(1, 2)}
    assert (found.value, found.alarm) == (Fraction(1, 4), True)
    assert not world.assess("lead_parity", thresholds={"lead_parity": Fraction(1, 4)}).alarm


def test_a_proposal_taken_back_was_not_decided(world):
    log = world.log
    log.do("oslo", ProposalWithdraw(proposal=log.do("oslo", ProposalOpen(topic="project", title="T", text="?"))))
    found = world.assess("lead_parity")
    assert (found.members["oslo"], found.value, found.alarm) == (None, None, False)
    assert world.assess("voice").members["oslo"] == 1


def test_voice_counts_those_that_never_speak(world):
    for opener in ("bern", "bern", "lima", "oslo"):
        world.log.do(opener, ProposalOpen(topic="project", title="T", text="?"))
    found = world.assess("voice")
    assert found.members == {"bern": 2, "lima": 1, "oslo": 1, "suva": 0}
    assert (found.value, found.alarm) == (Fraction(1, 3), True)


def test_access_is_the_wait_from_a_proposal_to_its_first_round(world):
    world.run(opener="bern", wait_ms=2 * DAY_MS)
    world.run(opener="bern", wait_ms=4 * DAY_MS)
    assert world.assess("access_days").value is None
    world.run(opener="oslo", wait_ms=6 * DAY_MS)
    found = world.assess("access_days")
    assert found.members == {"bern": 3, "lima": None, "oslo": 6, "suva": None}
    assert (found.value, found.alarm) == (2, False)
    world.run(opener="suva", wait_ms=7 * DAY_MS)
    assert world.assess("access_days").alarm


def test_nobody_is_worse_off_together_or_it_shows(world):
    run = world.run()
    world.evaluate(run, "bern", JOINT, 90)
    world.evaluate(run, "bern", name("bern alone"), 80)
    world.evaluate(run, "suva", JOINT, 70)
    found = world.assess("gain")
    assert found.members == {"bern": Fraction(1, 10), "lima": None, "oslo": None, "suva": None}
    assert not found.alarm
    world.evaluate(run, "suva", name("suva alone"), 75)
    world.evaluate(run, "suva", name("suva alone, worse"), 60)
    found = world.assess("gain")
    assert (found.value, found.alarm) == (Fraction(-1, 20), True)


def test_a_gap_that_widens_two_releases_running_alarms(world):
    for best in (80, 85, 90):
        run = world.run()
        world.evaluate(run, "bern", JOINT, best)
        world.evaluate(run, "suva", JOINT, 70)
        assert world.assess("gap").value is None
        world.release(run)
    found = world.assess("gap")
    assert found.members["bern"] == Fraction(9, 10)
    assert (found.value, found.alarm) == (Fraction(1, 20), True)
    run = world.run()
    world.evaluate(run, "bern", JOINT, 90)
    world.release(run)
    assert not world.assess("gap").alarm


def test_inclusion_is_the_share_of_rounds_with_one_s_upload(world):
    world.run(summed=("bern", "lima", "oslo"))
    world.run(summed=("bern", "lima"))
    world.run(summed=("bern", "lima"))
    found = world.assess("inclusion")
    assert found.members == {"bern": 1, "lima": 1, "oslo": Fraction(1, 3), "suva": 0}
    assert (found.value, found.alarm) == (0, True)
    assert world.assess("sums").members == {"bern": 3, "lima": 3, "oslo": 1, "suva": None}


def test_one_member_that_plans_most_runs_alarms_from_four_runs_on(world):
    for planner in ("bern", "bern", "bern"):
        world.run(planner=planner)
    assert not world.assess("leading").alarm
    world.run(planner="oslo")
    found = world.assess("leading")
    assert (found.members["bern"], found.value, found.alarm) == (Fraction(3, 4), Fraction(3, 4), True)
    world.run(planner="lima")
    world.run(planner="suva")
    assert not world.assess("leading").alarm


def test_an_empty_log_alarms_nobody(log):
    found = assess(World(log).moment)
    assert set(found) == set(INDICES)
    assert not any(index.alarm for index in found.values())


def test_an_index_is_shown_even_where_it_never_alarms(world):
    world.run()
    assert world.assess("sums").value is None


# Indicators


def test_indicators_count_what_runs_came_to(world):
    run = world.run(rounds=3)
    world.evaluate(run, "bern", JOINT, 90)
    world.evaluate(run, "lima", JOINT, 80)
    world.evaluate(run, "lima", name("alone"), 70)
    world.release(run)
    expected = {
        "members": 4,
        "active_members": 2,
        "agreements_in_force": 0,
        "proposals_decided": 1,
        "proposals_adopted": 1,
        "languages": 1,
        "offering_members": 4,
        "rows_offered": 195,
        "runs_planned": 1,
        "runs_finished": 1,
        "rounds_finished": 3,
        "models_released": 1,
        "releasing_members": 2,
        "evaluations": 3,
        "evaluating_members": 2,
        "tasks_done": 0,
        "tasks_late": 0,
    }
    assert measure(world.moment) == expected
    assert set(expected) == set(INDICATORS)


def test_a_member_is_active_for_a_year_after_its_last_sum(world):
    world.run()
    world.log.wait(365 * DAY_MS - 1)
    assert active_members(world.moment) == {"bern", "lima"}
    world.log.wait(1)
    assert active_members(world.moment) == frozenset()


def test_an_agreement_counts_once_it_is_in_force(world):
    agreement = world.log.adopt("Shall we?", "bern", "agreement", agreement=agreement_text(invited=world.log.members))
    assert world.measure("agreements_in_force") == 0
    world.log.sign(agreement, "bern", "lima")
    assert world.measure("agreements_in_force") == 1
