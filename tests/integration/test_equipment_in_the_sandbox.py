"""What a zone trains with reaches the recipe in its worker, and a base model is shown there read-only."""

import sys

import numpy as np
import pytest

from serai.agent.programs import Programs, Source
from serai.agent.settings import ForeignCode, Limits, SandboxSettings
from serai.errors import Refused
from serai.kernel.ids import MemberId
from serai.recipes.archive import pack
from serai.recipes.equipment import EngineName, Equipment
from serai.training.methods import Context, Data

LIMITS = Limits(call_s=60)
PARAMS = {"features": "2", "hidden": "4", "steps": "3", "rounds": "1"}
NAMES_ITS_EQUIPMENT = b"""
from pathlib import Path
from fractions import Fraction
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    name, outputs, length, equipment = "curious", ("aggregate",), 3, None
    def __init__(self, params, inputs): pass
    def equipped(self, equipment):
        self.equipment = equipment
        return self
    def codec(self, members): return Codec(bits=48, limit=100, blocks=(Block(length=3, step=Fraction(1)),))
    def initial(self): return {}
    def contribute(self, model, data, context):
        folders = [Path(path) for path in self.equipment.models.values()]
        read = [len((folder / "config.json").read_bytes()) for folder in folders]
        try:
            (folders[0] / "new").write_bytes(b"")
            wrote = 1
        except OSError:
            wrote = 0
        return np.array([len(folders), sum(read), wrote], float)
    def combine(self, model, total, members): return model
    def evaluate(self, model, data): return {"n": len(data.test_y)}
"""


def rows():
    x = np.random.default_rng(1).normal(size=(20, 2))
    return Data(x=x, y=(x[:, 0] > 0).astype(float), test_x=x, test_y=x[:, 0], names=("a", "b"))


def contribute(home, source, equipment):
    settings = SandboxSettings(limits=LIMITS, foreign=ForeignCode.LIMITED, equipment=equipment)
    program = Programs(settings, home).open(source)
    try:
        context = Context(round=0, seed=bytes(32), member=MemberId("bern"))
        return program.recipe.contribute(program.recipe.initial(), rows(), context)[0 : program.recipe.length]
    finally:
        program.close()


def test_the_worker_trains_with_the_zones_engine(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'serai[torch]'")
    source = Source(recipe="mlp", params=PARAMS, inputs={})
    assert contribute(tmp_path, source, Equipment(engine=EngineName.TORCH, device="cpu")).any()
    with pytest.raises(Refused, match=r"zone\.toml names the device 'xpu'.*this PyTorch has cpu"):
        contribute(tmp_path, source, Equipment(device="xpu"))


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_a_worker_reads_the_base_model_that_its_plan_names_and_writes_nothing_there(tmp_path):
    folder, other = tmp_path / "models" / "small", tmp_path / "models" / "other"
    for number, path in enumerate((folder, other)):
        path.mkdir(parents=True)
        (path / "config.json").write_bytes(b"{}" + b" " * number)
    equipment = Equipment(models={"small": str(folder), "other": str(other)})
    source = Source(
        recipe="curious", params={"base": "small"}, inputs={}, archive=pack({"recipe.py": NAMES_ITS_EQUIPMENT})
    )
    found = contribute(tmp_path / "home", source, equipment)
    whole = Programs(SandboxSettings(limits=LIMITS), tmp_path / "home").fence.is_whole
    assert found.tolist() == [1, 2, 0 if whole else 1]
