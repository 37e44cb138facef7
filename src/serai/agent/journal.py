"""What a zone must remember through a crash: its seeds, its signed words, how far each run is.

Theory of operation
-------------------
Whatever leaves the zone is written here first, byte for byte. After a crash at
any moment the zone sends the *same* bytes again, and the log takes each
statement once. Four promises hang on that:

- A self mask seed is drawn once per round. Two uploads of one vector under two
  seeds, with one seed released, would let a listener subtract.
- A zone releases for one close only. The row of the release names the close; a
  second close of the same round finds the topic taken.
- A zone shows shares of a lost member's seeds for the close that it released for,
  and for no other.
- A decision is taken once: a join or a refusal is sent again, not thought over.

SQLite commits with ``synchronous=FULL`` before anything is sent.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import (
    BindParameter,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from serai.agent.book import UseBook
from serai.agent.budget import Ledger
from serai.agent.freezing import Freezes
from serai.agent.held import HeldOutputs, forget_held
from serai.errors import Conflict
from serai.kernel.ids import Digest
from serai.storage.database import open_database, transaction, upsert

JOURNAL_FILE: Final = "journal.sqlite"

_METADATA: Final = MetaData()
_WORDS: Final = Table(
    "words",
    _METADATA,
    Column("topic", String, primary_key=True),
    Column("about", String, nullable=False),
    Column("entry", LargeBinary, nullable=False),
)
_SEEDS: Final = Table(
    "seeds",
    _METADATA,
    Column("round", String, primary_key=True),
    Column("seed", LargeBinary, nullable=False),
)
_UPLOADS: Final = Table(
    "uploads",
    _METADATA,
    Column("round", String, primary_key=True),
    Column("blob", String, nullable=False),
    Column("chunks", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("memory", String, nullable=False),
)
_PROGRESS: Final = Table(
    "progress",
    _METADATA,
    Column("run", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("model", String, nullable=False),
    Column("memory", String, nullable=False),
    Column("kept", String, nullable=False),
    Column("base", String, nullable=False),
)
_WORK: Final = Table(
    "work",
    _METADATA,
    Column("run", String, primary_key=True),
    Column("worked_ms", Integer, nullable=False),
)

# Made once: building a statement costs as much as carrying it out.
_NAME: Final[BindParameter[str]] = bindparam("name")
_WORD: Final = select(_WORDS.c.about, _WORDS.c.entry).where(_WORDS.c.topic == _NAME)
_SAY: Final = insert(_WORDS)
_SEED: Final = select(_SEEDS.c.seed).where(_SEEDS.c.round == _NAME)
_SOW: Final = insert(_SEEDS)
_UPLOAD: Final = select(_UPLOADS).where(_UPLOADS.c.round == _NAME)
_RECORD_UPLOAD: Final = upsert(_UPLOADS)
_REACHED: Final = select(_PROGRESS).where(_PROGRESS.c.run == _NAME)
_RECORD_PROGRESS: Final = upsert(_PROGRESS)
_WORKED: Final = select(_WORK.c.worked_ms).where(_WORK.c.run == _NAME)
_RECORD_WORK: Final = upsert(_WORK)


_NOISE: Final = "noise"
_LOOK: Final = "look"
_DRAWN: Final = (_NOISE, _LOOK, f"{_NOISE} ahead")
"""What seeds are drawn for beside the masks of a round."""

_ALONE: Final = "alone"

_AT_ONCE: Final = 500  # names in one statement; SQLite takes a few hundred more


def alone(run: Digest) -> Digest:
    """Under what name a zone keeps how far the model is that it trains by itself, beside what a run made."""
    return Digest(f"{_ALONE} {run}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is in this zone.

    Attributes:
        number: the next round whose sum is to be combined.
        model: digest of the model that round starts from.
        memory: digest of what the recipe keeps from round to round.
        kept: the round with whose vector it was kept; empty if there was none.
        base: digest of the model that this round began from, where it is still needed; empty if not.

    """

    number: int
    model: Digest
    memory: Digest
    kept: Digest
    base: Digest


@dataclass(frozen=True, slots=True)
class Upload:
    """A masked vector in this zone's store.

    Attributes:
        blob: its digest.
        chunks: SHA-256 of each of its chunks, 32 bytes each, end to end.
        size_bytes: its size.
        memory: digest of what the recipe keeps once this upload counts.

    """

    blob: Digest
    chunks: bytes
    size_bytes: int
    memory: Digest


class Journal:
    """The zone's memory. Safe to use from several threads.

    Every method raises Unavailable where the disk is full and Corrupt where the file is damaged.

    Args:
        path: the SQLite file, made private if it does not exist; None keeps it in memory.

    Attributes:
        airlock: what waits for the steward, and what passed before.
        budgets: what runs take of the zone's privacy budgets.
        freezes: what the zone's people have frozen.
        uses: receipts of what left.

    """

    def __init__(self, path: Path | None) -> None:
        self._engine = open_database(path, _METADATA)
        self.airlock = HeldOutputs(self._engine)
        self.budgets = Ledger(self._engine)
        self.freezes = Freezes(self._engine)
        self.uses = UseBook(self._engine)

    def word(self, topic: str, about: str, sign: Callable[[], bytes]) -> bytes:
        """The entry said on a topic: the journalled one, or a new one, journalled first.

        Raises:
            Conflict: the topic was decided about something else.

        """
        with transaction(self._engine) as connection:
            row = connection.execute(_WORD, {"name": topic}).first()
            if row is None:
                entry = sign()
                connection.execute(_SAY, {"topic": topic, "about": about, "entry": entry})
                return entry
        if row.about != about:
            raise Conflict(
                "said-otherwise",
                f"this zone already decided {topic} about {row.about[:12]}; it does not do so again about {about[:12]}",
            )
        return bytes(row.entry)

    def decision(self, topic: str) -> str | None:
        """What a topic was decided about; None if nothing was said on it yet."""
        with transaction(self._engine) as connection:
            row = connection.execute(_WORD, {"name": topic}).first()
        return None if row is None else str(row.about)

    def decide(self, topic: str, about: str) -> None:
        """Take a decision that is told nobody; ``decision`` gives it back.

        Raises:
            Conflict: the topic was decided about something else.

        """
        self.word(topic, about, lambda: b"")

    def seed(self, round_id: Digest, draw: Callable[[], bytes]) -> bytes:
        """The self mask seed of a round, or that of a deal: drawn once, the same after every crash."""
        with transaction(self._engine) as connection:
            row = connection.execute(_SEED, {"name": round_id}).first()
            if row is not None:
                return bytes(row.seed)
            seed = draw()
            connection.execute(_SOW, {"round": round_id, "seed": seed})
            return seed

    def secret(self, round_id: Digest, draw: Callable[[], bytes]) -> bytes:
        """What this zone's noise in a round is drawn from: drawn once, told nobody; no mask is made of it."""
        return self.seed(Digest(f"{_NOISE} {round_id}"), draw)

    def draw(self, round_id: Digest, draw: Callable[[], bytes]) -> bytes:
        """What decides where this zone looks in a round: drawn once, so that no refusal brings on a second draw."""
        return self.seed(Digest(f"{_LOOK} {round_id}"), draw)

    def upload(self, round_id: Digest) -> Upload | None:
        """The upload made for a round, if one was."""
        with transaction(self._engine) as connection:
            row = connection.execute(_UPLOAD, {"name": round_id}).first()
        if row is None:
            return None
        return Upload(Digest(row.blob), bytes(row.chunks), row.size_bytes, Digest(row.memory))

    def record_upload(self, round_id: Digest, upload: Upload) -> None:
        """Remember an upload; its blob and the memory must be stored before, and it is sent only after."""
        with transaction(self._engine) as connection:
            connection.execute(_RECORD_UPLOAD, {"round": round_id, **asdict(upload)})

    def progress(self, run: Digest) -> Progress | None:
        """How far a run was when this was last recorded."""
        with transaction(self._engine) as connection:
            row = connection.execute(_REACHED, {"name": run}).first()
        return (
            None
            if row is None
            else Progress(row.number, Digest(row.model), Digest(row.memory), Digest(row.kept), Digest(row.base))
        )

    def record_progress(self, run: Digest, progress: Progress) -> None:
        """Remember how far a run is; the model must be stored before."""
        with transaction(self._engine) as connection:
            connection.execute(_RECORD_PROGRESS, {"run": run, **asdict(progress)})

    def worked_ms(self, run: Digest) -> int:
        """How long a run's program has worked here, as far as it was recorded; milliseconds."""
        with transaction(self._engine) as connection:
            return connection.execute(_WORKED, {"name": run}).scalar() or 0

    def add_work(self, run: Digest, ms: int) -> None:
        """Record that a run's program has worked for so long."""
        with transaction(self._engine) as connection:
            worked_ms = (connection.execute(_WORKED, {"name": run}).scalar() or 0) + ms
            connection.execute(_RECORD_WORK, {"run": run, "worked_ms": worked_ms})

    def forget(self, run: Digest, topics: Collection[Digest]) -> int:
        """Delete for good what was kept of a run, but for what was said and decided; how many rows there were.

        Args:
            run: the run.
            topics: its rounds, and under what else its seeds were drawn.

        """
        topics = [*topics, alone(run)]
        names = [name for topic in topics for name in (topic, *(f"{kind} {topic}" for kind in _DRAWN))]
        with transaction(self._engine) as connection:
            # Otherwise SQLite only marks the pages as free and leaves in them what they held.
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
            gone = connection.execute(delete(_PROGRESS).where(_PROGRESS.c.run.in_((run, alone(run))))).rowcount
            gone += connection.execute(delete(_WORK).where(_WORK.c.run == run)).rowcount
            gone += forget_held(connection, run)
            for start in range(0, len(names), _AT_ONCE):
                part = names[start : start + _AT_ONCE]
                gone += connection.execute(delete(_SEEDS).where(_SEEDS.c.round.in_(part))).rowcount
                gone += connection.execute(delete(_UPLOADS).where(_UPLOADS.c.round.in_(part))).rowcount
        with transaction(self._engine) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # the pages as they were lie there as well
        return gone

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def open_journal(home: Path) -> Journal:
    """The journal of the zone in a folder, beside the agent that may be running there.

    Raises:
        Unavailable: it cannot be opened.
        Corrupt: it is damaged.

    """
    return Journal(home / JOURNAL_FILE)
