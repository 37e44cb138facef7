"""What to know about the numbers of a statistic, in sentences."""

from math import sqrt

from serai.training.statistics.columns import Category
from serai.training.statistics.protection import Noise


def group_notes(by: Category | None, least: int) -> tuple[str, ...]:
    """Which groups are not whole."""
    if least <= 1:
        return ()
    what = f"fewer than {least} rows of a group left it" if by else f"fewer than {least} rows left them"
    return (f"members with {what} out; the column members says how many are in the numbers",)


def noise_notes(noise: Noise | None, square: int) -> tuple[str, ...]:
    """How much noise is in each sum.

    Args:
        noise: what each member added.
        square: the largest squared norm of a row.

    """
    if noise is None:
        return ()
    deviation = float(noise.ratio) * sqrt(square)
    return (
        f"each member added noise to each of its sums, standard deviation {deviation:.3g} rows; errors and intervals do not count it",
    )
