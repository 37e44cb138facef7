"""Reads a member's CSV file row by row, bounded, naming file, line and column in every error.

The file is read as bytes and decoded line by line, so that a wrong byte is
reported on the line where it stands and a file without line ends cannot fill
the memory.
"""

import csv
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import Digest

MAX_LINE_BYTES: Final = 1 << 20  # a row of ten thousand numbers fits; a binary file without newlines does not
MAX_COLUMNS: Final = 16_384
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Reader(Protocol):
    """What ``csv.reader`` gives: rows of cells, and how many lines it has read."""

    @property
    def line_num(self) -> int:
        """Lines read so far."""

    def __iter__(self) -> Iterator[list[str]]:
        """The rows."""

    def __next__(self) -> list[str]:
        """The next row."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row that were asked for, and where they stand.

    Attributes:
        line: the line of the file on which the row ends, from 1.
        cells: text by column name, stripped of surrounding space.

    """

    path: Path
    line: int
    cells: dict[str, str]

    def number(self, column: str) -> float:
        """The cell as a finite number.

        Raises:
            Malformed: the text is no decimal number, or too large for float64.

        """
        text = self.cells[column]
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            raise Malformed(
                "dataset-number",
                f"{self.path}, line {self.line}, column {column!r}: expected a finite number, got {text[:40]!r}; "
                "correct the cell, or name this text in missing_marks",
            )
        return value


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the named columns of every row, in file order.

    Raises:
        Misconfigured: the file is missing or unreadable, or lacks a column.
        Malformed: not UTF-8, a line too long, a ragged row, no header.

    """
    with closing(_open(path)) as file:
        reader = csv.reader(_lines(file, path), strict=True)
        try:
            yield from _rows(reader, path, columns)
        except csv.Error as error:
            raise Malformed("dataset-csv", f"{path}, line {reader.line_num}: not valid CSV: {error}") from error


def digest_file(path: Path) -> Digest:
    """SHA-256 of a file's bytes, read in blocks.

    Raises:
        Misconfigured: the file is missing or unreadable.

    """
    with closing(_open(path)) as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise Misconfigured(
            "dataset-file-missing", f"expected a CSV file at {path}; correct the dataset's path"
        ) from None
    except OSError as error:
        raise Misconfigured("dataset-file-unreadable", f"cannot read {path}: {error.strerror}") from error


def _rows(reader: Reader, path: Path, columns: Sequence[str]) -> Iterator[Row]:
    header = [name.strip() for name in next(reader, [])]
    places = _places(header, path, columns)
    for values in reader:
        if not values:
            continue  # a blank line, as many programs leave at the end
        if len(values) != len(header):
            raise Malformed(
                "dataset-ragged",
                f"{path}, line {reader.line_num}: expected {len(header)} cells as in the header, got {len(values)}",
            )
        yield Row(path, reader.line_num, {name: values[place].strip() for name, place in places.items()})


def _places(header: list[str], path: Path, columns: Sequence[str]) -> dict[str, int]:
    if not any(header):
        raise Malformed("dataset-empty", f"{path} is empty: expected a header line and rows")
    if len(header) > MAX_COLUMNS:
        raise Malformed("dataset-too-wide", f"{path} has {len(header)} columns; at most {MAX_COLUMNS} are read")
    for name in columns:
        if header.count(name) != 1:
            found = "is missing" if name not in header else "stands there more than once"
            raise Misconfigured(
                "dataset-column", f"{path}, line 1: column {name!r} {found}; the header has {', '.join(header[:40])}"
            )
    return {name: header.index(name) for name in columns}


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise Malformed(
                "dataset-line-too-long", f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes; is it a CSV file?"
            )
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed(
                "dataset-encoding",
                f"{path}, line {number}, byte {error.start + 1}: expected UTF-8 text, got byte 0x{line[error.start]:02x}; "
                "convert the file, for example with `iconv -f latin1 -t utf-8`",
            ) from error
