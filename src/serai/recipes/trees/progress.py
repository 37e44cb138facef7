"""How far a run of boosting has come: what its model holds besides the trees until they are grown."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed
from serai.recipes.trees.edges import Keys, first_cells
from serai.recipes.trees.layout import Array, Layout
from serai.training.tensors import Model, Tensor

_PREFIX: Final = "grow/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the next sum is to be combined with.

    Attributes:
        opened: rounds done that look for edges, ``(1,) int64``.
        cells: their bounds, ``(features, cells + 1) int64``.
        level: of the next tree, which is to be summed, ``(1,) int64``.
        nodes: histograms of the level above, in whole steps, ``(planes, slots, columns) float64``.
        right: which child of each of these nodes is summed, 1 for the right one, ``(slots,) uint8``.
        rows: how many rows that child has, ``(slots,) float64``.

    """

    opened: Tensor
    cells: Keys
    level: Tensor
    nodes: Array
    right: npt.NDArray[np.uint8]
    rows: Array

    @classmethod
    def begun(cls, layout: Layout) -> "Progress":
        """Before the first round."""
        return cls(
            opened=np.zeros(1, np.int64),
            cells=np.tile(first_cells(layout.cells), (layout.features, 1)),
            level=np.zeros(1, np.int64),
            nodes=np.zeros(layout.form),
            right=np.zeros(layout.slots, np.uint8),
            rows=np.zeros(layout.slots),
        )

    @property
    def cell_count(self) -> int:
        """Cells of all features."""
        return self.cells.size - len(self.cells)

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The progress as a model has it."""
        return {
            _PREFIX + "opened": self.opened,
            _PREFIX + "cells": self.cells,
            _PREFIX + "level": self.level,
            _PREFIX + "nodes": self.nodes,
            _PREFIX + "right": self.right,
            _PREFIX + "rows": self.rows,
        }


def progress_of(model: Model, layout: Layout) -> Progress:
    """The progress in a model whose trees are not all grown.

    Raises:
        Malformed: an array is missing, has another form, or holds no progress.

    """
    begun = Progress.begun(layout).arrays
    for name, expected in begun.items():
        found = model.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            raise Malformed(
                "recipe-model", f"boosting: expected {name} as {expected.dtype} {expected.shape} beside the trees"
            )
    progress = Progress(**{name.removeprefix(_PREFIX): model[name] for name in begun})
    if not 0 <= progress.level[0] < layout.depth:
        raise Malformed("recipe-model", f"boosting: expected a level of 0 to {layout.depth - 1}")
    if (progress.cells[:, 1:] < progress.cells[:, :-1]).any():
        raise Malformed("recipe-model", "boosting: expected the bounds of each feature's cells to rise")
    return progress


def without_progress(model: Model) -> dict[str, Tensor]:
    """A model whose trees are all grown, with nothing besides."""
    return {name: value for name, value in model.items() if not name.startswith(_PREFIX)}
