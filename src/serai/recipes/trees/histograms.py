"""What one member adds to a level: its rows, gradients and Hessians by node, feature and bin."""

import numpy as np

from serai.recipes.trees.forest import Forest
from serai.recipes.trees.layout import Array, Layout, Places
from serai.recipes.trees.losses import Planes
from serai.recipes.trees.progress import Progress


def summed_rows(forest: Forest, progress: Progress, x: Array) -> tuple[Places, Places]:
    """Which rows are in a node that is summed at this level, and in which slot each of them is."""
    level = int(progress.level[0])
    place = forest.leaves(forest.grown, level, x)
    if level == 0:
        return np.arange(len(x)), place
    slot, side = place >> 1, place & 1
    rows = np.flatnonzero(side == progress.right[slot])
    return rows, slot[rows]


def histograms(layout: Layout, edges: Array, x: Array, slot: Places, planes: Planes) -> Array:
    """Sums by node and bin, ``(planes, slots, columns)``; exact, for all are whole numbers.

    Args:
        layout: of the histograms.
        edges: upper edges of all bins, ``(columns,)``.
        x: the rows that count, ``(n, features)``.
        slot: of each row's node, ``(n,)``.
        planes: of each row, whole steps.

    """
    table = np.zeros(layout.form)
    for feature, (start, bins) in enumerate(zip(layout.starts, layout.bins, strict=True)):
        place = slot * bins + np.searchsorted(edges[start : start + bins - 1], x[:, feature])
        for plane, weights in enumerate((None, *planes)):
            sums = np.bincount(place, weights, layout.slots * bins)
            table[plane, :, start : start + bins] = sums.reshape(layout.slots, bins)
    return table
