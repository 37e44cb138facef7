"""How many steps members take follows from what they say of their pace."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.training.test_run_rules import PLAN, Story, article

from serai.kernel.ids import digest_of
from serai.kernel.verdict import GRANTED
from serai.training.state import job_of, steps_of
from serai.training.statements import Pace, RunPace

PACE = Pace(exchange_permille=100, least=20, most=200)


def pace(step_us, exchange_ms, plan=None):
    return RunPace(plan=plan or digest_of(b"p"), step_us=step_us, exchange_ms=exchange_ms)


def test_all_train_about_as_long_and_the_exchange_takes_its_share():
    # The slowest exchange takes 1 s, a tenth of a round: 9 s of training.
    told = {"ararat": pace(100_000, 1000), "bern": pace(50_000, 200), "cusco": pace(300_000, 10)}
    assert steps_of(PACE, told, told) == {"ararat": 90, "bern": 180, "cusco": 30}


def test_the_fastest_member_stays_within_least_and_most():
    slow = {"ararat": pace(1000, 60_000), "bern": pace(4000, 10)}
    assert steps_of(PACE, slow, slow) == {"ararat": 200, "bern": 50}
    quick = {"ararat": pace(1_000_000, 1), "bern": pace(90_000_000, 1)}
    assert steps_of(PACE, quick, quick) == {"ararat": 20, "bern": 1}


def test_whoever_has_not_told_its_pace_takes_the_least():
    assert steps_of(PACE, {}, ["ararat", "bern"]) == {"ararat": 20, "bern": 20}
    assert steps_of(PACE, {"bern": pace(50_000, 1000)}, ["ararat", "bern"]) == {"ararat": 20, "bern": 180}


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(1, 10**10), st.integers(0, 10**9)), min_size=1)
)
def test_steps_are_possible_for_any_pace(told):
    paces = {name: pace(*value) for name, value in told.items()}
    steps = steps_of(PACE, paces, paces)
    assert max(steps.values()) <= PACE.most
    assert min(steps.values()) >= 1
    assert max(steps.values()) >= min(PACE.least, PACE.most)
    longest = (
        max(steps[name] * paces[name].step_us for name in paces if steps[name] > 1) if max(steps.values()) > 1 else 0
    )
    fastest = min(paces.values(), key=lambda said: said.step_us).step_us
    assert longest <= fastest * PACE.most


@pytest.fixture
def paced():
    story = Story()
    assert story.say(replace(PLAN, pace=PACE)) == GRANTED
    story.join("bern")
    story.join("cusco")
    return story


def test_a_joined_member_tells_its_pace_and_tells_it_anew(paced):
    assert paced.say(pace(50_000, 1000, paced.run), "bern") == GRANTED
    assert paced.say(pace(100_000, 1000, paced.run), "bern") == GRANTED
    assert job_of(paced.runs, paced.run).steps == {"bern": 90, "cusco": 20}


def test_a_member_that_has_left_slows_nobody(paced):
    paced.say(pace(50_000, 5000, paced.run), "bern")
    paced.say(pace(50_000, 1000, paced.run), "cusco")
    assert job_of(paced.runs, paced.run, parties={"cusco"}).steps == {"cusco": 180}


@pytest.mark.parametrize("wrong", [pace(0, 1), pace(10**12, 1), pace(1, -1), pace(1, 10**12)])
def test_a_pace_out_of_range_is_denied(paced, wrong):
    assert article(paced.say(replace(wrong, plan=paced.run), "bern")) == "training 8"


def test_strangers_and_plans_without_a_pace_hear_none(paced):
    assert article(paced.say(pace(1, 1, paced.run), "ararat")) == "training 8"
    story = Story()
    story.say(PLAN)
    story.join("bern")
    assert article(story.say(pace(1, 1, story.run), "bern")) == "training 8"


@pytest.mark.parametrize(
    "wrong",
    [
        {"pace": replace(PACE, exchange_permille=0)},
        {"pace": replace(PACE, exchange_permille=1000)},
        {"pace": replace(PACE, least=0)},
        {"pace": replace(PACE, most=19)},
        {"pace": replace(PACE, most=10**7)},
        {"least_ms": 60_001},
        {"least_ms": -1},
        {"guard_permille": -1},
        {"guard_permille": 10**9},
    ],
)
def test_a_plan_out_of_range_is_denied(wrong):
    assert article(Story().say(replace(PLAN, **wrong))) == "training 4"
