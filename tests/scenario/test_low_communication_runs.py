"""Runs with everything that slow links and unlike members call for: steps by pace, fragments, steps ahead, a last form."""

from dataclasses import replace

import numpy as np
import pytest

from serai.aggregation.codec import decode, encode
from serai.aggregation.state import find_round
from serai.errors import Refused
from serai.kernel.ids import digest_of
from serai.recipes.mlp import Mlp
from serai.recipes.registry import build
from serai.state import outcome_of
from serai.testing.federation import Federation
from serai.training.methods import Context, Sent
from serai.training.statements import Pace
from serai.training.tensors import digest_model, read_model

PARAMS = {"features": "2", "hidden": "16", "steps": "12", "lr": "0.02"}
ROUNDS = 6


def table(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (80, 2))
    return np.column_stack((x, np.hypot(x[:, 0], x[:, 1]) > 1.1)).tolist()


@pytest.fixture
def bloc(tmp_path):
    bloc = Federation(tmp_path, {name: table(seed) for seed, name in enumerate(("almaty", "bern", "cusco", "dakar"))})
    bloc.found()
    return bloc


def plan(bloc, pace=None, **params):
    made = bloc.plan(bloc.agree(), "mlp", ROUNDS, {**PARAMS, "rounds": str(ROUNDS), **params})
    return replace(made, pace=pace)


def rounds_of(bloc, run):
    number = 0
    while (this := find_round(bloc.state.rounds, run, number)) is not None:
        yield this
        number += 1


def final(bloc, run):
    outcome = outcome_of(bloc.state, run, bloc.state.now)
    assert outcome is not None
    assert outcome.model is not None
    return outcome.model


def test_steps_follow_the_pace_that_members_told(bloc):
    run = bloc.say("almaty", plan(bloc, Pace(exchange_permille=100, least=5, most=40)))
    bloc.settle()

    rounds = list(rounds_of(bloc, run))
    assert [this.done for this in rounds] == list(range(ROUNDS))
    assert set(bloc.state.runs.plans[run].paces) == set(bloc.members)
    assert set(rounds[0].body.steps.values()) == {5}
    for this in rounds:
        taken = {member: upload.body.figures["steps"] for member, upload in this.uploads.items()}
        assert taken == dict(this.body.steps)
        assert 5 <= max(taken.values()) <= 40
    assert final(bloc, run)
    assert not bloc.state.void


def test_fragments_travel_in_turn_and_the_last_round_brings_every_parameter(bloc):
    run = bloc.say("almaty", plan(bloc, fragments="2", ahead="6", last_levels="7"))
    bloc.settle()

    sizes = [{upload.body.size_bytes for upload in this.uploads.values()} for this in rounds_of(bloc, run)]
    assert len(sizes) == ROUNDS
    assert all(len(found) == 1 for found in sizes)
    assert sizes[0] == sizes[1] == sizes[-2]
    assert min(sizes[-1]) > 2 * min(sizes[0])
    model = read_model(bloc.members["bern"].zone.blobs.path(final(bloc, run)).read_bytes())
    assert model["lowcomm/done"].tolist() == [ROUNDS]


def simulated(bloc, run):
    """The model that the members' vectors make, computed without zones, log or masks."""
    made = bloc.state.runs.plans[run].plan
    recipe = build(made.recipe, made.params, {})
    model, memories, sent = recipe.initial(), {member: {} for member in bloc.members}, None

    def at(member, number, sent=None):
        seed = bytes.fromhex(digest_of(f"{run} {member} {number}".encode()))
        return Context(
            round=number, seed=seed, member=member, memory=memories[member], done=number, rounds=ROUNDS, sent=sent
        )

    for number in range(ROUNDS):
        codec = made.last.codec if made.last and number == ROUNDS - 1 else made.codec
        total = codec.ring.zeros(codec.lanes)
        for name, member in bloc.members.items():
            data = member.zone.vault.load("rows")
            codec.ring.add(total, encode(codec, recipe.contribute(model, data, at(name, number, sent)))[0])
            if recipe.ahead and number < ROUNDS - 1:
                recipe.train_ahead(model, data, at(name, number + 1))
        model, sent = recipe.combine(model, decode(codec, total, np.float32), len(memories)), Sent(summed=True)
    return digest_model(model)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"ahead": "12"}, marks=pytest.mark.slow),
        {"fragments": "2", "ahead": "4", "last_levels": "7"},
    ],
)
def test_a_run_comes_to_the_same_model_whoever_is_restarted_when(bloc, params):
    run = bloc.say("almaty", plan(bloc, **params))
    restarts = {5: "bern", 9: "center", 14: "dakar", 15: "dakar", 23: "almaty", 31: "cusco"}
    for step in range(40):
        bloc.step()
        if member := restarts.get(step):
            bloc.restart_center() if member == "center" else bloc.restart(member)
    bloc.settle()
    assert [this.done for this in rounds_of(bloc, run)] == list(range(ROUNDS))
    assert final(bloc, run) == simulated(bloc, run)


def test_a_member_that_misses_rounds_comes_back_with_what_it_learnt(bloc):
    made = replace(plan(bloc, ahead="6"), minimum=3)
    run = bloc.say("almaty", made)
    for _ in range(6):
        bloc.step()
    bloc.members["dakar"].is_up = False
    bloc.settle()
    for _ in range(2):
        bloc.tick(made.round_ms + 1000)
        bloc.settle()
    bloc.restart("dakar")
    bloc.settle()
    for _ in range(3):
        bloc.tick(made.round_ms + 1000)
        bloc.settle()

    rounds = [this for this in rounds_of(bloc, run) if this.is_released]
    assert [this.done for this in rounds] == list(range(ROUNDS))
    absent = [this.done for this in rounds if "dakar" not in this.summed]
    assert absent
    assert "dakar" in rounds[-1].summed
    assert final(bloc, run)


def test_steps_ahead_that_failed_are_taken_again(bloc, monkeypatch):
    honest, failures = Mlp.train_ahead, {"bern": [1, 3], "dakar": [2]}

    def train_ahead(self, model, data, context):
        if context.done in failures.get(context.member, []):
            failures[context.member].remove(context.done)
            raise Refused("sandbox-death", "the recipe's worker died", "zone policy")
        honest(self, model, data, context)

    monkeypatch.setattr(Mlp, "train_ahead", train_ahead)
    run = bloc.say("almaty", plan(bloc, ahead="6"))
    for _ in range(4):
        bloc.settle()
    assert failures == {"bern": [], "dakar": []}
    assert [this.done for this in rounds_of(bloc, run)] == list(range(ROUNDS))
    assert final(bloc, run) == simulated(bloc, run)
