"""The center over HTTP, as ``serai.transport.port.Center`` asks for it."""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import urllib3

import serai
from serai.errors import Malformed, Unverified
from serai.kernel.ids import Digest, MemberId, parse_digest
from serai.kernel.keys import Signer
from serai.transport.connection import SILENCE_TIMEOUT_S, Call, Connection, Dialing, read_reply
from serai.transport.port import MAX_WAIT_S, Health, LinkMeasured, News
from serai.transport.problems import error_of
from serai.transport.transfers import Transfers
from serai.transport.wire import CosignRequest, HealthReply, NewsReply, SubmitReply

_DEFAULT: Final = Dialing()


class HttpCenter:
    """``serai.transport.port.Center`` over HTTP. Safe to use from several threads.

    Args:
        url: ``http://host:port`` or ``https://host:port``, without a path.
        signer: one of the member's keys that the center knows.
        member: named in ``User-Agent``, for the operator's log.
        dialing: how often, and over how many connections.

    Raises:
        Misconfigured: ``url`` has another form.

    """

    def __init__(self, url: str, signer: Signer, member: MemberId, dialing: Dialing = _DEFAULT) -> None:
        agent = f"serai/{serai.__version__} ({member})"
        self._connection = Connection(url, signer, agent, dialing)
        self._transfers = Transfers(self._connection)

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What is new in the log, see ``Center``."""
        wait_ms = round(1000 * min(max(wait_s, 0.0), MAX_WAIT_S))
        query = urlencode({"size": size, "witnessed": witnessed, "wait_ms": wait_ms})
        timeout_s = wait_ms / 1000 + SILENCE_TIMEOUT_S
        reply = self._connection.json(NewsReply, Call(method="GET", path="/news", query=query, timeout_s=timeout_s))
        return News(
            first=reply.first,
            entries=tuple(entry.encode() for entry in reply.entries),
            checkpoint=reply.checkpoint,
            witnessed=reply.witnessed,
        )

    def submit(self, entry: bytes) -> int:
        """Have an entry put into the log, see ``Center``."""
        return self._connection.json(SubmitReply, Call(method="POST", path="/entries", body=entry)).index

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Hand in a cosignature, see ``Center``."""
        body = CosignRequest(member=member, line=line, size=size).model_dump_json().encode()
        self._connection.attempts(Call(method="POST", path="/cosignatures", body=body), read_reply)

    def put_blob(self, digest: Digest, source: Path | bytes) -> None:
        """Store a file or bytes, see ``Center``."""
        self._transfers.put(digest, source)

    def get_blob(self, digest: Digest, target: Path) -> None:
        """Fetch a blob into a file, see ``Center``."""
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        hasher = hashlib.sha256()
        try:
            with temporary.open("wb") as file:
                for block in self._transfers.blocks(digest):
                    hasher.update(block)
                    file.write(block)
            if hasher.hexdigest() != digest:
                raise Unverified(
                    "blob-digest", f"expected a blob with digest {digest}, got {hasher.hexdigest()}; ask another holder"
                )
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """Fetch part of a blob, see ``Center``."""
        if offset < 0 or length < 0:
            raise Malformed("blob-range", f"expected an offset and a length of at least 0, got {offset} and {length}")
        return self._transfers.read_part(digest, offset, length)[0] if length else b""

    def stream_blob(self, digest: Digest, piece_bytes: int) -> Iterator[bytes]:
        """Fetch a blob piece by piece, see ``Center``."""
        held = bytearray()
        for block in self._transfers.blocks(digest):
            held += block
            while len(held) >= piece_bytes:
                yield bytes(held[:piece_bytes])
                del held[:piece_bytes]
        if held:
            yield bytes(held)

    def has_blob(self, digest: Digest) -> bool:
        """Whether the center holds a blob, see ``Center``."""
        return self._connection.attempts(Call(method="HEAD", path=f"/blobs/{parse_digest(digest)}"), _is_there)

    def health(self) -> Health:
        """Whether the center is there, see ``Center``."""
        reply = self._connection.json(HealthReply, Call(method="GET", path="/health"))
        return Health(origin=reply.origin, size=reply.size, witnessed=reply.witnessed, software=reply.software)

    def link(self) -> LinkMeasured | None:
        """What the link carried lately, see ``Center``."""
        return self._connection.meter.measured()

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._connection.close()


def _is_there(answer: urllib3.BaseHTTPResponse) -> bool:
    answer.read()
    if answer.status in {200, 404}:
        return answer.status == 200
    raise error_of(answer.status, b"")  # an answer to HEAD has no document that gives the reason
