"""Members fine-tune a language model that lies on each one's disk; whoever has another model there stays out."""

import json
from dataclasses import dataclass

import pytest

from serai.cli.releasing import write_adapters
from serai.errors import Conflict
from serai.recipes.base_model import open_base_model
from serai.recipes.equipment import Equipment
from serai.state import outcome_of
from serai.testing.federation import Federation
from serai.testing.tiny_model import write_tiny_model
from serai.training.tensors import read_model

pytestmark = pytest.mark.slow  # seconds each

SETTINGS = {"rank": "2", "context": "8", "batch": "4", "steps": "5", "rounds": "2", "lr": "0.01"}
WORDS = {"almaty": "bir eki uch", "bern": "eins zwei drei", "cusco": "uno dos tres"}


@pytest.fixture
def folders(tmp_path):
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="PyTorch and transformers are an extra: pip install 'serai[lora]'")
    pytest.importorskip("torch").set_num_threads(1)
    same = write_tiny_model(tmp_path / "models" / "tiny")
    return dict.fromkeys(WORDS, same) | {"cusco": write_tiny_model(tmp_path / "models" / "other", seed=2)}


@pytest.fixture
def bloc(tmp_path, folders):
    texts = {name: "\n\n".join([f"{words} {words}"] * 40) for name, words in WORDS.items()}
    equipment = {name: Equipment(device="cpu", models={"tiny": str(folder)}) for name, folder in folders.items()}
    bloc = Federation(tmp_path / "bloc", texts, equipment=equipment)
    bloc.found()
    return bloc


@dataclass
class Read:
    """What a person's command reads of a bloc in one process."""

    bloc: Federation

    @property
    def center(self):
        return self.bloc.center

    def state(self):
        return self.bloc.state


def test_two_members_train_adapters_and_the_third_declines(bloc, folders, tmp_path):
    params = {**SETTINGS, "base": "tiny", "base_digest": open_base_model(folders["bern"]).digest}
    run = bloc.train(bloc.agree(), "lora", rounds=2, params=params)
    bloc.settle()

    assert set(bloc.state.runs.plans[run].declines) == {"cusco"}
    outcome = outcome_of(bloc.state, run, bloc.state.now)
    assert set(outcome.participants) == {"almaty", "bern"}
    counts = [record.body.counts for record in bloc.state.analytics.evaluations.values()]
    assert all(count["predicted"] > 100 for count in counts)

    session = Read(bloc)
    write_adapters(session, run[:12], tmp_path / "adapters")
    config = json.loads((tmp_path / "adapters" / "adapter_config.json").read_text())
    assert (config["r"], config["target_modules"]) == (2, ["q_proj", "v_proj"])
    weights = read_model((tmp_path / "adapters" / "adapter_model.safetensors").read_bytes())
    assert len(weights) == 2 * 2 * 2
    assert all(name.startswith("base_model.model.model.layers.") for name in weights)
    with pytest.raises(Conflict):
        write_adapters(session, run[:12], tmp_path / "adapters")
