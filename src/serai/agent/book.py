"""The book of uses as the journal keeps it: receipts by number, each written once and never changed."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Column, Engine, Integer, LargeBinary, MetaData, String, Table, bindparam, insert, select

from serai.kernel.ids import Digest, digest_of
from serai.storage.database import transaction
from serai.zones.uses import FIRST

_METADATA: Final = MetaData()
_USES: Final = Table(
    "uses",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("topic", String, nullable=False, unique=True),
    Column("receipt", LargeBinary, nullable=False),
)
_LAST: Final = select(_USES.c.number, _USES.c.receipt).order_by(_USES.c.number.desc()).limit(1)
_WRITE: Final = insert(_USES)
_OF_TOPIC: Final = select(_USES.c.number).where(_USES.c.topic == bindparam("topic_"))

Sign = Callable[[int, Digest], bytes]
"""Makes the receipt of a number, which names the one before by its digest."""


class UseBook:
    """Receipts of use. Safe to use from several threads.

    Args:
        engine: the journal's database.

    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _METADATA.create_all(engine)

    def write(self, topic: str, sign: Sign) -> None:
        """Write the receipt of something that is about to leave, unless it was written before.

        The number is the table's key: of two that would write one, the second fails and
        nothing of it leaves.
        """
        with transaction(self._engine) as connection:
            if connection.execute(_OF_TOPIC, {"topic_": topic}).first() is not None:
                return
            last = connection.execute(_LAST).first()
            number, previous = (0, FIRST) if last is None else (last.number + 1, digest_of(bytes(last.receipt)))
            connection.execute(_WRITE, {"number": number, "topic": topic, "receipt": sign(number, previous)})

    def receipts(self) -> list[bytes]:
        """All of them, in order."""
        with transaction(self._engine) as connection:
            rows = connection.execute(select(_USES.c.receipt).order_by(_USES.c.number)).all()
        return [bytes(row.receipt) for row in rows]
