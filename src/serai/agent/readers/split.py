"""Which rows are held back, and where the others go: training rows first, so that each kind lies in one piece."""

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.agent.datasets import DatasetSettings
from serai.agent.readers.cells import Batch
from serai.agent.readers.column_file import ColumnFile
from serai.agent.readers.reading import LABEL, Array, Reading, read_parts
from serai.errors import Missing

Open: TypeAlias = Callable[[Reading], Iterator[Batch]]
"""Begins to read a source: what a reading needs of it."""

_PIECE: Final = 1 << 16


def fill(file: ColumnFile, source: Open, reading: Reading, settings: DatasetSettings) -> int:
    """Read a source into a file, training rows before those held back; how many are held back.

    Which rows those are depends on all labels. So a source with labels is read
    twice, first for them alone, and no row is ever moved.

    Raises:
        Missing: the source has changed between the two readings.
        Misconfigured, Malformed: as the reader.

    """
    test: npt.NDArray[np.bool_] | None = None
    if LABEL in reading.parts and settings.test_share:
        only = reading.only(LABEL)
        labels = [arrays[0].astype(np.int8) for arrays in read_parts(source(only), only)]
        test = choose_test_rows(np.concatenate(labels) if labels else np.zeros(0, np.int8), settings)
    if test is None:
        for arrays in read_parts(source(reading), reading):
            file.append(arrays)
        return 0
    return _place(file, read_parts(source(reading), reading), test)


def choose_test_rows(labels: npt.NDArray[np.int8], settings: DatasetSettings) -> npt.NDArray[np.bool_]:
    """Pick the rows to hold back: of each label, the first share in an order drawn by hashing.

    A hash of seed and row number orders the rows, for it gives the same order in
    every version of every library, which a random generator does not promise.

    Args:
        labels: of each row, ``(rows,)``.
        settings: the dataset's.

    """
    test = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        pieces = (rows[start : start + _PIECE].tolist() for start in range(0, rows.size, _PIECE))
        numbers = chain.from_iterable(pieces)  # never ten million numbers as objects at once
        ranks = np.fromiter((_rank(settings.split_seed, row) for row in numbers), np.uint64, rows.size)
        test[rows[np.argsort(ranks, kind="stable")[: _share(rows.size, settings.test_share)]]] = True
    return test


def _place(file: ColumnFile, pieces: Iterator[list[Array]], test: npt.NDArray[np.bool_]) -> int:
    held_back = int(np.count_nonzero(test))
    done, places = 0, {False: 0, True: test.size - held_back}
    for arrays in pieces:
        kind = test[done : done + len(arrays[0])]
        done += len(arrays[0])
        if kind.size < len(arrays[0]):
            break
        for is_test in (False, True):
            chosen = kind if is_test else ~kind
            file.write([array[chosen] for array in arrays], places[is_test])
            places[is_test] += int(np.count_nonzero(chosen))
    if done != test.size:
        raise Missing("dataset-changed", "the dataset has changed while it was read; read it again")
    file.rows = done
    return held_back


def _rank(seed: int, row: int) -> int:
    """Eight bytes of the hash, of which ten million rows have no two alike."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{row}".encode()).digest()[:8])


def _share(rows: int, share: Fraction) -> int:
    return int(rows * share)
