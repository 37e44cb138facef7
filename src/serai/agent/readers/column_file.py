"""Columns in one file in memory, each in a stretch of its own: written as rows arrive, read and handed on without a copy.

How many rows a source has is known only at its end. So every column has a
stretch as long as the longest column may be; what is not written takes no room.
"""

import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed
from serai.recipes.frames import make_file, map_stretch, seal
from serai.training.methods import Data
from serai.training.tables import Table

STRIDE: Final = 1 << 31  # bytes from one column's start to the next: 2^28 values of 8 bytes


class ColumnFile:
    """Columns of one length.

    Args:
        dtypes: what each column is made of, by name, as numpy writes it.
        fd: a file that a reader has filled; closed with this object. A new one is made if it is left out.
        rows: how many rows that file has.

    Attributes:
        dtypes: as given.
        rows: how many rows there are by now.

    """

    def __init__(self, dtypes: Mapping[str, str], fd: int | None = None, rows: int = 0) -> None:
        self.dtypes = dict(dtypes)
        self.rows = rows
        self.fd = make_file(STRIDE * max(1, len(self.dtypes))) if fd is None else fd
        self._close = weakref.finalize(self, os.close, self.fd)

    def append(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Add rows: one array for each column, all of one length.

        Raises:
            Malformed: a column becomes longer than its stretch.

        """
        self.write(arrays, self.rows)
        self.rows += len(arrays[0])

    def write(self, arrays: Sequence[npt.NDArray[Any]], row: int) -> None:
        """Write rows from some row on; how many there are in all is for the caller to say.

        Raises:
            Malformed: a column becomes longer than its stretch.

        """
        for place, (array, name) in enumerate(zip(arrays, self.dtypes.values(), strict=True)):
            dtype = np.dtype(name)
            if (row + len(array)) * dtype.itemsize > STRIDE:
                raise Malformed(
                    "dataset-too-large", f"more than {STRIDE} bytes in one column, in row {row}; read a part of it"
                )
            view = memoryview(np.ascontiguousarray(array, dtype.base).reshape(-1).view(np.uint8).data)
            at = place * STRIDE + row * dtype.itemsize
            while view:
                count = os.pwrite(self.fd, view, at)
                view, at = view[count:], at + count

    def finish(self) -> None:
        """Let nobody change it any more.

        Raises:
            OSError: somebody still maps it for writing.

        """
        seal(self.fd)

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column, ``(rows,)`` or of rows; what is written to it stays this array's own."""
        place, dtype = list(self.dtypes).index(name), np.dtype(self.dtypes[name])
        if not self.rows:
            return np.zeros((0, *dtype.shape), dtype.base)
        stretch = map_stretch(self.fd, place * STRIDE, self.rows * dtype.itemsize, writable=True)
        return np.frombuffer(stretch, dtype.base).reshape(self.rows, *dtype.shape)

    def sizes(self) -> list[int]:
        """Bytes of each column."""
        return [self.rows * np.dtype(dtype).itemsize for dtype in self.dtypes.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnData(Data):
    """Rows that lie in one file in memory, which a worker can map as well as this process.

    Attributes:
        file: the file. Its columns are those of ``table``; or features and label, training rows first.
        of: the arrays that were made of the file; of any others it says nothing.

    """

    file: ColumnFile
    of: tuple[object, ...]

    @property
    def is_of_file(self) -> bool:
        """Whether the rows are still those of the file."""
        mine = (self.x, self.y, self.test_x, self.test_y, self.table)
        return all(one is other for one, other in zip(mine, self.of, strict=True))


def training_data(file: ColumnFile, held_back: int, names: tuple[str, ...]) -> ColumnData:
    """Rows to train on, out of a file of features and labels.

    Args:
        file: its first column has features, its second labels.
        held_back: how many rows, the last ones, are for evaluation.
        names: of the features.

    """
    x, y = map(file.column, file.dtypes)
    cut, table = file.rows - held_back, Table()
    parts = (x[:cut], y[:cut], x[cut:], y[cut:], table)
    return ColumnData(
        x=parts[0], y=parts[1], test_x=parts[2], test_y=parts[3], names=names, table=table, file=file, of=parts
    )


def table_data(file: ColumnFile, levels: Mapping[str, tuple[str, ...]]) -> ColumnData:
    """Columns of all rows, out of a file of them.

    Args:
        file: the columns.
        levels: of those that are categories.

    """
    read = {name: file.column(name) for name in file.dtypes}
    table = Table(
        rows=file.rows,
        numbers={name: column for name, column in read.items() if name not in levels},
        categories={name: column for name, column in read.items() if name in levels},
        levels=levels,
    )
    nothing, none = np.zeros((file.rows, 0)), np.zeros(0)
    parts = (nothing, none, nothing[:0], none, table)
    return ColumnData(x=nothing, y=none, test_x=parts[2], test_y=none, names=(), table=table, file=file, of=parts)
