"""What goes on, what waits and what says so when clocks are a day off or half of the witnesses are gone."""

from dataclasses import replace

import pytest

from serai.agent.admission import judge_run
from serai.agent.runner import wanted_witness
from serai.cli.leaving import prove
from serai.errors import Missing
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.zones.statements import Approval

FEATURES = {"features": "3"}
FOUR = ("bern", "lima", "oslo", "pune")
DAY_MS = 24 * 3_600_000
ROUND_MS = 60_000
SECOND_MS = 1000  # cosignatures count whole ones


def set_clock(story, member, off_ms):
    """The clock of a member's machine is off."""
    bloc = story.bloc
    bloc.deceive(member, lambda zone: replace(zone, now_ms=lambda: bloc.now_ms + off_ms))


def set_centers_clock(story, off_ms):
    bloc = story.bloc
    coordinator = bloc.center_parts.coordinator
    coordinator._duty = replace(coordinator._duty, now_ms=lambda: bloc.now_ms + off_ms)


def lose(story, *members, is_up=False):
    for member in members:
        story.bloc.members[member].is_up = is_up


def clocks(story):
    return sum(parse_envelope(entry).kind == "clock" for entry in story.bloc.entries)


# Clocks


@pytest.mark.parametrize(("off_ms", "words"), [(-DAY_MS, "ahead of this zone's clock; set the clock"), (DAY_MS, "old")])
def test_a_member_whose_clock_is_a_day_off_joins_nothing_new_and_moves_no_deadline(agreed, off_ms, words):
    story, agreement = agreed
    bloc = story.bloc
    set_clock(story, "lima", off_ms)
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    assert set(story.run(run).keys) == {"bern", "oslo"}
    assert not story.run(run).declines, "it waits; a clock is soon set"
    zone = bloc.members["lima"].zone
    ((step, denied),) = judge_run(zone, story.run(run), zone.mirror.view).denials
    assert step == "freshness"
    assert words in denied.reason
    assert bloc.state.time_ms == bloc.now_ms, "the median of three is an honest time"
    bloc.deceive("lima", None)
    bloc.settle()
    assert set(story.run(run).keys) == {"bern", "lima", "oslo"}
    assert story.final(run) is not None


def test_a_center_whose_clock_is_a_day_ahead_moves_no_deadline_and_does_not_fill_the_log(running):
    story, run = running
    bloc = story.bloc
    set_centers_clock(story, DAY_MS)
    lose(story, "lima")
    before = clocks(story)
    for _ in range(50):
        bloc.step()
    assert len(story.round(run).uploads) == 2
    assert story.round(run).closed is None
    assert clocks(story) - before <= 2
    bloc.tick(ROUND_MS + SECOND_MS)
    bloc.settle()
    assert story.round(run, 0).summed == {"bern", "oslo"}
    assert clocks(story) - before <= 5


def test_a_center_whose_clock_is_a_day_behind_makes_a_deadline_late_and_never_early(running):
    story, run = running
    bloc = story.bloc
    set_centers_clock(story, -DAY_MS)
    lose(story, "lima")
    bloc.tick(ROUND_MS + SECOND_MS)
    bloc.settle()
    assert story.round(run).closed is None, "the round waits for lima"
    set_centers_clock(story, 0)
    bloc.settle()
    assert story.round(run, 0).summed == {"bern", "oslo"}


# Witnesses


def test_with_half_of_the_witnesses_gone_the_log_goes_on_and_what_needs_a_quorum_waits(make_bloc):
    story = make_bloc(*FOUR)
    bloc = story.bloc
    run = bloc.train(bloc.agree(), "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run) and len(story.round(run).uploads) == 4)
    lose(story, "lima", "pune")
    bloc.settle()
    zone = bloc.members["bern"].zone
    view, this = zone.mirror.view, story.round(run)
    assert this.closed is not None, "the center closes"
    assert not this.releases, "and nobody makes a sum readable for two of four"
    assert view.witnessed_size <= this.closed.at.index < view.size
    assert wanted_witness(zone, view) == this.closed.at.index + 1, "what the zone asks its center for"
    with pytest.raises(Missing, match=f"a quorum has cosigned {view.witnessed_size} entries; entry") as caught:
        prove(view, bloc.center_parts.log, this.closed.at.index)
    assert caught.value.code == "entry-unwitnessed"
    time_ms = bloc.state.time_ms
    bloc.tick(2 * ROUND_MS)
    bloc.say("oslo", Approval(subject=digest_of(b"anything"), comment=""), Role.DELEGATE)
    bloc.settle()
    assert zone.mirror.view.size == bloc.state.size > view.size, "what is said is ordered and read"
    assert bloc.state.time_ms == time_ms, "log time stands still, so nobody is called late"
    lose(story, "lima", "pune", is_up=True)
    bloc.settle()
    assert story.round(run, 0).summed == set(FOUR)
    assert story.final(run) is not None
