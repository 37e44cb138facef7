"""Puts statements in order: one writer, one durable commit for each batch, files and heads after it.

Theory of operation. Anybody may submit an entry from any thread. One writer
takes whatever waits, without a timer: while it commits one batch, the next one
gathers, so batches grow with the load and a lone entry waits for nobody.

Crash order. Each batch passes these points, and a crash after each leaves:

1. *admitted, hashed, signed*: nothing. The signed checkpoint is only in memory,
   so another batch may take the same indices after a restart without a fork.
2. *committed*: entries and their checkpoint are in SQLite, in one transaction.
   This is the only commit point. Submitters whose answer was lost submit again
   and get the same index, because a statement id is stored once.
3. *tiles written*: files without a checkpoint that speaks of them. The next
   start writes the same bytes again.
4. *checkpoint file replaced*: the world sees the new head. Once a quorum of
   members cosigns, that file is the latest checkpoint they have all signed, so
   whoever fetches the log finds one that passes an audit.
5. *answered*: futures resolve, subscribers wake.

A start reads the store from its first entry, recomputes the root, refuses to
run if it is not the one that was signed, and compares every file. It costs a
few microseconds for each entry and proves the store sound.

Cosignatures take the same path: the caller's thread verifies them, the writer
stores a newly witnessed checkpoint before anybody sees it.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeAlias

from serai.center.heads import Head, RecentHeads
from serai.errors import Conflict, Corrupt, Misconfigured, SeraiError, Unavailable, Unverified
from serai.kernel.envelope import Envelope, parse_envelope
from serai.kernel.ids import Digest, MemberId
from serai.ledger.checkpoint import Checkpoint, LogSigner, open_checkpoint, verify_cosignature, witness_key
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses
from serai.storage.log import LogStore, StoredEntry
from serai.storage.tile_files import TileFiles

MAX_BATCH: Final = 4_096  # entries in one transaction; beyond it a commit gets longer, not cheaper
MAX_BATCH_BYTES: Final = 32 << 20  # bounds the memory of a batch of large entries
MAX_WAITING: Final = 65_536  # entries in the queue; more would only wait longer, so their senders hear it
RETRY_S: Final = 1.0  # pause before files that could not be written are tried again
_READ_STEP: Final = 4_096
_CHECKPOINT: Final = "checkpoint"
_WITNESSED: Final = "witnessed"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Submission:
    entry: bytes
    envelope: Envelope
    future: Future[int]


@dataclass(frozen=True, slots=True)
class _Cosignature:
    member: MemberId
    size: int
    time_s: int
    line: str


_Item: TypeAlias = _Submission | _Cosignature | None  # None wakes the writer


class Sequencer:
    """The center's only writer to the log.

    Args:
        store: the log; its content is checked against its signed checkpoint.
        tiles: where the log is published as files.
        log: the log's origin and signing key.
        admit: raises a SeraiError to keep an entry out. It must verify the
            envelope's signature: ids do not cover it, so an entry with a false
            one would take the place of the true statement.
        witnesses: whose cosignatures count now.

    Attributes:
        last_kinds: for subscribers, when they are called: of the statements that were added; empty if a quorum
            of cosignatures came, with or without statements.

    Raises:
        Corrupt: the stored entries are not those that were signed.
        Misconfigured: the store belongs to another log or key.
        Unavailable: the files cannot be written.

    """

    def __init__(
        self,
        store: LogStore,
        tiles: TileFiles,
        log: LogSigner,
        admit: Callable[[Envelope], None],
        witnesses: Callable[[], Witnesses],
    ) -> None:
        self._store = store
        self._tiles = tiles
        self._log = log
        self._admit = admit
        self._witnesses = witnesses
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._subscribers: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self.last_kinds: frozenset[str] = frozenset()
        self._unstored: Head | None = None  # a witnessed head that waits for room on the disk
        self._recent = RecentHeads()
        self._frontier, self._committed = self._recover()
        self._witnessed: Head | None = self._recover_witnessed()
        if self._witnessed is not None:
            # Its partial tiles are files of their own; a folder that was lost needs them again.
            self._tiles.publish(self._store.read, self._witnessed.size, self._witnessed.note)
        self._publish()

    def start(self) -> None:
        """Run the writer in a thread of its own until ``close``."""
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the writer; what waits is still written. The store stays open."""
        with self._lock:
            self._closed = True
        self._inbox.put(None)
        if self._thread is not None:
            self._thread.join()
        else:
            while self.step():
                pass

    def submit(self, entry: bytes) -> Future[int]:
        """Hand in an entry.

        Returns:
            Its index in the log, once it is durable and published. The future
            raises Malformed, whatever ``admit`` raises, or Unavailable.

        """
        future: Future[int] = Future()
        try:
            envelope = parse_envelope(entry)
            with self._lock:
                if self._closed:
                    raise Unavailable("sequencer-closed", "the center is stopping; submit again when it is back")
                if self._inbox.qsize() >= MAX_WAITING:
                    raise Unavailable("sequencer-busy", f"{MAX_WAITING} entries wait already; submit again later")
                self._inbox.put(_Submission(entry, envelope, future))
        except SeraiError as error:
            future.set_exception(error)
        return future

    def add_cosignature(self, member: MemberId, line: str, size: int) -> None:
        """Hand in a member's cosignature of the head of a size.

        Raises:
            Conflict: the log had no head of that size lately; cosign the current one.
            Malformed: not a signature line.
            Unverified: the member is no witness, or the signature does not hold.

        """
        public = self._witnesses().keys.get(member)
        if public is None:
            raise Unverified("witness-unknown", f"{member} has no witness key in the charter")
        with self._lock:
            head = self._recent.find(size)
        if head is None:
            raise Conflict("head-unknown", f"no head of size {size} is recent, the log is at {self.head().size}")
        body = Checkpoint(self._log.origin, size, head.root).body()
        time_s = verify_cosignature(body, line, witness_key(self._log.origin, member, public))
        self._inbox.put(_Cosignature(member, size, time_s, line))

    def head(self) -> Head:
        """Return the latest published head."""
        with self._lock:
            return self._head

    def witnessed(self) -> Head | None:
        """Return the latest head that a quorum of members has cosigned, or None; its note has the cosignatures."""
        with self._lock:
            return self._witnessed

    def entries(self, start: int, end: int) -> list[bytes]:
        """Read published entries from ``start`` up to, not including, ``end``.

        Raises:
            Missing: the log does not hold all of them.

        """
        return self._store.read(start, end)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, from the writer, after each new head and each change of the witnessed one.

        It must be quick and must not raise: an exception stops the sequencer.
        """
        with self._lock:
            self._subscribers.append(callback)

    def step(self, wait_s: float | None = 0.0) -> int:
        """Process what waits.

        Args:
            wait_s: how long to wait for a first item; None for ever.

        Returns:
            How many items were processed.

        """
        items = self._gather(wait_s)
        submissions = [item for item in items if isinstance(item, _Submission)]
        before = (self._head, self._witnessed)
        self.last_kinds = frozenset()
        try:
            answers = self._sequence(submissions)
            self._catch_up()
            for future, index in answers:
                future.set_result(index)
        finally:
            _refuse(submissions)  # only those that an unexpected failure left without an answer
        if self._unstored is not None:
            self._keep_witnessed(self._unstored)
        self._count_cosignatures([item for item in items if isinstance(item, _Cosignature)])
        if before != (self._head, self._witnessed):
            if before[1] != self._witnessed:
                self.last_kinds = frozenset()  # a quorum is news of its own
            self._notify()
        return len(items)

    def _recover(self) -> tuple[Frontier, Head]:
        size = self._store.size
        frontier = Frontier()
        for start in range(0, size, _READ_STEP):
            entries = self._store.read(start, min(size, start + _READ_STEP))
            frontier = frontier.extend(leaf_hash(entry) for entry in entries)
        stored = self._store.get(_CHECKPOINT)
        if stored is None:
            if size:
                raise Corrupt("log-unsigned", f"{size} entries lie in the store without a checkpoint")
            note = self._log.sign(0, frontier.root())
            self._store.put(_CHECKPOINT, note.encode())
            return frontier, Head(0, frontier.root(), note)
        note = stored.decode()
        try:
            checkpoint = open_checkpoint(parse_note(note), self._log.key)
        except Unverified as error:
            raise Misconfigured("log-key", f"the store belongs to another log or key: {error}") from error
        if (checkpoint.size, checkpoint.root) != (size, frontier.root()):
            raise Corrupt(
                "log-corrupt",
                f"the store's {size} entries are not the {checkpoint.size} that were signed; restore it from a mirror",
            )
        return frontier, Head(size, frontier.root(), note)

    def _recover_witnessed(self) -> Head | None:
        stored = self._store.get(_WITNESSED)
        if stored is None:
            return None
        checkpoint = open_checkpoint(parse_note(stored.decode()), self._log.key)
        return Head(checkpoint.size, checkpoint.root, stored.decode())

    def _run(self) -> None:
        try:
            while not self._closed or not self._inbox.empty():
                is_done = self._committed is self._head and self._unstored is None
                self.step(None if is_done else RETRY_S)
        finally:
            with self._lock:
                self._closed = True
            while items := self._gather(0.0):
                _refuse(item for item in items if isinstance(item, _Submission))

    def _gather(self, wait_s: float | None) -> list[_Submission | _Cosignature]:
        items: list[_Submission | _Cosignature] = []
        size_bytes = 0
        block = wait_s is None or wait_s > 0
        try:
            while len(items) < MAX_BATCH and size_bytes < MAX_BATCH_BYTES:
                item = self._inbox.get(block=block and not items, timeout=wait_s or None)
                if item is None:
                    block = False
                elif isinstance(item, _Cosignature):
                    items.append(item)
                elif item.future.set_running_or_notify_cancel():
                    items.append(item)
                    size_bytes += len(item.entry)
        except queue.Empty:
            pass
        return items

    def _sequence(self, submissions: Iterable[_Submission]) -> list[tuple[Future[int], int]]:
        """Commit what is new; returns the answers that may be given once it is published."""
        waiting = list(submissions)
        try:
            known = self._store.find_all([item.envelope.id for item in waiting]) if waiting else {}
        except Unavailable as error:
            _fail(waiting, error)
            return []
        fresh: dict[Digest, list[_Submission]] = {}
        answers: list[tuple[Future[int], int]] = []
        for item in waiting:
            name = item.envelope.id
            if name in known:
                answers.append((item.future, known[name]))
            elif name in fresh:
                fresh[name].append(item)
            elif self._is_admitted(item):
                fresh[name] = [item]
        if fresh:
            answers += self._commit(fresh)
        return answers

    def _is_admitted(self, item: _Submission) -> bool:
        try:
            self._admit(item.envelope)
        except SeraiError as error:
            item.future.set_exception(error)
            return False
        return True

    def _commit(self, fresh: dict[Digest, list[_Submission]]) -> list[tuple[Future[int], int]]:
        entries = [StoredEntry(name, items[0].entry) for name, items in fresh.items()]
        frontier = self._frontier.extend(leaf_hash(item.entry) for item in entries)
        head = Head(frontier.size, frontier.root(), self._log.sign(frontier.size, frontier.root()))
        try:
            indices = self._store.append(entries, {_CHECKPOINT: head.note.encode()})
        except SeraiError as error:
            _fail((item for items in fresh.values() for item in items), error)
            return []
        assert indices[-1] == frontier.size - 1
        self._frontier, self._committed = frontier, head
        self.last_kinds = frozenset(items[0].envelope.kind for items in fresh.values())
        return [(item.future, index) for index, items in zip(indices, fresh.values(), strict=True) for item in items]

    def _catch_up(self) -> None:
        if self._committed is self._head:
            return
        try:
            self._publish()
        except Unavailable as error:
            # The entries are durable already; only the files are late, and the next step tries them again.
            _log.warning("the log's files are behind: %s", error)

    def _notify(self) -> None:
        with self._lock:
            subscribers = tuple(self._subscribers)
        for callback in subscribers:
            callback()

    def _publish(self) -> None:
        head = self._committed
        self._tiles.publish(self._store.read, head.size, (self._witnessed or head).note)
        with self._lock:
            self._head = head
            self._recent.add(head)

    def _count_cosignatures(self, cosignatures: Iterable[_Cosignature]) -> None:
        least = -1 if self._witnessed is None else self._witnessed.size
        touched = {
            item.size for item in cosignatures if self._recent.cosign(item.member, item.line, item.size, item.time_s)
        }
        for size in sorted(touched, reverse=True):
            head = self._recent.witnessed(size, self._witnesses()) if size >= least else None
            if head is not None:
                self._keep_witnessed(head)
                return

    def _keep_witnessed(self, head: Head) -> None:
        """Store a witnessed head before anybody sees it."""
        try:
            self._store.put(_WITNESSED, head.note.encode())
        except Unavailable as error:
            # Nobody saw it, so nothing is lost; but members that wait for it say no more, so the next step tries again.
            if self._unstored != head:
                _log.warning("the witnessed head of size %d was not stored: %s", head.size, error)
            self._unstored = head
            return
        self._unstored = None
        with self._lock:
            self._witnessed = head
        try:
            self._tiles.announce(head.note)
        except Unavailable as error:
            _log.warning("the checkpoint file is behind until the next batch: %s", error)


def _fail(submissions: Iterable[_Submission], error: SeraiError) -> None:
    for item in submissions:
        item.future.set_exception(error)


def _refuse(submissions: Iterable[_Submission]) -> None:
    """Answer those that still wait when the writer ends, expectedly or not."""
    for item in submissions:
        if not item.future.done():
            item.future.set_exception(Unavailable("sequencer-closed", "the center stopped; submit again"))
