"""The airlock: what a policy has looked at waits in the zone, and nothing of it leaves before its steward has."""

import stat
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from serai.agent import runner
from serai.agent.airlock import FOLDER
from serai.agent.held import EXPIRED, REJECTED, RELEASED, WAITING
from serai.agent.vault import Vault
from serai.charter.agreements import Term
from serai.errors import Unavailable
from serai.kernel.envelope import parse_envelope
from serai.kernel.keys import Role, key_id
from serai.recipes.newton import Newton
from serai.testing.faults import Crash, deadly
from serai.training.statements import RunCancel

FEATURES = {"features": "3"}
MINUTE_MS = 60_000


def set_airlock(story, member, mode, **changes):
    """Give a member a policy with an airlock, as if its ``zone.toml`` had been changed and its agent started again."""

    def change(zone):
        policy = () if mode is None else (Term(name="airlock", value=mode, clause="house 1"),)
        settings = replace(zone.settings, policy=policy, **changes)
        return replace(zone, settings=settings, vault=Vault(settings))

    story.bloc.deceive(member, change)


def queue(story, member="bern"):
    return story.bloc.members[member].zone.journal.airlock


def copies(story, member="bern"):
    folder = story.bloc.members[member].zone.settings.home / FOLDER
    return sorted(folder.iterdir()) if folder.exists() else []


def decide(story, decision, reason=""):
    for held in queue(story).all():
        if held.decision == WAITING:
            queue(story).decide(held.id, decision, "anna", reason, story.bloc.now_ms)


def said(story, member="bern"):
    envelopes = [parse_envelope(entry) for entry in story.bloc.entries]
    zone_key = key_id(story.bloc.signer(member, Role.ZONE).public)
    return [envelope.kind for envelope in envelopes if envelope.signer == zone_key]


@pytest.fixture
def held(running):
    """The story, and a run whose first vector waits in bern's airlock."""
    story, run = running
    set_airlock(story, "bern", "always")
    story.bloc.settle()
    return story, run


def test_a_vector_that_waits_is_neither_masked_nor_sent(held):
    story, run = held
    (item,) = queue(story).all()
    assert (item.kind, item.run, item.about, item.decision) == ("vector", run, story.round(run).id, WAITING)
    assert item.why == ("nothing of this program has left this zone before", "the policy has every output looked at")
    assert item.until_ms == story.round(run).body.deadline_ms
    assert item.facts["values"] == story.run(run).plan.length
    assert story.bloc.members["bern"].zone.journal.upload(story.round(run).id) is None
    assert set(story.round(run).uploads) == {"lima", "oslo"}
    assert "round.upload" not in said(story)
    (copy,) = copies(story)
    assert copy.stem == item.id
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_it_is_told_once_and_not_computed_again(held, caplog):
    story, run = held
    worked_ms = story.bloc.members["bern"].zone.journal.worked_ms(run)
    before = copies(story)[0].stat().st_mtime_ns
    for _ in range(3):
        story.bloc.step_member("bern")
    told = [*caplog.get_records("setup"), *caplog.get_records("call")]
    assert len([record for record in told if "waits for this zone's steward" in record.message]) == 1
    assert story.bloc.members["bern"].runner.has_trouble, "it is looked at again without any news"
    assert copies(story)[0].stat().st_mtime_ns == before
    assert story.bloc.members["bern"].zone.journal.worked_ms(run) == worked_ms


def test_what_the_steward_releases_is_what_leaves(held):
    story, run = held
    for _ in range(4):
        decide(story, RELEASED)
        story.bloc.settle()
    assert story.final(run) is not None
    assert all(set(this.summed) == set(story.bloc.members) for this in story.bloc.state.rounds.rounds.values())
    assert [one.kind for one in queue(story).all()].count("counts") == 1, "an evaluation waits as well"
    assert said(story).count("round.upload") == 3
    assert said(story).count("evaluation") == 1
    assert copies(story) == []
    set_airlock(story, "bern", None)
    unlooked = story.bloc.train(story.run(run).plan.agreement, "newton", 3, FEATURES)
    story.bloc.settle()
    assert story.final(unlooked) == story.final(run), "a look changes nothing"


def test_without_a_decision_the_round_closes_without_this_member_and_nothing_leaks(held):
    story, run = held
    story.bloc.pass_time(2 * MINUTE_MS)
    first = story.round(run, 0)
    assert first.summed == {"lima", "oslo"}
    assert "bern" not in first.uploads
    assert queue(story).of(first.id, "vector").decision == EXPIRED
    later = queue(story).of(story.round(run, 1).id, "vector")
    assert later.decision == WAITING, "the next round's vector is another one"
    assert [path.stem for path in copies(story)] == [later.id]
    assert not {"round.upload", "round.release", "evaluation"} & set(said(story))


def test_what_the_steward_rejects_stays_for_good(held):
    story, run = held
    decide(story, REJECTED, "a row of ward 7 is in it")
    story.bloc.settle()
    assert set(story.round(run).uploads) == {"lima", "oslo"}
    assert copies(story) == []
    story.bloc.restart("bern")
    story.bloc.settle()
    assert set(story.round(run).uploads) == {"lima", "oslo"}


@pytest.mark.slow
def test_what_waits_for_a_run_that_is_cancelled_waits_no_more(held):
    story, run = held
    story.bloc.say("lima", RunCancel(plan=run, reason="enough"))
    story.bloc.settle()
    assert [one.decision for one in queue(story).all()] == [EXPIRED]
    assert copies(story) == []


def test_a_decision_holds_for_the_same_bytes_in_a_later_round_and_for_no_others(running):
    story, run = running
    set_airlock(story, "bern", "always")
    story.bloc.members["lima"].is_up = False
    story.bloc.settle()
    (item,) = queue(story).all()
    story.bloc.pass_time(2 * MINUTE_MS)  # too few uploads: the run tries again from the same model
    assert story.round(run).body.number == 1
    (again,) = queue(story).all()
    assert (again.id, again.about, again.decision) == (item.id, story.round(run).id, WAITING)
    decide(story, RELEASED)
    story.bloc.members["lima"].is_up = True
    story.bloc.settle()
    assert set(story.round(run, 1).uploads) == set(story.bloc.members)
    assert story.round(run, 2) is not None
    assert queue(story).of(story.round(run, 2).id, "vector").decision == WAITING


@pytest.mark.slow
@pytest.mark.parametrize("is_decided", [True, False])
def test_a_restart_while_it_waits_goes_on_where_it_was(held, is_decided):
    story, run = held
    (item,) = queue(story).all()
    if is_decided:
        decide(story, RELEASED)
    story.bloc.restart("bern")
    story.bloc.settle()
    assert queue(story).all()[0].id == item.id
    assert ("bern" in story.round(run, 0).uploads) is is_decided


@pytest.mark.slow
def test_a_copy_that_is_bent_is_made_and_looked_at_again(held):
    story, run = held
    decide(story, RELEASED)
    (copy,) = copies(story)
    copy.write_bytes(bytes(copy.stat().st_size))
    story.bloc.settle()
    assert "bern" in story.round(run, 0).uploads, "the same bytes were made again, and those were released"


def test_first_holds_a_programs_first_vector_and_not_its_second(running):
    story, run = running
    set_airlock(story, "bern", "first")
    story.bloc.settle()
    decide(story, RELEASED)
    story.bloc.settle()
    assert {held.kind for held in queue(story).all()} == {"vector", "counts"}
    assert len(queue(story).all()) == 2
    decide(story, RELEASED)
    story.bloc.settle()
    assert said(story).count("round.upload") == 3
    again = story.bloc.train(story.run(run).plan.agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    assert len(queue(story).all()) == 2, "a later run of the same program waits for nobody"
    assert story.final(again) is not None


@pytest.mark.slow
def test_a_vector_that_was_masked_before_it_was_to_be_looked_at_is_not_sent(running, monkeypatch):
    story, run = running
    zone = story.bloc.members["bern"].zone
    with monkeypatch.context() as patched:
        patched.setattr(type(zone.center), "submit", away)
        story.bloc.deceive("bern", lambda zone: zone)
        story.bloc.step_member("bern")
    upload = story.bloc.members["bern"].zone.journal.upload(story.round(run).id)
    assert upload is not None
    assert "bern" not in story.round(run).uploads
    set_airlock(story, "bern", "unusual")
    story.bloc.settle()
    assert "bern" not in story.round(run, 0).uploads


def away(_center, _entry):
    raise Unavailable("center-unreachable", "the line is cut")


def test_what_is_kept_of_a_run_is_forgotten_in_time(held):
    story, run = held
    assert copies(story)
    set_airlock(story, "bern", "always", retention_days=0)
    story.bloc.tick(2 * 86_400_000)
    story.bloc.step_member("bern")
    assert copies(story) == []
    assert [one for one in queue(story).all() if one.run == run] == []


@pytest.mark.slow
def test_a_zone_that_is_killed_before_and_after_every_step_sends_what_was_released_and_nothing_else(running):
    story, run = running
    deaths = Counter()

    def change(zone):
        policy = (Term(name="airlock", value="always", clause="house 1"),)
        settings = replace(zone.settings, policy=policy)
        return deadly(replace(zone, settings=settings, vault=Vault(settings)), deaths)

    story.bloc.deceive("bern", change)
    for _ in range(1_000):
        try:
            story.bloc.settle()
        except Crash as crash:
            story.bloc.restart(crash.member)
            continue
        if story.final(run) is not None and "evaluation" in said(story):
            break
        decide(story, RELEASED)
    assert {"hold", "let_pass"} <= {mark.split()[0] for mark in deaths}
    assert [held.decision for held in queue(story).all()] == [RELEASED] * 4
    assert all(set(this.summed) == set(story.bloc.members) for this in story.bloc.state.rounds.rounds.values())
    assert copies(story) == []


class Fickle:
    """A vector in memory that its program goes on writing to once it was read."""

    def __init__(self, length):
        self.shape, self.dtype = (length,), np.dtype(np.float64)
        self._reads = 0

    def __getitem__(self, place):
        self._reads += 1
        return np.full(place.stop - place.start, float(self._reads))


@pytest.mark.parametrize("mode", ["unusual", None])
def test_what_is_masked_is_what_was_measured_whatever_the_program_writes_meanwhile(running, monkeypatch, mode):
    story, run = running
    masked = []
    real = runner.mask_vector

    def mask(zone, job, this, vector, memory):
        masked.append(np.array(vector[0 : job.length]))
        return real(zone, job, this, vector, memory)

    set_airlock(story, "bern", mode)
    monkeypatch.setattr(runner, "mask_vector", mask)
    monkeypatch.setattr(Newton, "contribute", lambda recipe, *_: Fickle(recipe.length))
    story.bloc.members["bern"].runner.work(story.bloc.members["bern"].zone.mirror.view)
    story.bloc.step_member("bern")
    assert bool(masked) is (mode is None)
    if mode is not None:
        (held,) = queue(story).all()
        decide(story, RELEASED)
        story.bloc.step_member("bern")
        assert held.facts["values"] == masked[0].size == story.run(run).plan.length
        assert set(masked[0]) == {1.0}


def test_counts_that_the_steward_rejects_stay_and_the_run_is_over_here(running):
    story, run = running
    set_airlock(story, "bern", "first")
    story.bloc.settle()
    decide(story, RELEASED)
    story.bloc.settle()
    decide(story, REJECTED, "three rows are too few")
    story.bloc.settle()
    assert said(story).count("round.upload") == 3
    assert "evaluation" not in said(story)
    assert not story.bloc.members["bern"].runner.has_trouble
    assert story.final(run) is not None
