"""The airlock's memory: what waits for the steward, what was decided about it, and what passed before.

Theory of operation
-------------------
An output is named by the SHA-256 of the run, its kind and its bytes, so a decision
holds for those bytes in that run and for nothing else. It is written down that an
output waits before anybody is told, and that it passes before it is masked. The
bytes of a vector lie in a file beside the journal; they are hashed again before
they leave, so a crash that bent them costs a second look.

The command line decides in a process of its own; SQLite's lock lets one decide.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from serai.errors import Conflict, Refused
from serai.kernel.ids import Digest
from serai.storage.database import transaction, upsert

MAX_WAITING: Final = 64
MAX_DECIDED: Final = 4096  # a decision that is forgotten is asked for again
_MAX_PASSED: Final = 256  # of one program
_RECENT: Final = 16  # with which a new output is compared

VECTOR: Final = "vector"
COUNTS: Final = "counts"
WAITING: Final = "waiting"
RELEASED: Final = "released"
REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
NOTHING: Final = Digest("")

_METADATA: Final = MetaData()
_HELD: Final = Table(
    "airlock_held",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("run", String, nullable=False, index=True),
    Column("about", String, nullable=False, index=True),
    Column("why", String, nullable=False),
    Column("facts", String, nullable=False),
    Column("dtype", String, nullable=False),
    Column("memory", String, nullable=False),
    Column("since_ms", Integer, nullable=False),
    Column("until_ms", Integer, nullable=False),
    Column("decision", String, nullable=False),
    Column("decided_ms", Integer, nullable=False),
    Column("decided_by", String, nullable=False),
    Column("reason", String, nullable=False),
)
_ROW: Final[ColumnElement[int]] = literal_column("rowid")  # SQLite's own: in the order in which rows came
_PASSED: Final = Table(
    "airlock_passed",
    _METADATA,
    Column("place", Integer, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False, index=True),
    Column("run", String, nullable=False, index=True),
    Column("code", String, nullable=False, index=True),
    Column("mode", String, nullable=False),
    Column("item", String, nullable=False),
    Column("facts", String, nullable=False),
)
# Asked in every round; to put a statement together costs more than to run it.
_WAITING: Final = select(_HELD).where(_HELD.c.decision == WAITING)
_PASSED_AT: Final = select(_PASSED).where(_PASSED.c.about == bindparam("about_"), _PASSED.c.kind == bindparam("kind_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An output that waits for the steward, or waited.

    Attributes:
        id: the digest that names it: of the run, its kind and its bytes.
        kind: ``vector`` or ``counts``.
        run: whose output it is.
        about: the round of a vector; of counts, the model that they are about.
        why: what is unusual about it, a sentence each.
        facts: what was measured; of counts, the counts.
        dtype: of a vector.
        memory: under which digest lies what the recipe keeps once a vector counts.
        since_ms: since when it waits, Unix milliseconds.
        until_ms: when its round may close without it; 0 if nothing ends its wait.
        decision: ``waiting``, ``released``, ``rejected``, or ``expired`` if nobody decided in time.
        decided_ms: when; 0 before that.
        decided_by: the account of who did.
        reason: why, in that person's words.

    """

    id: Digest
    kind: str
    run: Digest
    about: Digest
    why: tuple[str, ...]
    facts: Mapping[str, int]
    dtype: str = ""
    memory: Digest = NOTHING
    since_ms: int
    until_ms: int
    decision: str = WAITING
    decided_ms: int = 0
    decided_by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """An output that was let through.

    Attributes:
        kind: ``vector`` or ``counts``.
        about: the round of a vector; of counts, the model.
        run: whose output it was.
        code: digest of the program that made it.
        mode: by which airlock it was judged.
        item: the digest under which a steward looked at it; empty if nobody had to.
        facts: what was measured; of counts, the counts.

    """

    kind: str
    about: Digest
    run: Digest
    code: Digest
    mode: str
    item: str
    facts: Mapping[str, int]


class HeldOutputs:
    """What waits, and what passed. Safe to use from several threads and processes.

    Args:
        engine: the journal's database.

    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _METADATA.create_all(engine)

    def hold(self, held: Held) -> None:
        """Note that an output waits; of one that was decided upon, only for what it is made anew.

        Raises:
            Refused: too many wait already.

        """
        values = {**_row_of(held), "decision": WAITING}
        with transaction(self._engine) as connection:
            found = _find(connection, held.id)
            if found is not None and found.decision in {RELEASED, REJECTED}:
                again = {"about": held.about, "memory": held.memory, "until_ms": held.until_ms}
                connection.execute(update(_HELD).where(_HELD.c.id == held.id).values(again))
                return
            waiting = select(func.count()).where(_HELD.c.decision == WAITING, _HELD.c.id != held.id)
            if int(connection.execute(waiting.select_from(_HELD)).scalar_one()) >= MAX_WAITING:
                raise Refused(
                    "airlock-full",
                    f"{MAX_WAITING} outputs wait for this zone's steward, and no more are kept; decide about some",
                    "egress 5",
                )
            connection.execute(upsert(_HELD), values)
            decided = select(_HELD.c.id).where(_HELD.c.decision != WAITING).order_by(_ROW.desc())
            too_old = decided.offset(MAX_DECIDED).limit(MAX_WAITING)
            connection.execute(delete(_HELD).where(_HELD.c.id.in_(too_old)))

    def find(self, item: Digest) -> Held | None:
        """An output by its name."""
        with transaction(self._engine) as connection:
            return _find(connection, item)

    def of(self, about: Digest, kind: str) -> Held | None:
        """The output of a round, or about a model, that came last."""
        query = (
            select(_HELD)
            .where(_HELD.c.about == about, _HELD.c.kind == kind)
            .order_by(_HELD.c.since_ms.desc(), _ROW.desc())
        )
        with transaction(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else _held_of(row)

    def all(self) -> tuple[Held, ...]:
        """Everything that is kept, oldest first."""
        with transaction(self._engine) as connection:
            rows = connection.execute(select(_HELD).order_by(_HELD.c.since_ms, _ROW)).all()
        return tuple(map(_held_of, rows))

    def waiting(self) -> tuple[Held, ...]:
        """What waits."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_WAITING).all()
        return tuple(map(_held_of, rows))

    def decide(self, item: Digest, decision: str, by: str, reason: str, now_ms: int) -> None:
        """Take a decision about an output that waits.

        Raises:
            Conflict: it does not wait any more.

        """
        statement = (
            update(_HELD)
            .where(_HELD.c.id == item, _HELD.c.decision == WAITING)
            .values(decision=decision, decided_by=by, reason=reason, decided_ms=now_ms)
        )
        with transaction(self._engine) as connection:
            if connection.execute(statement).rowcount:
                return
            found = _find(connection, item)
        was = found.decision if found else "unknown"
        raise Conflict("airlock-decided", f"expected an output that waits, and {item[:12]} is {was}")

    def let_pass(self, passed: Passed) -> None:
        """Note that an output passes; once for each round or model."""
        values = {
            "kind": passed.kind,
            "about": passed.about,
            "run": passed.run,
            "code": passed.code,
            "mode": passed.mode,
            "item": passed.item,
            "facts": json.dumps(dict(passed.facts)),
        }
        same = (_PASSED.c.about == passed.about) & (_PASSED.c.kind == passed.kind)
        old = select(_PASSED.c.place).where(_PASSED.c.code == passed.code).order_by(_PASSED.c.place.desc())
        with transaction(self._engine) as connection:
            connection.execute(delete(_PASSED).where(same))
            connection.execute(_PASSED.insert(), values)
            connection.execute(delete(_PASSED).where(_PASSED.c.place.in_(old.offset(_MAX_PASSED).limit(_MAX_PASSED))))

    def passed(self, about: Digest, kind: str) -> Passed | None:
        """What passed for a round, or about a model."""
        with transaction(self._engine) as connection:
            row = connection.execute(_PASSED_AT, {"about_": about, "kind_": kind}).first()
        return None if row is None else _passed_of(row)

    def recent(self, code: Digest, kind: str, about: Digest) -> tuple[Passed, ...]:
        """What of a program passed lately, but for what is in hand; oldest first."""
        query = (
            select(_PASSED)
            .where(_PASSED.c.code == code, _PASSED.c.kind == kind, _PASSED.c.about != about)
            .order_by(_PASSED.c.place.desc())
            .limit(_RECENT)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(_passed_of(row) for row in reversed(rows))

    def count(self, run: Digest, about: Digest) -> int:
        """How many vectors of a run passed, that of one round not counted."""
        query = select(func.count()).where(_PASSED.c.run == run, _PASSED.c.kind == VECTOR, _PASSED.c.about != about)
        with transaction(self._engine) as connection:
            return int(connection.execute(query.select_from(_PASSED)).scalar_one())


def forget_held(connection: Connection, run: Digest) -> int:
    """Delete what the airlock keeps of a run; how many rows there were."""
    tables = (_HELD, _PASSED)
    return sum(connection.execute(delete(table).where(table.c.run == run)).rowcount for table in tables)


def _find(connection: Connection, item: Digest) -> Held | None:
    row = connection.execute(select(_HELD).where(_HELD.c.id == item)).first()
    return None if row is None else _held_of(row)


def _row_of(held: Held) -> dict[str, Any]:
    values = {column.name: getattr(held, column.name) for column in _HELD.columns}
    return {**values, "why": json.dumps(held.why), "facts": json.dumps(dict(held.facts))}


def _held_of(row: Any) -> Held:
    values = dict(row._mapping)  # noqa: SLF001  # the public name of SQLAlchemy's mapping of a row
    return Held(**{**values, "why": tuple(json.loads(row.why)), "facts": json.loads(row.facts)})


def _passed_of(row: Any) -> Passed:
    return Passed(
        kind=row.kind,
        about=Digest(row.about),
        run=Digest(row.run),
        code=Digest(row.code),
        mode=row.mode,
        item=row.item,
        facts=json.loads(row.facts),
    )
