"""The log's entries in SQLite: one durable transaction for each batch.

Theory of operation. The table holds one row for each entry, at its index; rows
are only ever added, but for those of a mirror that no quorum witnessed and a successor
center left out. The index is the primary key, so if two processes ever
wrote to one log, the second one's transaction fails as a whole: a fork cannot
be stored. Small values that must change together with the entries (the signed
checkpoint) go into the same transaction. SQLite runs in write-ahead mode with
``synchronous=FULL``: a commit is on the disk when it returns.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from serai.errors import Conflict, Corrupt, Missing, Unavailable
from serai.kernel.ids import Digest
from serai.storage.database import open_database, upsert

_IDS_PER_QUERY: Final = 10_000  # SQLite binds at most 32,766 values in one statement

_metadata = MetaData()
_entries = Table(
    "entries",
    _metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, index=True),
    Column("entry", LargeBinary, nullable=False),
)
_values = Table(
    "key_values",
    _metadata,
    Column("key", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# Made once: building a statement costs as much as carrying it out.
_LAST: Final = select(func.max(_entries.c.position))
_READ: Final = (
    select(_entries.c.entry)
    .where(_entries.c.position >= bindparam("start"), _entries.c.position < bindparam("end"))
    .order_by(_entries.c.position)
)
_FIND: Final = (
    select(_entries.c.id, func.min(_entries.c.position))
    .where(_entries.c.id.in_(bindparam("names", expanding=True)))
    .group_by(_entries.c.id)
)
_INSERT: Final = insert(_entries)
_GET: Final = select(_values.c.value).where(_values.c.key == bindparam("name"))
_PUT: Final = upsert(_values)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry and the id of the statement in it.

    Attributes:
        id: statement id; for bytes that hold no statement, the digest of the bytes.
        entry: the bytes of the log entry.

    """

    id: Digest
    entry: bytes


class LogStore:
    """The entries of one log and a few values beside them, durable on return.

    Reads may come from any thread; writes from one thread at a time.

    Args:
        path: the database file; it and its folder are created private to the user.

    Raises:
        Corrupt: the file is no database of this form.
        Unavailable: another process holds it, or the disk is full.

    """

    def __init__(self, path: Path) -> None:
        self._engine = open_database(path, _metadata)

    @property
    def size(self) -> int:
        """Number of entries."""
        with _translated(), self._engine.connect() as connection:
            return _size(connection)

    def append(self, entries: Sequence[StoredEntry], values: Mapping[str, bytes] | None = None) -> tuple[int, ...]:
        """Add the entries whose statement id is new, and set values, in one transaction.

        Returns:
            The index of each entry; for an id that was there already, its old index.

        Raises:
            Conflict: another process wrote to this log.
            Unavailable: the disk is full or another process holds the database.

        """
        with _translated(), self._engine.begin() as connection:
            places = _find(connection, [item.id for item in entries])
            size = _size(connection)
            fresh: list[StoredEntry] = []
            for item in entries:
                if item.id not in places:
                    places[item.id] = size + len(fresh)
                    fresh.append(item)
            _insert(connection, size, fresh)
            _put(connection, values or {})
        return tuple(places[item.id] for item in entries)

    def mirror(self, start: int, entries: Sequence[StoredEntry], values: Mapping[str, bytes] | None = None) -> None:
        """Add entries exactly as another log has them, repeated ids included, and set values.

        Args:
            start: index of the first one, which must be the size of this store.
            entries: as fetched.
            values: set in the same transaction.

        Raises:
            Conflict: the entries do not start where this store ends.
            Unavailable: the disk is full or another process holds the database.

        """
        with _translated(), self._engine.begin() as connection:
            size = _size(connection)
            if start != size:
                raise Conflict("log-moved", f"expected entries from index {size}, got them from {start}; fetch again")
            _insert(connection, start, entries)
            _put(connection, values or {})

    def replace(self, start: int, entries: Sequence[StoredEntry], values: Mapping[str, bytes]) -> None:
        """Put entries in the place of all from an index on, and set values.

        For a mirror whose log a successor continues from before its end; a log of
        one's own only grows.

        Args:
            start: index of the first one, at most the size of this store.
            entries: as fetched.
            values: set in the same transaction.

        Raises:
            Conflict: this store ends before ``start``.
            Unavailable: the disk is full or another process holds the database.

        """
        with _translated(), self._engine.begin() as connection:
            connection.execute(delete(_entries).where(_entries.c.position >= start))
            size = _size(connection)
            if start != size:
                raise Conflict("log-moved", f"expected entries from index {size}, got them from {start}; fetch again")
            _insert(connection, start, entries)
            _put(connection, values)

    def read(self, start: int, end: int) -> list[bytes]:
        """Read the entries from ``start`` up to, not including, ``end``.

        Raises:
            Missing: the log does not hold all of them.

        """
        with _translated(), self._engine.connect() as connection:
            found = list(connection.scalars(_READ, {"start": start, "end": end}))
        if len(found) != end - start:
            raise Missing("entries-missing", f"expected entries {start} to {end}, the log holds {len(found)} of them")
        return found

    def find(self, statement: Digest) -> int | None:
        """Find the first index of a statement, or None."""
        return self.find_all([statement]).get(statement)

    def find_all(self, statements: Sequence[Digest]) -> dict[Digest, int]:
        """Find the first indices of those statements that the log holds."""
        with _translated(), self._engine.connect() as connection:
            return _find(connection, statements)

    def get(self, key: str) -> bytes | None:
        """Read a value, or None."""
        with _translated(), self._engine.connect() as connection:
            return connection.scalar(_GET, {"name": key})

    def put(self, key: str, value: bytes) -> None:
        """Set a value.

        Raises:
            Unavailable: the disk is full or another process holds the database.

        """
        with _translated(), self._engine.begin() as connection:
            _put(connection, {key: value})

    def close(self) -> None:
        """Give back the file; the store cannot be used afterwards."""
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict("log-moved", "another process wrote to this log; run one center for one log") from error
    except OperationalError as error:
        if "full" in str(error.orig):
            raise Unavailable("disk-full", "the disk is full, nothing was stored; free some space and retry") from error
        raise Unavailable("log-busy", f"the log's database does not answer: {error.orig}") from error
    except DatabaseError as error:
        raise Corrupt(
            "log-corrupt", f"the log's database is damaged: {error.orig}; restore it from a mirror"
        ) from error


def _size(connection: Connection) -> int:
    last = connection.scalar(_LAST)
    return 0 if last is None else last + 1


def _find(connection: Connection, statements: Sequence[Digest]) -> dict[Digest, int]:
    found: dict[Digest, int] = {}
    for start in range(0, len(statements), _IDS_PER_QUERY):
        rows = connection.execute(_FIND, {"names": statements[start : start + _IDS_PER_QUERY]})
        found.update({Digest(name): position for name, position in rows})
    return found


def _insert(connection: Connection, start: int, entries: Sequence[StoredEntry]) -> None:
    rows = [{"position": position, "id": item.id, "entry": item.entry} for position, item in enumerate(entries, start)]
    if rows:
        connection.execute(_INSERT, rows)


def _put(connection: Connection, values: Mapping[str, bytes]) -> None:
    for key, value in values.items():
        connection.execute(_PUT, {"key": key, "value": value})
