"""A statement made of rows that the center does not show is handed in again only while nobody says no."""

import pytest

from serai.agent.carrying import Carrier
from serai.kernel.keys import Role
from serai.testing.faults import Losing, see_through
from serai.training.statements import RunCancel, RunFreeze
from serai.zones.freezes import Freeze, Frozen
from serai.zones.statements import GrantRevoke, OfferWithdraw

MEMBER = "bern"


@pytest.fixture(params=["round.upload", "round.release", "evaluation"])
def lost(running, request):
    """The story, a run, a statement of bern's that the center dropped, and bern's carrier, which has it."""
    story, run = running
    made = []
    story.bloc.deceive(MEMBER, see_through(lambda center: made.append(Losing(center, {request.param})) or made[-1]))
    story.bloc.settle()
    assert made[-1].lost
    carrier = Carrier(story.bloc.members[MEMBER].zone, ())
    assert handed_in(story, carrier, made[-1])
    return story, run, carrier, made[-1]


def handed_in(story, carrier, losing):
    """Whether the carrier hands the statement in when that is due."""
    before = len(losing.lost)
    story.bloc.tick(61_000)
    carrier.step()
    return len(losing.lost) > before


def freeze(story, run):
    story.bloc.members[MEMBER].zone.journal.freezes.add(
        Freeze(id=0, what=Frozen.RUN, name=run[:12], digest="", reason="x", by="anna", since_ms=1)
    )


def stop(story, _run):
    story.bloc.members[MEMBER].zone.settings.stop_file.touch()


def revoke(story, run):
    offer = story.run(run).plan.offers[MEMBER]
    (grant,) = (grant.id for grant in story.bloc.state.zones.grants.values() if grant.body.offer == offer)
    story.bloc.say(MEMBER, GrantRevoke(grant=grant), Role.STEWARD)


def withdraw(story, run):
    story.bloc.say(MEMBER, OfferWithdraw(offer=story.run(run).plan.offers[MEMBER]), Role.STEWARD)


def freeze_for_all(story, run):
    story.bloc.say("lima", RunFreeze(plan=run, reason="x"))


def cancel(story, run):
    story.bloc.say("lima", RunCancel(plan=run, reason="x"))


@pytest.mark.parametrize("say_no", [freeze, stop, revoke, withdraw, freeze_for_all, cancel])
def test_once_somebody_says_no_it_is_carried_no_more(lost, say_no):
    story, run, carrier, losing = lost
    assert handed_in(story, carrier, losing), "it is carried while nobody does"
    say_no(story, run)
    story.bloc.members[MEMBER].follower.step(0)
    assert not handed_in(story, carrier, losing)
    assert not handed_in(story, carrier, losing)


def test_it_is_carried_again_after_a_thaw(lost):
    story, run, carrier, losing = lost
    freeze(story, run)
    assert not handed_in(story, carrier, losing)
    story.bloc.members[MEMBER].zone.journal.freezes.thaw(Frozen.RUN, run[:12], "anna", 2)
    assert handed_in(story, carrier, losing)
