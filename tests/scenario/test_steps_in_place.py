"""A common step that is taken piece by piece in the model itself: whole, once, and from a verified sum."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from serai.agent.rounds import bring_sum, sum_dtype, take_sum
from serai.aggregation.ring import CHUNK_VALUES
from serai.errors import Missing, Unavailable, Unverified
from serai.kernel.envelope import parse_envelope
from serai.recipes.probe import Probe, member_constant
from serai.testing.faults import Bending, Lens, see_through
from serai.training.state import job_of

MEMBERS = ("bern", "lima", "oslo")
SIZE = CHUNK_VALUES + 1_000  # two chunks


class Deaf(Lens):
    """Does not answer when a result is said, until it ``hears``."""

    hears = False

    def submit(self, entry):
        if not self.hears and parse_envelope(entry).kind == "round.result":
            raise Unavailable("center-unreachable", "no answer")
        return self.center.submit(entry)


@pytest.fixture
def probing(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "probe", 2, {"size": str(SIZE)})
    return story, run


def is_right(story, run):
    """Whether every parameter has grown by two rounds' mean."""
    mean = sum(map(member_constant, MEMBERS)) / len(MEMBERS)
    model = story.model(story.final(run))
    return sum(part.size for part in model.values()) == SIZE and all(
        np.allclose(part, 2 * mean, atol=1e-6) for part in model.values()
    )


def test_two_rounds_add_two_means(probing):
    story, run = probing
    story.bloc.settle()
    assert is_right(story, run)


def test_a_result_that_could_not_be_said_is_not_computed_twice(probing):
    story, run = probing
    made = []
    story.bloc.deceive("lima", see_through(lambda center: made.append(Deaf(center)) or made[-1]))
    story.step_until(lambda: story.round(run, 0) and story.round(run, 0).is_released)
    for _ in range(3):
        story.bloc.step()
    assert isinstance(story.bloc.members["lima"].refusal, Unavailable)
    made[-1].hears = True
    story.bloc.settle()
    assert is_right(story, run)


def test_a_step_that_broke_off_half_way_is_taken_anew_from_the_stored_model(probing, monkeypatch):
    story, run = probing
    whole, calls = Probe.take, itertools.count()

    def breaking(self, *stretch):
        if next(calls) == 3:
            raise Unavailable("disk-full", "no room")
        whole(self, *stretch)

    monkeypatch.setattr(Probe, "take", breaking)
    story.bloc.deceive("lima", see_through(lambda center: center))
    story.bloc.deceive("bern", see_through(lambda center: center))
    story.bloc.deceive("oslo", see_through(lambda center: center))
    story.bloc.settle()
    assert next(calls) > 3
    assert is_right(story, run)


def test_of_a_bent_sum_nothing_is_taken(probing):
    story, run = probing
    story.step_until(lambda: story.round(run, 0) and story.round(run, 0).is_released)
    this, zone = story.round(run, 0), story.bloc.members["lima"].zone
    job = job_of(story.bloc.state.runs, run)
    zone.blobs.delete(this.closed.body.masked_sum)
    bent = replace(zone, center=Bending(zone.center, {this.closed.body.masked_sum}))
    total = np.full(SIZE, np.nan, sum_dtype(job.codec))
    with pytest.raises(Unverified):
        bring_sum(bent, job, this)
    with pytest.raises(Missing):
        take_sum(bent, job, this, total)
    assert np.isnan(total).all()
    bring_sum(zone, job, this)
    take_sum(zone, job, this, total)
    assert np.array_equal(total, np.full(SIZE, sum(map(member_constant, MEMBERS)), np.float32))
