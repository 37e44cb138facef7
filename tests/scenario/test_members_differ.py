"""One run, three members, three frameworks: what they send adds up, and everybody computes the same model."""

import numpy as np
import pytest

from serai.recipes.equipment import EngineName, Equipment
from serai.recipes.registry import build
from serai.state import outcome_of
from serai.testing.federation import Federation
from serai.training.tensors import read_model

pytestmark = pytest.mark.slow  # seconds each

ENGINES = {"almaty": EngineName.NUMPY, "bern": EngineName.TORCH, "cusco": EngineName.SKLEARN}
PARAMS = {"features": "2", "hidden": "16", "steps": "25", "rounds": "8", "lr": "0.03", "levels": "7"}


def table(seed):
    """Rows inside and outside a circle: no straight line parts them."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-1, 1, (160, 2))
    return np.column_stack((x, np.hypot(x[:, 0], x[:, 1]) < 0.75)).tolist()


@pytest.fixture
def bloc(tmp_path):
    for package in ("torch", "sklearn"):
        pytest.importorskip(package, reason=f"an engine of this story is an extra: pip install 'serai[{package}]'")
    equipment = {name: Equipment(engine=engine, device="cpu") for name, engine in ENGINES.items()}
    bloc = Federation(tmp_path, {name: table(seed) for seed, name in enumerate(ENGINES)}, equipment=equipment)
    bloc.found()
    return bloc


def test_numpy_pytorch_and_scikit_learn_train_one_network(bloc):
    run = bloc.train(bloc.agree(), "mlp", rounds=8, params=PARAMS)
    bloc.settle()

    outcome = outcome_of(bloc.state, run, bloc.state.now)
    assert outcome is not None
    assert outcome.model is not None
    rounds = list(bloc.state.rounds.rounds.values())
    assert len(rounds) == 8
    for this in rounds:
        assert set(this.uploads) == set(this.results) == set(ENGINES)
        assert len({result.model for result in this.results.values()}) == 1, "every member computed the same bits"
    assert not bloc.state.void

    recipe, correct, counted = build("mlp", PARAMS, {}), [0, 0], 0
    models = recipe.initial(), read_model(bloc.members["bern"].zone.blobs.path(outcome.model).read_bytes())
    for member in bloc.members.values():
        data = member.zone.vault.load("rows")
        counted += len(data.test_y)
        for which, model in enumerate(models):
            correct[which] += recipe.evaluate(model, data)["correct"]
    assert correct[1] > 0.85 * counted > correct[0]
