"""The zone's own freezes: written by its people at a terminal, read before every work and every output.

They take effect at once: the agent reads them from the journal whenever it asks, and
never keeps what it read. The record stays when a freeze is over.
"""

from typing import Any, Final

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, insert, select, update

from serai.errors import Missing
from serai.storage.database import transaction
from serai.zones.freezes import Freeze, Frozen

_METADATA: Final = MetaData()
_FREEZES: Final = Table(
    "freezes",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("what", String, nullable=False),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("since_ms", Integer, nullable=False),
    Column("thawed_ms", Integer, nullable=False),
    Column("thawed_by", String, nullable=False),
)
_IN_FORCE: Final = select(_FREEZES).where(_FREEZES.c.thawed_ms == 0).order_by(_FREEZES.c.id)


class Freezes:
    """What is frozen here. Safe to use from several threads and processes.

    Args:
        engine: the journal's database.

    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _METADATA.create_all(engine)

    def add(self, freeze: Freeze) -> None:
        """Freeze something; its number is given here."""
        values = {column.name: getattr(freeze, column.name) for column in _FREEZES.columns if column.name != "id"}
        with transaction(self._engine) as connection:
            connection.execute(insert(_FREEZES), values)

    def thaw(self, what: Frozen, name: str, by: str, now_ms: int) -> None:
        """End every freeze of a thing.

        Raises:
            Missing: it is not frozen.

        """
        statement = (
            update(_FREEZES)
            .where(_FREEZES.c.what == what.value, _FREEZES.c.name == name, _FREEZES.c.thawed_ms == 0)
            .values(thawed_ms=now_ms, thawed_by=by)
        )
        with transaction(self._engine) as connection:
            if connection.execute(statement).rowcount:
                return
        raise Missing("freeze-unknown", f"{what} {name} is not frozen by that name; `serai zone frozen` lists what is")

    def in_force(self) -> tuple[Freeze, ...]:
        """What is frozen now."""
        return self._read(_IN_FORCE)

    def all(self) -> tuple[Freeze, ...]:
        """Every freeze there ever was, oldest first."""
        return self._read(select(_FREEZES).order_by(_FREEZES.c.id))

    def _read(self, query: Any) -> tuple[Freeze, ...]:
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(Freeze(**{**row._mapping, "what": Frozen(row.what)}) for row in rows)  # noqa: SLF001  # SQLAlchemy's public name
