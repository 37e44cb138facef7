"""Reads Parquet and Arrow files (IPC files, streams, Feather 2) a stretch of rows at a time; needs pyarrow."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from serai.agent.datasets import DatasetSettings, Format
from serai.agent.readers.arrow_cells import MAX_BATCH_ROWS, batches_of
from serai.agent.readers.cells import Batch
from serai.agent.readers.csv_file import find_columns

_BUFFER_BYTES = 1 << 20  # pages are read through a buffer of this size, never a whole row group
_MAX_METADATA_BYTES = 1 << 26
_MAX_METADATA_ITEMS = 1 << 22


def read_arrow(settings: DatasetSettings, columns: Sequence[str]) -> Iterator[Batch]:
    """Yield the named columns of every row, in file order.

    Raises:
        Misconfigured: the file lacks a column.
        Malformed: a column is of a kind that cannot be read.
        pyarrow.ArrowException: the file is damaged.

    """
    is_parquet = settings.stored_as is Format.PARQUET
    names, batches = _parquet(settings.path, columns) if is_parquet else _ipc(settings.path)
    find_columns(names, settings.path, columns)
    yield from batches_of(batches, columns, settings.path)


def _parquet(path: str, columns: Sequence[str]) -> tuple[list[str], Iterator[Any]]:
    file = pq.ParquetFile(
        path,
        memory_map=False,
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,
        thrift_string_size_limit=_MAX_METADATA_BYTES,
        thrift_container_size_limit=_MAX_METADATA_ITEMS,
    )
    batches = file.iter_batches(batch_size=MAX_BATCH_ROWS, columns=list(columns), use_threads=False)
    return list(file.schema_arrow.names), batches


def _ipc(path: str) -> tuple[list[str], Iterator[Any]]:
    source = pa.memory_map(path)
    try:
        reader = pa.ipc.open_file(source)
    except pa.ArrowInvalid:  # not a file with an index at its end: perhaps a stream
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return list(stream.schema.names), iter(stream)
    return list(reader.schema.names), (reader.get_batch(number) for number in range(reader.num_record_batches))
