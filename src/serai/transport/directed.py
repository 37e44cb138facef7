"""The center at the address that is in force now, which a succession changes."""

from collections.abc import Callable, Iterator
from pathlib import Path

from serai.kernel.ids import Digest, MemberId
from serai.transport.port import Center, Health, LinkMeasured, News


class Directed:
    """``serai.transport.port.Center``, each verb asked of the center that is in force when it is called.

    Args:
        address: where that is.
        dial: the center at an address; called once for each.

    """

    def __init__(self, address: Callable[[], str], dial: Callable[[str], Center]) -> None:
        self._address = address
        self._dial = dial
        self._dialled: dict[str, Center] = {}

    def at(self, url: str) -> Center:
        """The center at an address, in force or not."""
        if url not in self._dialled:
            self._dialled[url] = self._dial(url)
        return self._dialled[url]

    @property
    def _center(self) -> Center:
        return self.at(self._address())

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What is new in the log, see ``Center``."""
        return self._center.news(size, witnessed, wait_s)

    def submit(self, entry: bytes) -> int:
        """Have an entry put into the log, see ``Center``."""
        return self._center.submit(entry)

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Hand in a cosignature, see ``Center``."""
        self._center.cosign(member, line, size)

    def put_blob(self, digest: Digest, source: Path | bytes) -> None:
        """Store a file or bytes, see ``Center``."""
        self._center.put_blob(digest, source)

    def get_blob(self, digest: Digest, target: Path) -> None:
        """Fetch a blob into a file, see ``Center``."""
        self._center.get_blob(digest, target)

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """Fetch part of a blob, see ``Center``."""
        return self._center.read_blob(digest, offset, length)

    def stream_blob(self, digest: Digest, piece_bytes: int) -> Iterator[bytes]:
        """Fetch a blob piece by piece, see ``Center``."""
        return self._center.stream_blob(digest, piece_bytes)

    def has_blob(self, digest: Digest) -> bool:
        """Whether the center holds a blob, see ``Center``."""
        return self._center.has_blob(digest)

    def health(self) -> Health:
        """Whether the center is there, see ``Center``."""
        return self._center.health()

    def link(self) -> LinkMeasured | None:
        """What the link carried lately, see ``Center``."""
        return self._center.link()
