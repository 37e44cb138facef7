"""The design of a model: numbers on the scale of their bounds, levels of categories against the first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serai.training.statistics.columns import Array, Category, Flags, Number
from serai.training.tables import Table


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a design.

    Attributes:
        x: ``(n, terms) float64``, of -1 to 1; 0 where a value is missing.
        complete: ``(n,)``, whether nothing is missing.
        outside: ``(n, numbers)``, which values were set to a bound.

    """

    x: Array
    complete: Flags
    outside: Flags


@dataclass(frozen=True, slots=True)
class Design:
    """What becomes of the columns, in the order of ``terms_of``."""

    numbers: Sequence[Number]
    categories: Sequence[Category]

    @property
    def terms(self) -> int:
        """Columns of the design."""
        return len(self.numbers) + sum(len(category.levels) - 1 for category in self.categories)

    def read(self, table: Table, rows: slice) -> Rows:
        """Some rows.

        Raises:
            Refused: the data have no such column, or other levels.

        """
        count = rows.stop - rows.start
        x, complete = np.zeros((count, self.terms)), np.ones(count, np.bool_)
        outside = np.zeros((count, len(self.numbers)), np.bool_)
        for place, number in enumerate(self.numbers):
            values, present, outside[:, place] = number.read(table, rows)
            x[:, place] = np.where(present, number.scaled(values), 0.0)
            complete &= present
        start = len(self.numbers)
        for category in self.categories:
            places = category.read(table, rows)
            complete &= places >= 0
            for level in range(1, len(category.levels)):
                x[:, start] = places == level
                start += 1
        return Rows(x, complete, outside)
