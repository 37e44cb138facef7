"""A run whose digits share ring elements: masks, sums, checks and audit see nothing but elements."""

import numpy as np
import pytest

from serai.state import outcome_of
from serai.testing.federation import Federation
from serai.training.lowcomm import DONE, GAIN, SCALE
from serai.training.tensors import read_model


def table(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (80, 2))
    return np.column_stack((x, np.hypot(x[:, 0], x[:, 1]) > 1.1)).tolist()


@pytest.fixture
def bloc(tmp_path):
    bloc = Federation(tmp_path, {name: table(seed) for seed, name in enumerate(("almaty", "bern", "cusco", "dakar"))})
    bloc.found()
    return bloc


def test_four_members_train_a_network_in_ternary_digits(bloc):
    params = {"features": "2", "hidden": "16", "steps": "15", "rounds": "4", "lr": "0.02"}
    run = bloc.train(bloc.agree(), "mlp", rounds=4, params=params)
    bloc.settle()

    outcome = outcome_of(bloc.state, run, bloc.state.now)
    assert outcome is not None
    assert outcome.model is not None
    plan = bloc.state.runs.plans[run].plan
    assert plan.codec.digits == 20
    uploads = [this.uploads for this in bloc.state.rounds.rounds.values()]
    sizes = {upload.body.size_bytes for round_ in uploads for upload in round_.values()}
    assert sizes == {-(-plan.length // 20) * 8}
    member = bloc.members["bern"]
    model = read_model(member.zone.blobs.path(outcome.model).read_bytes())
    assert np.isfinite(model[GAIN]).all()
    assert len(set(model[SCALE].tolist())) > 1, "the scales follow each block's updates"
    assert not bloc.state.void


def test_fragments_travel_in_turn_while_members_train_on_and_the_last_round_brings_everything(bloc):
    params = {"features": "2", "hidden": "16", "steps": "15", "rounds": "5", "lr": "0.02"}
    params |= {"fragments": "2", "ahead": "10", "last_levels": "7"}
    run = bloc.train(bloc.agree(), "mlp", rounds=5, params=params)
    bloc.settle()

    outcome = outcome_of(bloc.state, run, bloc.state.now)
    assert outcome is not None
    assert outcome.model is not None
    plan = bloc.state.runs.plans[run].plan
    assert plan.last is not None
    assert plan.last.length == 65, "every parameter and no report"
    assert plan.length < 65 / 2 + 20
    model = read_model(bloc.members["bern"].zone.blobs.path(outcome.model).read_bytes())
    assert model[DONE].tolist() == [5]
    this = next(this for this in bloc.state.rounds.rounds.values() if this.done == 4)
    assert {upload.body.figures.get("steps") for upload in this.uploads.values()} == {15}
    assert not bloc.state.void
