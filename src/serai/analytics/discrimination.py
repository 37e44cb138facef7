"""How well scores tell yes from no: the area under the ROC curve as an exact count of pairs, with its interval.

The area is the share of pairs of a yes and a no in which the yes has the higher
score, ties counting half: Mann and Whitney's U over the number of pairs. Twice U is
an integer, and all that a member need report beside its confusion matrix.

Sources: J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29-36, for the
variance; R. G. Newcombe, Statistics in Medicine 25 (2006) 559-573, method 5, for
the interval, which solves for the areas whose variance explains what was found, as
Wilson's does for a share: it stays within 0 and 1, and has a width at both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.analytics.metrics import GRID, Z_95, Interval
from serai.errors import Malformed

PAIRS: Final = "u2"
"""Name of the count: twice the pairs in which the yes has the higher score, ties once."""


@dataclass(frozen=True, slots=True)
class Area:
    """An area under the ROC curve.

    Attributes:
        value: the share of pairs that are in order, ties half.
        interval: Newcombe's at 95 %.

    """

    value: Fraction
    interval: Interval


def count_pairs(higher: npt.NDArray[np.float64], lower: npt.NDArray[np.float64]) -> int:
    """Twice the pairs in which the one of ``higher`` is above the one of ``lower``, ties counted once.

    Args:
        higher: scores that should be high, ``(m,)``.
        lower: scores that should be low, ``(n,)``.

    """
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, side="left")
    not_above = np.searchsorted(ordered, higher, side="right")
    return int(below.sum(dtype=np.int64)) + int(not_above.sum(dtype=np.int64))


def area_of(counts: Mapping[str, int]) -> Area | None:
    """The area that a classifier's counts tell; None where they tell none."""
    if not {PAIRS, "tp", "fn", "tn", "fp"} <= counts.keys():
        return None
    yes, no = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    return area(counts[PAIRS], yes, no) if yes and no else None


def area(pairs: int, yes: int, no: int) -> Area:
    """The area of so many half pairs, of ``yes`` times ``no`` pairs.

    Raises:
        Malformed: the counts do not fit together.

    """
    if min(yes, no) < 1 or not 0 <= pairs <= 2 * yes * no:
        raise Malformed("area-counts", f"expected 0 to 2 x {yes} x {no} half pairs, both at least 1, got {pairs}")
    found = Fraction(pairs, 2 * yes * no)
    return Area(found, Interval(_limit(found, yes, no), 1 - _limit(1 - found, no, yes)))


def _limit(found: Fraction, yes: int, no: int) -> Fraction:
    """The lower limit, rounded down to 10^-9; the upper one is the mirror image, for the variance is symmetric."""
    low, high = 0, int(found * GRID)
    while high - low > 1:
        middle = (low + high) // 2
        tried = Fraction(middle, GRID)
        if (found - tried) ** 2 > Z_95 * Z_95 * _variance(tried, yes, no):
            low = middle
        else:
            high = middle
    return Fraction(low, GRID)


def _variance(theta: Fraction, yes: int, no: int) -> Fraction:
    """Hanley and McNeil's, with both numbers of rows but for the pairs' taken at their mean."""
    others = Fraction(yes + no, 2) - 1
    spread = 1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (yes * no)
