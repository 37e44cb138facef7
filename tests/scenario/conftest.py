"""A bloc to tell stories about: three members, few rows, its files in memory where the machine has such a place."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from serai.aggregation.state import current_round, final_model, find_round
from serai.kernel.envelope import parse_envelope
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import cosign
from serai.ledger.note import parse_note
from serai.recipes.registry import build
from serai.state import Jobs
from serai.testing.faults import Forked, see_through
from serai.testing.federation import Federation
from serai.training.methods import Data
from serai.training.tensors import read_model

MEMBERS = ("bern", "lima", "oslo")
FEATURES = {"features": "3"}
MEMORY = Path("/dev/shm")  # what these stories prove does not hang on the disk, and its syncs take most of their time


def rows(seed, count=40):
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (count, 3))
    y = x @ [1, -1, 0.5] + generator.normal(0, 0.5, count) > 0
    return [[*map(float, values), float(label)] for values, label in zip(x, y, strict=True)]


@dataclass
class Story:
    """A federation and the questions that the stories ask of it."""

    bloc: Federation

    def round(self, run, number=None):
        rounds = self.bloc.state.rounds
        return current_round(rounds, run) if number is None else find_round(rounds, run, number)

    def run(self, run):
        return self.bloc.state.runs.plans[run]

    def final(self, run):
        state = self.bloc.state
        return final_model(state.rounds, Jobs(state, state.now)[run])

    def model(self, digest):
        blobs = self.bloc.center_parts.blobs
        return read_model(blobs.read_range(digest, 0, blobs.size(digest)))

    def recipe(self, run):
        plan = self.run(run).plan
        return build(plan.recipe, plan.params, {})

    def data(self, member):
        return self.bloc.members[member].zone.vault.load("rows")

    def pooled(self, members=MEMBERS):
        every = [self.data(member) for member in members]
        x, y = (np.concatenate([getattr(data, name) for data in every]) for name in ("x", "y"))
        return Data(x=x, y=y, test_x=x, test_y=y, names=every[0].names)

    def step_until(self, is_reached: Callable[[], bool]):
        """Let the center and each member act in turn until the story has come to a point between two of them."""
        for _ in range(200):
            if is_reached():
                return
            self.bloc.step_center()
            for name in self.bloc.members:
                if is_reached():
                    return
                self.bloc.step_member(name)
            self.bloc.check()
        raise AssertionError("the story does not come to that point")

    # What a center that lies needs

    def position(self, kind, nth=0):
        """Where the log has the nth entry of a kind."""
        kinds = [parse_envelope(entry).kind for entry in self.bloc.entries]
        return [index for index, this in enumerate(kinds) if this == kind][nth]

    def operator_says(self, body):
        return self.bloc.put(sign_body(body, self.bloc.operator))

    def show_fork(self, member, entries, **lies):
        """Show a member another history from now on; the fork, to add to."""
        made = []

        def fork(center):
            made[:] = [Forked(center, self.bloc.log, made[0].entries if made else entries, **lies)]
            return made[0]

        self.bloc.deceive(member, see_through(fork))
        return made[0]

    @property
    def witnesses(self):
        return self.bloc.center_parts.replay.witnesses()

    def cosigned(self, note, members, times_s):
        """A note with a cosignature line of each member at each time."""
        body = parse_note(note).text
        signers = {name: self.bloc.signer(name, Role.WITNESS) for name in members}
        return note + "".join(cosign(body, name, signers[name], time_s) for name in members for time_s in times_s)


@pytest.fixture
def make_bloc():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        made = []

        def make(*members, preset="consensus", bloc=Federation):
            tables = {member: rows(seed) for seed, member in enumerate(members or MEMBERS)}
            made.append(bloc(Path(home) / str(len(made)), tables, preset))
            made[-1].found()
            return Story(made[-1])

        yield make


@pytest.fixture
def story(make_bloc):
    """A bloc whose charter is in force."""
    return make_bloc()


@pytest.fixture
def agreed(story):
    """The story and an agreement in force over everybody's data."""
    return story, story.bloc.agree()


@pytest.fixture
def running(agreed):
    """The story, and a run of which round 0 was just opened."""
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 3, FEATURES)
    story.step_until(lambda: story.round(run))
    assert not story.round(run).uploads
    return story, run


@pytest.fixture
def uploaded(running):
    """The story, a run, and all uploads of its round 0, which is still open."""
    story, run = running
    story.step_until(lambda: len(story.round(run).uploads) == 3)
    assert story.round(run).closed is None
    return story, run
