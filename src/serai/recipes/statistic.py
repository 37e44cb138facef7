"""What the recipes of statistics share: columns in, named sums out, and the sums themselves as the model."""

from collections.abc import Mapping
from typing import ClassVar

from serai.aggregation.codec import Codec, Vector
from serai.recipes.named_sums import NamedSums
from serai.training.methods import Data
from serai.training.privacy import Mechanism
from serai.training.statistics.protection import Noise
from serai.training.tensors import Model


class Statistic:
    """A statistic of one secure sum, or the part of a longer one that does not depend on the method.

    Its model is what the sums add up to, by their names; ``analytics.results`` derives
    from it what people read.

    Args:
        sums: what a member adds up.
        columns: what it reads.
        noise: what it adds to its sums, if anything.

    """

    outputs: ClassVar[tuple[str, ...]] = ("aggregate",)

    def __init__(self, sums: NamedSums, columns: tuple[str, ...], noise: Noise | None = None) -> None:
        self._sums = sums
        self._columns = columns
        self._noise = noise

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a zone loads."""
        return self._columns

    @property
    def length(self) -> int:
        """How many sums."""
        return self._sums.length

    def codec(self, members: int) -> Codec:
        """Exact counts, and steps as fine as the rows allow.

        Raises:
            Refused: more than 2,047 members.

        """
        return self._sums.codec(members)

    def initial(self) -> Model:
        """Nothing added up yet."""
        return self._sums.zeros()

    def combine(self, _model: Model, total: Vector, _members: float) -> Model:
        """The sums by their names."""
        return self._sums.split(total)

    def evaluate(self, _model: Model, data: Data) -> Mapping[str, int]:
        """Statistics are not scored; how many rows stood behind them is all there is to say."""
        return {"n": data.table.rows}

    @property
    def cohort(self) -> int | None:
        """Fewest rows that a zone adds up by themselves; None where nothing is asked by group."""
        return None

    def mechanism(self, _rows: int) -> Mechanism | None:
        """What a round does to each row; None without noise."""
        return None if self._noise is None else self._noise.mechanism
