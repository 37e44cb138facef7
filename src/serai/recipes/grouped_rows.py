"""Rows by the level of a category, and which groups a zone has enough rows of to add them up."""

import numpy as np

from serai.training.statistics.columns import Category, Flags, Places
from serai.training.tables import Table


def groups_of(table: Table, by: Category | None) -> Places:
    """The group of each row, ``(rows,)``: a place among the levels, -1 where it is missing; 0 where nothing is grouped.

    Raises:
        Refused: the data have no such column, or other levels.

    """
    return np.zeros(table.rows, np.intp) if by is None else by.read(table, slice(None))


def contributed(groups: Places, count: int, least: int) -> tuple[Places, Flags]:
    """How many rows each group has, and whether they are enough.

    Args:
        groups: each row's, -1 for none.
        count: of groups.
        least: rows that a group must have here; a group without rows is never kept.

    """
    rows = np.bincount(groups[groups >= 0], minlength=count)
    return rows, rows >= max(1, least)
