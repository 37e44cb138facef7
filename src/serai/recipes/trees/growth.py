"""One level of a tree from the summed histograms of its nodes: which splits, which leaves, what is summed next.

Theory of operation
    Of each split only one child is summed: the one with fewer rows, which is known
    before. The other is what is left of the parent, exactly, for all values are
    whole numbers of steps. A node that is not split sends all its rows to its left
    child, so that trees are full and every array has one shape; its right
    child has no rows and costs nothing.

    A split maximises G_l^2 / (H_l + c) + G_r^2 / (H_r + c) - G^2 / (H + c), where G and H
    are the sums of gradients and Hessians and c is ``l2_regularization``; a leaf adds
    -rate G / (H + c) (XGBoost, arXiv:1603.02754, eq. 5 to 7). Equal gains go to the lowest
    feature, then to the lowest bin.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from serai.recipes.trees.forest import Forest
from serai.recipes.trees.layout import Array, Layout, Mask, Places
from serai.recipes.trees.progress import Progress

_LEAST_HESSIAN: Final = 1e-3  # of a child, as scikit-learn's min_hessian_to_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How trees grow.

    Attributes:
        layout: of the histograms.
        steps: what one unit of each plane is worth, ``planes`` of them.
        rate: share of a leaf's value that counts (shrinkage), in the unit of margins.
        penalty: added to every sum of Hessians.
        least_rows: fewest rows of a leaf.

    """

    layout: Layout
    steps: tuple[float, ...]
    rate: float
    penalty: float
    least_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """What becomes of the nodes of a level, m of them.

    Attributes:
        feature: ``(m,)``; 0 where there is no split.
        threshold: ``(m,)``; infinite where there is no split.
        left: rows, gradients and Hessians of the left children, ``(planes, m)``.
        right: of the right ones, ``(planes, m)``.

    """

    feature: Places
    threshold: Array
    left: Array
    right: Array

    @property
    def is_right_summed(self) -> Mask:
        """Whether of a node's children the right one has fewer rows."""
        result: Mask = self.right[0] < self.left[0]
        return result

    @property
    def summed_rows(self) -> Array:
        """How many rows the child that is summed has."""
        result: Array = np.minimum(self.left[0], self.right[0])
        return result


def grow(growth: Growth, forest: Forest, progress: Progress, edges: Array, sums: Array) -> tuple[Forest, Progress]:
    """Trees and progress once a level is summed.

    Where a member was lost, or came back, since the level above, what is left of
    a parent would have rows that are in no child, or lack some that are. The tree
    is then begun anew, so that each is of the rows of the same members.

    Args:
        growth: how trees grow.
        forest: trees, and the upper levels of the next one.
        progress: what is known of these levels.
        edges: the upper edge of each bin, ``(columns,)``.
        sums: histograms in whole steps, ``(planes, slots, columns)``.

    """
    level = int(progress.level[0])
    width = 1 << level
    if level == 0:
        nodes = sums[:, :1]
    else:
        parents = slice(width // 2)
        if (_rows(growth.layout, sums[0, parents]) != progress.rows[parents]).any():
            return forest, replace(progress, level=np.zeros(1, np.int64))
        nodes = nodes_of(progress.nodes[:, parents], sums[:, parents], progress.right[parents] > 0)
    splits = best_splits(growth, nodes * np.array(growth.steps)[:, None, None], edges)
    forest = _split(forest, splits, width)
    if level == growth.layout.depth - 1:
        return _finished(forest, leaf_values(growth, splits)), replace(progress, level=np.zeros(1, np.int64))
    return forest, _deeper(progress, nodes, splits, width)


def _rows(layout: Layout, rows: Array) -> Array:
    """The rows of each node, by the bins of its first feature."""
    result: Array = rows[:, : layout.bins[0]].sum(axis=1)
    return result


def _split(forest: Forest, splits: Splits, width: int) -> Forest:
    feature, threshold = forest.feature.copy(), forest.threshold.copy()
    level = slice(width - 1, 2 * width - 1)
    feature[forest.grown, level], threshold[forest.grown, level] = splits.feature, splits.threshold
    return replace(forest, feature=feature, threshold=threshold)


def _finished(forest: Forest, leaves: Array) -> Forest:
    value = forest.value.copy()
    value[forest.grown] = leaves
    return replace(forest, value=value, trees=forest.trees + 1)


def _deeper(progress: Progress, nodes: Array, splits: Splits, width: int) -> Progress:
    kept, right, rows = progress.nodes.copy(), progress.right.copy(), progress.rows.copy()
    kept[:, :width], right[:width], rows[:width] = nodes, splits.is_right_summed, splits.summed_rows
    return replace(progress, level=progress.level + 1, nodes=kept, right=right, rows=rows)


def nodes_of(parents: Array, summed: Array, is_right: Mask) -> Array:
    """The histograms of a level, ``(planes, 2 m, columns)``, left child and right child in turn.

    Args:
        parents: of the level above, ``(planes, m, columns)``.
        summed: of one child of each, ``(planes, m, columns)``.
        is_right: which child that is, ``(m,)``.

    """
    rest = parents - summed
    side = is_right[None, :, None]
    pairs = np.stack((np.where(side, rest, summed), np.where(side, summed, rest)), axis=2)
    return pairs.reshape(parents.shape[0], -1, parents.shape[2])


def best_splits(growth: Growth, nodes: Array, edges: Array) -> Splits:
    """The best split of each node.

    Args:
        growth: how trees grow.
        nodes: their histograms, ``(planes, m, columns)``.
        edges: the upper edge of each bin, ``(columns,)``.

    """
    inside = growth.layout.inside
    planes, count = nodes.shape[:2]
    table = np.zeros((planes, count, *inside.shape))
    table[..., inside] = nodes
    left = np.cumsum(table, axis=3)
    whole = left[:, :, :1, -1:]
    right = whole - left
    gain = np.where(_may_split(growth, left, right), _gain(growth, left, right, whole), 0.0).reshape(count, -1)
    # argmax takes the first of equals.
    best = np.argmax(gain, axis=1)
    is_split = np.take_along_axis(gain, best[:, None], 1)[:, 0] > 0
    every_edge = np.full(inside.shape, np.inf)
    every_edge[inside] = edges
    chosen = left.reshape(planes, count, -1)[:, np.arange(count), best]
    kept = np.where(is_split, chosen, whole[:, :, 0, 0])
    return Splits(
        feature=np.where(is_split, best // inside.shape[1], 0),
        threshold=np.where(is_split, every_edge.reshape(-1)[best], np.inf),
        left=kept,
        right=whole[:, :, 0, 0] - kept,
    )


def leaf_values(growth: Growth, splits: Splits) -> Array:
    """What the children of a level add to the margins of their rows, ``(2 m,)``; 0 where no row is."""
    leaves = np.stack((splits.left, splits.right), axis=2).reshape(len(splits.left), -1)
    weight = leaves[_hessian_plane(leaves)] + growth.penalty
    is_known = weight > 0
    step: Array = leaves[1] / np.where(is_known, weight, 1.0)
    return np.where(is_known, -growth.rate * step, 0.0)


def _may_split(growth: Growth, left: Array, right: Array) -> Mask:
    hessian = _hessian_plane(left)
    allowed: Mask = (left[0] >= growth.least_rows) & (right[0] >= growth.least_rows)
    allowed &= (left[hessian] >= _LEAST_HESSIAN) & (right[hessian] >= _LEAST_HESSIAN)
    return allowed


def _gain(growth: Growth, left: Array, right: Array, whole: Array) -> Array:
    return _score(growth, left) + _score(growth, right) - _score(growth, whole)


def _score(growth: Growth, sums: Array) -> Array:
    gradient = sums[1]
    # What is too light to be split off is ruled out elsewhere; here it must not divide by 0.
    result: Array = gradient * gradient / np.maximum(sums[_hessian_plane(sums)] + growth.penalty, _LEAST_HESSIAN)
    return result


def _hessian_plane(sums: Array) -> int:
    """Where the Hessians are; the rows, where every one is 1."""
    return 2 if len(sums) == 3 else 0
