from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.analytics.metrics import correct_of, difference, gains, pool, root_up, score, wilson
from serai.errors import Malformed
from serai.kernel.ids import MemberId

COUNTS = st.integers(0, 2_000)


def test_the_scores_of_a_confusion_matrix_are_exact_fractions():
    scores = score({"n": 10, "tp": 4, "fp": 1, "tn": 3, "fn": 2})
    assert scores.accuracy == Fraction(7, 10)
    assert scores.precision == Fraction(4, 5)
    assert scores.recall == Fraction(2, 3)
    assert scores.specificity == Fraction(3, 4)
    assert scores.f1 == Fraction(8, 11)
    assert scores.balanced_accuracy == Fraction(17, 24)


def test_a_denominator_of_zero_is_an_unknown_score_not_a_zero():
    scores = score({"n": 3, "tp": 0, "fp": 0, "tn": 3, "fn": 0})
    assert (scores.precision, scores.recall, scores.f1, scores.balanced_accuracy) == (None, None, None, None)
    assert scores.accuracy == 1
    assert scores.specificity == 1


def test_counts_that_nobody_reported_leave_their_scores_unknown():
    scores = score({"n": 4, "correct": 3})
    assert scores.accuracy == Fraction(3, 4)
    assert (scores.precision, scores.recall, scores.specificity, scores.f1) == (None, None, None, None)
    assert score({"n": 4}).accuracy is None
    assert score({"n": 0, "correct": 0}).accuracy_95 is None
    assert score({"n": 4, "tp": 2}).precision is None
    assert score({"n": 4, "fp": 2}).precision is None
    for counts, says in (({"correct": 3}, "among correct"), ({}, "among no counts")):
        with pytest.raises(Malformed, match=says):
            score(counts)


def test_right_answers_are_counted_directly_or_from_the_confusion_matrix():
    assert correct_of({"correct": 5}) == 5
    assert correct_of({"tp": 2, "tn": 3}) == 5
    assert correct_of({"tp": 2}) is None


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
        (81, 263, "0.2553", "0.3662"),
        (15, 148, "0.0624", "0.1605"),
        (0, 20, "0.0000", "0.1611"),
        (1, 29, "0.0061", "0.1718"),
    ],
)
def test_wilsons_interval_agrees_with_the_published_table(successes, trials, low, high):
    interval = wilson(successes, trials)
    assert f"{float(interval.low):.4f}" == low
    assert f"{float(interval.high):.4f}" == high


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
        ((56, 70), (48, 80), "0.0524", "0.3339"),
        ((9, 10), (3, 10), "0.1705", "0.8090"),
        ((10, 10), (0, 10), "0.6075", "1.0000"),
    ],
)
def test_newcombes_interval_of_a_difference_agrees_with_the_published_table(first, second, low, high):
    interval = difference(first, second)
    assert f"{float(interval.low):.4f}" == low
    assert f"{float(interval.high):.4f}" == high


@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_mirrors_when_success_and_failure_swap(case):
    successes, trials = case
    interval, mirror = wilson(successes, trials), wilson(trials - successes, trials)
    assert Fraction(successes, trials) in interval
    assert 0 <= interval.low < interval.high <= 1
    assert (1 - mirror.high, 1 - mirror.low) == (interval.low, interval.high)


@given(st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_outward_rounding_never_claims_more_than_the_exact_interval(case):
    # Wilson's ends are the roots of (p - x)^2 = z^2 x (1 - x) / n, so outside them the left side is larger.
    successes, trials = case
    share, square = Fraction(successes, trials), Fraction(1_959_964, 1_000_000) ** 2
    interval = wilson(successes, trials)
    for end in (interval.low, interval.high):
        assert (share - end) ** 2 >= square * end * (1 - end) / trials


def test_a_root_is_exact_where_it_can_be_and_rounded_up_elsewhere():
    assert root_up(Fraction(1, 4)) == Fraction(1, 2)
    assert root_up(Fraction(0)) == 0
    assert root_up(Fraction(2)) == Fraction(1_414_213_563, 10**9)
    assert root_up(Fraction(1, 10**30)) == Fraction(1, 10**9)


def test_counts_that_do_not_fit_have_no_interval():
    for successes, trials in ((-1, 4), (5, 4), (0, 0)):
        with pytest.raises(Malformed, match="successes"):
            wilson(successes, trials)


@given(st.lists(st.fixed_dictionaries({"n": COUNTS, "tp": COUNTS}, optional={"fn": COUNTS}), min_size=1, max_size=5))
def test_pooled_counts_are_sums_over_members_whatever_their_order(parts):
    pooled = pool(parts)
    assert pooled == pool(parts[::-1])
    assert pooled["n"] == sum(part["n"] for part in parts)
    assert ("fn" in pooled) == all("fn" in part for part in parts)


def test_pooling_nobody_gives_nothing():
    assert pool([]) == {}


def test_gains_compare_alone_and_together_for_members_that_reported_both():
    almaty, bern, cusco = MemberId("almaty"), MemberId("bern"), MemberId("cusco")
    alone = {bern: {"n": 10, "correct": 6}, almaty: {"n": 4, "correct": 3}, cusco: {"n": 5}}
    joint = {almaty: {"n": 4, "correct": 2}, bern: {"n": 10, "correct": 8}, cusco: {"n": 5, "correct": 5}}
    found = gains(alone, joint)
    assert [(gain.member, gain.accuracy) for gain in found] == [
        (almaty, Fraction(-1, 4)),
        (bern, Fraction(1, 5)),
        (cusco, None),
    ]
    assert gains(alone, {}) == ()
