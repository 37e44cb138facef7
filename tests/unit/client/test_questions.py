import pytest

from serai.client.joint_columns import JointColumn, JointColumns
from serai.client.questions import Asked, Times
from serai.errors import Conflict, Malformed
from serai.recipes.registry import build


def column(name, kind="number", levels=(), low="", high=""):
    return JointColumn(name=name, kind=kind, unit="", levels=levels, low=low, high=high, description="")


COLUMNS = JointColumns(
    {
        "days": column("days", low="0", high="300"),
        "a:ge": column("a:ge", low="18", high="110"),
        "weight": column("weight"),
        "sex": column("sex", "category", ("female", "male")),
        "died": column("died", "category", ("no", "yes, here")),
    },
    {},
)
ASKED = Asked(columns=COLUMNS, least=5, bounds={})


def test_numbers_and_categories_go_where_the_recipe_looks_for_them():
    question = ASKED.describe(["a:ge", "died"], by="sex", bins=7)
    recipe = build(question.recipe, question.params, {})
    assert set(recipe.columns) == {"a:ge", "died", "sex"}
    assert question.params["least"] == "5"


def test_survival_ends_at_the_upper_bound_of_its_times():
    question = ASKED.survival(Times(time="days", event="died=yes, here"), by="sex")
    assert question.params["until"] == "300"
    assert set(build(question.recipe, question.params, {}).columns) == {"days", "died", "sex"}


def test_bounds_of_who_asks_stand_in_for_the_stewards():
    asked = Asked(columns=COLUMNS, bounds={"weight": "2:200", "days": "0:30"})
    assert asked.describe(["weight", "days"]).params["bounds"] == "weight=2:200,days=0:30"


def test_a_number_without_bounds_is_no_guess():
    with pytest.raises(Malformed, match="--bounds weight=LOW:HIGH"):
        ASKED.describe(["weight"])


def test_only_a_category_has_a_level_that_means_yes():
    with pytest.raises(Conflict, match="column 'days' is a number, expected a category"):
        ASKED.survival(Times(time="days", event="days=yes"))


TIMES = Times(time="days", event="died=yes, here", step="10")


@pytest.mark.parametrize(
    ("question", "columns"),
    [
        (ASKED.hazards(TIMES, ["a:ge"], stratum="sex"), {"days", "died", "a:ge", "sex"}),
        (ASKED.linear("days", ["a:ge", "sex"], ridge="0.5"), {"days", "a:ge", "sex"}),
        (ASKED.logistic("died=yes, here", ["a:ge", "sex"]), {"died", "a:ge", "sex"}),
        (ASKED.components(["a:ge", "days"]), {"a:ge", "days"}),
        (ASKED.clusters(["a:ge", "days"], 3), {"a:ge", "days"}),
        (ASKED.quantiles(["a:ge"], ["0.1", "0.9"]), {"a:ge"}),
        (ASKED.crosstab("sex", "died"), {"sex", "died"}),
    ],
)
def test_a_question_has_the_settings_that_its_recipe_reads(question, columns):
    assert set(build(question.recipe, question.params, {}).columns) == columns


def test_noise_takes_the_place_of_leaving_small_groups_out():
    noisy = Asked(columns=COLUMNS, least=5, bounds={}, noise="6", delta="1e-7", most_rows=900)
    for question in (noisy.describe(["a:ge"], by="sex"), noisy.crosstab("sex", "died"), noisy.survival(TIMES)):
        assert "least" not in question.params
        assert (question.params["noise"], question.params["delta"], question.params["most_rows"]) == (
            "6",
            "1e-7",
            "900",
        )
        assert build(question.recipe, question.params, {}).mechanism(900).noise == 6
