"""Reads a member's CSV file, bounded, naming file, line and column in every error.

The file is read as bytes, some whole lines at a time, so that a wrong byte is
reported on the line where it stands and a file without line ends cannot fill
the memory. Rows are gathered into batches that are bounded in cells and bytes.
All that is done for each row is done by Python's own C code.
"""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import closing
from io import StringIO
from itertools import accumulate, chain, compress, islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from serai.agent.readers.cells import Batch, TextCells
from serai.agent.readers.files import open_file
from serai.errors import Malformed, Misconfigured, SeraiError

MAX_LINE_BYTES: Final = 1 << 20  # a row of ten thousand numbers fits; a binary file without newlines does not
MAX_COLUMNS: Final = 16_384
_BATCH_CELLS: Final = 1 << 15  # more would not fit into a processor's cache
_BATCH_ROWS: Final = 1 << 15
_BATCH_BYTES: Final = 1 << 22
_STEP_ROWS: Final = 64
_BLOCK_BYTES: Final = 1 << 18
_END: Final = b"\n"


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
        texts = _Texts(file, path)
        reader = csv.reader(chain.from_iterable(texts), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise _not_csv(path, reader, error) from error
        places = find_columns(header, f"{path}, line 1", columns)
        yield from _batches(reader, texts, places, len(header))


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


class _Texts:
    """A file as texts of whole lines, and how many bytes they had so far.

    What stands before a wrong line is handed over before the error is raised.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._texts = self._decoded(file)

    def __iter__(self) -> Iterator[StringIO]:
        """The texts, each to be read line by line; only a line feed ends a line."""
        return (StringIO(text, newline="\n") for text in self._texts)

    def _decoded(self, file: BinaryIO) -> Iterator[str]:
        line = 1
        while block := file.read(_BLOCK_BYTES):
            if not block.endswith(_END):
                block += file.readline(MAX_LINE_BYTES + 1)
            last = block.rfind(_END, 0, -1) + 1  # no line before the last is longer than a block
            is_long = len(block) - last > MAX_LINE_BYTES
            yield from self._text(block[:last] if is_long else block, line)
            self.bytes += len(block)
            if is_long:
                where = f"{self.path}, line {line + block.count(_END, 0, last)}"
                raise Malformed(
                    "dataset-line-too-long", f"{where}: longer than {MAX_LINE_BYTES} bytes; is it a CSV file?"
                )
            line += block.count(_END)

    def _text(self, block: bytes, line: int) -> Iterator[str]:
        mark = len(BOM_UTF8) if line == 1 and block.startswith(BOM_UTF8) else 0
        try:
            text = block[mark:].decode()
        except UnicodeDecodeError as error:
            start = mark + error.start
            begin = block.rfind(_END, 0, start) + 1
            yield block[mark:begin].decode()
            raise Malformed(
                "dataset-encoding",
                f"{self.path}, line {line + block.count(_END, 0, begin)}, byte {start - begin + 1}: "
                f"expected UTF-8 text, got byte 0x{block[start]:02x}; "
                "convert the file, for example with `iconv -f latin1 -t utf-8`",
            ) from error
        yield text


def _batches(reader: _Reader, texts: _Texts, places: dict[str, int], width: int) -> Iterator[Batch]:
    """Rows, many at a time. What stands before an error is handed over before the error is raised."""
    line = reader.line_num
    trouble: SeraiError | None = None
    while trouble is None:
        rows: list[list[str]] = []
        try:
            more = _gather(reader, texts, width, rows)
        except csv.Error as error:
            trouble = _not_csv(texts.path, reader, error)
        except SeraiError as error:
            trouble = error
        else:
            if not more:
                return
        ends = _ends(rows, line, reader.line_num)
        line = ends[-1] if ends else line
        if set(map(len, rows)) - {width, 0}:
            ragged = next(row for row, values in enumerate(rows) if values and len(values) != width)
            trouble = Malformed(
                "dataset-ragged",
                f"{texts.path}, line {ends[ragged]}: expected {width} cells as in the header, got {len(rows[ragged])}",
            )
            rows = rows[:ragged]
        if not all(rows):  # blank lines, as many programs leave at the end
            ends = list(compress(ends, rows))
            rows = list(filter(None, rows))
        if rows:
            yield _batch(rows, ends, places, texts.path)
    raise trouble


def _gather(reader: _Reader, texts: _Texts, width: int, rows: list[list[str]]) -> bool:
    """Take the next rows, a few at a time so that long ones cannot fill the memory; whether there were any."""
    most, until = min(_BATCH_ROWS, _BATCH_CELLS // width), texts.bytes + _BATCH_BYTES
    count = -1
    while len(rows) > count and (count < 0 or (count < most and texts.bytes <= until)):
        count = len(rows)
        rows.extend(islice(reader, _STEP_ROWS))
    return bool(rows)


def _ends(rows: list[list[str]], line: int, now: int) -> Sequence[int]:
    """The line on which each row ends.

    Args:
        rows: consecutive ones.
        line: that on which the row before them ended.
        now: that which the reader has come to.

    """
    if now - line == len(rows):
        return range(line + 1, now + 1)  # no cell holds an end of a line
    spans = (1 + sum(cell.count("\n") for cell in row) for row in rows)
    return list(accumulate(spans, initial=line))[1:]


def _batch(rows: list[list[str]], ends: Sequence[int], places: dict[str, int], path: Path) -> Batch:
    columns = {name: TextCells(list(map(str.strip, map(itemgetter(place), rows)))) for name, place in places.items()}
    return Batch(len(rows), columns, lambda row: f"{path}, line {ends[row]}")


def _not_csv(path: Path, reader: _Reader, error: csv.Error) -> Malformed:
    return Malformed("dataset-csv", f"{path}, line {reader.line_num}: not valid CSV: {error}")
