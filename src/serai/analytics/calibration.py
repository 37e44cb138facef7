"""Whether scores mean what they say: bins of predicted probability, their expected error, and the Brier score.

A score of 0.7 is calibrated if yes is the answer for 70 % of such rows. Rows are put
into ten bins by their score in whole permille, and of each bin three integers are
told: its rows, the yes among them, and the sum of their scores. Small bins are put
together with the next, for a bin is a small cohort: what is told of it is told of few.

Sources: G. W. Brier, Monthly Weather Review 78 (1950) 1-3; M. P. Naeini, G. F. Cooper
and M. Hauskrecht, AAAI 2015, 2901-2907, for the expected calibration error.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

BINS: Final = 10
PERMILLE: Final = 1_000
MILLIONTHS: Final = 10**6
BRIER: Final = "brier_millionths"
"""Name of the count: the sum over rows of the squared error, each rounded to 10^-6."""

BRIER_SPREAD: Final = "brier_squares_millionths"
"""Name of the count: the sum of the squares of these, likewise; how far they spread."""

_WIDTH: Final = PERMILLE // BINS
_NAME: Final = re.compile(r"bin([0-9])_(n|yes|said)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows whose scores lie between two bounds.

    Attributes:
        first: number of the first of the ten bins that it is made of.
        n: rows.
        yes: rows whose answer is yes.
        said: sum of their scores, permille.

    """

    first: int
    n: int
    yes: int
    said: int

    @property
    def mean(self) -> Fraction:
        """The mean score."""
        return Fraction(self.said, PERMILLE * self.n)

    @property
    def share(self) -> Fraction:
        """The share of yes."""
        return Fraction(self.yes, self.n)


def put_in_bins(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], least: int) -> tuple[Bin, ...]:
    """Bins of at least so many rows each, from the lowest score; none where there are fewer rows in all.

    Args:
        scores: probabilities of yes, ``(m,)``.
        truth: the answers, ``(m,)``.
        least: fewest rows of a bin, at least 1.

    """
    said = np.rint(scores * PERMILLE).astype(np.int64)
    place = np.minimum(said // _WIDTH, BINS - 1)
    columns = (np.bincount(place, values, BINS) for values in (np.ones(len(said)), truth.astype(float), said))
    rows = zip(*([int(value) for value in column] for column in columns), strict=True)
    return merge([Bin(first=first, n=n, yes=yes, said=sum_) for first, (n, yes, sum_) in enumerate(rows)], least)


def merge(bins: Iterable[Bin], least: int) -> tuple[Bin, ...]:
    """Put each bin of fewer rows together with the next one, and the last with the one before."""
    made: list[Bin] = []
    for found in bins:
        if made and made[-1].n < least:
            made[-1] = _together(made[-1], found)
        else:
            made.append(found)
    if len(made) > 1 and made[-1].n < least:
        last = made.pop()
        made[-1] = _together(made[-1], last)
    return tuple(found for found in made if found.n >= max(1, least))


def bin_counts(bins: Iterable[Bin]) -> dict[str, int]:
    """Bins as an evaluation reports them."""
    return {
        f"bin{found.first}_{name}": value
        for found in bins
        for name, value in (("n", found.n), ("yes", found.yes), ("said", found.said))
    }


def bins_of(counts: Mapping[str, int]) -> tuple[Bin, ...]:
    """The bins that an evaluation reports, in order; one that lacks a part is left out."""
    firsts = sorted({int(match[1]) for name in counts if (match := _NAME.fullmatch(name))})
    parts = {first: [counts.get(f"bin{first}_{name}") for name in ("n", "yes", "said")] for first in firsts}
    return tuple(
        Bin(first=first, n=n, yes=yes, said=said)
        for first, (n, yes, said) in parts.items()
        if n and yes is not None and said is not None
    )


def is_bin_count(name: str) -> bool:
    """Whether a count is part of a bin."""
    return _NAME.fullmatch(name) is not None


def expected_error(bins: Sequence[Bin]) -> Fraction | None:
    """The expected calibration error: how far share and mean score lie apart, over the rows; None without bins.

    Within a bin errors cancel, so fewer bins tell of less error than there is.
    """
    rows = sum(found.n for found in bins)
    apart = sum((abs(PERMILLE * found.yes - found.said) for found in bins), 0)
    return Fraction(apart, PERMILLE * rows) if rows else None


def brier_counts(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> dict[str, int]:
    """The sums of squared errors and of their squares, each rounded to a millionth."""
    errors = (scores - truth) ** 2
    sums = {BRIER: errors, BRIER_SPREAD: errors**2}
    return {
        name: int(np.rint(values * MILLIONTHS).astype(np.int64).sum(dtype=np.int64)) for name, values in sums.items()
    }


def brier_of(counts: Mapping[str, int]) -> tuple[Fraction, Fraction] | None:
    """The Brier score that counts tell, 0 for a faultless prophet, and the variance of its estimate; None without them.

    The variance is that of a mean of independent rows; below what rounding leaves of it, it is 0.
    """
    if not {BRIER, BRIER_SPREAD} <= counts.keys() or not counts.get("n"):
        return None
    rows = counts["n"]
    mean = Fraction(counts[BRIER], MILLIONTHS * rows)
    spread = Fraction(counts[BRIER_SPREAD], MILLIONTHS * rows) - mean * mean
    return mean, max(spread, Fraction(0)) / rows


def find_brier_contradiction(counts: Mapping[str, int]) -> str | None:
    """Why sums of squared errors cannot be true, or None when they can."""
    present = [name for name in (BRIER, BRIER_SPREAD) if name in counts]
    if not present:
        return None
    if len(present) == 1:
        return f"expected {BRIER} and {BRIER_SPREAD} or neither, got {present[0]}"
    rows, errors, squares = counts["n"], counts[BRIER], counts[BRIER_SPREAD]
    if errors > MILLIONTHS * rows:
        return f"expected at most {MILLIONTHS} {BRIER} a row, got {errors} of {rows} rows"
    # A square of what is at most 1 is no more than that; the square of a mean is no more than the mean of
    # squares. Each row is rounded by at most a half, twice.
    is_too_even = errors > rows and (errors - rows) ** 2 > MILLIONTHS * rows * (squares + rows)
    if squares > errors + rows or is_too_even:
        return f"expected {BRIER_SPREAD} that fits {BRIER} {errors} of {rows} rows, got {squares}"
    return None


def find_bin_contradiction(counts: Mapping[str, int]) -> str | None:
    """Why bins cannot be true, or None when they can."""
    named = sorted(name for name in counts if is_bin_count(name))
    bins = bins_of(counts)
    if len(named) != 3 * len(bins):
        return f"expected n of at least 1, yes and said of each bin, got {', '.join(named)}"
    if not bins:
        return None
    if bins[0].first or sum(found.n for found in bins) != counts["n"]:
        return f"expected bins from bin 0 over all n = {counts['n']} rows, got {sum(found.n for found in bins)} rows"
    ends = [*(found.first for found in bins[1:]), BINS]
    for found, end in zip(bins, ends, strict=True):
        low, high = _WIDTH * found.first * found.n, _WIDTH * end * found.n
        if found.yes > found.n or not low <= found.said <= high:
            return f"expected at most {found.n} yes and said from {low} to {high} in bin {found.first}"
    if "tp" in counts and sum(found.yes for found in bins) != counts["tp"] + counts.get("fn", 0):
        return "expected as many yes in the bins as tp + fn"
    return None


def _together(one: Bin, other: Bin) -> Bin:
    return Bin(
        first=min(one.first, other.first), n=one.n + other.n, yes=one.yes + other.yes, said=one.said + other.said
    )
