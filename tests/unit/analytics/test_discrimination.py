from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.analytics.discrimination import area, area_of, count_pairs
from serai.errors import Malformed

SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_pairs_are_counted_as_one_by_one_and_the_other_way_round_they_are_the_rest(higher, lower):
    by_hand = sum(2 * (one > two) + (one == two) for one in higher for two in lower)
    assert count_pairs(np.array(higher), np.array(lower)) == by_hand
    assert count_pairs(np.array(lower), np.array(higher)) == 2 * len(higher) * len(lower) - by_hand


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_the_interval_holds_the_area_within_zero_and_one_and_turns_with_the_scores(yes, no, data):
    pairs = data.draw(st.integers(0, 2 * yes * no))
    found, turned = area(pairs, yes, no), area(2 * yes * no - pairs, yes, no)
    assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    assert found.interval.low < found.interval.high
    assert turned.value == 1 - found.value
    assert (turned.interval.low, turned.interval.high) == (1 - found.interval.high, 1 - found.interval.low)


def test_at_its_limits_the_area_lies_just_so_many_standard_errors_from_what_was_found():
    found = area(2 * 60 * 40 * 8 // 10, 60, 40)
    for limit in (found.interval.low, found.interval.high):
        theta = float(limit)
        spread = 1 + 49 * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        assert abs(0.8 - theta) / np.sqrt(theta * (1 - theta) * spread / 2400) == pytest.approx(1.959964, abs=1e-5)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    truth, hits = Fraction(0.7602499389065233), 0  # of normal scores one standard deviation apart: Phi(1 / sqrt 2)
    for _ in range(400):
        pairs = count_pairs(generator.normal(1, 1, 25), generator.normal(0, 1, 35))
        hits += truth in area(pairs, 25, 35).interval
    assert 0.92 <= hits / 400 <= 0.98


def test_the_area_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(7)
    truth = generator.random(500) < 0.3
    scores = np.round(np.clip(truth * 0.2 + generator.random(500) * 0.8, 0, 1), 2)  # with ties
    found = area(count_pairs(scores[truth], scores[~truth]), int(truth.sum()), int((~truth).sum()))
    assert float(found.value) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)


def test_counts_tell_an_area_only_if_all_of_them_are_there_and_both_answers_occur():
    whole = {"n": 5, "tp": 2, "fn": 0, "tn": 2, "fp": 1, "u2": 9}
    assert area_of(whole).value == Fraction(9, 12)
    assert area_of({name: whole[name] for name in whole if name != "u2"}) is None
    assert area_of({**whole, "tp": 0, "u2": 0}) is None
    for pairs, yes, no in ((13, 2, 3), (-1, 2, 3), (0, 0, 3)):
        with pytest.raises(Malformed, match="half pairs"):
            area(pairs, yes, no)
