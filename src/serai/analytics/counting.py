"""What a zone counts of a model's scores on its rows before anything leaves: pairs, errors, bins, and the attack by loss.

Whatever breaks rows up into parts says something about each part. So a count is left
out where a part has fewer rows than the zone lets anything be said of.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from serai.analytics.calibration import bin_counts, brier_counts, put_in_bins
from serai.analytics.discrimination import PAIRS, count_pairs
from serai.analytics.membership import membership_counts

FEWEST: Final = 10
"""Fewest rows of a part, whatever the terms say: the usual threshold for tables that leave a safe place."""

Scores = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


def count_scores(scores: Scores, truth: Truth, cohort: int) -> dict[str, int]:
    """Pairs, errors and bins of held-back rows.

    Args:
        scores: probabilities of yes, ``(m,)``.
        truth: the answers, ``(m,)``.
        cohort: fewest rows that a bin may have; ``FEWEST`` where that is more.

    """
    counts = brier_counts(scores, truth) if len(truth) >= FEWEST else {}
    if min(np.count_nonzero(truth), np.count_nonzero(~truth)) >= FEWEST:
        counts[PAIRS] = count_pairs(scores[truth], scores[~truth])
    return counts | bin_counts(put_in_bins(scores, truth, max(cohort, FEWEST)))


def count_exposure(inside: tuple[Scores, Truth], outside: tuple[Scores, Truth]) -> dict[str, int]:
    """The attack by loss, on the scores and answers of the training rows and of those held back; empty for few rows."""
    if min(len(inside[1]), len(outside[1])) < FEWEST:
        return {}
    return membership_counts(_given(*inside), _given(*outside))


def _given(scores: Scores, truth: Truth) -> Scores:
    """The probability that each row's true answer was given."""
    found: Scores = np.where(truth, scores, 1 - scores)
    return found
