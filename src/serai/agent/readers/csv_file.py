"""Reads a member's CSV file, bounded, naming file, line and column in every error.

The file is read as bytes and decoded line by line, so that a wrong byte is
reported on the line where it stands and a file without line ends cannot fill
the memory. Rows are gathered into batches that are bounded in cells and bytes.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from serai.agent.readers.cells import Batch, TextCells
from serai.agent.readers.files import open_file
from serai.errors import Malformed, Misconfigured, SeraiError

MAX_LINE_BYTES: Final = 1 << 20  # a row of ten thousand numbers fits; a binary file without newlines does not
MAX_COLUMNS: Final = 16_384
_BATCH_CELLS: Final = 1 << 18
_BATCH_ROWS: Final = 1 << 15
_BATCH_BYTES: Final = 1 << 22


class _Reader(Protocol):
    """What ``csv.reader`` gives: rows of cells, and how many lines it has read."""

    @property
    def line_num(self) -> int:
        """Lines read so far."""

    def __iter__(self) -> Iterator[list[str]]:
        """The rows."""

    def __next__(self) -> list[str]:
        """The next row."""


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    """Yield the named columns of every row, in file order.

    Raises:
        Misconfigured: the file is missing or unreadable, or lacks a column.
        Malformed: not UTF-8, a line too long, a ragged row, no header.

    """
    with closing(open_file(path)) as file:
        lines = _Lines(file, path)
        reader = csv.reader(lines, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise _not_csv(path, reader, error) from error
        places = find_columns(header, f"{path}, line 1", columns)
        yield from _batches(reader, lines, places, len(header))


def find_columns(header: Sequence[str], where: str, columns: Sequence[str]) -> dict[str, int]:
    """The places of columns in a header.

    Args:
        header: all names.
        where: the header's place, for errors.
        columns: those that are looked for.

    Raises:
        Misconfigured: a column is missing, or stands there more than once.
        Malformed: there is no header, or it is too wide.

    """
    if not any(header):
        raise Malformed("dataset-empty", f"{where}: the table is empty: expected a header line and rows")
    if len(header) > MAX_COLUMNS:
        raise Malformed("dataset-too-wide", f"{where}: {len(header)} columns; at most {MAX_COLUMNS} are read")
    for name in columns:
        if header.count(name) != 1:
            found = "is missing" if name not in header else "stands there more than once"
            raise Misconfigured(
                "dataset-column", f"{where}: column {name!r} {found}; the header has {', '.join(header[:40])[:2000]}"
            )
    return {name: header.index(name) for name in columns}


class _Lines:
    """The lines of a file as text, and how many bytes they had."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._file = file
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        """The lines, with their ends."""
        return self

    def __next__(self) -> str:
        """The next line."""
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self.bytes += len(line)
        where = f"{self.path}, line {self._number}"
        if len(line) > MAX_LINE_BYTES:
            raise Malformed("dataset-line-too-long", f"{where}: longer than {MAX_LINE_BYTES} bytes; is it a CSV file?")
        try:
            return line.decode("utf-8-sig" if self._number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed(
                "dataset-encoding",
                f"{where}, byte {error.start + 1}: expected UTF-8 text, got byte 0x{line[error.start]:02x}; "
                "convert the file, for example with `iconv -f latin1 -t utf-8`",
            ) from error


def _batches(reader: _Reader, lines: _Lines, places: dict[str, int], width: int) -> Iterator[Batch]:
    """Rows, many at a time. What stands before an error is handed over before the error is raised."""
    most = max(1, min(_BATCH_ROWS, _BATCH_CELLS // width))
    while True:
        rows: list[list[str]] = []
        ends: list[int] = []
        trouble: SeraiError | None = None
        try:
            _gather(reader, lines, width, most, (rows, ends))
        except csv.Error as error:
            trouble = _not_csv(lines.path, reader, error)
        except SeraiError as error:
            trouble = error
        if rows:
            yield _batch(rows, ends, places, lines.path)
        if trouble is not None:
            raise trouble
        if not rows:
            return


def _gather(reader: _Reader, lines: _Lines, width: int, most: int, into: tuple[list[list[str]], list[int]]) -> None:
    """Take the next rows, and the lines on which they end."""
    rows, ends = into
    until = lines.bytes + _BATCH_BYTES
    for values in reader:
        if len(values) == width:
            rows.append(values)
            ends.append(reader.line_num)
            if len(rows) >= most or lines.bytes > until:
                return
        elif values:  # a blank line, as many programs leave at the end, is passed over
            raise Malformed(
                "dataset-ragged",
                f"{lines.path}, line {reader.line_num}: expected {width} cells as in the header, got {len(values)}",
            )


def _batch(rows: list[list[str]], ends: list[int], places: dict[str, int], path: Path) -> Batch:
    columns = {name: TextCells([row[place].strip() for row in rows]) for name, place in places.items()}
    return Batch(len(rows), columns, lambda row: f"{path}, line {ends[row]}")


def _not_csv(path: Path, reader: _Reader, error: csv.Error) -> Malformed:
    return Malformed("dataset-csv", f"{path}, line {reader.line_num}: not valid CSV: {error}")
