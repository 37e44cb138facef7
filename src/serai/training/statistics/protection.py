"""What protects single rows in a statistic: the fewest rows a zone adds up, and noise on its sums.

Theory of operation
    With ``noise`` a zone adds a discrete Gaussian to each of its own sums before they
    are masked, so what it sends is private whatever the others do. The deviation is
    ``noise`` times the largest Euclidean norm that one row can have among all sums of
    the recipe. Each row is rounded to the codec's step before it is added: sums of
    whole steps below 2^53 are exact in float64, so a row changes a sum by its own
    value and by nothing else (floating-point sums may change by more,
    arXiv:2207.10635). Rows that are left out because a zone has few of a kind would
    make one row's coming or going change many; noise and ``least`` exclude each other.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from serai.errors import Malformed
from serai.training.parameters import Parameters
from serai.training.privacy import Mechanism

MOST_ROWS: Final = 2**30


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise on a zone's sums.

    Attributes:
        ratio: its standard deviation over the largest norm of one row.
        delta: the odds that the bound on epsilon does not hold.

    """

    ratio: Fraction
    delta: Fraction

    @property
    def mechanism(self) -> Mechanism:
        """One look at every row."""
        return Mechanism(noise=self.ratio, rate=Fraction(1), steps=1, delta=self.delta)


def read_noise(settings: Parameters) -> Noise | None:
    """The settings ``noise`` and ``delta``; None where noise is 0.

    Raises:
        Malformed: one is out of range.

    """
    ratio = settings.number("noise", "0", Fraction(0), Fraction(10**6))
    delta = settings.number("delta", "1e-6", Fraction(1, 10**15), Fraction(1, 2))
    return Noise(ratio, delta) if ratio else None


def read_least(settings: Parameters, recipe: str, noise: Noise | None) -> int:
    """The setting ``least``.

    Raises:
        Malformed: it is out of range, or stands beside noise.

    """
    least = settings.integer("least", 1, 1, 10**6)
    if noise is not None and least > 1:
        raise Malformed(
            "recipe-param",
            f"{recipe}: least and noise do not go together, for one row more would show {least} of them; give one",
        )
    return least


def read_most_rows(settings: Parameters) -> int:
    """The setting ``most_rows``: the smaller it is, the finer are the sums.

    Raises:
        Malformed: it is out of range.

    """
    return settings.integer("most_rows", 2**24, 1, MOST_ROWS)
