"""Where a dataset lies decides who reads it; what comes of it is the same: columns in a file in memory.

CSV is read here, by Python's own parser, which takes any bytes. Whatever needs
a library that is written in C++ is read by a process of its own (see
``serai.agent.readers.confined``).
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from serai.agent.datasets import DatasetKind, DatasetSettings, Format
from serai.agent.readers.column_file import ColumnFile
from serai.agent.readers.confined import Wish, read_confined
from serai.agent.readers.csv_file import read_csv
from serai.agent.readers.files import digest_file, list_files
from serai.agent.readers.reading import read_parts, reading_of
from serai.errors import Malformed
from serai.kernel.canonical import Json, canonical
from serai.kernel.collector import collector_paused
from serai.kernel.ids import Digest, digest_of


def read_columns(
    settings: DatasetSettings, columns: Sequence[str] | None = None, *, subject: bool = False
) -> ColumnFile:
    """Read a table or images.

    Args:
        settings: the dataset's.
        columns: which columns of all rows; None for features, pixels and the label, of complete rows.
        subject: with ``columns``, whether the hashes of subjects are wanted too; features have them anyway.

    Raises:
        Refused: the dataset has no such column.
        Misconfigured: the source or a column of it is missing, or a library that reads it.
        Malformed: a cell, row or line is not what it should be, or no row can be used.

    """
    reading = reading_of(settings, columns, subject=subject)
    if _is_csv(settings):
        file = ColumnFile(reading.dtypes)
        with collector_paused():
            for arrays in read_parts(read_csv(Path(settings.path), reading.columns), reading):
                file.append(arrays)
    else:
        wanted = None if columns is None else tuple(columns)
        file = read_confined(Wish(settings=settings, columns=wanted, subject=subject))
    file.finish()
    if not file.rows:
        which = f" with {settings.rows.column} = {settings.rows.equals!r}" if settings.rows else ""
        raise Malformed(
            "dataset-empty",
            f"{settings.path or settings.service} has no usable row{which}; check rows, missing and the source",
        )
    return file


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
        what: ``features`` or ``fields``.
        file: the columns.

    """
    for name in file.dtypes:
        yield f"{what}/{name}", hashlib.sha256(file.column(name).data).hexdigest()


def _is_csv(settings: DatasetSettings) -> bool:
    return settings.kind is DatasetKind.TABLE and settings.stored_as is Format.CSV


def _row_digests(settings: DatasetSettings) -> Iterator[tuple[str, Json]]:
    """Of everything that a database's query gives and any run could use, column by column."""
    if settings.has_features:
        yield from column_digests("features", read_columns(settings))
    if settings.fields:
        yield from column_digests("fields", read_columns(settings, tuple(settings.fields), subject=True))
