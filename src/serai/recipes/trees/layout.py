"""The histograms of a tree recipe: which nodes, features and bins one vector has room for, and where each stands."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed
from serai.training.parameters import Parameters

MAX_VALUES: Final = 2**22
"""Values of a vector, or leaves of all trees; to choose splits from so many takes half a gigabyte."""

Array: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]
Mask: TypeAlias = npt.NDArray[np.bool_]

_FEWEST_CELLS: Final = 64  # by feature, where edges are looked for: fewer narrow them too slowly


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a vector has room for, fixed by the plan.

    Histograms lie as ``(planes, slots, columns)``: rows, gradients and, where they
    vary, Hessians; of each node; in the bins of the first feature, then of the next.

    Attributes:
        bins: of each feature, at most.
        depth: of the trees.
        planes: 3, or 2 where every Hessian is 1, so that rows count for it.

    """

    bins: tuple[int, ...]
    depth: int
    planes: int

    @property
    def features(self) -> int:
        """Features of a row."""
        return len(self.bins)

    @property
    def columns(self) -> int:
        """Bins of all features."""
        return sum(self.bins)

    @property
    def starts(self) -> Places:
        """Each feature's first column, ``(features,)``."""
        return np.cumsum((0, *self.bins[:-1]))

    @property
    def slots(self) -> int:
        """Nodes in a sum: one child of each node of the level above, at the deepest level that is split."""
        return 1 << max(0, self.depth - 2)

    @property
    def form(self) -> tuple[int, int, int]:
        """Planes, slots and columns."""
        return self.planes, self.slots, self.columns

    @property
    def cells(self) -> int:
        """Cells of each feature in the rounds that look for edges."""
        return max(_FEWEST_CELLS, (self.planes * self.slots * self.columns - 2) // self.features)

    @property
    def length(self) -> int:
        """Values of a vector: the histograms of a level, or two totals and the cells of all features."""
        return max(self.planes * self.slots * self.columns, 2 + self.features * self.cells)

    @property
    def inside(self) -> Mask:
        """Which bins there are in a table of features by bins, ``(features, most bins)``."""
        return np.arange(max(self.bins)) < np.array(self.bins)[:, None]


def read_layout(settings: Parameters, planes: int) -> Layout:
    """The layout that ``features``, ``max_bins`` and ``max_depth`` name.

    Raises:
        Malformed: a setting is missing or out of range, or the vector would be too long.

    """
    features = settings.integer("features", None, 1, 1_000)
    words = settings.word("max_bins", "32", r"[0-9]{1,3}(,[0-9]{1,3})*").split(",")
    bins = tuple(map(int, words)) * (features if len(words) == 1 else 1)
    if len(bins) != features or not all(2 <= count <= 255 for count in bins):
        raise Malformed(
            "recipe-param", f"boosting: expected max_bins of 2 to 255, one for all or for each of {features} features"
        )
    layout = Layout(bins=bins, depth=settings.integer("max_depth", 3, 1, 16), planes=planes)
    if layout.length > MAX_VALUES:
        raise Malformed(
            "recipe-param",
            f"boosting: expected a vector of at most {MAX_VALUES} values, got {layout.length}; "
            "lower max_depth or max_bins",
        )
    return layout
