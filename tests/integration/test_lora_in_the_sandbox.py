"""Fine-tuning behind the fence: a worker that sees the base model's folder, the text and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from serai.agent.programs import Programs, Source
from serai.agent.sandbox import find_fence
from serai.agent.settings import Limits, SandboxSettings
from serai.errors import Refused
from serai.kernel.ids import MemberId
from serai.recipes.base_model import open_base_model
from serai.recipes.equipment import Equipment
from serai.recipes.registry import build
from serai.testing.tiny_model import write_tiny_model
from serai.training.methods import Context, Data
from serai.training.tensors import digest_model

LIMITS = Limits(call_s=120)

pytestmark = pytest.mark.skipif(
    not find_fence(Path("/nowhere"), LIMITS).is_whole, reason="no whole sandbox here: apt-get install bubblewrap"
)


@pytest.fixture
def folder(tmp_path):
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="PyTorch and transformers are an extra: pip install 'serai[lora]'")
    return write_tiny_model(tmp_path / "models" / "tiny", vocabulary=300, text="one two three four " * 20)


@pytest.fixture
def data():
    text, none, label = np.frombuffer(b"one two three " * 100, np.uint8), np.zeros((2, 0)), np.zeros(2)
    return Data(x=none, y=label, test_x=none, test_y=label, names=(), text=text, test_text=text[:400])


def test_a_text_goes_in_and_digits_of_adapters_come_out(folder, data, tmp_path):
    params = {
        "base": "tiny",
        "base_digest": open_base_model(folder).digest,
        "context": "8",
        "steps": "3",
        "rounds": "1",
    }
    equipment = Equipment(device="cpu", models={"tiny": str(folder)})
    programs = Programs(SandboxSettings(limits=LIMITS, equipment=equipment), tmp_path / "home")
    source = Source(recipe="lora", params=params, inputs={})
    plain = build("lora", params, {}, equipment)
    assert programs.initial_digest(source) == digest_model(plain.initial())
    program, memory = programs.open(source), {}
    try:
        context = Context(round=0, seed=bytes(32), member=MemberId("bern"), memory=memory)
        vector = program.recipe.contribute(plain.initial(), data, context)[0 : plain.length]
        assert vector.shape == (plain.length,)
        assert set(np.unique(vector)) == {-1.0, 0.0, 1.0}
        assert int(memory["inner/step"][0]) == 3
        counts, expected = program.recipe.evaluate(plain.initial(), data), plain.evaluate(plain.initial(), data)
        assert counts["predicted"] == expected["predicted"] > 50
        assert counts["micronats"] == pytest.approx(expected["micronats"], rel=1e-4)
        (folder / "config.json").write_text("{}")
        program.close()
        with pytest.raises(Refused, match="the plan means the base model"):
            program.recipe.evaluate(plain.initial(), data)
    finally:
        program.close()
