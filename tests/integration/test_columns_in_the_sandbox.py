"""Columns reach a recipe in its worker from the file in memory into which they were read, and no change goes back."""

import numpy as np
import pytest

from serai.agent.programs import Programs, Source
from serai.agent.settings import ForeignCode, Limits, SandboxSettings, load_settings
from serai.agent.vault import Vault
from serai.kernel.ids import MemberId
from serai.recipes.archive import pack
from serai.training.methods import Context

ZONE = """\
member = "bern"
jurisdiction = "CH"
[datasets.rows]
title = "Rows"
path = "rows.csv"
[datasets.rows.fields]
x = {kind = "number"}
y = {kind = "number"}
sex = {kind = "category", levels = ["f", "m"]}
"""
SUMS = b"""
from fractions import Fraction
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    name, outputs, length, columns = "sums", ("aggregate",), 6, ("sex", "x")
    def __init__(self, params, inputs): pass
    def codec(self, members): return Codec(bits=48, limit=10**6, blocks=(Block(length=6, step=Fraction(1)),))
    def initial(self): return {}
    def contribute(self, model, data, context):
        x, (sex, levels) = data.table.number("x"), data.table.category("sex")
        told = [np.nansum(x), np.isnan(x).sum(), (sex == 0).sum(), (sex == -1).sum(), data.table.rows, len(levels)]
        x[:] = 9
        return np.array(told, float)
    def combine(self, model, total, members): return model
    def evaluate(self, model, data): return {"n": 0}
"""


ROWS = b"""
from fractions import Fraction
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    name, outputs, length = "rows", ("aggregate",), 60
    def __init__(self, params, inputs): pass
    def codec(self, members): return Codec(bits=48, limit=10**6, blocks=(Block(length=60, step=Fraction(1)),))
    def initial(self): return {}
    def contribute(self, model, data, context):
        parts = (data.x, data.y, data.test_x, data.test_y)
        assert all(part.flags.c_contiguous and part.flags.writeable for part in parts)
        told = np.concatenate([part.ravel() for part in parts])
        for part in parts:
            part[:] = 0
        return told
    def combine(self, model, total, members): return model
    def evaluate(self, model, data): return {"n": len(data.test_x)}
"""
TRAINING = """
[datasets.train]
title = "Rows to train on"
path = "rows.parquet"
label = {column = "y", above = 3}
features = [{name = "x", column = "x", kind = "number"}, {name = "f", column = "sex", equals = "f"}]
"""


def contributed(home, archive, data):
    """What a recipe sends, from its worker."""
    sandbox = SandboxSettings(foreign=ForeignCode.LIMITED, limits=Limits(call_s=60))
    source = Source(recipe="", params={}, inputs={}, archive=pack({"recipe.py": archive}))
    program = Programs(sandbox, home).open(source)
    try:
        context = Context(round=0, seed=bytes(32), member=MemberId("bern"))
        return program.recipe.contribute({}, data, context)[0 : program.recipe.length]
    finally:
        program.close()


def test_a_worker_sees_the_columns_that_its_recipe_named(tmp_path):
    (tmp_path / "zone.toml").write_text(ZONE)
    (tmp_path / "rows.csv").write_text("x,y,sex\n1.5,1,f\n,2,m\n4,3,\n1,4,f\n")
    data = Vault(load_settings(tmp_path)).load("rows", ("sex", "x"))

    assert contributed(tmp_path, SUMS, data).tolist() == [6.5, 1, 2, 1, 4, 2]
    assert np.array_equal(data.table.number("x"), [1.5, np.nan, 4, 1], equal_nan=True)


def test_a_worker_sees_training_rows_and_those_held_back_as_they_were_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    (tmp_path / "zone.toml").write_text(ZONE + TRAINING)
    table = pa.table({"x": np.arange(20) / 3, "y": np.arange(20) % 7, "sex": ["f", "m"] * 10})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "rows.parquet")
    data = Vault(load_settings(tmp_path)).load("train")
    expected = np.concatenate([part.ravel() for part in (data.x, data.y, data.test_x, data.test_y)])

    assert (data.x.shape, data.test_x.shape) == ((14, 2), (6, 2))
    assert contributed(tmp_path, ROWS, data).tolist() == expected.tolist()
    assert data.x.ravel().tolist() == expected[:28].tolist(), "what the worker writes is its own"
