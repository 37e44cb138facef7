from fractions import Fraction

import pytest

from serai.analytics.quality import METRICS, measure
from serai.zones.facts import COMPARED

COUNTS = {
    "n": 100, "correct": 80, "tp": 30, "fn": 10, "tn": 50, "fp": 10, "u2": 4_200, "brier_millionths": 15_000_000,
    "brier_squares_millionths": 5_000_000,
    "bin0_n": 60, "bin0_yes": 10, "bin0_said": 12_000, "bin5_n": 40, "bin5_yes": 30, "bin5_said": 28_000,
}  # fmt: skip


def test_counts_tell_every_metric_with_its_interval_where_it_has_one():
    found = measure(COUNTS)
    assert {name: float(estimate.value) for name, estimate in found.items()} == pytest.approx(
        {
            "accuracy": 0.8,
            "balanced_accuracy": (30 / 40 + 50 / 60) / 2,
            "auc": 0.875,
            "brier": 0.15,
            "sensitivity": 0.75,
            "specificity": 5 / 6,
            "f1": 0.75,
            "calibration_error": (2 + 2) / 100,
        }
    )
    for name, estimate in found.items():
        if name in {"f1", "calibration_error"}:
            assert estimate.interval is None
        else:
            assert estimate.interval.low < estimate.value < estimate.interval.high


def test_the_interval_of_a_mean_of_two_shares_is_narrower_than_the_worse_of_both():
    found = measure(COUNTS)
    width = found["balanced_accuracy"].interval.high - found["balanced_accuracy"].interval.low
    assert width < max(found[name].interval.high - found[name].interval.low for name in ("sensitivity", "specificity"))


def test_what_was_not_counted_is_not_told():
    assert measure({"n": 4}) == {}
    assert set(measure({"n": 4, "correct": 3})) == {"accuracy"}
    assert set(measure({"n": 4, "tp": 0, "fn": 0, "tn": 3, "fp": 1})) == {"accuracy", "specificity", "f1"}


def test_better_is_more_of_a_share_and_less_of_an_error():
    assert METRICS["auc"].gain(Fraction(1, 2), Fraction(3, 4)) == Fraction(1, 4)
    assert METRICS["brier"].gain(Fraction(1, 2), Fraction(3, 4)) == Fraction(-1, 4)
    assert set(COMPARED) <= set(METRICS)


def test_the_interval_of_a_brier_score_is_of_so_many_standard_errors():
    found = measure(COUNTS)["brier"]
    half = 1.959964 * ((0.05 - 0.15**2) / 100) ** 0.5
    assert float(found.interval.high - found.value) == pytest.approx(half, abs=1e-6)
    assert float(found.value - found.interval.low) == pytest.approx(half, abs=1e-6)
