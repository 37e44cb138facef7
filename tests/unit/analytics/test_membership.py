from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serai.analytics.counting import FEWEST, count_exposure, count_scores
from serai.analytics.membership import (
    NAMES,
    exposure_of,
    find_membership_contradiction,
    membership_counts,
)

GIVEN = st.lists(st.floats(0, 1), min_size=1, max_size=60).map(np.array)


@given(GIVEN, GIVEN)
def test_whatever_the_losses_the_counts_can_be_true_and_the_advantage_lies_in_its_interval(inside, outside):
    counts = membership_counts(inside, outside)
    assert sorted(counts) == sorted(NAMES)
    assert find_membership_contradiction(counts) is None
    exposure = exposure_of(counts)
    assert exposure.advantage in exposure.interval
    bar = sorted(outside)[-(len(outside) // 100 + 1)]
    assert np.count_nonzero(outside > bar) <= len(outside) / 100
    assert counts["mia_hits"] == np.count_nonzero(inside > bar)


def test_a_model_that_knows_its_rows_by_heart_gives_them_away_and_one_that_does_not_gives_nothing():
    generator = np.random.default_rng(2)
    known, strange = 1 - generator.random(400) / 100, generator.random(300)
    overfit = exposure_of(membership_counts(known, strange))
    assert overfit.advantage > Fraction(1, 2)
    assert float(overfit.area.value) > 0.98
    assert overfit.interval.low > 0
    alike = exposure_of(membership_counts(generator.random(400), generator.random(300)))
    assert alike.interval.low < 0 < alike.interval.high
    assert Fraction(1, 2) in alike.area.interval
    assert alike.found < Fraction(1, 20)


def test_counts_that_cannot_be_are_found():
    whole = membership_counts(np.array([0.9, 0.8, 0.2]), np.array([0.7, 0.1]))
    assert find_membership_contradiction({"n": 2}) is None
    assert exposure_of({"n": 2}) is None
    for bent in (
        {name: whole[name] for name in NAMES[1:]},
        {**whole, "mia_u2": 13},
        {**whole, "mia_tp": 4},
        {**whole, "mia_hits": 4},
        {**whole, "mia_fp": 3},
        {**whole, "mia_out": 0, "mia_u2": 0, "mia_fp": 0},
        {**whole, "mia_more": 1},
    ):
        assert find_membership_contradiction(bent) is not None


def test_of_few_rows_or_of_one_answer_that_hardly_occurs_nothing_is_told_that_would_single_them_out():
    scores, truth = np.linspace(0, 1, 40), np.arange(40) % 2 > 0
    counts = count_scores(scores, truth, 1)
    assert {"u2", "brier_millionths", "bin0_n"} <= counts.keys()
    assert min(value for name, value in counts.items() if name.endswith("_n")) >= FEWEST
    rare = np.arange(40) < FEWEST - 1
    assert "u2" not in count_scores(scores, rare, 1)
    assert count_scores(scores[: FEWEST - 1], truth[: FEWEST - 1], 1) == {}
    wide = count_scores(scores, truth, 30)
    assert [name for name in wide if name.endswith("_n")] == ["bin0_n"]
    assert not [name for name in count_scores(scores, truth, 41) if name.startswith("bin")]
    assert count_exposure((scores, truth), (scores[:9], truth[:9])) == {}
    assert count_exposure((scores, truth), (scores, truth))["mia_u2"] == 40 * 40
