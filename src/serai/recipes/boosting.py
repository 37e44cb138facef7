"""Gradient boosted trees by secure histograms: each round sums the histograms of one level of one tree.

The sums are those that the pooled rows would give, to the bit and whoever has which
rows, for each row's gradient is rounded to a public step before it is added. So the
trees are those of scikit-learn's ``HistGradientBoosting`` in the same bins, up to that
step. ``docs/how-to/boost-trees.md`` has the settings and what the sums show.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np

from serai.aggregation.codec import Block, Codec
from serai.errors import Refused
from serai.recipes.trees.edges import count_cells, cut_cells, edges_between, edges_of
from serai.recipes.trees.forest import Forest, forest_of
from serai.recipes.trees.growth import Growth, grow
from serai.recipes.trees.histograms import histograms, summed_rows
from serai.recipes.trees.layout import MAX_VALUES, Array, read_layout
from serai.recipes.trees.losses import LogLoss, read_loss
from serai.recipes.trees.progress import Progress, progress_of, without_progress
from serai.training.methods import Context, Data, Vector, classification_counts
from serai.training.parameters import Parameters
from serai.training.tensors import Model

EDGES: Final = "edges"
"""Name under which a plan's inputs give a model whose bin edges are taken over."""

_EXACT_BITS: Final = 53  # of a whole number in float64


class Boosting:
    """Trees grown level by level; a run has ``edge_rounds + max_iter * max_depth`` rounds.

    The model: ``base``, ``feature``, ``threshold``, ``value`` and ``trees``, as ``Forest``
    has them; ``edges``, ``(bins of all features,) float64``, the upper edge of
    each bin, infinite from a feature's last bin on; ``bins``, ``(features,) int32``; and,
    until all trees are grown, what ``Progress`` has.

    Settings, by scikit-learn's names where it has them: ``features``; ``loss``,
    ``log_loss`` for labels 0 and 1 or ``squared_error``; ``max_iter`` trees;
    ``max_depth``; ``learning_rate``; ``l2_regularization``; ``min_samples_leaf``, over
    all members; ``max_bins``, one number or one for each feature with commas
    between. And ``edge_rounds`` that look for edges; ``rows``, the most
    that one member has; ``gradient_bits``, the binary places of a row's gradient;
    ``label_low`` and ``label_high``, between which the labels of ``squared_error`` lie.
    Input: ``edges``, a model of this recipe, whose edges are taken instead of looked for.
    """

    name: ClassVar[str] = "boosting"
    outputs: ClassVar[tuple[str, ...]] = ("aggregate", "model", "metrics")

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model]) -> None:
        settings = Parameters(self.name, params)
        self._loss = read_loss(settings)
        self._layout = read_layout(settings, len(self._loss.steps))
        self._growth = Growth(
            layout=self._layout,
            steps=self._loss.steps,
            rate=float(settings.number("learning_rate", "0.1", Fraction(1, 10**6), Fraction(1))) * self._loss.unit,
            penalty=float(settings.number("l2_regularization", "0", Fraction(0), Fraction(10**9))),
            least_rows=settings.integer("min_samples_leaf", 20, 1, 10**9),
        )
        self._trees = settings.integer("max_iter", 50, 1, MAX_VALUES >> self._layout.depth)
        self._rows = settings.integer("rows", 2**20, 1, 2**40)
        edge_rounds = settings.integer("edge_rounds", 4, 1, 100)
        settings.finish()
        self._edges = edges_of(inputs[EDGES], self._layout) if EDGES in inputs else None
        self._opening = edge_rounds if self._edges is None else 1

    @property
    def rounds(self) -> int:
        """How many rounds all trees take, if the same members are in each."""
        return self._opening + self._trees * self._layout.depth

    @property
    def length(self) -> int:
        """The histograms of a level, or two totals and the cells of all features."""
        return self._layout.length

    def codec(self, members: int) -> Codec:
        """Whole steps, in as few bits as the rows of all members may need.

        Raises:
            Refused: the sum of so many rows in so fine steps is not exact.

        """
        limit = round(self._rows / self._loss.steps[1])
        bits = (2 * limit * members).bit_length()
        if bits > _EXACT_BITS:
            raise Refused(
                "ring-too-small",
                f"boosting: sums over {members} members with {self._rows} rows each need {bits} bits, "
                f"{_EXACT_BITS} are exact; lower rows or gradient_bits",
            )
        return Codec(bits=bits, limit=limit, blocks=(Block(length=self.length, step=Fraction(1)),))

    def initial(self) -> Model:
        """No tree, and no edge unless they are given."""
        edges = np.full(self._layout.columns, np.inf) if self._edges is None else self._edges
        return {
            **Forest.planted(self._trees, self._layout.depth).arrays,
            **Progress.begun(self._layout).arrays,
            "bins": np.array(self._layout.bins, np.int32),
            "edges": edges.copy(),
        }

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """Rows by cell, while edges are looked for; then rows, gradients and Hessians by node and bin.

        Raises:
            Refused: the rows are more than planned, of other features, without a value
                somewhere, or have labels that are none.
            Malformed: the model is none of this recipe.

        """
        x, y = self._checked(data.x), self._loss.labels(data.y)
        if len(x) > self._rows:
            raise Refused("rows-range", f"boosting: planned for {self._rows} rows a member, got {len(x)}; plan more")
        forest, vector = self._forest(model), np.zeros(self.length)
        if forest.grown == self._trees:
            return vector
        progress = progress_of(model, self._layout)
        if progress.opened[0] < self._opening:
            vector[:2] = len(x), self._loss.total(y)
            if self._edges is None:
                cells = [count_cells(bounds, column) for bounds, column in zip(progress.cells, x.T, strict=True)]
                vector[2 : 2 + progress.cell_count] = np.concatenate(cells)
            return vector
        planes = self._loss.derivatives(forest.margins(x, context.memory), y)
        rows, slot = summed_rows(forest, progress, x)
        table = histograms(
            self._layout, edges_of(model, self._layout), x[rows], slot, tuple(plane[rows] for plane in planes)
        )
        vector[: table.size] = table.reshape(-1)
        return vector

    def combine(self, model: Model, total: Vector, _members: float) -> Model:
        """Narrower cells, or another level of the tree.

        Raises:
            Refused: the sum counts no rows.
            Malformed: the model is none of this recipe.

        """
        sums, forest = total.astype(np.float64), self._forest(model)
        if forest.grown == self._trees:
            return model
        progress = progress_of(model, self._layout)
        if progress.opened[0] < self._opening:
            return self._opened(model, forest, progress, sums)
        table = sums[: progress.nodes.size].reshape(progress.nodes.shape)
        forest, progress = grow(self._growth, forest, progress, edges_of(model, self._layout), table)
        kept = model if forest.grown < self._trees else without_progress(model)
        return {**kept, **forest.arrays, **(progress.arrays if forest.grown < self._trees else {})}

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Yes where the answer is above a half, or above the middle of the labels' range."""
        middle = self._loss.middle
        return classification_counts(self.scores(model, data.test_x) > middle, data.test_y > middle)

    @property
    def gives_probabilities(self) -> bool:
        """Whether scores are probabilities, and not labels."""
        return isinstance(self._loss, LogLoss)

    def scores(self, model: Model, x: Array) -> Array:
        """The probability of yes for each row, ``(n,) float64``; the label itself where losses are squared.

        Raises:
            Refused: the rows are of other features, or lack a value.
            Malformed: the model is none of this recipe.

        """
        return self._loss.answers(self._forest(model).margins(self._checked(x)))

    def _opened(self, model: Model, forest: Forest, progress: Progress, sums: Array) -> Model:
        """Base and narrower cells, or edges after the last of these rounds."""
        if sums[0] < 1:
            raise Refused("no-rows", "the sum counts no rows; trees of nothing do not exist")
        after = {**model, **replace(forest, base=np.array([self._loss.base(sums[0], sums[1])])).arrays}
        opened = progress.opened + 1
        cells = progress.cells
        if self._edges is None:
            counted = np.maximum(sums[2 : 2 + progress.cell_count], 0)  # below 0 only where a member made it up
            counts = counted.astype(np.int64).reshape(len(cells), -1)
            if opened[0] < self._opening:
                cells = np.stack([cut_cells(*feature) for feature in zip(cells, counts, strict=True)])
            else:
                table = zip(cells, counts, self._layout.bins, strict=True)
                after["edges"] = np.concatenate([edges_between(*feature) for feature in table])
        return {**after, **replace(progress, opened=opened, cells=cells).arrays}

    def _forest(self, model: Model) -> Forest:
        return forest_of(model, self._trees, self._layout)

    def _checked(self, x: Array) -> Array:
        if x.ndim != 2 or x.shape[1] != self._layout.features:
            raise Refused(
                "features", f"the recipe is for {self._layout.features} features, the data have shape {x.shape}"
            )
        if not np.isfinite(x).all():
            raise Refused("not-finite", "boosting: a row lacks a value; drop such rows or fill them in")
        return x
