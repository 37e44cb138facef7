"""A bloc to tell stories about: three members, few rows, its files in memory where the machine has such a place."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from serai.aggregation.state import current_round, final_model, find_round
from serai.recipes.registry import build
from serai.state import Jobs
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


@pytest.fixture
def make_bloc():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        made = []

        def make(*members, preset="consensus"):
            tables = {member: rows(seed) for seed, member in enumerate(members or MEMBERS)}
            made.append(Federation(Path(home) / str(len(made)), tables, preset))
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
