"""PyTorch behind the fence: a language model trains in a worker that has nothing but the text and the model."""

from pathlib import Path

import numpy as np
import pytest

from serai.agent.programs import Programs, Source
from serai.agent.sandbox import find_fence
from serai.agent.settings import Limits, SandboxSettings
from serai.kernel.ids import MemberId
from serai.recipes.registry import build
from serai.training.methods import Context, Data

LIMITS = Limits()
PARAMS = {"width": "16", "heads": "2", "layers": "1", "context": "16", "batch": "4", "steps": "4", "rounds": "2"}

pytestmark = pytest.mark.skipif(
    not find_fence(Path("/nowhere"), LIMITS).is_whole, reason="no whole sandbox here: apt-get install bubblewrap"
)


def test_a_text_goes_in_and_digits_and_counts_come_out(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'serai[torch]'")
    text = np.frombuffer(b"one two three " * 100, np.uint8)
    none, label = np.zeros((2, 0)), np.zeros(2)
    data = Data(x=none, y=label, test_x=none, test_y=label, names=(), text=text, test_text=text[:177])
    program = Programs(SandboxSettings(limits=LIMITS), tmp_path).open(
        Source(recipe="language_model", params=PARAMS, inputs={})
    )
    try:
        recipe, plain, memory = program.recipe, build("language_model", PARAMS, {}), {}
        model = recipe.initial()
        for number in range(2):
            context = Context(round=number, seed=bytes([number] * 32), member=MemberId("bern"), memory=memory)
            vector = recipe.contribute(model, data, context)[0 : plain.length]
            assert vector.shape == (plain.length,)
            assert set(np.unique(vector)) == {-1.0, 0.0, 1.0}
        assert int(memory["inner/step"][0]) == 8
        counts, expected = recipe.evaluate(model, data), plain.evaluate(model, data)
        assert (counts["n"], counts["predicted"]) == (expected["n"], expected["predicted"]) == (2, 176)
        assert counts["micronats"] == pytest.approx(expected["micronats"], rel=1e-4)
    finally:
        program.close()
