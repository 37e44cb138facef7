"""Reads the rows of a query to a DuckDB file, which is opened read-only and reaches nothing else; needs duckdb and pyarrow."""

from collections.abc import Iterator, Sequence
from typing import Final

import duckdb

from serai.agent.datasets import DatasetSettings
from serai.agent.readers.arrow_cells import MAX_BATCH_ROWS, batches_of
from serai.agent.readers.cells import Batch
from serai.agent.readers.csv_file import find_columns
from serai.errors import Misconfigured

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "access_mode": "READ_ONLY",
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "memory_limit": "512MB",
    "temp_directory": "",
    "threads": "1",
    "lock_configuration": "true",
}


def read_duckdb(settings: DatasetSettings, columns: Sequence[str]) -> Iterator[Batch]:
    """Yield the named columns of every row, in the query's order.

    Raises:
        Misconfigured: the query is not one SELECT, or gives no such column.
        Malformed: a column is of a kind that cannot be read.
        duckdb.Error: the file is damaged, or the query fails.

    """
    with duckdb.connect(settings.path, read_only=True, config=_CONFIG) as connection:
        statements = connection.extract_statements(settings.query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise Misconfigured("dataset-query", f"{settings.path}: expected query to be one SELECT")
        rows = connection.execute(statements[0]).to_arrow_reader(MAX_BATCH_ROWS)
        find_columns(rows.schema.names, f"{settings.path}, query", columns)
        yield from batches_of(iter(rows), columns, f"{settings.path}, query")
