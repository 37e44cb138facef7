"""Reads the rows of a query to PostgreSQL, in a read-only transaction, through a cursor on the server; needs psycopg.

Where the database is and how one logs in stands in a service file of libpq
that only this user may read. No word of it appears in an error.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg

from serai.agent.datasets import DatasetSettings
from serai.agent.readers.cells import Batch, TextCells
from serai.agent.readers.csv_file import find_columns
from serai.errors import Malformed, Misconfigured

_BATCH_CELLS: Final = 1 << 17
_BATCH_ROWS: Final = 1 << 14
_CONNECT_S: Final = 10
_OPTIONS: Final = "-c default_transaction_read_only=on -c statement_timeout=3600000 -c datestyle=ISO"


def read_postgres(settings: DatasetSettings, columns: Sequence[str]) -> Iterator[Batch]:
    """Yield the named columns of every row, in the query's order.

    Raises:
        Misconfigured: the service file is not there or not private, the database does not
            answer, or the query is not one SELECT or gives no such column.
        Malformed: the query fails, or a column is of a kind that cannot be read.

    """
    where = f"PostgreSQL service {settings.service!r}"
    if ";" in settings.query:
        raise Misconfigured("dataset-query", f"{where}: expected query to be one SELECT, without a semicolon")
    with _connect(settings, where) as connection:
        connection.read_only = True
        try:
            with connection.cursor(name="serai") as cursor:
                cursor.execute(settings.query.encode())
                yield from _batches(cursor, columns, where)
        except psycopg.Error as error:
            said = (error.diag.message_primary or type(error).__name__)[:200]
            raise Malformed("dataset-query-failed", f"{where}: the query fails: {said}") from None


def _connect(settings: DatasetSettings, where: str) -> "psycopg.Connection[tuple[Any, ...]]":
    path = Path(settings.service_file)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise Misconfigured(
            "dataset-service-file", f"{where}: cannot read the service file {path}: {error.strerror}"
        ) from None
    if mode & 0o077:
        raise Misconfigured(
            "dataset-service-file", f"{where}: {path} can be read by others; make it private with `chmod 600 {path}`"
        )
    os.environ["PGSERVICEFILE"] = str(path)
    try:
        return psycopg.connect(service=settings.service, connect_timeout=_CONNECT_S, options=_OPTIONS)
    except psycopg.Error as error:  # its text may repeat what the service file says
        raise Misconfigured(
            "dataset-database",
            f"{where} does not answer as {path} says ({type(error).__name__}); "
            f"try: PGSERVICEFILE={path} psql service={settings.service}",
        ) from None


def _batches(cursor: Any, columns: Sequence[str], where: str) -> Iterator[Batch]:
    names = [column.name for column in cursor.description]
    places = find_columns(names, f"{where}, query", columns)
    most = max(1, min(_BATCH_ROWS, _BATCH_CELLS // len(names)))
    done = 0
    while rows := cursor.fetchmany(most):
        cells = {name: TextCells([_text(row[place], name, where) for row in rows]) for name, place in places.items()}
        yield Batch(len(rows), cells, _placing(where, done))
        done += len(rows)


def _placing(where: str, done: int) -> Any:
    return lambda row: f"{where}, row {done + row + 1}"


def _text(value: object, name: str, where: str) -> str | None:
    """A value as a CSV file would have it; None where it stands for none.

    Raises:
        Malformed: it is of a kind that cannot be read.

    """
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() | Decimal() if value != value:  # noqa: PLR0124  # not a number
            return None
        case float() if value.is_integer():
            return str(int(value))
        case str():
            return value.strip()
        case int() | float() | Decimal() | date() | time():
            return str(value)
        case _:
            kind = type(value).__name__
            raise Malformed(
                "dataset-column-type",
                f"{where}, column {name!r}: expected numbers or texts, got {kind}; cast it in query",
            )
