"""Rounds under a center that lies, tried to the end: no leak, no double release, no wrong sum, and no dead end."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serai.aggregation import masking, rules
from serai.kernel.ids import digest_of
from serai.testing import round_zones
from serai.testing.exploring import Broken, explore
from serai.testing.round_model import Lies, Model
from serai.testing.round_zones import Zones

MEMBERS = ("bern", "lima", "oslo")
OSLO = frozenset({"oslo"})
TO_THE_END = 1000  # moves; what a round and a run have room for ends long before


def model(folder, minimum=2, threshold=0, rounds=1, members=MEMBERS, **lies):
    return Model(Zones(Path(folder), members, minimum, threshold, rounds), Lies(**lies))


def reached(this, after):
    """Where some moves lead."""
    world = this.start
    for words in after:
        world = dict(this.moves(world))[words]
    return world


def explored(this, check=None, depth=TO_THE_END, after=()):
    return explore(reached(this, after), this.moves, this.key, check or this.fault, depth)


OPENED = ("open round 0 for bern, lima, oslo", "round.upload by lima", "log time passes a deadline")

# All that can happen

TRIED = {
    "members that are called lost": {"openings": 1, "threshold": 2},
    "an accomplice among the members": {"minimum": 3, "openings": 2, "colluders": OSLO},
    "two histories, and an accomplice": {"minimum": 3, "openings": 1, "histories": 2, "colluders": OSLO},
}
TRIED_LONGER = {
    "two histories": {"openings": 1, "histories": 2},
    "a withheld release, and a second round from the same model": {"openings": 2},
    "called lost, in two rounds": {"openings": 2, "threshold": 2},
    "called lost, with an accomplice, in two rounds": {
        "minimum": 3,
        "openings": 2,
        "threshold": 2,
        "colluders": OSLO,
    },
    "called lost, with an accomplice, in two histories": {
        "minimum": 3,
        "openings": 1,
        "threshold": 2,
        "histories": 2,
        "colluders": OSLO,
    },
}


@pytest.mark.parametrize("lies", TRIED.values(), ids=TRIED)
def test_whatever_the_center_does_no_vector_shows_and_nobody_releases_twice(tmp_path, lies):
    done = explored(model(tmp_path, **lies))
    assert done.is_whole
    assert done.states > 100


@pytest.mark.slow
@pytest.mark.parametrize("lies", TRIED_LONGER.values(), ids=TRIED_LONGER)
def test_whatever_the_center_does_for_longer(tmp_path, lies):
    assert explored(model(tmp_path, **lies)).is_whole


BEYOND = {"openings": 1, "histories": 2, "false_witnesses": True, "colluders": OSLO}


@pytest.mark.parametrize("threshold", [0, 2])
def test_a_zone_without_its_mirror_still_knows_what_it_released(tmp_path, threshold):
    # More false witnesses than the charter allows for: what is left is each zone's journal.
    this = model(tmp_path, threshold=threshold, lost_mirrors=True, **BEYOND)
    assert explored(this, this.find_double_release, 7, (*OPENED, "round.upload by bern")).states > 1000
    assert any("already decided release" in words for words in this.refused)


# A fair center


def test_a_quiet_run_ends_however_its_statements_come_in(tmp_path):
    this = model(tmp_path, rounds=2, is_honest=True)
    done = explored(this)
    assert done.is_whole
    assert done.ends
    assert all(map(this.is_over, done.ends))


def test_with_a_threshold_a_run_ends_without_the_release_of_a_lost_member(tmp_path):
    this = model(tmp_path, threshold=2, is_honest=True, absent=OSLO)
    done = explored(this)
    assert done.is_whole
    assert all(map(this.is_over, done.ends))


def test_without_one_it_does_not(tmp_path):
    this = model(tmp_path, is_honest=True, absent=OSLO)
    assert not any(map(this.is_over, explored(this).ends))


def test_once_the_center_is_fair_a_run_goes_on_from_a_sum_that_lacked_a_member(tmp_path):
    # Two uploaded, one released in time. With the third's upload a sum of all could neither close nor fail.
    this = model(tmp_path)
    failed = reached(
        this, (*OPENED, "round.upload by bern", "close round 0 over bern, lima", "log time passes a deadline")
    )
    this.lies = replace(this.lies, is_honest=True, openings=3)
    done = explore(failed, this.moves, this.key, this.fault, TO_THE_END)
    assert done.is_whole
    assert all(map(this.is_over, done.ends))
    assert any("round 1 for bern, lima" in words for words, _ in this.moves(failed))


# What the explorer finds when a rule is missing


def without(monkeypatch, module, name, change):
    """Put something else in a function's place; it is given the true one."""
    monkeypatch.setattr(module, name, change(getattr(module, name)))


def nothing(_monkeypatch):
    """No rule is missing; the adversary may do more than the charter assumes."""


def differs_by_one(monkeypatch):
    without(monkeypatch, rules, "_judge_difference", lambda _: lambda *_: None)


def closes_again(monkeypatch):
    differs_by_one(monkeypatch)
    for name, place in (("_judge_close", 2), ("_judge_upload", 2)):

        def unclosed(true, place=place):
            def judge(*args):
                args = list(args)
                args[place] = replace(args[place], closed=None)
                return true(*args)

            return judge

        without(monkeypatch, rules, name, unclosed)


def leaves_an_upload_out(monkeypatch):
    def some(true):
        def judge(job, rounds, this, body, at):
            uploads = {member: upload for member, upload in this.uploads.items() if member in body.uploads}
            return true(job, rounds, replace(this, uploads=type(this.uploads)(uploads)), body, at)

        return judge

    without(monkeypatch, rules, "_judge_close", some)


def sums_one_vector(monkeypatch):
    without(monkeypatch, rules, "fewest", lambda _: lambda _job: 1)


def waits_for_no_witness(monkeypatch):
    without(monkeypatch, round_zones, "may_release", lambda true: lambda zone, this, _: true(zone, this, 1))


def masks_without_salt(monkeypatch):
    without(monkeypatch, masking, "pair_seed", lambda true: lambda shared, _, *pair: true(shared, bytes(32), *pair))


def reuses_its_seed(monkeypatch):
    without(
        monkeypatch,
        round_zones._Notebook,
        "seed",
        lambda true: lambda self, _, draw: true(self, digest_of(b"any"), draw),
    )


SPOILT = {
    "a round closes again, and sums may differ by one (sums 9, 11, 14)": (closes_again, {"openings": 1}, "find_leak"),
    "sums may differ by one member (sums 14)": (differs_by_one, {"openings": 2}, "find_leak"),
    "a close may leave an upload out (sums 12)": (leaves_an_upload_out, {"openings": 1}, "find_wrong_sum"),
    "one vector is a sum (sums 13)": (sums_one_vector, {"openings": 1}, "find_leak"),
    "a release waits for no witness": (waits_for_no_witness, {"openings": 1, "histories": 2}, "find_leak"),
    "masks are the same in every round": (masks_without_salt, {"openings": 2}, "find_leak"),
    "self seeds are the same in every round": (reuses_its_seed, {"openings": 2}, "find_leak"),
    "more false witnesses than the charter allows for": (nothing, BEYOND, "find_leak"),
    "a zone loses its mirror and its journal": (
        nothing,
        {**BEYOND, "lost_mirrors": True, "lost_journals": True},
        "find_double_release",
    ),
}


@pytest.mark.parametrize(("spoil", "lies", "promise"), SPOILT.values(), ids=SPOILT)
def test_a_missing_rule_is_found(tmp_path, monkeypatch, spoil, lies, promise):
    spoil(monkeypatch)
    this = model(tmp_path, **lies)
    with pytest.raises(Broken, match=promise.removeprefix("find_").replace("_", " ")):
        explored(this, getattr(this, promise), after=OPENED)


# The same moves, drawn at random, further than all of them can be tried

LOTS = {
    "four members, lost ones, two histories": ((*MEMBERS, "suva"), {"threshold": 3, "openings": 3, "histories": 2}),
    "four members, an accomplice": (
        (*MEMBERS, "suva"),
        {"minimum": 3, "openings": 3, "histories": 2, "colluders": OSLO},
    ),
    "three members, three rounds": (MEMBERS, {"rounds": 2, "openings": 4, "histories": 2}),
}


class Drawn(RuleBasedStateMachine):
    """One story under a center that draws what it does."""

    folder = None

    @initialize(lot=st.sampled_from(sorted(LOTS)))
    def begin(self, lot):
        members, lies = LOTS[lot]
        self.folder = tempfile.TemporaryDirectory()
        self.model = model(self.folder.name, members=members, **lies)
        self.world = self.model.start

    @rule(draw=st.integers(0, 2**16))
    def move(self, draw):
        moves = list(self.model.moves(self.world))
        if moves:
            _, self.world = moves[draw % len(moves)]

    @rule(draw=st.integers(0, 2**16))
    def move_on(self, draw):
        """Something that is no new history, so that stories get far."""
        moves = [world for words, world in self.model.moves(self.world) if "another history" not in words]
        if moves:
            self.world = moves[draw % len(moves)]

    @invariant()
    def keeps_every_promise(self):
        if self.folder is not None:
            assert self.model.fault(self.world) is None

    def teardown(self):
        if self.folder is not None:
            self.folder.cleanup()


TestDrawn = pytest.mark.slow(Drawn.TestCase)
TestDrawn.settings = settings(max_examples=12, stateful_step_count=40, deadline=None)
