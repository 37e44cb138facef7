"""What to know about the numbers of a statistic, in sentences."""

from collections.abc import Sequence
from math import sqrt

from serai.analytics.frames import Frame, whole
from serai.training.statistics.columns import Category, Grid, Number
from serai.training.statistics.protection import Noise
from serai.training.tensors import Model


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
    return (f"each member added noise of standard deviation {deviation:.3g} rows to each sum; errors do not count it",)


def complete_notes(model: Model) -> tuple[str, ...]:
    """Whose rows are used, and how many are not."""
    rows, members, incomplete = (whole(model[name][0]) for name in ("rows", "members", "incomplete"))
    return (f"{rows} complete rows of {members} members; {incomplete} more lack a value and are not used",)


def outside_frame(numbers: Sequence[Number], model: Model) -> Frame:
    """How many values of each column were set to a bound."""
    rows = ((number.name, whole(count)) for number, count in zip(numbers, model["outside"], strict=True))
    return Frame("outside", ("column", "n"), tuple(rows))


def grid_note(grid: Grid) -> str:
    """What the grid did to the times."""
    return (
        f"times are rounded up to steps of {float(grid.step):g}; "
        f"rows that go on after {float(grid.until):g} leave there without an event"
    )
