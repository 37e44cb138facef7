from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.analytics.calibration import (
    Bin,
    bin_counts,
    bins_of,
    brier_counts,
    brier_of,
    expected_error,
    find_bin_contradiction,
    find_brier_contradiction,
    put_in_bins,
)
from serai.analytics.metrics import pool

ROWS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


def arrays(rows):
    return np.array([score for score, _ in rows]), np.array([truth for _, truth in rows])


@given(ROWS, st.integers(1, 20))
def test_bins_hold_every_row_once_and_none_is_smaller_than_the_least(rows, least):
    scores, truth = arrays(rows)
    bins = put_in_bins(scores, truth, least)
    if len(rows) < least:
        assert bins == ()
        return
    assert min(found.n for found in bins) >= least
    assert sum(found.n for found in bins) == len(rows)
    assert sum(found.yes for found in bins) == truth.sum()
    assert abs(sum(found.said for found in bins) - 1000 * scores.sum()) <= len(rows) / 2
    counts = {"n": len(rows), **bin_counts(bins)}
    assert bins_of(counts) == bins
    assert find_bin_contradiction(counts) is None


@given(ROWS, st.sampled_from(["n", "yes", "said"]), st.integers(0, 9), st.sampled_from([-1, 1, 10**6]))
def test_a_bin_that_is_bent_out_of_its_bounds_is_found(rows, part, place, by):
    scores, truth = arrays(rows)
    bins = put_in_bins(scores, truth, 1)
    counts = {"n": len(rows), "tp": int(truth.sum()), "fn": 0, **bin_counts(bins)}
    name = f"bin{bins[place % len(bins)].first}_{part}"
    bent = {**counts, name: counts[name] + by}
    if part != "said" or by == 10**6:  # one permille more or less may well be true
        assert find_bin_contradiction(bent) is not None


def test_bins_that_lack_a_part_do_not_begin_at_zero_or_lose_rows_cannot_be():
    whole = {"n": 30, "bin0_n": 20, "bin0_yes": 5, "bin0_said": 2_000, "bin4_n": 10, "bin4_yes": 6, "bin4_said": 7_000}
    assert find_bin_contradiction(whole) is None
    assert find_bin_contradiction({"n": 30}) is None
    lacking = {name: whole[name] for name in whole if name != "bin4_yes"}
    assert "each bin" in find_bin_contradiction(lacking)
    moved = {name.replace("bin0", "bin1"): value for name, value in whole.items()}
    assert "from bin 0" in find_bin_contradiction(moved)
    assert "got 30 rows" in find_bin_contradiction({**whole, "n": 31})
    assert "tp + fn" in find_bin_contradiction({**whole, "tp": 10, "fn": 2})
    assert "from 4000 to 10000" in find_bin_contradiction({**whole, "bin4_said": 3_999})


def test_of_several_members_bins_and_pairs_are_not_added_up():
    one = bin_counts([Bin(first=0, n=10, yes=1, said=500), Bin(first=3, n=10, yes=4, said=3_500)])
    two = bin_counts([Bin(first=0, n=20, yes=2, said=1_000)])
    assert pool([{"n": 20, "u2": 5, "mia_in": 3, **one}, {"n": 20, "u2": 6, "mia_in": 4, **two}]) == {"n": 40}


def test_error_and_score_are_scikit_learns():
    calibration, metrics = pytest.importorskip("sklearn.calibration"), pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(11)
    scores = np.round(generator.random(2_000), 3)
    truth = generator.random(2_000) < scores**1.5
    bins = put_in_bins(scores, truth, 1)
    share, mean = calibration.calibration_curve(truth, np.minimum(scores + 1e-9, 1), n_bins=10)
    assert [float(found.share) for found in bins] == pytest.approx(share, abs=1e-9)
    assert [float(found.mean) for found in bins] == pytest.approx(mean, abs=1e-6)
    weights = np.array([found.n for found in bins]) / 2_000
    assert float(expected_error(bins)) == pytest.approx(float(np.sum(weights * np.abs(share - mean))), abs=1e-6)
    score, variance = brier_of({"n": 2_000, **brier_counts(scores, truth)})
    assert float(score) == pytest.approx(metrics.brier_score_loss(truth, scores), abs=1e-6)
    assert float(variance) == pytest.approx(np.var((scores - truth) ** 2) / 2_000, rel=1e-4)


@given(ROWS)
def test_whatever_the_scores_the_sums_of_squared_errors_can_be_true(rows):
    counts = {"n": len(rows), **brier_counts(*arrays(rows))}
    assert find_brier_contradiction(counts) is None
    score, variance = brier_of(counts)
    assert 0 <= score <= 1
    assert variance >= 0


def test_sums_of_squared_errors_that_cannot_be_are_found():
    def sums(errors, squares):
        return {"n": 4, "brier_millionths": errors, "brier_squares_millionths": squares}

    assert find_brier_contradiction(sums(2_000_000, 1_500_000)) is None
    assert find_brier_contradiction(sums(2_000_000, 1_000_000)) is None  # the same error on each row
    assert "or neither" in find_brier_contradiction({"n": 4, "brier_millionths": 1})
    assert "at most 1000000" in find_brier_contradiction(sums(4_000_001, 1))
    assert "that fits" in find_brier_contradiction(sums(2_000_000, 2_000_005))
    assert "that fits" in find_brier_contradiction(sums(2_000_000, 999_000))


def test_without_bins_or_errors_there_is_nothing_to_say():
    assert expected_error(()) is None
    assert brier_of({"n": 3}) is None
    assert brier_of({"n": 4, "brier_millionths": 10**6, "brier_squares_millionths": 10**6}) == (
        Fraction(1, 4),
        (Fraction(1, 4) - Fraction(1, 16)) / 4,
    )
