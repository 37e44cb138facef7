"""The center over HTTP: signed requests on kept-alive connections, files streamed both ways."""

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import urllib3
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import HTTPError, MaxRetryError

import serai
from serai.errors import Malformed, Misconfigured, Unavailable, Unverified
from serai.kernel.ids import Digest, MemberId, parse_digest
from serai.kernel.keys import Signer
from serai.transport.port import MAX_WAIT_S, Health, News
from serai.transport.problems import error_of
from serai.transport.signatures import RequestHead, content_digest, sign_request
from serai.transport.wire import CosignRequest, HealthReply, NewsReply, SubmitReply

BLOCK_BYTES: Final = 2**20  # fewer Python steps per gigabyte; constant memory
CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 60.0  # without a byte for so long, the connection counts as broken
BACKOFF_S: Final = (0.1, 0.5, 2.0)  # waits before the second, third and fourth attempt
MAX_REPLY_BYTES: Final = 64 * 2**20  # far above what an honest center sends in one JSON reply

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | BinaryIO | None = None
    timeout_s: float = SILENCE_TIMEOUT_S


class HttpCenter:
    """``serai.transport.port.Center`` over HTTP. Safe to use from several threads.

    Every attempt is signed anew. Attempts are repeated after a broken connection
    only, never after an answer: every verb is safe to repeat.

    Args:
        url: ``http://host:port`` or ``https://host:port``, without a path.
        signer: one of the member's keys that the center knows.
        member: named in ``User-Agent``, for the operator's log.
        ca_file: certificates to trust instead of the system's.
        backoff_s: seconds to wait before each further attempt.

    Raises:
        Misconfigured: ``url`` has another form.

    """

    def __init__(
        self,
        url: str,
        signer: Signer,
        member: MemberId,
        *,
        ca_file: Path | None = None,
        backoff_s: tuple[float, ...] = BACKOFF_S,
    ) -> None:
        self._url = url.rstrip("/")
        self._signer = signer
        self._agent = f"serai/{serai.__version__} ({member})"
        self._backoff_s = backoff_s
        self._pool = _open_pool(self._url, ca_file)

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What is new in the log, see ``Center``."""
        wait_ms = round(1000 * min(max(wait_s, 0.0), MAX_WAIT_S))
        query = urlencode({"size": size, "witnessed": witnessed, "wait_ms": wait_ms})
        timeout_s = wait_ms / 1000 + SILENCE_TIMEOUT_S
        reply = self._json(NewsReply, _Call(method="GET", path="/news", query=query, timeout_s=timeout_s))
        return News(
            first=reply.first,
            entries=tuple(entry.encode() for entry in reply.entries),
            checkpoint=reply.checkpoint,
            witnessed=reply.witnessed,
        )

    def submit(self, entry: bytes) -> int:
        """Have an entry put into the log, see ``Center``."""
        return self._json(SubmitReply, _Call(method="POST", path="/entries", body=entry)).index

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Hand in a cosignature, see ``Center``."""
        body = CosignRequest(member=member, line=line, size=size).model_dump_json().encode()
        self._attempts(_Call(method="POST", path="/cosignatures", body=body), _read)

    def put_blob(self, digest: Digest, source: Path | bytes) -> None:
        """Store a file or bytes, see ``Center``."""
        path = f"/blobs/{parse_digest(digest)}"
        if isinstance(source, bytes):
            self._attempts(_Call(method="PUT", path=path, body=source), _read)
            return
        with source.open("rb") as file:
            headers = {"content-length": str(os.fstat(file.fileno()).st_size)}
            self._attempts(_Call(method="PUT", path=path, headers=headers, body=file), _read)

    def get_blob(self, digest: Digest, target: Path) -> None:
        """Fetch a blob into a file, see ``Center``."""
        call = _Call(method="GET", path=f"/blobs/{parse_digest(digest)}")
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            self._attempts(call, lambda answer: _download(answer, digest, temporary))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """Fetch part of a blob, see ``Center``."""
        if offset < 0 or length < 0:
            raise Malformed("blob-range", f"expected an offset and a length of at least 0, got {offset} and {length}")
        if length == 0:
            return b""
        headers = {"range": f"bytes={offset}-{offset + length - 1}"}
        call = _Call(method="GET", path=f"/blobs/{parse_digest(digest)}", headers=headers)
        return self._attempts(call, lambda answer: _read_part(answer, length))

    def stream_blob(self, digest: Digest, piece_bytes: int) -> Iterator[bytes]:
        """Fetch a blob piece by piece, see ``Center``."""
        call = _Call(method="GET", path=f"/blobs/{parse_digest(digest)}")
        try:
            with self._open(call) as answer:
                if answer.status != 200:
                    raise error_of(answer.status, answer.read(MAX_REPLY_BYTES))
                while piece := answer.read(piece_bytes):
                    yield piece
        except HTTPError as error:
            raise self._unreachable(call, error) from error

    def has_blob(self, digest: Digest) -> bool:
        """Whether the center holds a blob, see ``Center``."""
        call = _Call(method="HEAD", path=f"/blobs/{parse_digest(digest)}")
        return self._attempts(call, _is_there)

    def health(self) -> Health:
        """Whether the center is there, see ``Center``."""
        reply = self._json(HealthReply, _Call(method="GET", path="/health"))
        return Health(origin=reply.origin, size=reply.size, witnessed=reply.witnessed, software=reply.software)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._pool.close()

    def _json(self, model: type[M], call: _Call) -> M:
        body = self._attempts(call, _read)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise error_of(200, body) from error

    @contextlib.contextmanager
    def _open(self, call: _Call) -> Iterator[urllib3.BaseHTTPResponse]:
        headers = {"user-agent": self._agent, **call.headers}
        if call.method == "POST" and isinstance(call.body, bytes):
            headers |= {"content-digest": content_digest(call.body), "content-type": "application/json"}
        head = RequestHead(method=call.method, path=call.path, query=call.query, headers=headers)
        headers |= sign_request(head, self._signer, created=int(time.time()), nonce=secrets.token_hex(16))
        if call.body is not None and not isinstance(call.body, bytes):
            call.body.seek(0)
        answer = self._pool.urlopen(
            call.method,
            f"{call.path}?{call.query}" if call.query else call.path,
            body=call.body,
            headers=headers,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=call.timeout_s),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        try:
            yield answer
        finally:
            # Once its answer is read to the end, a connection is back in the pool and this
            # leaves it alone; with bytes still to come it is no use to anybody else.
            answer.close()

    def _attempts(self, call: _Call, use: Callable[[urllib3.BaseHTTPResponse], R]) -> R:
        waits = iter(self._backoff_s)
        while True:
            try:
                with self._open(call) as answer:
                    return use(answer)
            except HTTPError as error:
                wait_s = next(waits, None)
                if wait_s is None:
                    raise self._unreachable(call, error) from error
                time.sleep(wait_s)

    def _unreachable(self, call: _Call, error: HTTPError) -> Unavailable:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        return Unavailable(
            "center-unreachable",
            f"no center answers at {self._url} ({call.method} {call.path}): is it running, and is this its address? "
            f"{reason}",
        )


def _open_pool(url: str, ca_file: Path | None) -> urllib3.HTTPConnectionPool:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        raise Misconfigured("center-url", f"expected http://host:port or https://host:port without a path, got {url!r}")
    if parts.scheme == "http":
        return urllib3.HTTPConnectionPool(parts.hostname, parts.port, maxsize=8, blocksize=BLOCK_BYTES)
    return urllib3.HTTPSConnectionPool(
        parts.hostname, parts.port, maxsize=8, blocksize=BLOCK_BYTES, ca_certs=str(ca_file) if ca_file else None
    )


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    body = answer.read(MAX_REPLY_BYTES)
    if answer.status >= 300:
        raise error_of(answer.status, body)
    return body


def _read_part(answer: urllib3.BaseHTTPResponse, length: int) -> bytes:
    if answer.status == 416:  # the range begins at or after the end
        answer.read(MAX_REPLY_BYTES)
        return b""
    if answer.status != 206:
        raise error_of(answer.status, answer.read(MAX_REPLY_BYTES))
    return answer.read(length)


def _is_there(answer: urllib3.BaseHTTPResponse) -> bool:
    answer.read()
    if answer.status in {200, 404}:
        return answer.status == 200
    raise error_of(answer.status, b"")  # an answer to HEAD has no document that gives the reason


def _download(answer: urllib3.BaseHTTPResponse, digest: Digest, target: Path) -> None:
    if answer.status != 200:
        raise error_of(answer.status, answer.read(MAX_REPLY_BYTES))
    hasher = hashlib.sha256()
    with target.open("wb") as file:
        for block in answer.stream(BLOCK_BYTES):
            hasher.update(block)
            file.write(block)
    if hasher.hexdigest() != digest:
        raise Unverified(
            "blob-digest", f"expected a blob with digest {digest}, got {hasher.hexdigest()}; ask another holder"
        )
