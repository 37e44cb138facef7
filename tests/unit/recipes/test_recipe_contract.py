"""What every recipe keeps: sizes that fit, equal bits for equal sums, models that can be stored, settings that are checked."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from serai.aggregation.codec import check, decode, encode
from serai.errors import Malformed, Missing, Refused
from serai.kernel.ids import MemberId
from serai.recipes.registry import RECIPES, build, code_digest, find_cohort, source_of
from serai.training.methods import Context, Data
from serai.training.parameters import Parameters
from serai.training.tables import Table
from serai.training.tensors import digest_model, model_bytes, read_model

OUTER = ("fedavg", "fedprox", "scaffold", "nesterov", "fedadam", "fedyogi", "fedadagrad")
BUILDS = {
    "boosting": ("boosting", {"features": "3", "max_iter": "2", "max_depth": "2", "edge_rounds": "1"}),
    "moments": ("moments", {"features": "3"}),
    "newton": ("newton", {"features": "3"}),
    "probe": ("probe", {"size": "53"}),
    "mlp": ("mlp", {"features": "3", "hidden": "4", "rounds": "3", "steps": "5"}),
    **{outer: ("local_sgd", {"features": "3", "outer": outer, "batch": "8"}) for outer in OUTER},
}
COLUMNS = {"bounds": "a=-4:4,b=-4:4", "levels": "kind=x|y|z"}
TIMES = {"time": "time", "event": "event", "until": "12", "step": "1"}
BUILDS |= {
    "cox": ("cox", {**COLUMNS, **TIMES}),
    "cox by stratum": ("cox", {**COLUMNS, **TIMES, "stratum": "kind"}),
    "crosstab": ("crosstab", {"rows": "kind", "columns": "sort", "levels": "kind=x|y|z,sort=u|v"}),
    "describe": ("describe", {**COLUMNS, "by": "kind"}),
    "describe with noise": ("describe", {**COLUMNS, "noise": "2", "bins": "3", "pairs": "yes"}),
    "kaplan_meier": ("kaplan_meier", {**TIMES, "by": "kind", "levels": "kind=x|y|z"}),
    "kmeans": ("kmeans", {"bounds": COLUMNS["bounds"], "clusters": "3"}),
    "linear": ("linear", {**COLUMNS, "outcome": "a"}),
    "logistic": ("logistic", {**COLUMNS, "outcome": "sort=v"}),
    "pca": ("pca", {"bounds": COLUMNS["bounds"]}),
    "quantiles": ("quantiles", {"bounds": COLUMNS["bounds"]}),
}
MEMBERS = tuple(map(MemberId, ("ararat", "bern", "cusco")))


def rows_of(member):
    rng = np.random.default_rng(int.from_bytes(member.encode()))
    x = rng.normal(size=(40, 3)) + 0.3
    y = (x @ [1.0, -2.0, 0.5] + 0.2 + rng.normal(size=40) > 0).astype(np.float64)
    table = Table(
        rows=40,
        numbers={"a": x[:, 0], "b": x[:, 1], "time": np.floor(rng.exponential(9, 40)), "event": y},
        categories={"kind": rng.integers(0, 3, 40).astype(np.int16), "sort": rng.integers(0, 2, 40).astype(np.int16)},
        levels={"kind": ("x", "y", "z"), "sort": ("u", "v")},
    )
    return Data(x=x[:30], y=y[:30], test_x=x[30:], test_y=y[30:], names=("a", "b", "c"), table=table)


def context(member, number=0):
    secret = member.encode().ljust(32, b"?")
    return Context(round=number, seed=member.encode().ljust(32, b"."), member=member, secret=secret)


@pytest.fixture(params=BUILDS)
def recipe(request):
    name, params = BUILDS[request.param]
    return build(name, params, {})


def total_of(recipe, model, number=0):
    codec = recipe.codec(len(MEMBERS))
    total = codec.ring.zeros(codec.lanes)
    for member in MEMBERS:
        lanes, clipped = encode(codec, recipe.contribute(model, rows_of(member), context(member, number)))
        assert clipped == 0
        codec.ring.add(total, lanes)
    codec.ring.reduce(total)
    return decode(codec, total)


def test_the_vector_and_the_codec_have_the_recipes_length(recipe):
    vector = recipe.contribute(recipe.initial(), rows_of("bern"), context(MemberId("bern")))
    assert vector.shape == (recipe.length,) == (recipe.codec(3).length,)


@pytest.mark.parametrize("members", [2, 3, 27, 1000])
def test_no_sum_of_the_codec_can_wrap(recipe, members):
    check(recipe.codec(members), members)


def test_two_zones_start_from_the_same_bits(recipe):
    assert digest_model(recipe.initial()) == digest_model(recipe.initial())


def test_a_round_repeated_after_a_crash_gives_the_same_vector(recipe):
    model = recipe.initial()
    first, second = (recipe.contribute(model, rows_of("bern"), context(MemberId("bern"))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_equal_sums_give_equal_models_and_leave_the_old_model_alone(recipe):
    model = recipe.initial()
    before, total = digest_model(model), total_of(recipe, model)
    assert digest_model(recipe.combine(model, total, 3)) == digest_model(recipe.combine(model, total, 3))
    assert digest_model(model) == before


def test_a_model_read_back_from_its_file_goes_on_to_the_same_bits(recipe):
    model = recipe.combine(recipe.initial(), total_of(recipe, recipe.initial()), 3)
    stored = read_model(model_bytes(model))
    total = total_of(recipe, stored, 1)
    assert digest_model(recipe.combine(model, total, 3)) == digest_model(recipe.combine(stored, total, 3))


def test_every_round_keeps_the_models_names_shapes_and_dtypes(recipe):
    def form(model):
        return {name: (tensor.shape, tensor.dtype) for name, tensor in model.items()}

    model = recipe.initial()
    assert form(recipe.combine(model, total_of(recipe, model), 3)) == form(model)


def test_evaluation_counts_every_held_back_row_once(recipe):
    counts = recipe.evaluate(recipe.initial(), rows_of("bern"))
    assert all(type(count) is int and count >= 0 for count in counts.values())
    if "tp" in counts:
        assert counts["n"] == 10 == counts["tp"] + counts["fp"] + counts["tn"] + counts["fn"]
        assert counts["correct"] == counts["tp"] + counts["tn"]


def test_what_a_member_remembers_can_be_stored_and_taken_up_again(recipe):
    kept, model, data = {}, recipe.initial(), rows_of("bern")
    for number in range(2):
        now = replace(context(MemberId("bern"), number), memory=kept)
        model = recipe.combine(model, recipe.contribute(model, data, now).astype(np.float64), 1)
    stored = dict(read_model(model_bytes(kept)))
    first, again = (
        recipe.contribute(model, data, replace(context(MemberId("bern"), 2), memory=memory))
        for memory in (kept, stored)
    )
    np.testing.assert_array_equal(first, again)


def test_outputs_are_named_as_agreements_name_them(recipe):
    assert set(recipe.outputs) <= {"aggregate", "model", "metrics"}


def test_an_unknown_setting_is_refused(recipe):
    name, params = next(BUILDS[key] for key in BUILDS if BUILDS[key][0] == recipe.name)
    with pytest.raises(Malformed, match="learning_speed"):
        build(name, {**params, "learning_speed": "1"}, {})


@pytest.mark.parametrize("name", ["boosting", "newton", "local_sgd", "moments"])
def test_data_of_another_width_are_refused(name):
    recipe = build(name, {"features": "4"}, {})
    with pytest.raises(Refused):
        recipe.contribute(recipe.initial(), rows_of("bern"), context(MemberId("bern")))


@pytest.mark.parametrize("name", ["newton", "local_sgd"])
@pytest.mark.parametrize(
    "moments",
    [
        {},
        {"mean": np.zeros(3)},
        {"mean": np.zeros(4), "std": np.ones(4)},
        {"mean": np.zeros(3), "std": np.zeros(3)},
        {"mean": np.full(3, np.nan), "std": np.ones(3)},
    ],
)
def test_moments_that_cannot_scale_are_refused(name, moments):
    with pytest.raises(Malformed):
        build(name, {"features": "3"}, {"moments": moments})


def test_a_missing_recipe_is_named_with_those_that_exist():
    with pytest.raises(Missing, match="newton"):
        build("oracle", {}, {})
    with pytest.raises(Missing, match="newton"):
        code_digest("oracle")


def test_each_recipe_is_pinned_by_its_own_digest():
    digests = {name: code_digest(name) for name in RECIPES}
    assert len(set(digests.values())) == len(RECIPES) >= 4
    assert digests == {name: code_digest(name) for name in RECIPES}


def test_a_changed_part_of_boosting_changes_its_digest_and_no_other():
    for part in ("edges", "forest", "growth", "histograms", "layout", "losses", "progress"):

        def changed(module, part=part):
            return source_of(module) + b"#" * (module == f"serai.recipes.trees.{part}")

        assert code_digest("boosting", changed) != code_digest("boosting")
        assert code_digest("newton", changed) == code_digest("newton")


def test_a_changed_outer_optimizer_changes_the_digest_of_the_recipe_that_uses_it():
    def changed(module):
        return source_of(module) + b"#" * (module == "serai.training.outer")

    assert code_digest("local_sgd", changed) != code_digest("local_sgd")
    assert code_digest("newton", changed) == code_digest("newton")


@pytest.mark.parametrize(
    "text", ["", "one", "nan", "inf", "1e999999999", "1/0", "0x10", "1_000", " 1", "1.5", "-1", "101", "9" * 40]
)
def test_numbers_that_are_none_or_out_of_range_are_refused(text):
    with pytest.raises(Malformed):
        Parameters("test", {"steps": text}).integer("steps", None, 1, 100)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("0.001", Fraction(1, 1000)), ("1e-8", Fraction(1, 10**8)), ("1/3", Fraction(1, 3))]
)
def test_numbers_are_read_exactly(text, value):
    assert Parameters("test", {"lr": text}).number("lr", None, Fraction(0), Fraction(10)) == value


def test_a_setting_without_a_default_must_be_given():
    with pytest.raises(Malformed, match="features"):
        build("newton", {}, {})


def test_a_choice_names_what_there_is_to_choose():
    with pytest.raises(Malformed, match="fedavg"):
        build("local_sgd", {"features": "3", "outer": "fedmagic"}, {})


@pytest.mark.parametrize(
    ("name", "params", "cohort"),
    [
        ("describe", {"bounds": "age=0:120"}, None),
        ("describe", {"bounds": "age=0:120", "levels": "sex=f|m", "by": "sex", "least": "7"}, 7),
        ("crosstab", {"levels": "sex=f|m,arm=a|b", "rows": "sex", "columns": "arm"}, 1),
        ("kaplan_meier", {"time": "t", "event": "e", "until": "9", "step": "1", "levels": "s=f|m", "by": "s"}, 1),
        ("newton", {"features": "3"}, None),
        ("of-a-stranger", {}, None),
    ],
)
def test_a_run_tells_how_few_rows_it_adds_up_by_themselves(name, params, cohort):
    assert find_cohort(name, params) == cohort
