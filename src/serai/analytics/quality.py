"""A model's quality on one member's rows: every metric that its counts tell, each with its interval at 95 %.

Source: G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008) 1693-1702, for the
interval of a mean of two shares from the intervals of both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from serai.analytics.calibration import bins_of, brier_of, expected_error
from serai.analytics.discrimination import area_of
from serai.analytics.metrics import Z_95, Interval, correct_of, root_up, score, wilson


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value; its interval is None where the counts do not tell one."""

    value: Fraction
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by which models are compared.

    Attributes:
        title: its name for people.
        of: what counts tell of it; None where they tell nothing.
        higher_is_better: whether more of it is better.

    """

    title: str
    of: Callable[[Mapping[str, int]], Estimate | None]
    higher_is_better: bool = True

    def gain(self, before: Fraction, after: Fraction) -> Fraction:
        """By how much better ``after`` is; negative where it is worse."""
        return after - before if self.higher_is_better else before - after


def _accuracy(counts: Mapping[str, int]) -> Estimate | None:
    right = correct_of(counts)
    return None if right is None else _share(right, counts.get("n", 0))


def _recall(counts: Mapping[str, int]) -> Estimate | None:
    return _share(counts["tp"], counts["tp"] + counts["fn"]) if {"tp", "fn"} <= counts.keys() else None


def _specificity(counts: Mapping[str, int]) -> Estimate | None:
    return _share(counts["tn"], counts["tn"] + counts["fp"]) if {"tn", "fp"} <= counts.keys() else None


def _balanced_accuracy(counts: Mapping[str, int]) -> Estimate | None:
    one, two = _recall(counts), _specificity(counts)
    if one is None or two is None or one.interval is None or two.interval is None:
        return None
    down = root_up((one.value - one.interval.low) ** 2 + (two.value - two.interval.low) ** 2)
    upward = root_up((one.interval.high - one.value) ** 2 + (two.interval.high - two.value) ** 2)
    mean = (one.value + two.value) / 2
    return Estimate(mean, Interval(max(mean - down / 2, Fraction(0)), min(mean + upward / 2, Fraction(1))))


def _auc(counts: Mapping[str, int]) -> Estimate | None:
    found = area_of(counts)
    return None if found is None else Estimate(found.value, found.interval)


def _brier(counts: Mapping[str, int]) -> Estimate | None:
    found = brier_of(counts)
    if found is None:
        return None
    mean, variance = found
    half = root_up(Z_95 * Z_95 * variance)
    return Estimate(mean, Interval(max(mean - half, Fraction(0)), min(mean + half, Fraction(1))))


def _calibration(counts: Mapping[str, int]) -> Estimate | None:
    found = expected_error(bins_of(counts))
    return None if found is None else Estimate(found)


def _f1(counts: Mapping[str, int]) -> Estimate | None:
    found = score(counts).f1 if "n" in counts else None
    return None if found is None else Estimate(found)


def _share(part: int, whole: int) -> Estimate | None:
    return Estimate(Fraction(part, whole), wilson(part, whole)) if whole else None


METRICS: Final[Mapping[str, Metric]] = {
    "accuracy": Metric("accuracy", _accuracy),
    "balanced_accuracy": Metric("balanced accuracy", _balanced_accuracy),
    "auc": Metric("AUC", _auc),
    "brier": Metric("Brier score", _brier, higher_is_better=False),
    "sensitivity": Metric("sensitivity", _recall),
    "specificity": Metric("specificity", _specificity),
    "f1": Metric("F1", _f1),
    "calibration_error": Metric("expected calibration error", _calibration, higher_is_better=False),
}
"""The metrics by name; models are compared by those of ``COMPARED``."""


def measure(counts: Mapping[str, int]) -> dict[str, Estimate]:
    """Every metric that counts tell, by name."""
    found = {name: metric.of(counts) for name, metric in METRICS.items()}
    return {name: estimate for name, estimate in found.items() if estimate is not None}
