"""What a zone counts of a model: all that the terms let it tell, and of few rows less."""

from dataclasses import replace

import numpy as np
import pytest

from serai.agent.measuring import attack, measure
from serai.recipes.registry import build
from serai.training.methods import Data

RECIPE = build("newton", {"features": "2"}, {})
MODEL = {"bias": np.zeros(1), "weight": np.array([2.0, -1.0])}
WHOLE = {"n", "correct", "tp", "fp", "tn", "fn"}


@pytest.fixture
def data():
    x = np.random.default_rng(4).normal(size=(90, 2))
    y = (x @ [2, -1] > 0).astype(float)
    return Data(x=x[:60], y=y[:60], test_x=x[60:], test_y=y[60:], names=("a", "b"))


def test_pairs_errors_and_bins_are_counted_beside_what_the_recipe_counts(data):
    counts = measure(RECIPE, MODEL, data, 1)
    assert RECIPE.evaluate(MODEL, data).items() <= counts.items()
    assert counts["u2"] == 2 * (counts["tp"] + counts["fn"]) * (counts["tn"] + counts["fp"])  # the rows were made so
    assert sum(value for name, value in counts.items() if name.startswith("bin") and name.endswith("_n")) == 30
    exposure = attack(RECIPE, MODEL, data, 1)
    assert (exposure["mia_in"], exposure["mia_out"]) == (60, 30)


def test_where_no_part_may_be_told_of_whole_counts_are_all(data):
    assert measure(RECIPE, MODEL, data, None).keys() == WHOLE
    assert attack(RECIPE, MODEL, data, None) == {}


def test_a_recipe_without_probabilities_and_a_zone_without_held_back_rows_count_what_they_can(data):
    moments = build("moments", {"features": "2"}, {})
    assert measure(moments, moments.initial(), data, 1) == {"n": 60}
    assert attack(moments, moments.initial(), data, 1) == {}
    none = replace(data, test_x=data.test_x[:0], test_y=data.test_y[:0])
    assert measure(RECIPE, MODEL, none, 1) == dict.fromkeys(WHOLE, 0)
    assert attack(RECIPE, MODEL, none, 1) == {}
