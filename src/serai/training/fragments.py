"""The parameters of a model end to end, and how they are cut into fragments that travel in turn.

A fragment is a run of neighbouring parameters. All are of the same size to one
parameter, whatever the tensors' sizes: where two meet inside a block, the block is cut, and
each part has a scale of its own. So no vector is longer than it must be, and every
parameter lies in exactly one fragment.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from serai.training.quantiser import Blocks
from serai.training.tensors import Model, slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The parameters of a model and the blocks that share a scale.

    Attributes:
        shapes: by name, in the order of the vector, which is that of the names.
        by_row: names of those whose rows have a scale each, such as an embedding:
            rows that one member never sees move less than others.

    """

    shapes: Mapping[str, tuple[int, ...]]
    by_row: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""
        return tuple(sorted(self.shapes))

    @property
    def values(self) -> int:
        """Number of parameters."""
        return sum(self.block_lengths)

    @property
    def block_lengths(self) -> tuple[int, ...]:
        """Parameters in each block."""
        return tuple(self._lengths())

    def _lengths(self) -> Iterator[int]:
        for name in self.names:
            shape = self.shapes[name]
            if name in self.by_row:
                yield from [math.prod(shape[1:])] * shape[0]
            else:
                yield math.prod(shape)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring parameters that travel together.

    Attributes:
        fragments: which fragments they are.
        values: where they lie among the parameters.
        blocks: where their blocks lie among the blocks.
        grouped: their blocks.

    """

    fragments: range
    values: slice
    blocks: slice
    grouped: Blocks

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.values.stop - self.values.start)

    def pieces(self, model: Model, names: tuple[str, ...]) -> Iterator[tuple[str, slice, slice]]:
        """Name by name what it has of a model's tensors: where within the tensor, and where within the stretch."""
        for name, place in slices(model, names):
            begin, end = max(place.start, self.values.start), min(place.stop, self.values.stop)
            if begin < end:
                first = self.values.start
                yield name, slice(begin - place.start, end - place.start), slice(begin - first, end - first)


def cut_layout(layout: Layout, fragments: int) -> tuple[Stretch, ...]:
    """Stretches of equal size, to one parameter; blocks are cut where two meet."""
    borders = [layout.values * number // fragments for number in range(fragments + 1)]
    ends = np.union1d(np.cumsum(layout.block_lengths), borders[1:])
    lengths = np.diff(ends, prepend=0).astype(np.int64)
    firsts = np.searchsorted(ends, borders, side="right")
    return tuple(
        Stretch(
            range(number, number + 1),
            slice(borders[number], borders[number + 1]),
            slice(first, end),
            Blocks.of(lengths[first:end]),
        )
        for number, (first, end) in enumerate(pairwise(firsts.tolist()))
    )


def join_stretches(parts: tuple[Stretch, ...]) -> Stretch:
    """All fragments as one."""
    lengths = np.concatenate([part.grouped.lengths for part in parts])
    values, blocks = slice(0, parts[-1].values.stop), slice(0, lengths.size)
    return Stretch(range(len(parts)), values, blocks, Blocks.of(lengths))
