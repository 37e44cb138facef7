"""Fairness indices over logs made by hand: what each measures, for whom, and when it alarms."""

from fractions import Fraction

import pytest

from serai.charter.decision import Choice
from serai.charter.statements import Ballot, ProposalOpen, ProposalWithdraw
from serai.errors import Missing
from serai.kernel.ids import digest_of
from serai.programme.fairness import INDICES, assess, sides_of
from serai.programme.indicators import INDICATORS, active_members, measure
from serai.testing.documents import agreement_text

DAY_MS = 24 * 3_600_000
JOINT = digest_of(b"joint")


def name(text):
    return digest_of(text.encode())


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


def test_an_empty_log_alarms_nobody(log, make_world):
    found = assess(make_world(log).moment)
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
        "projects_open": 0,
        "projects_closed": 0,
        "benefit_reports": 0,
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
