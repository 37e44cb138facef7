"""Rows by the level of a category, and which groups a zone has enough rows of to add them up."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.training.statistics.columns import Category, Flags, Places
from serai.training.tables import Table

_BATCH: Final = 2**16

Groups: TypeAlias = npt.NDArray[np.int16]
"""The group of each row: a place among the levels, -1 for none. Narrow, for it is as long as the data."""


def groups_of(table: Table, by: Category | None) -> Groups:
    """The group of each row, ``(rows,)``, an array of its own; 0 where nothing is grouped.

    Raises:
        Refused: the data have no such column, or other levels.

    """
    return np.zeros(table.rows, np.int16) if by is None else by.column(table).astype(np.int16)


def contributed(groups: Groups, count: int, least: int) -> tuple[Places, Flags]:
    """How many rows each group has, and whether they are enough.

    Args:
        groups: each row's, -1 for none.
        count: of groups.
        least: rows that a group must have here; a group without rows is never kept.

    """
    rows = np.zeros(count, np.intp)
    for start in range(0, len(groups), _BATCH):
        some = groups[start : start + _BATCH]
        rows += np.bincount(some[some >= 0], minlength=count)
    return rows, rows >= max(1, least)
