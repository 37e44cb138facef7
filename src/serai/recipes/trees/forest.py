"""Trees as arrays: what they answer for rows, and whether arrays that came are trees."""

import hashlib
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from serai.errors import Malformed
from serai.recipes.trees.layout import Array, Layout, Places
from serai.training.tensors import Model, Tensor

_MARGIN, _TREES, _DIGEST = "margin", "trees", "digest"
_NO_SPLIT: Final = np.inf  # nothing is above it, so every row goes left


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Full binary trees of one depth, and the margin that they start from.

    The nodes of a tree are numbered by level: the children of node i are 2i + 1
    and 2i + 2. A row goes right where its feature is above the threshold; the threshold
    of a node that is not split is infinite.

    Attributes:
        base: margin of a row before the first tree, ``(1,) float64``.
        feature: ``(trees, 2^depth - 1) int32``.
        threshold: ``(trees, 2^depth - 1) float64``.
        value: what a row's leaf adds to its margin, ``(trees, 2^depth) float64``.
        trees: how many are grown, ``(1,) int64``; those after them are of no account.

    """

    base: Array
    feature: Tensor
    threshold: Array
    value: Array
    trees: Tensor

    @classmethod
    def planted(cls, trees: int, depth: int) -> "Forest":
        """Room for trees of which none is grown."""
        return cls(
            base=np.zeros(1),
            feature=np.zeros((trees, (1 << depth) - 1), np.int32),
            threshold=np.full((trees, (1 << depth) - 1), _NO_SPLIT),
            value=np.zeros((trees, 1 << depth)),
            trees=np.zeros(1, np.int64),
        )

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The trees as a model has them."""
        return {
            "base": self.base,
            "feature": self.feature,
            "threshold": self.threshold,
            "value": self.value,
            "trees": self.trees,
        }

    @property
    def grown(self) -> int:
        """How many trees there are."""
        return int(self.trees[0])

    def leaves(self, tree: int, levels: int, x: Array) -> Places:
        """In which node of a level each row is, counted from the level's left, ``(n,)``.

        Args:
            tree: which; its upper levels may be all that is grown of it.
            levels: how many splits a row has passed.
            x: ``(n, features)``.

        """
        rows = np.arange(len(x))
        place = np.zeros(len(x), np.intp)
        for level in range(levels):
            node = (1 << level) - 1 + place
            is_right = x[rows, self.feature[tree, node]] > self.threshold[tree, node]
            place = 2 * place + is_right
        return place

    def margins(self, x: Array, memory: MutableMapping[str, Tensor] | None = None) -> Array:
        """The sum of the base and of each row's leaves, ``(n,) float64``.

        Args:
            x: ``(n, features)``.
            memory: has the margins after fewer of these trees, and takes those after all.

        """
        margins, first = self._remembered(memory or {}, len(x))
        depth = self.value.shape[1].bit_length() - 1
        for tree in range(first, self.grown):
            margins = margins + self.value[tree, self.leaves(tree, depth, x)]
        if memory is not None:
            memory.update({_MARGIN: margins, _TREES: self.trees.copy(), _DIGEST: self._digest(self.grown)})
        return margins

    def _remembered(self, memory: MutableMapping[str, Tensor], rows: int) -> tuple[Array, int]:
        """Margins and the number of trees in them; from memory only if they are of these very trees."""
        if _MARGIN in memory and memory[_MARGIN].shape == (rows,):
            trees = int(memory[_TREES][0])
            # A round may have been taken back after it was remembered, and its trees with it.
            if trees <= self.grown and np.array_equal(memory[_DIGEST], self._digest(trees)):
                return memory[_MARGIN], trees
        return np.full(rows, self.base[0]), 0

    def _digest(self, trees: int) -> Tensor:
        hasher = hashlib.sha256(self.base.tobytes())
        for part in (self.feature, self.threshold, self.value):
            hasher.update(part[:trees].tobytes())
        return np.frombuffer(hasher.digest(), np.uint8)


def forest_of(model: Model, trees: int, layout: Layout) -> Forest:
    """The trees of a model.

    Args:
        model: as it came.
        trees: for how many it has room.
        layout: their depth, and the features of a row.

    Raises:
        Malformed: an array is missing, has another form, or holds what no tree can.

    """
    planted = Forest.planted(trees, layout.depth).arrays
    for name, expected in planted.items():
        found = model.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            form = "none" if found is None else f"{found.dtype} {found.shape}"
            raise Malformed(
                "recipe-model", f"boosting: expected {name} as {expected.dtype} {expected.shape}, got {form}"
            )
    forest = Forest(**{name: model[name] for name in planted})
    _check(forest, trees, layout.features)
    return forest


def _check(forest: Forest, trees: int, features: int) -> None:
    if not 0 <= forest.grown <= trees:
        raise Malformed("recipe-model", f"boosting: expected 0 to {trees} trees, got {forest.grown}")
    if forest.feature.min() < 0 or forest.feature.max() >= features:
        raise Malformed("recipe-model", f"boosting: expected features 0 to {features - 1} in the trees")
    if np.isnan(forest.threshold).any():
        raise Malformed("recipe-model", "boosting: expected thresholds that are numbers")
    if not (np.isfinite(forest.value).all() and np.isfinite(forest.base).all()):
        raise Malformed("recipe-model", "boosting: expected finite leaves and a finite base")
