"""What the center does for members, without HTTP: news, entries, cosignatures, blobs."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import serai
from serai.aggregation.statements import RoundClose, RoundOpen
from serai.center.sequencer import Sequencer
from serai.errors import Conflict, Unavailable
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.storage.blobs import BlobStore
from serai.transport.port import MAX_NEWS_BYTES, MAX_WAIT_S, Health, News

SUBMIT_TIMEOUT_S: Final = 30.0  # a disk that needs longer for one transaction is not usable
_URGENT: Final = {RoundOpen.KIND, RoundClose.KIND}
_STEP: Final = 256  # entries read at once: an entry bundle


@dataclass(frozen=True, slots=True)
class NewsSizes:
    """How many entries the log has, and how many of them a quorum has witnessed."""

    size: int
    witnessed: int


class CenterService:
    """``serai.transport.port.Center`` in one process, and what the routes are made of.

    Args:
        log: orders and keeps the entries.
        blobs: keeps the blobs.
        keys: the raw public key of a key id, or None if no member has it; asked for
            requests that come over the network.

    """

    def __init__(self, log: Sequencer, blobs: BlobStore, keys: Callable[[KeyId], bytes | None]) -> None:
        self.log = log
        self.blobs = blobs
        self.keys = keys
        self.before_submit: Callable[[], None] = lambda: None
        """Called before each entry is handed in, such as to let log time catch up first."""
        self._changed = threading.Condition()
        log.subscribe(self._notify)

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What is new in the log, see ``Center``."""
        with self._changed:
            # Checked under the lock that _notify takes, so no change can slip between check and wait.
            self._changed.wait_for(lambda: self.has_news(size, witnessed), min(wait_s, MAX_WAIT_S))
        return self.read_news(size, witnessed)

    def has_news(self, size: int, witnessed: int) -> bool:
        """Whether ``read_news`` would find anything; reads memory only.

        Raises:
            Conflict: ``size`` or ``witnessed`` is beyond the log.

        """
        newest, head = self.log.witnessed(), self.log.head()
        if max(size, witnessed) > head.size:
            raise Conflict(
                "log-shorter",
                f"asked for news after {max(size, witnessed)} entries, this log has {head.size}: it lost some, or it is "
                "another log; compare checkpoints before going on",
            )
        return head.size > size or (newest is not None and newest.size > witnessed)

    def news_sizes(self) -> NewsSizes:
        """How far the log and its witnesses are; reads memory only."""
        newest, head = self.log.witnessed(), self.log.head()
        return NewsSizes(head.size, newest.size if newest else 0)

    def is_urgent(self) -> bool:
        """Whether everybody may act on what came last, at once; asked by the log's subscribers.

        So it is with a round that opens or closes, and with a new witnessed head, which
        comes without a kind. Of the rest, such as ballots or the steps that each member
        takes in a round, many come together, and only the last one matters to the others.
        """
        return not self.log.last_kinds or not self.log.last_kinds.isdisjoint(_URGENT)

    def read_news(self, size: int, witnessed: int) -> News:
        """What is new now, possibly nothing.

        Raises:
            Conflict: ``size`` or ``witnessed`` is beyond the log.

        """
        self.has_news(size, witnessed)
        newest, head = self.log.witnessed(), self.log.head()  # in this order: a witnessed head is never the newer one
        return News(
            first=size,
            entries=self._entries(size, head.size),
            checkpoint=head.note,
            witnessed=newest.note if newest is not None and newest.size > witnessed else None,
        )

    def hand_in(self, entry: bytes) -> Future[int]:
        """Hand in an entry; its index comes when it is in the log."""
        self.before_submit()
        return self.log.submit(entry)

    def submit(self, entry: bytes) -> int:
        """Have an entry put into the log, see ``Center``."""
        try:
            return self.hand_in(entry).result(SUBMIT_TIMEOUT_S)
        except TimeoutError as error:
            raise log_stalled() from error

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Keep a member's cosignature, see ``Center``."""
        self.log.add_cosignature(member, line, size)

    def put_blob(self, digest: Digest, source: Path | bytes) -> None:
        """Store a file or bytes, see ``Center``."""
        with self.blobs.writer() as writer:
            if isinstance(source, bytes):
                writer.write(source)
            else:
                with source.open("rb") as file:
                    while block := file.read(2**20):
                        writer.write(block)
            writer.commit(digest)

    def get_blob(self, digest: Digest, target: Path) -> None:
        """Copy a blob to a file, see ``Center``."""
        temporary = target.with_name(f".{target.name}.{threading.get_ident()}")
        try:
            with self.blobs.open(digest) as source, temporary.open("wb") as file:
                shutil.copyfileobj(source, file, 2**20)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """Part of a blob, see ``Center``."""
        return self.blobs.read_range(digest, offset, length)

    def stream_blob(self, digest: Digest, piece_bytes: int) -> Iterator[bytes]:
        """A blob piece by piece, see ``Center``."""
        with self.blobs.open(digest) as file:
            while piece := file.read(piece_bytes):
                yield piece

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is here, see ``Center``."""
        return self.blobs.has(digest)

    def health(self) -> Health:
        """How far the log is, see ``Center``."""
        newest, head = self.log.witnessed(), self.log.head()
        return Health(
            origin=head.note.split("\n", 1)[0],
            size=head.size,
            witnessed=newest.size if newest else 0,
            software=f"serai {serai.__version__}",
        )

    def link(self) -> None:
        """No link lies between, see ``Center``."""

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _entries(self, start: int, end: int) -> tuple[bytes, ...]:
        entries: list[bytes] = []
        room = MAX_NEWS_BYTES
        while start < end:
            for entry in self.log.entries(start, min(start + _STEP, end)):
                room -= len(entry)
                if room < 0 and entries:
                    return tuple(entries)
                entries.append(entry)
            start += _STEP
        return tuple(entries)


def log_stalled() -> Unavailable:
    """The error for an entry that did not become durable in time; it may still do so."""
    return Unavailable(
        "log-stalled", f"the log did not take the entry within {SUBMIT_TIMEOUT_S:g} s; send the same entry again later"
    )
