"""Statistics as sums: published examples, cohorts, what is missing or outside, and what zones refuse."""

import numpy as np
import pytest

from serai.analytics.results import RESULTS, read_result
from serai.errors import Malformed, Missing, Refused
from serai.kernel.ids import MemberId
from serai.recipes.registry import build
from serai.testing.summing import sum_tables
from serai.training.methods import Context, Data, Tabular
from serai.training.privacy import PrivateRecipe
from serai.training.tables import Table

# Weeks in remission of 42 children with leukaemia, a plus where one was still in remission
# (Freireich et al., Blood 21 (1963) 699-716; worked through by Klein and Moeschberger, Survival Analysis, 1.2 and 4.2).
TREATED = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"
WEEKS = {"time": "weeks", "event": "relapse", "until": "35", "step": "1"}
DRUG = {"levels": "drug=placebo|treated"}


def remissions():
    found = [(place, word) for place, text in enumerate((PLACEBO, TREATED)) for word in text.split()]
    return Table(
        rows=len(found),
        numbers={
            "weeks": np.array([float(word.rstrip("+")) for _, word in found]),
            "relapse": np.array([float("+" not in word) for _, word in found]),
        },
        categories={"drug": np.array([place for place, _ in found], np.int16)},
        levels={"drug": ("placebo", "treated")},
    )


def part(table, rows):
    return Table(
        rows=len(rows),
        numbers={name: column[rows] for name, column in table.numbers.items()},
        categories={name: column[rows] for name, column in table.categories.items()},
        levels=table.levels,
    )


def among(table, members=3):
    return {f"member-{place}": part(table, np.arange(place, table.rows, members)) for place in range(members)}


def ask(recipe, params, tables, rounds=1):
    return read_result(recipe, params, sum_tables(recipe, params, tables, rounds))


def rows_of(table):
    return Data(
        x=np.zeros((table.rows, 0)), y=np.zeros(0), test_x=np.zeros((0, 0)), test_y=np.zeros(0), names=(), table=table
    )


def contribution(recipe, table, **context):
    here = Context(round=0, seed=bytes(32), member=MemberId("bern"), **context)
    return np.asarray(recipe.contribute(recipe.initial(), rows_of(table), here))


def test_remission_under_treatment_is_as_published():
    result = ask("kaplan_meier", {**WEEKS, **DRUG, "by": "drug"}, among(remissions()))
    steps = {row[1]: row for row in result.frame("survival").rows if row[0] == "treated" and row[3]}
    published = {6: (0.857, 0.0764), 7: (0.807, 0.0869), 10: (0.753, 0.0963), 13: (0.690, 0.1068), 16: (0.627, 0.1141)}
    published |= {22: (0.538, 0.1282), 23: (0.448, 0.1346)}
    assert {time: (round(row[5], 3), round(row[6], 4)) for time, row in steps.items()} == published
    placebo, treated = result.frame("groups").rows
    columns = result.frame("groups").columns
    found = dict(zip(columns, treated, strict=True))
    assert (found["rows"], found["events"], found["median"], found["members"]) == (21, 9, 23, 3)
    assert round(found["restricted_mean"], 2) == 23.29
    assert round(found["restricted_mean_error"], 3) == 2.827
    assert placebo[columns.index("median")] == 8
    ((chi_square, freedom, p),) = result.frame("log_rank").rows
    assert (round(chi_square, 2), freedom) == (16.79, 1)
    assert 1e-5 < p < 1e-4
    assert [curve.name for curve in result.curves] == ["placebo", "treated"]
    assert all(curve.is_step and curve.x[0] == 0 and curve.y[0] == 1 for curve in result.curves)


def test_the_hazard_ratio_of_treatment_is_as_published():
    result = ask("cox", {**WEEKS, **DRUG}, among(remissions()), rounds=8)
    ((term, estimate, error, *_),) = result.frame("coefficients").rows
    assert (term, round(estimate, 3), round(error, 3)) == ("drug=treated", -1.509, 0.410)


def test_without_the_treatment_in_a_stratum_there_is_no_term_left():
    with pytest.raises(Malformed, match="expected 1 to 200 terms"):
        build("cox", {**WEEKS, **DRUG, "stratum": "drug"}, {})


def test_a_zone_leaves_out_groups_of_which_it_has_few_rows_and_the_result_says_how_many_members_are_in_each():
    table = remissions()
    few = {"big": part(table, np.arange(35)), "small": part(table, np.arange(35, 42))}  # the small one has 7 treated
    result = ask("kaplan_meier", {**WEEKS, **DRUG, "by": "drug", "least": "8"}, few)
    found = {row[0]: row[1:3] for row in result.frame("groups").rows}
    assert found == {"placebo": (1, 21), "treated": (1, 14)}
    assert any("fewer than 8 rows" in note for note in result.notes)
    described = ask("describe", {"bounds": "weeks=0:40", **DRUG, "by": "drug", "least": "8"}, few)
    assert described.frame("groups").rows == (("placebo", 1, 21), ("treated", 1, 14))
    assert [row[2] for row in described.frame("numbers").rows] == [21, 14]
    cells = ask(
        "crosstab",
        {"rows": "drug", "columns": "sex", "least": "8", "levels": "drug=placebo|treated,sex=f|m"},
        _with_sex(few),
    )
    assert [row[2:4] for row in cells.frame("cells").rows] == [(21, 1), (0, 0), (14, 1), (0, 0)]


def _with_sex(tables):
    return {
        name: Table(
            rows=table.rows,
            categories={**table.categories, "sex": np.zeros(table.rows, np.int16)},
            levels={**table.levels, "sex": ("f", "m")},
        )
        for name, table in tables.items()
    }


def test_rows_that_lack_something_are_counted_and_not_used():
    table = remissions()
    table.numbers["weeks"][:3] = np.nan
    table.numbers["relapse"][3] = np.nan
    table.categories["drug"][4] = -1
    table.numbers["weeks"][5] = -1
    result = ask("kaplan_meier", {**WEEKS, **DRUG, "by": "drug"}, among(table))
    assert result.notes[0] == "36 rows; 6 more lack a usable time, event or group"
    fitted = ask("cox", {**WEEKS, **DRUG}, among(table), rounds=3)
    assert fitted.notes[0] == "36 complete rows of 3 members; 6 more lack a value and are not used"
    described = ask("describe", {"bounds": "weeks=0:10", **DRUG}, among(table))
    ((_, n, missing, outside, *_),) = described.frame("numbers").rows
    assert (n, missing) == (39, 3)
    assert outside == np.count_nonzero((table.numbers["weeks"] > 10) | (table.numbers["weeks"] < 0))
    assert [row[2] for row in described.frame("levels").rows] == [20, 21, 1]


def test_a_member_without_rows_and_one_with_nothing_but_missing_values_change_nothing():
    table = remissions()
    lost = part(table, np.arange(4))
    for column in lost.numbers.values():
        column[:] = np.nan
    lost.categories["drug"][:] = -1
    asked = {
        "kaplan_meier": {**WEEKS, **DRUG, "by": "drug"},
        "describe": {"bounds": "weeks=0:40", **DRUG, "by": "drug"},
        "cox": {**WEEKS, **DRUG},
        "logistic": {"outcome": "relapse", "bounds": "weeks=0:40", **DRUG},
        "linear": {"outcome": "weeks", "bounds": "weeks=0:40,relapse=0:1", **DRUG},
        "pca": {"bounds": "weeks=0:40,relapse=0:1"},
        "kmeans": {"bounds": "weeks=0:40", "clusters": "2"},
        "quantiles": {"bounds": "weeks=0:40"},
    }
    for recipe, params in asked.items():
        alone = ask(recipe, params, among(table, 1), 3)
        joined = ask(recipe, params, {**among(table, 1), "empty": part(table, np.arange(0)), "lost": lost}, 3)
        for before, after in zip(alone.frames, joined.frames, strict=True):
            if before.name != "quantiles":  # whose frame counts the missing
                assert before == after
    assert RESULTS.keys() - asked.keys() == {"crosstab"}


def test_nothing_at_all_gives_a_result_without_numbers_or_a_clear_refusal():
    empty = {"bern": part(remissions(), np.arange(0)), "oslo": part(remissions(), np.arange(0))}
    described = ask("describe", {"bounds": "weeks=0:40", **DRUG}, empty)
    assert described.frame("numbers").rows == (("weeks", 0, 0, 0, *[None] * 7),)
    assert ask("kaplan_meier", WEEKS, empty).frame("groups").rows[0][:3] == (0, 0, 0)
    assert ask("quantiles", {"bounds": "weeks=0:40"}, empty).frame("quantiles").rows[0][2:5] == (None,) * 3
    assert (
        ask("linear", {"outcome": "weeks", "bounds": "weeks=0:40,relapse=0:1"}, empty).frame("fit").rows[0][2:]
        == (None,) * 5
    )
    assert ask(
        "crosstab", {"rows": "drug", "columns": "sex", "levels": "drug=placebo|treated,sex=f|m"}, _with_sex(empty)
    ).frame("tests").rows == ((0, None, 0, None, None),)
    ask("pca", {"bounds": "weeks=0:40,relapse=0:1"}, empty)
    ask("kmeans", {"bounds": "weeks=0:40", "clusters": "2"}, empty)
    with pytest.raises(Refused, match="no member has a row"):
        ask("logistic", {"outcome": "relapse", "bounds": "weeks=0:40"}, empty)
    with pytest.raises(Refused, match="no event"):
        ask("cox", {**WEEKS, **DRUG}, empty)


def test_many_groups_and_many_times_do_not_get_mixed_up():
    groups, points = 40, 2_000
    levels = tuple(map(str, range(groups)))
    table = Table(
        rows=groups,
        numbers={"t": np.arange(groups) * 50.0, "e": np.ones(groups)},
        categories={"g": np.arange(groups).astype(np.int16)},
        levels={"g": levels},
    )
    params = {
        "time": "t",
        "event": "e",
        "until": str(points),
        "step": "1",
        "by": "g",
        "levels": f"g={'|'.join(levels)}",
    }
    model = sum_tables("kaplan_meier", params, {"bern": table, "oslo": table})
    assert np.argwhere(model["events"] == 2).tolist() == [[group, 50 * group] for group in range(groups)]


def test_a_run_with_terms_that_repeat_each_other_is_refused_or_says_so():
    table = remissions()
    twice = Table(rows=42, numbers={**table.numbers, "days": table.numbers["weeks"] * 7}, categories={}, levels={})
    bounds = {"bounds": "weeks=0:40,days=0:280"}
    with pytest.raises(Refused, match="depends on the rows before"):
        ask("logistic", {"outcome": "relapse", **bounds}, among(twice))
    result = ask("linear", {"outcome": "relapse", "bounds": bounds["bounds"] + ",relapse=0:1"}, among(twice))
    assert any("1 of the terms depend on the others" in note for note in result.notes)


def test_a_fit_that_does_not_converge_says_so():
    """The outcome is told exactly by the number, so that no finite coefficient is the best."""
    x = np.linspace(-1, 1, 20)
    table = Table(rows=20, numbers={"x": x, "y": (x > 0).astype(float)})
    result = ask("logistic", {"outcome": "y", "bounds": "x=-1:1"}, among(table), rounds=4)
    assert any("DID NOT CONVERGE" in note for note in result.notes)
    ridged = ask("logistic", {"outcome": "y", "bounds": "x=-1:1", "ridge": "1"}, among(table), rounds=12)
    assert any("it converged" in note for note in ridged.notes)


def test_a_step_to_a_worse_point_is_halved():
    built = build("logistic", {"outcome": "relapse", "bounds": "weeks=0:40"}, {})

    def round_from(model):
        here = Context(round=0, seed=bytes(32), member=MemberId("bern"))
        return built.combine(model, built.contribute(model, rows_of(remissions()), here), 1)

    first = round_from(built.initial())
    overshot = {**first, "coefficients": first["best"] + 64.0}
    halved = round_from(overshot)
    np.testing.assert_array_equal(halved["coefficients"], first["best"] + 32.0)
    np.testing.assert_array_equal(halved["likelihood"], first["likelihood"])
    for _ in range(20):
        halved = round_from(halved)
    straight = first
    for _ in range(6):
        straight = round_from(straight)
    np.testing.assert_allclose(halved["coefficients"], straight["coefficients"], rtol=1e-6)


@pytest.mark.parametrize("recipe", sorted(RESULTS))
def test_each_recipe_reads_the_columns_it_says_and_no_others(recipe):
    params = {
        "describe": {"bounds": "weeks=0:40", **DRUG, "by": "drug"},
        "kaplan_meier": WEEKS,
        "cox": {**WEEKS, **DRUG},
        "logistic": {"outcome": "relapse", "bounds": "weeks=0:40"},
        "linear": {"outcome": "weeks", "bounds": "weeks=0:40,relapse=0:1"},
        "pca": {"bounds": "weeks=0:40"},
        "kmeans": {"bounds": "weeks=0:40", "clusters": "2"},
        "quantiles": {"bounds": "weeks=0:40"},
        "crosstab": {"rows": "drug", "columns": "sex", "levels": "drug=placebo|treated,sex=f|m"},
    }[recipe]
    built = build(recipe, params, {})
    table = _with_sex({"bern": remissions()})["bern"]
    table = Table(rows=42, numbers=remissions().numbers, categories=table.categories, levels=table.levels)
    assert isinstance(built, Tabular)
    only = Table(
        rows=42,
        numbers={name: column for name, column in table.numbers.items() if name in built.columns},
        categories={name: column for name, column in table.categories.items() if name in built.columns},
        levels=table.levels,
    )
    contribution(built, only)
    for name in built.columns:
        lacking = Table(
            rows=42,
            numbers={key: column for key, column in only.numbers.items() if key != name},
            categories={key: column for key, column in only.categories.items() if key != name},
            levels=table.levels,
        )
        with pytest.raises(Refused, match=f"no column '{name}'"):
            contribution(built, lacking)


def test_more_rows_than_planned_are_refused():
    with pytest.raises(Refused, match="allows 41 rows a member, there are 42"):
        contribution(build("kaplan_meier", {**WEEKS, "most_rows": "41"}, {}), remissions())


def test_hazards_too_far_from_the_mean_for_the_sums_are_refused():
    built = build("cox", {**WEEKS, "bounds": "dose=-1:1", "most_rows": "42"}, {})
    table = remissions()
    dosed = Table(rows=42, numbers={**table.numbers, "dose": np.ones(42)})
    for coefficient in (6.0, 1e6):
        far = {**built.initial(), "coefficients": np.array([coefficient])}
        with pytest.raises(Refused, match="too far from the mean"):
            built.contribute(far, rows_of(dosed), Context(round=1, seed=bytes(32), member=MemberId("bern")))


def test_what_is_asked_at_once_is_bounded():
    with pytest.raises(Malformed, match="ask for less at once"):
        build(
            "describe",
            {
                "bounds": ",".join(f"x{place}=0:1" for place in range(1000)),
                "bins": "10000",
                "by": "g",
                "levels": "g=" + "|".join(map(str, range(10))),
            },
            {},
        )
    with pytest.raises(Refused, match="2047"):
        build("kaplan_meier", WEEKS, {}).codec(2048)


def test_a_result_of_another_recipe_or_another_plan_is_refused():
    model = sum_tables("kaplan_meier", WEEKS, among(remissions()))
    with pytest.raises(Missing, match="describe"):
        read_result("newton", {}, model)
    with pytest.raises(Malformed, match="does not fit"):
        read_result("describe", {"bounds": "weeks=0:40"}, model)
    with pytest.raises(Malformed):
        read_result("kaplan_meier", {}, model)


NOISY = {"noise": "3", "delta": "1e-6"}


def test_noise_needs_a_secret_and_is_the_same_when_a_step_is_repeated():
    built = build("kaplan_meier", {**WEEKS, **NOISY}, {})
    with pytest.raises(Refused, match="secret"):
        contribution(built, remissions())
    first, again, other = (
        contribution(built, remissions(), secret=secret) for secret in (b"a" * 32, b"a" * 32, b"b" * 32)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_noise_has_the_deviation_that_the_ledger_counts():
    params = {**WEEKS, "until": "2000", **NOISY}
    built = build("kaplan_meier", params, {})
    assert isinstance(built, PrivateRecipe)
    mechanism = built.mechanism(42)
    assert (mechanism.noise, mechanism.rate, mechanism.steps) == (3, 1, 1)
    plain = contribution(build("kaplan_meier", {**WEEKS, "until": "2000"}, {}), remissions())
    noise = contribution(built, remissions(), secret=b"a" * 32) - plain
    assert abs(noise.std() / (3 * np.sqrt(3)) - 1) < 0.05
    assert abs(noise.mean()) < 0.3
    quiet = build("kaplan_meier", WEEKS, {})
    assert quiet.mechanism(42) is None


def test_noisy_results_are_near_the_true_ones_and_say_how_noisy_they_are():
    rng = np.random.default_rng(3)
    table = Table(
        rows=20_000,
        numbers={"x": rng.normal(0, 1, 20_000), "t": np.floor(rng.exponential(20, 20_000)), "e": np.ones(20_000)},
    )
    params = {"bounds": "x=-4:4", "noise": "4", "bins": "8", "most_rows": "32768"}
    result = ask("describe", params, among(table))
    _, n, _, _, mean, _, _, deviation, *_ = result.frame("numbers").rows[0]
    assert abs(n - 20_000) < 100
    assert abs(mean) < 0.05
    assert abs(deviation - 1) < 0.05
    assert any("standard deviation 9.8 rows" in note for note in result.notes)
    curve = ask(
        "kaplan_meier", {"time": "t", "event": "e", "until": "40", "step": "5", "noise": "4"}, among(table)
    ).curves[0]
    np.testing.assert_allclose(curve.y, np.exp(-(np.array(curve.x) + 1) / 20), atol=0.02)
