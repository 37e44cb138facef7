"""Cells in Arrow's columns: numbers as they are, anything else by its distinct values as text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from serai.agent.readers.cells import Batch, Marks, Mask, Numbers, Places, TextCells, read_number
from serai.errors import Malformed

MAX_BATCH_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class ArrowCells:
    """A column of Arrow."""

    array: Any

    def __len__(self) -> int:
        """How many rows."""
        return len(self.array)

    def take(self, keep: Mask) -> "ArrowCells":
        """The cells of some rows."""
        return ArrowCells(self.array.filter(pa.array(keep)))

    def lacking(self, marks: Marks) -> Mask:
        """Where a value is missing: null, not a number, or marked so."""
        if not self._is_number:
            words, places = self._words()
            return _of_words([word in marks for word in words], places, missing=True)
        values = self._floats()
        numbers = [number for mark in marks if mark and not math.isnan(number := read_number(mark))]
        return np.isnan(values) | np.isin(values, numbers)

    def equal(self, text: str) -> Mask:
        """Where a cell is this text."""
        words, places = self._words()
        return _of_words([word == text for word in words], places, missing=False)

    def numbers(self, marks: Marks) -> Numbers:
        """As numbers; a cell that is missing is not wrong."""
        if self._is_number:
            values = self._floats()
            wrong = np.flatnonzero(np.isinf(values))
            values[self.lacking(marks)] = np.nan
            return Numbers(values, int(wrong[0]) if wrong.size else None)
        words, places = self._words()
        known = np.array([math.nan if word in marks else read_number(word) for word in words], np.float64)
        bad = np.isnan(known) & np.array([word not in marks for word in words], np.bool_)
        wrong = np.flatnonzero(_of_words(bad, places, missing=False))
        values = np.full(len(places), np.nan)
        values[places >= 0] = known[places[places >= 0]]
        return Numbers(values, int(wrong[0]) if wrong.size else None)

    def places(self, places: Mapping[str, int], marks: Marks) -> Places:
        """As places among levels, likewise."""
        words, at = self._words()
        found = np.array([-1 if word in marks else places.get(word, -2) for word in words], np.int16)
        values = np.full(len(at), -1, np.int16)
        values[at >= 0] = found[at[at >= 0]]
        wrong = np.flatnonzero(values == -2)
        return Places(values, int(wrong[0]) if wrong.size else None)

    def subjects(self, marks: Marks) -> npt.NDArray[np.uint64]:
        """A hash of each cell; 0 where one is missing."""
        words, places = self._words()
        hashes = TextCells(words).subjects(marks)
        values = np.zeros(len(places), np.uint64)
        values[places >= 0] = hashes[places[places >= 0]]
        return values

    def shown(self, row: int) -> str:
        """A cell for an error message."""
        return repr(str(self.array[row].as_py())[:40])

    @property
    def _is_number(self) -> bool:
        kind = self.array.type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))

    def _floats(self) -> npt.NDArray[np.float64]:
        cast = self.array.cast(pa.float64(), safe=False)
        values = cast.to_numpy(zero_copy_only=False)
        return np.array(values, np.float64)

    def _words(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The distinct values as texts, and which of them each row has; -1 where it has none."""
        array = self.array
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        places = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        texts = [_text(value) for value in array.dictionary.to_pylist()]
        gone = [place for place, text in enumerate(texts) if text is None]
        if gone:
            places = np.where(np.isin(places, gone), -1, places)
        return [text or "" for text in texts], places


def batches_of(batches: Iterator[Any], columns: Sequence[str], where: str) -> Iterator[Batch]:
    """Record batches as batches of cells, of bounded length.

    Raises:
        Malformed: a column is of a kind that is neither number nor text.

    """
    done = 0
    for whole in batches:
        for start in range(0, whole.num_rows, MAX_BATCH_ROWS):
            piece = whole.slice(start, MAX_BATCH_ROWS)
            cells = {name: ArrowCells(_plain(piece.column(name), name, where)) for name in columns}
            yield Batch(piece.num_rows, cells, _placing(where, done))
            done += piece.num_rows


def _placing(where: str, done: int) -> Any:
    return lambda row: f"{where}, row {done + row + 1}"


def _plain(array: Any, name: str, where: str) -> Any:
    """A column that cells can be read of.

    Raises:
        Malformed: it holds lists, bytes or the like.

    """
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    types = pa.types
    if types.is_null(kind):
        return array.cast(pa.string())
    if not (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_temporal(kind)
    ):
        raise Malformed(
            "dataset-column-type", f"{where}, column {name!r}: expected numbers or texts, got {str(kind)[:80]}"
        )
    array.validate(full=True)
    return array


def _of_words(words: Any, places: npt.NDArray[np.int64], *, missing: bool) -> Mask:
    """What is true of words, for each row; ``missing`` where a row has none."""
    values = np.full(len(places), missing)
    truth = np.array(words, np.bool_)
    values[places >= 0] = truth[places[places >= 0]]
    return values


def _text(value: object) -> str | None:
    """A value as a CSV file would have it; None where it stands for none."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value):
            return None
        case float() if value.is_integer():
            return str(int(value))
        case str():
            return value.strip()
        case _:
            return str(value)
