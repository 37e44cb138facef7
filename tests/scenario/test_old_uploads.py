"""A center that keeps the uploads of some rounds only: nobody who could look at them goes without, and audits say so."""

from types import SimpleNamespace

import pytest

from serai.cli.audits import audit_run
from serai.errors import Missing
from serai.recipes.probe import member_constant
from serai.testing.federation import Federation

from .conftest import MEMBERS

pytestmark = pytest.mark.slow  # seconds each

SIZE = 2_000_000  # values: a blob of some MiB, whose room is used again


class Forgetful(Federation):
    KEEP_ROUNDS = 2


@pytest.fixture
def bloc(make_bloc):
    return make_bloc(bloc=Forgetful)


def kept(story, run):
    """The rounds of which the center has every upload, and those of which it has none."""
    blobs = story.bloc.center_parts.blobs
    there = {}
    number = 0
    while (this := story.round(run, number)) is not None:
        there[number] = {blobs.has(upload.body.blob) for upload in this.uploads.values()}
        number += 1
    assert all(len(has) <= 1 for has in there.values()), "all of a round or none"
    return tuple({number for number, has in there.items() if has == {is_here}} for is_here in (True, False))


def lose_oslo_before_its_look(story, deadlines):
    """A run in which oslo goes away once it has released in round 1, and the others go on for some rounds."""
    run = story.bloc.train(story.bloc.agree(), "probe", 6, {"size": "100"})
    story.step_until(lambda: story.round(run, 1) and "oslo" in story.round(run, 1).releases)
    story.bloc.members["oslo"].is_up = False
    story.step_until(lambda: story.round(run, 1).is_released)
    for _ in range(deadlines):
        story.bloc.settle()
        story.bloc.pass_time(120_000)
    return run


def session(story):
    return SimpleNamespace(state=lambda: story.bloc.state, center=story.bloc.center)


def test_uploads_of_older_rounds_go_and_the_run_comes_to_the_same_model(bloc):
    run = bloc.bloc.train(bloc.bloc.agree(), "probe", 5, {"size": str(SIZE)})
    bloc.bloc.settle()
    model = bloc.model(bloc.final(run))
    mean = sum(map(member_constant, MEMBERS)) / 3
    assert all(abs(part - 5 * mean).max() < 1e-5 for part in model.values())
    assert kept(bloc, run) == ({3, 4}, {0, 1, 2})
    audits = list(audit_run(session(bloc), run))
    assert [(done.number, done.is_kept) for done in audits] == [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (4, True),
    ]
    sums = [bloc.round(run, number).closed.body.masked_sum for number in range(5)]
    assert all(map(bloc.bloc.center_parts.blobs.has, sums)), "whoever was away reads them"
    assert not list(bloc.bloc.folder.glob("*/blobs/incoming/*")), "no room is kept once the run is over"


def test_a_round_that_a_member_has_not_looked_at_stays(bloc):
    run = lose_oslo_before_its_look(bloc, deadlines=4)
    assert bloc.round(run, 4) is not None, "the others went on"
    assert "oslo" not in bloc.round(run, 1).results
    assert 1 in kept(bloc, run)[0]
    assert {0, 2} <= kept(bloc, run)[1]
    blobs = bloc.bloc.center_parts.blobs
    blobs.delete(bloc.round(run, 1).uploads["lima"].body.blob)
    with pytest.raises(Missing):
        list(audit_run(session(bloc), run))


def test_who_was_away_looks_at_what_is_kept_for_it_and_catches_up(bloc):
    run = lose_oslo_before_its_look(bloc, deadlines=3)
    bloc.bloc.members["oslo"].is_up = True
    bloc.bloc.restart("oslo")
    bloc.bloc.settle()
    assert bloc.final(run) is not None
    assert bloc.round(run, 1).results["oslo"].model == bloc.round(run, 1).results["lima"].model
    assert kept(bloc, run)[0] == {4, 5}, "once it has, that round's go too"
    assert "oslo" in bloc.round(run).results


def test_who_starts_anew_reads_sums_again_without_the_uploads_that_it_had_looked_at(bloc):
    run = bloc.bloc.train(bloc.bloc.agree(), "probe", 7, {"size": str(5_000_000)})  # stored every eighth round
    bloc.step_until(lambda: bloc.round(run, 5))
    assert kept(bloc, run)[1] >= {0, 1, 2}
    bloc.bloc.restart("lima")
    bloc.bloc.settle()
    assert bloc.final(run) is not None
    assert len(bloc.round(run).results) == 3
