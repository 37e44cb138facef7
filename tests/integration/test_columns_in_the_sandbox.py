"""Columns reach a recipe in its worker from the file in memory into which they were read, and no change goes back."""

import numpy as np

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


def test_a_worker_sees_the_columns_that_its_recipe_named(tmp_path):
    (tmp_path / "zone.toml").write_text(ZONE)
    (tmp_path / "rows.csv").write_text("x,y,sex\n1.5,1,f\n,2,m\n4,3,\n1,4,f\n")
    sandbox = SandboxSettings(foreign=ForeignCode.LIMITED, limits=Limits(call_s=60))
    program = Programs(sandbox, tmp_path).open(
        Source(recipe="", params={}, inputs={}, archive=pack({"recipe.py": SUMS}))
    )
    try:
        data = Vault(load_settings(tmp_path)).load("rows", program.recipe.columns)
        context = Context(round=0, seed=bytes(32), member=MemberId("bern"))
        told = program.recipe.contribute({}, data, context)[0:6]
    finally:
        program.close()
    assert told.tolist() == [6.5, 1, 2, 1, 4, 2]
    assert np.array_equal(data.table.number("x"), [1.5, np.nan, 4, 1], equal_nan=True)
