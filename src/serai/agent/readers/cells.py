"""Cells of a column as a reader hands them over, and the arrays that they become, a batch at a time.

Every source gives batches of columns. What a cell means is decided here alone,
so a table reads the same from whichever source it comes: text is stripped of
surrounding space, a number is a decimal in ASCII digits, and no number is
infinite.

Whole columns are converted at once. Where that fails, the cells are looked at
one by one to find the first that is wrong.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[np.bool_]
Marks: TypeAlias = frozenset[str | None]
"""Texts that mean "not known"; None, which databases have for it, is always among them."""

NOBODY: Final = 0
"""The hash of a subject who is not known."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_IN_NUMBERS: Final = b"0123456789.eE+-"  # of these alone, what float() takes and what is a decimal are the same


class Numbers(NamedTuple):
    """A column as ``(rows,) float64``, NaN where missing; ``wrong`` is the first row whose cell is no number."""

    values: npt.NDArray[np.float64]
    wrong: int | None = None


class Places(NamedTuple):
    """A column as places among levels, ``(rows,) int16``, -1 where missing; ``wrong`` as for numbers."""

    values: npt.NDArray[np.int16]
    wrong: int | None = None


class Cells(Protocol):
    """One column of a batch."""

    def __len__(self) -> int:
        """How many rows."""

    def take(self, keep: Mask) -> "Cells":
        """The cells of some rows."""

    def lacking(self, marks: Marks) -> Mask:
        """Where a value is missing."""

    def equal(self, text: str) -> Mask:
        """Where a cell is this text."""

    def numbers(self, marks: Marks) -> Numbers:
        """As numbers; a cell that is missing is not wrong."""

    def places(self, places: Mapping[str, int], marks: Marks) -> Places:
        """As places among levels, likewise."""

    def subjects(self, marks: Marks) -> npt.NDArray[np.uint64]:
        """A hash of each cell, by which subjects are told apart; 0 where one is missing."""

    def shown(self, row: int) -> str:
        """A cell for an error message, as text."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, in the order of the source.

    Attributes:
        rows: how many.
        columns: the cells by column name.
        place: where a row of the batch stands, in words, such as ``rows.csv, line 7``.
        pixels: of images, ``(rows, values) uint8``.

    """

    rows: int
    columns: Mapping[str, Cells]
    place: Callable[[int], str]
    pixels: npt.NDArray[np.uint8] | None = None

    def take(self, keep: Mask) -> "Batch":
        """Some of the rows; their places stay what they were."""
        if keep.all():
            return self
        kept = np.flatnonzero(keep)
        columns = {name: cells.take(keep) for name, cells in self.columns.items()}
        pixels = None if self.pixels is None else self.pixels[keep]
        return Batch(kept.size, columns, lambda row: self.place(int(kept[row])), pixels)


@dataclass(frozen=True, slots=True)
class TextCells:
    """A column of texts, stripped of surrounding space; None where a database has no value."""

    texts: Sequence[str | None]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.texts)

    def take(self, keep: Mask) -> "TextCells":
        """The cells of some rows."""
        return TextCells(list(compress(self.texts, keep)))

    def lacking(self, marks: Marks) -> Mask:
        """Where a value is missing."""
        if marks.isdisjoint(self.texts):
            return np.zeros(len(self.texts), np.bool_)
        return _mask(text in marks for text in self.texts)

    def equal(self, text: str) -> Mask:
        """Where a cell is this text."""
        return _mask(cell == text for cell in self.texts)

    def numbers(self, marks: Marks) -> Numbers:
        """As numbers; a cell that is missing is not wrong."""
        lacking = self.lacking(marks)
        some = bool(lacking.any())
        texts = [text if text not in marks else "0" for text in self.texts] if some else self.texts
        values = _whole_column(texts)
        if values is None:
            values = np.fromiter((read_number(text or "") for text in texts), np.float64, len(texts))
            if (wrong := np.flatnonzero(np.isnan(values))).size:
                return Numbers(values, int(wrong[0]))
        if some:
            values[lacking] = np.nan
        return Numbers(values)

    def places(self, places: Mapping[str, int], marks: Marks) -> Places:
        """As places among levels, likewise."""
        known: dict[str | None, int] = dict(places.items())
        known.update(dict.fromkeys(marks, -1))
        try:
            return Places(np.fromiter(map(known.__getitem__, self.texts), np.int16, len(self.texts)))
        except KeyError:
            wrong = next(row for row, text in enumerate(self.texts) if text not in known)
            return Places(np.zeros(0, np.int16), wrong)

    def subjects(self, marks: Marks) -> npt.NDArray[np.uint64]:
        """A hash of each cell; 0 where one is missing."""
        return hash_subjects(self.texts, marks)

    def shown(self, row: int) -> str:
        """A cell for an error message."""
        return repr((self.texts[row] or "")[:40])


def read_number(text: str) -> float:
    """A decimal number in ASCII digits; NaN if the text is none, or is too large for float64."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan


def hash_subjects(texts: Iterable[str | None], marks: Marks) -> npt.NDArray[np.uint64]:
    """Eight bytes of BLAKE2b of each text, so that ten million subjects fit into 80 MB.

    Two subjects share a hash by chance with odds of one to 2^64: never are there more than counted.
    """
    hashes = [NOBODY if text in marks or text is None else _hash(text) for text in texts]
    return np.array(hashes, np.uint64)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) or 1


def _whole_column(texts: Sequence[str | None]) -> npt.NDArray[np.float64] | None:
    """All texts as finite numbers at once; None if any of them may be no decimal."""
    joined = "".join(texts)  # type: ignore[arg-type]  # what is None is missing, and is no longer here
    if joined.encode("ascii", "replace").translate(None, _IN_NUMBERS):
        return None
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))  # type: ignore[arg-type]  # likewise
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _mask(values: Iterable[bool]) -> Mask:
    return np.fromiter(values, np.bool_)
