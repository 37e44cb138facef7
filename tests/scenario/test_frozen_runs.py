"""A run that a member freezes stands still for all, in whatever state it is, and goes on once nobody holds it."""

import pytest

from serai.aggregation.state import Stage, stage_of
from serai.charter.statements import AgreementWithdraw
from serai.errors import Refused
from serai.kernel.keys import Role
from serai.reports.course import course_of
from serai.state import Jobs
from serai.training.state import job_of
from serai.training.statements import RunCancel, RunFreeze, RunThaw

FEATURES = {"features": "3"}
MINUTE_MS = 60_000
MOMENTS = {
    "planned": lambda _story, _run: True,
    "open": lambda story, run: story.round(run),
    "some uploaded": lambda story, run: story.round(run) and len(story.round(run).uploads) == 2,
    "closed": lambda story, run: story.round(run) and story.round(run).closed,
    "some released": lambda story, run: story.round(run) and len(story.round(run).releases) == 2,
    "a later round": lambda story, run: story.round(run, 1),
}


def freeze(story, member, run):
    story.bloc.say(member, RunFreeze(plan=run, reason="an incident"), Role.STEWARD)


def thaw(story, member, run):
    story.bloc.say(member, RunThaw(plan=run), Role.STEWARD)


def stage(story, run):
    job = job_of(story.bloc.state.runs, run)
    return stage_of(job, story.round(run), story.bloc.state.now)


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_said_in_a_frozen_run_and_it_ends_as_if_nothing_had_been(agreed, moment):
    story, agreement = agreed
    undisturbed = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: MOMENTS[moment](story, run))
    freeze(story, "lima", run)
    story.bloc.settle()
    size, opened = len(story.bloc.entries), story.bloc.state.rounds.runs.get(run)
    story.bloc.settle()
    assert len(story.bloc.entries) == size
    assert story.bloc.state.rounds.runs.get(run) == opened
    assert run not in Jobs(story.bloc.state, story.bloc.state.now)
    thaw(story, "lima", run)
    story.bloc.settle()
    assert story.final(run) == story.final(undisturbed)


@pytest.mark.parametrize("moment", ["open", "some uploaded", "closed", "some released"])
def test_a_round_whose_time_ends_meanwhile_fails_and_is_tried_again(agreed, moment):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: MOMENTS[moment](story, run))
    freeze(story, "lima", run)
    story.bloc.pass_time(3 * MINUTE_MS)
    assert story.round(run).body.number == 0, "no round is opened"
    before = stage(story, run)
    thaw(story, "lima", run)
    story.bloc.settle()
    assert story.final(run) is not None
    assert before in {Stage.FAILED, Stage.OPEN}, "one with enough uploads may still close"


def test_it_is_held_until_each_member_that_froze_it_has_thawed_it(running):
    story, run = running
    freeze(story, "lima", run)
    freeze(story, "oslo", run)
    thaw(story, "lima", run)
    story.bloc.settle()
    assert not story.round(run).uploads
    with pytest.raises(Refused, match="lima does not hold run"):
        thaw(story, "lima", run)
    with pytest.raises(Refused, match="oslo holds run"):
        freeze(story, "oslo", run)
    thaw(story, "oslo", run)
    story.bloc.settle()
    assert story.final(run) is not None


def test_a_finished_run_that_is_frozen_is_not_released(running):
    story, run = running
    story.bloc.settle()
    assert story.final(run) is not None
    freeze(story, "bern", run)
    state = story.bloc.state
    assert Jobs(state, state.now).get(run) is None


def test_a_frozen_run_can_be_cancelled_and_not_frozen_again(running):
    story, run = running
    freeze(story, "lima", run)
    story.bloc.say("oslo", RunCancel(plan=run, reason="enough"))
    with pytest.raises(Refused, match="was cancelled"):
        freeze(story, "oslo", run)


def test_the_freeze_of_a_member_that_left_holds_nothing(make_bloc):
    story = make_bloc("bern", "lima", "oslo", "pune")
    agreement = story.bloc.agree()
    run = story.bloc.train(agreement, "newton", 1, FEATURES)
    story.step_until(lambda: story.round(run))
    freeze(story, "lima", run)
    story.bloc.settle()
    assert not story.round(run).uploads
    story.bloc.say("lima", AgreementWithdraw(agreement=agreement, reason="leaving"))
    story.bloc.pass_time(2 * MINUTE_MS)
    assert story.final(run) is not None


def test_a_stranger_to_a_run_freezes_nothing(make_bloc):
    story = make_bloc("bern", "lima", "oslo", "pune")
    agreement = story.bloc.agree(parties=("bern", "lima", "oslo"))
    run = story.bloc.train(agreement, "newton", 1, FEATURES)
    with pytest.raises(Refused, match="pune neither planned run"):
        freeze(story, "pune", run)


def test_whoever_watches_a_frozen_run_is_told_who_holds_it(running):
    story, run = running
    freeze(story, "lima", run)
    assert course_of(story.bloc.state, run).why == "lima holds it: an incident"
    thaw(story, "lima", run)
    assert course_of(story.bloc.state, run).why == ""
