"""What is measured about a member's vector before it is masked: one pass over its integers, in constant memory."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Codec, Pieces, Vector, check_finite
from serai.zones.airlock import VectorFacts

MAX_CELLS: Final = 2**16  # distinct numbers of the rows that values are compared with
MAX_READ: Final = 2**20  # numbers of a part of the rows that are looked at for them
_PLAIN: Final = (-1.0, 0.0, 1.0)  # anybody's numbers


class Measuring:
    """Measures a vector stretch by stretch, in order, as the codec will quantise it.

    Args:
        codec: fixed by the run.
        cells: from ``distinct_cells``, what the vector must not repeat.

    """

    def __init__(self, codec: Codec, cells: Vector) -> None:
        self._codec = codec
        self._pieces = Pieces(codec)
        self._cells = cells
        self._start = 0
        self._zeros = self._clipped = self._bits = self._known = 0
        self._low: npt.NDArray[np.int64] = np.zeros(256, np.int64)

    def add(self, values: Vector) -> None:
        """Measure the next values.

        Raises:
            Refused: one is not a finite number.

        """
        check_finite(values)
        first, limit = self._start, self._codec.limit
        for start, stop, step in self._pieces.between(first, first + values.size):
            piece = values[start - first : stop - first]
            self._known += _count_known(piece, self._cells)
            integers = np.rint(piece.astype(np.float64) / step)
            self._clipped += int(np.count_nonzero(np.abs(integers) > limit))
            self._count(np.clip(integers, -limit, limit).astype(np.int64))
        self._start += values.size

    def _count(self, integers: npt.NDArray[np.int64]) -> None:
        filled = integers[integers != 0]
        self._zeros += integers.size - filled.size
        # The exponent of a whole number below 2^53 is its bit length.
        self._bits += int(np.frexp(np.abs(filled).astype(np.float64))[1].sum())
        self._low += np.bincount(filled & 0xFF, minlength=256)

    @property
    def facts(self) -> VectorFacts:
        """What was measured so far."""
        return VectorFacts(
            values=self._start,
            limit=self._codec.limit,
            zeros=self._zeros,
            clipped=self._clipped,
            bits=self._bits,
            low_bits=round(1000 * _entropy(self._low)),
            known=self._known,
        )


def distinct_cells(parts: Iterable[Vector], dtype: np.dtype[Any]) -> Vector:
    """The distinct numbers in some rows, as a vector of a dtype would have them, sorted; of very many, some."""
    few = [part.reshape(-1)[:: max(1, part.size // MAX_READ)].astype(dtype) for part in parts]
    found = np.setdiff1d(np.concatenate([np.empty(0, dtype), *few]), _PLAIN)
    return found[:: -(-found.size // MAX_CELLS)] if found.size > MAX_CELLS else found


def _count_known(values: Vector, cells: Vector) -> int:
    if not cells.size:
        return 0
    places = np.searchsorted(cells, values).clip(max=cells.size - 1)
    return int(np.count_nonzero(cells[places] == values))


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    """Bits that one of so many things holds (Shannon)."""
    total = int(counts.sum())
    if not total:
        return 0.0
    shares = counts[counts > 0] / total
    return float(-(shares * np.log2(shares)).sum())
