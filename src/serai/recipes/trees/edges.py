"""Bin edges by quantiles that rounds of counting close in on, with no range given and in integers alone.

Theory of operation
    The bits of a float64, read as an integer, are in the order of the numbers
    (those of negative numbers once they are turned round). So all numbers lie on
    one axis of some 2^64 keys, on which a cell spans about as many powers of two
    wherever it is, and nobody has to say beforehand how large values may be. Each
    feature has so many cells. Everybody's rows are counted in them; then cells
    that hold more than an even share of the rows are cut, in proportion to
    what they hold, and cells that hold none are merged to make room. A few rounds
    later a cell holds a small part of a bin, or a value that many rows have.

    Edges are then put between cells as scikit-learn's ``_BinMapper`` puts them between
    values: between all of them where there are no more than bins, else at the
    quantiles, and in the middle of what lies empty. A row goes left of an edge that
    is not below it.

    All of it is integers but the middles, which are one IEEE 754 expression.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed
from serai.recipes.trees.layout import Array, Layout, Places
from serai.training.tensors import Model

Keys: TypeAlias = npt.NDArray[np.int64]

_SMALLEST, _LARGEST = 2.0**-16, 2.0**32  # between them the first cells are narrow: few features are of other sizes
_MOST: Final = float(np.finfo(np.float64).max)
_ALL_BUT_SIGN: Final = np.int64(2**63 - 1)


def keys_of(values: Array) -> Keys:
    """Finite numbers as integers in the same order, an array of the same shape; both zeros have key 0."""
    bits = (values + 0.0).view(np.int64)
    turned: Keys = bits ^ ((bits >> 63) & _ALL_BUT_SIGN)
    return turned


def values_of(keys: Keys) -> Array:
    """The numbers of keys."""
    return (keys ^ ((keys >> 63) & _ALL_BUT_SIGN)).view(np.float64)


def first_cells(cells: int) -> Keys:
    """Cells over all finite numbers, ``(cells + 1,)``: cell j has the keys from bound j to below bound j + 1."""
    least, low, high, infinite = (int(key) for key in keys_of(np.array([-_MOST, _SMALLEST, _LARGEST, np.inf])))
    half = (cells - 1) // 2
    above = [low + (high - low) * place // (half - 1) for place in range(half)]
    bounds = [least, *(-key for key in reversed(above)), *above]
    return np.array(bounds + [infinite] * (cells + 1 - len(bounds)), np.int64)


def count_cells(bounds: Keys, values: Array) -> Places:
    """How many values lie in each cell, ``(cells,)``."""
    place = np.searchsorted(bounds[1:-1], keys_of(values), side="right")
    return np.bincount(place, minlength=len(bounds) - 1)


def cut_cells(bounds: Keys, counts: Keys) -> Keys:
    """As many cells, narrower where there are more rows.

    Args:
        bounds: ``(cells + 1,)``, as ``first_cells``.
        counts: rows in each, ``(cells,)``.

    """
    cells = len(counts)
    empty = counts == 0
    first = np.flatnonzero(~np.concatenate(([False], empty[1:] & empty[:-1])))  # of each run of empty cells one is left
    lows, held = bounds[first], np.add.reduceat(counts, first)
    highs = np.append(lows[1:], bounds[-1])
    heavy = held * cells > held.sum()
    pieces = np.ones(len(held), np.int64)
    widths = np.ones(len(held), np.int64)
    if heavy.any():
        room = (cells - len(held)) * held[heavy] // held[heavy].sum()
        span = np.maximum(highs[heavy] - lows[heavy], 1)  # only a made-up sum has rows where no number is
        pieces[heavy] = np.minimum(1 + room, span)
        widths[heavy] = span // pieces[heavy]
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut = np.repeat(lows, pieces) + within * np.repeat(widths, pieces)
    return np.concatenate((cut, np.full(cells + 1 - len(cut), bounds[-1])))


def edges_between(bounds: Keys, counts: Keys, bins: int) -> Array:
    """The upper edge of each bin, ``(bins,) float64``, rising; infinite from the last bin on.

    Args:
        bounds: ``(cells + 1,)``, as ``first_cells``.
        counts: rows in each cell, ``(cells,)``.
        bins: how many there may be.

    """
    edges = np.full(bins, np.inf)
    held = np.flatnonzero(counts)
    if len(held) > bins:
        below = np.cumsum(counts[held])
        wanted = np.arange(1, bins) * below[-1]
        cuts = np.unique(np.searchsorted(below * bins, wanted))
        cuts = cuts[cuts < len(held) - 1]  # nothing lies above the last cell that holds a row
    else:
        cuts = np.arange(len(held) - 1)
    left, right = values_of(bounds[held[cuts] + 1] - 1), values_of(bounds[held[cuts + 1]])
    middle = left / 2 + right / 2  # of the sum itself half could be infinite
    found = np.unique(np.where(middle < right, middle, left))
    edges[: len(found)] = found
    return edges


def edges_of(model: Model, layout: Layout) -> Array:
    """The edges in a model, ``(columns,) float64``.

    Raises:
        Malformed: it has none, edges of other bins, or such as do not rise.

    """
    edges, bins = model.get("edges"), model.get("bins")
    if edges is None or edges.shape != (layout.columns,) or bins is None or not np.array_equal(bins, layout.bins):
        raise Malformed("recipe-model", "boosting: expected edges of a model with the same bins")
    ends = layout.starts + np.array(layout.bins) - 1
    is_last = np.isin(np.arange(layout.columns), ends)
    is_rising = (edges[1:] > edges[:-1]) | (edges[1:] == np.inf) | is_last[:-1]
    if not (is_rising.all() and (edges[is_last] == np.inf).all() and (edges > -np.inf).all()):
        raise Malformed("recipe-model", "boosting: expected each feature's edges to rise, the last one infinite")
    return edges.astype(np.float64)
