"""SQLite databases that survive a crash: private files, write-ahead log, full synchronisation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Insert, MetaData, StaticPool, Table, create_engine, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError, OperationalError

from serai.errors import Corrupt, Unavailable


def open_database(path: Path | None, metadata: MetaData) -> Engine:
    """Open a database and make its tables where they are missing.

    Args:
        path: the file, made with mode 0600 if it does not exist; None for one in memory.
        metadata: its tables.

    Raises:
        Corrupt: the file is not a database.
        Unavailable: the file cannot be opened or written.

    """
    if path is None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise Unavailable("database-open", f"cannot open {path}: {error.strerror}; check its folder") from error
        engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _pragmas)
    try:
        metadata.create_all(engine)
    except OperationalError as error:
        raise Unavailable("database-open", f"cannot open {path}: {error.orig}; check space and permissions") from error
    except DatabaseError as error:
        raise Corrupt("database-damaged", f"{path} is not a database: {error.orig}; restore it from a copy") from error
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that is on the disk when the block ends; none of it if the block raises.

    Raises:
        Unavailable: the disk is full, or another process holds the database.
        Corrupt: the file is damaged.

    """
    name = engine.url.database or "the database in memory"
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        if "full" in str(error.orig):
            raise Unavailable("disk-full", f"no room left on the disk of {name}; free some, then try again") from error
        raise Unavailable("database-busy", f"{name} does not answer: {error.orig}; try again") from error
    except DatabaseError as error:
        raise Corrupt("database-damaged", f"{name} is damaged: {error.orig}; restore it from a copy") from error


def upsert(table: Table) -> Insert:
    """Puts a row in, or in the place of the one with its primary key."""
    statement = insert(table)
    others = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)


def _pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on the disk, not in the system's cache
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
