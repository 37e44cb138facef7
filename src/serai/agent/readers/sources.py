"""Where a dataset lies decides who reads it; what comes of it is the same: columns in a file in memory.

CSV is read here, by Python's own parser, which takes any bytes. Whatever needs
a library that is written in C++ is read by a process of its own (see
``serai.agent.readers.confined``).
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from serai.agent.datasets import DatasetKind, DatasetSettings, Format
from serai.agent.readers.column_file import ColumnFile
from serai.agent.readers.confined import Wish, read_confined
from serai.agent.readers.csv_file import read_csv
from serai.agent.readers.files import digest_file, list_files
from serai.agent.readers.reading import reading_of
from serai.agent.readers.split import fill
from serai.errors import Malformed
from serai.kernel.canonical import Json, canonical
from serai.kernel.collector import collector_paused
from serai.kernel.ids import Digest, digest_of


class Rows(NamedTuple):
    """What was read, and how many of the rows, the last ones, are held back for evaluation."""

    file: ColumnFile
    held_back: int


def read_columns(settings: DatasetSettings, columns: Sequence[str], *, subject: bool = False) -> ColumnFile:
    """Read columns of all rows of a table or of images.

    Args:
        settings: the dataset's.
        columns: which.
        subject: whether the hashes of subjects are wanted too.

    Raises:
        Refused: the dataset has no such column.
        Misconfigured: the source or a column of it is missing, or a library that reads it.
        Malformed: a cell, row or line is not what it should be, or no row can be used.

    """
    return _read(settings, tuple(columns), subject=subject).file


def read_training(settings: DatasetSettings, *, subject: bool = False) -> Rows:
    """Read features and label of complete rows, those to train on first.

    Raises:
        Missing: the source has changed while it was read.
        Misconfigured, Malformed: as ``read_columns``.

    """
    return _read(settings, None, subject=subject)


def _read(settings: DatasetSettings, columns: tuple[str, ...] | None, *, subject: bool) -> Rows:
    reading = reading_of(settings, columns, subject=subject)
    if settings.kind is DatasetKind.TABLE and settings.stored_as is Format.CSV:
        file = ColumnFile(reading.dtypes)
        with collector_paused():
            held_back = fill(file, lambda some: read_csv(Path(settings.path), some.columns), reading, settings)
    else:
        file, held_back = read_confined(Wish(settings=settings, columns=columns, subject=subject))
    file.finish()
    if not file.rows:
        which = f" with {settings.rows.column} = {settings.rows.equals!r}" if settings.rows else ""
        raise Malformed(
            "dataset-empty",
            f"{settings.path or settings.service} has no usable row{which}; check rows, missing and the source",
        )
    return Rows(file, held_back)


def source_digest(settings: DatasetSettings) -> Digest | dict[str, Json]:
    """What a source holds, as SHA-256: of a file's bytes, of a folder's names and bytes, of a query's columns each.

    Raises:
        Misconfigured, Malformed: as ``read_columns``.

    """
    if settings.query:
        return dict(_row_digests(settings))
    path = Path(settings.path)
    if not path.is_dir():
        return digest_file(path)
    files: dict[str, Json] = {str(file.relative_to(path)): digest_file(file) for file in list_files(path)}
    return digest_of(canonical(files))


def column_digests(what: str, file: ColumnFile) -> Iterator[tuple[str, Json]]:
    """The digest of each column that was read, by the name under which ``source_digest`` has it.

    Args:
        what: ``features`` or ``columns``.
        file: the columns.

    """
    for name in file.dtypes:
        yield f"{what}/{name}", hashlib.sha256(file.column(name).data).hexdigest()


def _row_digests(settings: DatasetSettings) -> Iterator[tuple[str, Json]]:
    """Of everything that a database's query gives and any run could use, column by column."""
    if settings.has_features:
        yield from column_digests("features", read_training(settings, subject=True).file)
    yield from column_digests("columns", read_columns(settings, settings.table_columns, subject=True))
