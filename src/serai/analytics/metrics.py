"""Metrics from integer counts, in exact fractions: nothing is rounded until it is shown.

Wilson's score interval needs a square root; it is taken in integers and
rounded outwards to 10^-9, so that the interval never claims too much and every
member computes the same one.

Sources: E. B. Wilson, JASA 22 (1927) 209-212, for the interval of a share;
R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10, for the
interval of a difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isqrt
from typing import Final

from serai.analytics.calibration import is_bin_count
from serai.errors import Malformed
from serai.kernel.ids import MemberId

Z_95: Final = Fraction(1_959_964, 1_000_000)  # two-sided 95 % of the normal distribution
GRID: Final = 10**9
"""Bounds of intervals are whole multiples of one over this."""

_NOT_SUMS: Final = ("u2", "mia_")  # counts of pairs, and what belongs to them


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of a share or of a difference of shares."""

    low: Fraction
    high: Fraction

    def __contains__(self, value: Fraction) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The usual metrics of a classifier; None where a count is missing or a denominator is 0.

    Attributes:
        n: rows.
        accuracy: share of rows that were right.
        accuracy_95: Wilson's interval of the accuracy at 95 %.
        precision: share of predicted positives that were positive.
        recall: share of positives that were found (sensitivity).
        specificity: share of negatives that were found.
        f1: harmonic mean of precision and recall.
        balanced_accuracy: mean of recall and specificity.

    """

    n: int
    accuracy: Fraction | None
    accuracy_95: Interval | None
    precision: Fraction | None
    recall: Fraction | None
    specificity: Fraction | None
    f1: Fraction | None
    balanced_accuracy: Fraction | None


def score(counts: Mapping[str, int]) -> Scores:
    """All metrics that some counts allow.

    Raises:
        Malformed: the counts lack ``n``.

    """
    if "n" not in counts:
        raise Malformed("counts-without-n", f"expected the count n among {', '.join(sorted(counts)) or 'no counts'}")
    right = correct_of(counts)
    recall, specificity = _share(counts, "tp", "fn"), _share(counts, "tn", "fp")
    balanced = None if recall is None or specificity is None else (recall + specificity) / 2
    return Scores(
        n=counts["n"],
        accuracy=None if right is None or not counts["n"] else Fraction(right, counts["n"]),
        accuracy_95=None if right is None or not counts["n"] else wilson(right, counts["n"]),
        precision=_share(counts, "tp", "fp"),
        recall=recall,
        specificity=specificity,
        f1=_f1(counts),
        balanced_accuracy=balanced,
    )


def correct_of(counts: Mapping[str, int]) -> int | None:
    """Rows that were right: ``correct``, or else ``tp + tn``; None where neither is known."""
    if "correct" in counts:
        return counts["correct"]
    return counts["tp"] + counts["tn"] if "tp" in counts and "tn" in counts else None


def pool(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts over all members: the sums of those that every member reported, by name.

    Left out is what does not add up: pairs of rows, for those of one member with
    another's were never counted, and bins, whose bounds differ and whose errors
    cancel where they are put together.
    """
    reported = list(parts)
    if not reported:
        return {}
    names = set(reported[0]).intersection(*reported[1:])
    summed = sorted(name for name in names if not is_bin_count(name) and not name.startswith(_NOT_SUMS))
    return {name: sum(counts[name] for counts in reported) for name in summed}


def wilson(successes: int, trials: int, z: Fraction = Z_95) -> Interval:
    """Wilson's score interval of a share, rounded outwards to 10^-9.

    Raises:
        Malformed: not 0 <= successes <= trials with trials >= 1.

    """
    if not 0 <= successes <= trials or trials < 1:
        raise Malformed("wilson-counts", f"expected 0 <= successes <= trials, trials >= 1; got {successes} of {trials}")
    share, square = Fraction(successes, trials), z * z
    scale = 1 + square / trials
    center = (share + square / (2 * trials)) / scale
    spread = square * (share * (1 - share) / trials + square / (4 * trials * trials)) / (scale * scale)
    half = root_up(spread)
    low = Fraction(floor((center - half) * GRID), GRID)
    high = Fraction(ceil((center + half) * GRID), GRID)
    # At 0 and at 1 the exact interval touches the end; outward rounding would pass it.
    return Interval(max(low, Fraction(0)), min(high, Fraction(1)))


def difference(first: tuple[int, int], second: tuple[int, int], z: Fraction = Z_95) -> Interval:
    """Newcombe's hybrid score interval of one share minus another, samples independent.

    Args:
        first: successes and trials.
        second: successes and trials of the share that is subtracted.
        z: quantile of the normal distribution.

    Raises:
        Malformed: successes and trials do not fit together.

    """
    one, two = wilson(*first, z), wilson(*second, z)
    share_one, share_two = Fraction(*first), Fraction(*second)
    down = root_up((share_one - one.low) ** 2 + (two.high - share_two) ** 2)
    upward = root_up((one.high - share_one) ** 2 + (share_two - two.low) ** 2)
    gap = share_one - share_two
    return Interval(max(gap - down, Fraction(-1)), min(gap + upward, Fraction(1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What the joint model brought one member, on that member's own rows.

    Attributes:
        member: whose rows.
        alone: scores of the model that the member trained by itself.
        joint: scores of the model that all trained.
        accuracy: joint minus alone; None where either is unknown.

    """

    member: MemberId
    alone: Scores
    joint: Scores
    accuracy: Fraction | None


def gains(alone: Mapping[MemberId, Mapping[str, int]], joint: Mapping[MemberId, Mapping[str, int]]) -> tuple[Gain, ...]:
    """Alone against together, for each member that reported both, in order of member id."""
    return tuple(
        _gain(member, score(alone[member]), score(joint[member])) for member in sorted(set(alone) & set(joint))
    )


def _gain(member: MemberId, alone: Scores, joint: Scores) -> Gain:
    known = alone.accuracy is not None and joint.accuracy is not None
    accuracy = joint.accuracy - alone.accuracy if known else None  # type: ignore[operator]
    return Gain(member=member, alone=alone, joint=joint, accuracy=accuracy)


def _share(counts: Mapping[str, int], part: str, rest: str) -> Fraction | None:
    if part not in counts or rest not in counts:
        return None
    whole = counts[part] + counts[rest]
    return Fraction(counts[part], whole) if whole else None


def _f1(counts: Mapping[str, int]) -> Fraction | None:
    if not {"tp", "fp", "fn"} <= set(counts):
        return None
    whole = 2 * counts["tp"] + counts["fp"] + counts["fn"]
    return Fraction(2 * counts["tp"], whole) if whole else None


def root_up(value: Fraction) -> Fraction:
    """The smallest multiple of 10^-9 that is at least the square root."""
    scaled = ceil(value * GRID * GRID)
    root = isqrt(scaled)
    return Fraction(root if root * root == scaled else root + 1, GRID)


def held_back_loss(counts: Mapping[str, int]) -> float:
    """How wrong a model is on held-back rows, to compare with itself: nats a prediction, or a share of errors.

    Errors are counted by Laplace's rule of succession, so that a faultless model has a loss above 0.
    """
    if counts.get("predicted"):
        return counts["micronats"] / counts["predicted"] / 1e6
    return (counts["n"] - counts["correct"] + 1) / (counts["n"] + 2)
