"""The network on tables: it learns through ternary digits what it learns alone, and crashes cost it nothing."""

import numpy as np
import pytest

from serai.aggregation.codec import decode, encode
from serai.errors import Malformed, Refused
from serai.recipes.mlp import Mlp
from serai.recipes.registry import RECIPES, build, code_digest, source_of
from serai.training.lowcomm import GAIN
from serai.training.methods import Context, Data, classification_counts
from serai.training.tensors import digest_model, model_bytes, read_model

PARAMS = {"features": "2", "hidden": "16", "steps": "20", "rounds": "20", "lr": "0.02"}


def rings(seed, n=300):
    """Rows inside and outside a circle: no straight line parts them."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-1, 1, (n, 2))
    y = (np.hypot(x[:, 0], x[:, 1]) < 0.7).astype(float)
    cut = n * 2 // 3
    return Data(x=x[:cut], y=y[:cut], test_x=x[cut:], test_y=y[cut:], names=("a", "b"))


def run(params, members=3, rounds=20):
    recipe = build("mlp", PARAMS | params, {})
    codec, model = recipe.codec(members), recipe.initial()
    data, memories = [rings(seed) for seed in range(members)], [{} for _ in range(members)]
    for number in range(rounds):
        total = codec.ring.zeros(codec.lanes)
        for member in range(members):
            context = Context(round=number, seed=bytes([member, number]), member=str(member), memory=memories[member])
            vector = recipe.contribute(model, data[member], context)
            codec.ring.add(total, encode(codec, vector)[0])
        model = recipe.combine(model, decode(codec, total, np.float32), members)
    counts = [recipe.evaluate(model, part) for part in data]
    return model, sum(count["correct"] for count in counts) / sum(count["n"] for count in counts)


@pytest.mark.parametrize("params", [{}, {"levels": "7"}, {"momentum": "0.5"}, {"feedback": "no", "levels": "3"}])
def test_it_learns_what_no_straight_line_parts(params):
    model, accuracy = run(params)
    assert accuracy > 0.88
    assert np.isfinite(model[GAIN]).all()


def test_three_levels_of_three_members_travel_in_under_three_bits_a_parameter():
    recipe = build("mlp", PARAMS | {"hidden": "4000"}, {})
    parameters = 4 * 4000 + 1
    assert recipe.codec(3).upload_bytes * 8 / parameters < 3


def test_the_memory_survives_being_written_and_read():
    recipe = build("mlp", PARAMS, {})
    model, memory = recipe.initial(), {}
    recipe.contribute(model, rings(1), Context(round=0, seed=b"a", member="m", memory=memory))
    assert {name.partition("/")[0] for name in memory} == {"inner", "lowcomm"}
    kept = dict(read_model(model_bytes(memory)))
    once = recipe.contribute(model, rings(1), Context(round=1, seed=b"b", member="m", memory=dict(memory)))
    again = recipe.contribute(model, rings(1), Context(round=1, seed=b"b", member="m", memory=kept))
    assert np.array_equal(once, again)
    assert digest_model(kept) == digest_model({**memory, **kept})


def test_it_goes_on_from_a_model_that_an_earlier_run_made():
    model, _ = run({}, rounds=2)
    again = build("mlp", PARAMS, {"start": model}).initial()
    assert np.array_equal(again["hidden_weight"], model["hidden_weight"])


def test_its_scores_are_probabilities_that_say_yes_where_the_evaluation_does():
    model, _ = run({}, rounds=2)
    recipe, rows = build("mlp", PARAMS, {}), rings(1)
    scores = recipe.scores(model, rows.test_x)
    assert classification_counts(scores > 0.5, rows.test_y) == recipe.evaluate(model, rows)
    assert 0 <= scores.min() < scores.max() <= 1


def test_a_start_of_another_size_is_refused():
    model = build("mlp", PARAMS, {}).initial()
    with pytest.raises(Malformed):
        build("mlp", PARAMS | {"hidden": "8"}, {"start": model})


def test_a_member_without_rows_is_refused():
    data = rings(1)
    empty = Data(x=data.x[:0], y=data.y[:0], test_x=data.test_x, test_y=data.test_y, names=data.names)
    recipe = Mlp(PARAMS, {})
    with pytest.raises(Refused):
        recipe.contribute(recipe.initial(), empty, Context(round=0, seed=b"a", member="m"))


def test_a_plan_says_how_many_rounds_it_has():
    with pytest.raises(Malformed) as caught:
        build("mlp", {"features": "2"}, {})
    assert "rounds" in caught.value.message


def test_feedback_with_a_step_that_diverges_is_refused_when_the_recipe_is_built():
    with pytest.raises(Refused) as caught:
        build("mlp", PARAMS | {"quantile_step": "8"}, {})
    assert caught.value.code == "feedback-diverges"


def test_a_changed_engine_changes_the_code_digest():
    assert "mlp" in RECIPES
    before = code_digest("mlp")

    def read(module):
        source = source_of(module)
        return source + b"\n# changed\n" if module == "serai.training.lowcomm" else source

    assert code_digest("mlp", read) != before
