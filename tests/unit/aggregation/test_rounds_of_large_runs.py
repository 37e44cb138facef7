"""Rounds with a last form, steps by pace, figures and objections, article by article."""

from dataclasses import replace
from fractions import Fraction

import pytest

from serai.aggregation.codec import Block, Codec
from serai.aggregation.job import Form
from serai.aggregation.state import Stage, agreed_model, close_from_ms, finished_rounds, share_of, stage_of
from serai.kernel.units import Instant

LAST = Form(codec=Codec(bits=32, limit=500, blocks=(Block(length=20, step=Fraction(1, 100)),)), length=20)


def stage(world):
    return stage_of(world.job, world.current, Instant(world.index, world.time_ms))


def whole_round(world, model):
    world.open(model=agreed_model(world.state, world.job))
    world.upload()
    world.close()
    world.release()
    world.finish(model)


def released(world):
    world.open()
    world.upload()
    world.close()
    world.release()


def test_only_the_last_round_has_the_last_form(world):
    world.job = replace(world.job, last=LAST)
    assert world.job.at(0) == world.job
    assert (world.job.at(1).codec, world.job.at(1).length) == (LAST.codec, 20)
    whole_round(world, "model 1")
    world.open(model=agreed_model(world.state, world.job))
    assert world.current.done == 1
    assert world.say(world.upload_body("bern"), "bern") == "sums 10"  # as long as in the first round
    body = replace(world.upload_body("bern"), size_bytes=LAST.codec.upload_bytes)
    assert world.say(body, "bern") == ""


def test_a_last_round_of_its_own_form_waits_as_long_again_for_everybody(world):
    world.job = replace(world.job, rounds=1, last=Form(codec=world.codec, length=world.length))
    world.open()
    world.upload("aarau", "bern", "chur")
    assert close_from_ms(world.job, world.current) == world.current.body.deadline_ms + 1000
    world.time_ms = world.current.body.deadline_ms
    assert stage(world) is Stage.OPEN
    assert world.say(world.close_body()) == "sums 13"
    world.time_ms += 1000
    assert world.say(world.close_body()) == ""


def test_an_opening_has_the_steps_that_follow_from_the_pace(world):
    steps = {"aarau": 10, "bern": 20, "chur": 30, "davos": 40}
    world.job = replace(world.job, steps=steps)
    assert world.say(world.open_body()) == "sums 8"
    assert world.say(world.open_body(steps={**steps, "davos": 41})) == "sums 8"
    three = ("aarau", "bern", "chur")
    assert world.say(world.open_body(participants=three, steps=steps)) == "sums 8"
    assert world.say(world.open_body(participants=three, steps={name: steps[name] for name in three})) == ""


def test_steps_without_a_pace_in_the_plan_are_denied(world):
    assert world.say(world.open_body(steps={"aarau": 10})) == "sums 8"


def test_members_count_by_their_steps_and_in_all_as_many_as_they_are():
    steps = {"aarau": 10, "bern": 20, "chur": 30}
    assert [share_of(steps, {name}) for name in steps] == [0.5, 1.0, 1.5]
    assert share_of(steps, steps.keys()) == 3.0


def test_a_round_may_wait_less_where_the_plan_says_so(world):
    assert world.say(world.open_body(deadline_ms=world.time_ms + 999)) == "sums 8"
    world.job = replace(world.job, least_ms=200)
    assert world.say(world.open_body(deadline_ms=world.time_ms + 199)) == "sums 8"
    assert world.say(world.open_body(deadline_ms=world.time_ms + 200)) == ""


@pytest.mark.parametrize("figures", [{"age": 3}, {"steps": 1, "x" * 70: 2}])
def test_figures_have_known_names_only(world, figures):
    world.job = replace(world.job, has_figures=True)
    world.open()
    assert world.say(replace(world.upload_body("bern"), figures=figures), "bern") == "sums 10"


def test_figures_are_denied_where_no_metrics_may_leave(world):
    world.open()
    body = replace(world.upload_body("bern"), figures={"micronats": 1_700_000})
    assert world.say(body, "bern") == "sums 10"
    world.job = replace(world.job, has_figures=True)
    assert world.say(body, "bern") == ""


def test_more_than_half_of_those_in_the_sum_reject_a_round(world, digest):
    world.job = replace(world.job, is_guarded=True)
    released(world)
    for member, objects in (("aarau", True), ("bern", True), ("chur", False)):
        assert world.say(world.result_body(objects=objects), member) == ""
        assert stage(world) is Stage.RELEASED
    assert world.say(world.result_body(objects=True), "davos") == ""
    assert stage(world) is Stage.FAILED
    assert agreed_model(world.state, world.job) == world.job.initial
    assert world.say(world.open_body(model=digest("model 1"))) == "sums 6"
    world.open()
    assert (world.current.body.number, world.current.done) == (1, 0)
    assert finished_rounds(world.state, world.job) == 0


def test_half_of_those_in_the_sum_finish_a_guarded_round_for_good(world, digest):
    world.job = replace(world.job, is_guarded=True)
    released(world)
    for member, objects in (("aarau", True), ("bern", False), ("chur", False)):
        assert world.say(world.result_body(objects=objects), member) == ""
    assert stage(world) is Stage.FINISHED
    assert world.say(world.result_body(objects=True), "davos") == ""
    assert stage(world) is Stage.FINISHED
    assert agreed_model(world.state, world.job) == digest("model 1")


def test_nobody_objects_without_a_guard_or_from_outside_the_sum(world):
    released(world)
    assert world.say(world.result_body(objects=True), "bern") == "sums 17"
    world.job = replace(world.job, is_guarded=True)
    assert world.say(world.result_body(objects=True), "bern") == ""
    world.time_ms += 1000
    missing = type(world)()
    missing.job = replace(missing.job, is_guarded=True)
    missing.open()
    missing.upload("aarau", "bern", "chur")
    missing.time_ms += 1000
    missing.close()
    missing.release()
    assert missing.say(missing.result_body(objects=True), "davos") == "sums 17"
    assert missing.say(missing.result_body(), "davos") == ""
