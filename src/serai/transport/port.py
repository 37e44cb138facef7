"""The center as a member sees it: ten verbs, the same in one process and over HTTP.

``serai.center.service.CenterService`` answers them directly and
``serai.transport.client.HttpCenter`` over the network, so whatever drives one
drives the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from serai.kernel.ids import Digest, MemberId

MAX_NEWS_BYTES: Final = 4 * 2**20  # entries in one reply: few round trips to catch up, little memory to hold
MAX_WAIT_S: Final = 30.0  # below the 60 s after which common proxies close a silent connection


@dataclass(frozen=True, slots=True)
class News:
    """What the log has beyond what the asker holds.

    Attributes:
        first: index of the first entry in ``entries``: the size that was asked about.
        entries: consecutive entries from ``first`` on; fewer than the head commits
            to when they would exceed ``MAX_NEWS_BYTES``: ask again.
        checkpoint: signed note of the latest head; "" while the log is empty.
        witnessed: note of the latest head that a quorum of members cosigned.

    """

    first: int
    entries: tuple[bytes, ...]
    checkpoint: str
    witnessed: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """What the center says of itself, to be believed only as far as a stranger.

    Attributes:
        origin: the log's origin line.
        size: number of published entries.
        witnessed: size of the latest head with a quorum of cosignatures; 0 if none.
        software: name and version of the program that answered.

    """

    origin: str
    size: int
    witnessed: int
    software: str


@dataclass(frozen=True, slots=True)
class LinkMeasured:
    """What the link to the center carried lately.

    Attributes:
        up_bytes_s: bytes a second towards the center; None before a transfer was large enough to tell.
        down_bytes_s: the other way, likewise.
        rtt_s: the smallest round trip seen, seconds.

    """

    up_bytes_s: float | None
    down_bytes_s: float | None
    rtt_s: float


class Center(Protocol):
    """What a member may ask of the center. Every verb is safe to repeat."""

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What there is beyond ``size`` entries or beyond the witnessed head of size ``witnessed``.

        Answers at once if there is something, else when something comes, else with
        no entries after ``wait_s`` seconds (at most ``MAX_WAIT_S``).

        Raises:
            Conflict: ``size`` is beyond the log: the center lost entries, or it is another log.

        """

    def submit(self, entry: bytes) -> int:
        """Have an entry put into the log; its index, the old one if it was there already.

        Raises:
            Malformed: not a statement in an envelope.
            Refused: the center does not admit it; the article says why.
            Unverified: signed by no key that the center knows.

        """

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Hand in ``member``'s cosignature line for the head of ``size`` entries.

        Raises:
            Unverified: the line is not that member's cosignature of that head.

        """

    def put_blob(self, digest: Digest, source: Path | bytes) -> None:
        """Store a file or bytes under their SHA-256; of what came before a failure, the next call sends no more.

        Raises:
            Unverified: ``source`` does not have that digest.
            Refused: larger than the center takes.
            Unavailable: the center has no room left.

        """

    def get_blob(self, digest: Digest, target: Path) -> None:
        """Write a blob to ``target``, which appears complete and verified or not at all.

        Raises:
            Missing: the center has no such blob.
            Unverified: what came does not have that digest.

        """

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes of a blob from ``offset`` on; fewer at its end.

        A part cannot be verified against the digest of the whole: the caller checks
        it against a chunk digest.

        Raises:
            Missing: the center has no such blob.

        """

    def stream_blob(self, digest: Digest, piece_bytes: int) -> Iterator[bytes]:
        """A whole blob from its start, in pieces of ``piece_bytes`` and a last one of what is left.

        The digest is not checked: the caller hashes what it uses. A connection that
        breaks is opened anew, from where it broke.

        Raises:
            Missing: the center has no such blob.
            Unavailable: the center does not answer any more; begin again.

        """

    def has_blob(self, digest: Digest) -> bool:
        """Whether the center holds a blob."""

    def health(self) -> Health:
        """Whether the center is there, and how far its log is."""

    def link(self) -> LinkMeasured | None:
        """What the link carried lately; None where there is none, or nothing was asked yet."""
