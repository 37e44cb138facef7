"""Laws of statistics: how rows are divided among members does not matter, and one row changes sums by what is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.aggregation.codec import decode
from serai.analytics.results import read_result
from serai.errors import Malformed, Refused
from serai.kernel.ids import MemberId
from serai.recipes.registry import build
from serai.testing.summing import sum_tables
from serai.training.methods import Context, Data
from serai.training.statistics.summaries import DescribeSettings
from serai.training.tables import Table

LEVELS = {"g": ("x", "y", "z"), "h": ("u", "v")}
SAID = {"levels": "g=x|y|z,h=u|v"}
BOUNDS = {"bounds": "a=-2:3,b=0:50"}
TIMES = {"time": "t", "event": "e", "until": "20", "step": "2"}
ONE_ROUND = {
    "describe": {**BOUNDS, **SAID, "by": "h"},
    "crosstab": {**SAID, "rows": "g", "columns": "h"},
    "kaplan_meier": {**SAID, **TIMES, "by": "g"},
    "linear": {**BOUNDS, **SAID, "outcome": "b"},
    "pca": {**BOUNDS},
}
SOME_ROUNDS = {
    "quantiles": {**BOUNDS, "bins": "7", "probabilities": "0,0.1,0.5,0.99,1"},
    "kmeans": {**BOUNDS, "clusters": "3"},
    "logistic": {**BOUNDS, **SAID, "outcome": "e", "ridge": "0.5"},
    "cox": {**BOUNDS, **TIMES, "levels": "h=u|v", "stratum": "h"},
}


@st.composite
def tables(draw, least=0, most=60, *, is_rich=False):
    """Rows with values that are missing, outside the bounds, tied, and, unless they are rich, all alike."""
    rows = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    numbers = {
        "a": rng.normal(0, draw(st.sampled_from((1.0,) if is_rich else (0.0, 0.3, 3.0))), rows),
        "b": rng.exponential(10, rows),
        "t": rng.integers(-1, 30, rows).astype(np.float64),
        "e": rng.integers(0, 2, rows).astype(np.float64),
    }
    missing = draw(st.sampled_from((0.0, 0.2) if is_rich else (0.0, 0.2, 0.9)))
    for column in numbers.values():
        column[rng.random(rows) < missing] = np.nan
    categories = {
        name: np.where(rng.random(rows) < missing, -1, rng.integers(0, len(levels), rows)).astype(np.int16)
        for name, levels in LEVELS.items()
    }
    return Table(rows=rows, numbers=numbers, categories=categories, levels=LEVELS)


def part(table, rows):
    return Table(
        rows=int(np.count_nonzero(rows)),
        numbers={name: column[rows] for name, column in table.numbers.items()},
        categories={name: column[rows] for name, column in table.categories.items()},
        levels=LEVELS,
    )


def divided(draw, table):
    members = draw(st.integers(2, 6))
    owners = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, members, table.rows)
    return {f"member-{place}": part(table, owners == place) for place in range(members)}


def same(one, other, tolerance):
    assert one.keys() == other.keys()
    for name in one.keys() - {"members"}:
        np.testing.assert_allclose(one[name], other[name], atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize("recipe", sorted(ONE_ROUND))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_sums_are_the_same_however_rows_are_divided_among_members(recipe, data):
    table = data.draw(tables())
    pooled, joint = (
        sum_tables(recipe, ONE_ROUND[recipe], members) for members in ({"all": table}, divided(data.draw, table))
    )
    exact = recipe in {"crosstab", "kaplan_meier"}
    same(pooled, joint, 0 if exact else 7 * 2.0**-28)


@pytest.mark.parametrize("recipe", sorted(SOME_ROUNDS))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_rounds_lead_to_the_same_model_however_rows_are_divided_among_members(recipe, data):
    table = data.draw(tables(least=60, most=90, is_rich=True))
    pooled, joint = (
        sum_tables(recipe, SOME_ROUNDS[recipe], members, 2) for members in ({"all": table}, divided(data.draw, table))
    )
    if recipe == "quantiles":
        same(pooled, joint, 0)
    else:
        same(pooled, joint, 1e-5)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_quantile_lies_in_its_interval(data):
    table = data.draw(tables())
    params = {**BOUNDS, "bins": "5", "probabilities": "0,1/3,0.5,0.9,1"}
    rounds = data.draw(st.integers(1, 5))
    result = read_result("quantiles", params, sum_tables("quantiles", params, divided(data.draw, table), rounds))
    for name, probability, _, low, high, n, *_ in result.frame("quantiles").rows:
        values = table.numbers[name][~np.isnan(table.numbers[name])]
        assert n == len(values)
        if n:
            clipped = np.clip(values, *((-2, 3) if name == "a" else (0, 50)))
            assert low <= np.quantile(clipped, probability, method="inverted_cdf") <= high
            assert high - low <= 50 / 5**rounds * (1 + 1e-9)


@given(table=tables(), least=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_a_zone_adds_only_groups_and_cells_of_which_it_has_enough(table, least):
    params = {**ONE_ROUND["describe"], "least": str(least)}
    model = sum_tables("describe", params, {"bern": table})
    counts = np.bincount(table.categories["h"][table.categories["h"] >= 0], minlength=2)
    kept = counts >= least
    assert model["rows"].tolist() == np.where(kept, counts, 0).tolist()
    assert model["members"].tolist() == kept.tolist()
    assert not model["histogram"][~kept].any()
    assert not model["sum"][~kept].any()
    cells = sum_tables("crosstab", {**ONE_ROUND["crosstab"], "least": str(least)}, {"bern": table})["count"]
    assert not ((cells > 0) & (cells < least)).any()


MADE_UP = {**ONE_ROUND, **SOME_ROUNDS}


@pytest.mark.parametrize("recipe", sorted(MADE_UP))
@given(seed=st.integers(0, 2**32), spread=st.sampled_from((0, 3, 2**20, 2**52)), rounds=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_a_made_up_sum_makes_a_model_and_a_result_or_is_refused(recipe, seed, spread, rounds):
    """A member may send any integers: everybody must still get on, or stop with a reason."""
    built = build(recipe, MADE_UP[recipe], {})
    codec, rng = built.codec(3), np.random.default_rng(seed)
    model = built.initial()
    form = {name: value.shape for name, value in model.items()}
    try:
        for _ in range(rounds):
            made_up = rng.integers(-spread, spread + 1, codec.lanes).astype(codec.ring.dtype)
            model = built.combine(model, decode(codec, made_up), 3)
            assert {name: value.shape for name, value in model.items()} == form
        read_result(recipe, MADE_UP[recipe], model)
    except (Malformed, Refused):
        pass


NOISY = {
    "describe": {**BOUNDS, **SAID, "by": "h", "pairs": "yes", "bins": "4", "noise": "1"},
    "crosstab": {**ONE_ROUND["crosstab"], "noise": "1"},
    "kaplan_meier": {**ONE_ROUND["kaplan_meier"], "noise": "1"},
}
LARGEST = {"describe": DescribeSettings.read(NOISY["describe"]).square, "crosstab": 1, "kaplan_meier": 3}


@pytest.mark.parametrize("recipe", sorted(NOISY))
@given(table=tables(least=1))
@settings(max_examples=30, deadline=None)
def test_one_row_more_changes_the_sums_by_no_more_than_noise_is_measured_by(recipe, table):
    """With one secret the noise is the same, so the difference is the row itself, to the last bit."""
    built = build(recipe, NOISY[recipe], {})

    def vector(rows):
        some = part(table, rows)
        data = Data(
            x=np.zeros((some.rows, 0)), y=np.zeros(0), test_x=np.zeros((0, 0)), test_y=np.zeros(0), names=(), table=some
        )
        return built.contribute(
            built.initial(), data, Context(round=0, seed=bytes(32), member=MemberId("bern"), secret=b"s" * 32)
        )

    everything = np.ones(table.rows, np.bool_)
    without = everything.copy()
    without[-1] = False
    assert np.square(vector(everything) - vector(without)).sum() <= LARGEST[recipe]
