"""What every engine is given, and what it gives back."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

TENSORS = 20
TIMEOUT_S = 900.0  # for a whole run; the slowest peer's ten rounds of 100 MB on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run.

    Attributes:
        members: K.
        mb: size of the float32 model, MB of 10^6 bytes.
        rounds: how many; the first is not counted.

    """

    members: int
    mb: float
    rounds: int

    @property
    def values(self) -> int:
        """Values in each of the model's tensors."""
        return max(1, round(self.mb * 1e6 / 4 / TENSORS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What a run of an engine showed.

    Attributes:
        seconds: median from the start of a round to the start of the next.
        server_mb: peak resident memory of the server's process tree.

    """

    seconds: float
    server_mb: float


def median_round(starts: Sequence[float]) -> float:
    """The median round, the first left out: it pays for connections and imports.

    Args:
        starts: when each round started, seconds.

    """
    return statistics.median(after - before for before, after in itertools.pairwise(starts[1:]))
