"""Signed requests on kept-alive connections, sent again while a connection breaks."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import urllib3
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import HTTPError, MaxRetryError

from serai.errors import Misconfigured, Unavailable
from serai.kernel.keys import Signer
from serai.transport.link import LinkMeter
from serai.transport.problems import error_of
from serai.transport.signatures import RequestHead, content_digest, sign_request

BLOCK_BYTES: Final = 2**20  # fewer Python steps per gigabyte; constant memory
CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 60.0  # without a byte for so long, the connection counts as broken
BACKOFF_S: Final = (0.1, 0.5, 2.0)  # waits before the second, third and fourth attempt
MAX_REPLY_BYTES: Final = 64 * 2**20  # far above what an honest center sends in one JSON reply
MAX_FLOWS: Final = 16

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing:
    """How a center is dialled.

    Attributes:
        ca_file: certificates to trust instead of the system's.
        backoff_s: seconds to wait before each further attempt.
        flows: connections that carry one long blob at once, at most ``MAX_FLOWS``; 0 chooses by its size and
            by how long the link is.

    """

    ca_file: Path | None = None
    backoff_s: tuple[float, ...] = BACKOFF_S
    flows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float = SILENCE_TIMEOUT_S


class Connection:
    """Requests to one center. Safe to use from several threads.

    Every attempt is signed anew. Attempts are repeated after a broken connection
    only, never after an answer: every verb is safe to repeat.

    Args:
        url: ``http://host:port`` or ``https://host:port``, without a path.
        signer: one of the member's keys that the center knows.
        agent: the ``User-Agent``.
        dialing: how.

    Attributes:
        meter: told of every answer.

    Raises:
        Misconfigured: ``url`` has another form.

    """

    def __init__(self, url: str, signer: Signer, agent: str, dialing: Dialing) -> None:
        self._url = url.rstrip("/")
        self._signer = signer
        self._agent = agent
        self._pool = _open_pool(self._url, dialing.ca_file)
        self.dialing = dialing
        self.meter = LinkMeter()

    def json(self, model: type[M], call: Call) -> M:
        """The answer to a request, as JSON of a known form.

        Raises:
            Unavailable: the center does not answer.
            SeraiError: what it says is wrong; see ``serai.transport.problems``.

        """
        body = self.attempts(call, read_reply)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise error_of(200, body) from error

    def attempts(self, call: Call, use: Callable[[urllib3.BaseHTTPResponse], R]) -> R:
        """What ``use`` makes of the answer to a request.

        Raises:
            Unavailable: the center does not answer.

        """
        waits = iter(self.dialing.backoff_s)
        while True:
            try:
                with self.open(call) as answer:
                    return use(answer)
            except HTTPError as error:
                self.wait(call, error, waits)

    def wait(self, call: Call, error: HTTPError, waits: Iterator[float]) -> None:
        """Wait before the next attempt.

        Raises:
            Unavailable: this was the last one.

        """
        wait_s = next(waits, None)
        if wait_s is None:
            raise self._unreachable(call, error) from error
        time.sleep(wait_s)

    @contextlib.contextmanager
    def open(self, call: Call) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to one attempt, its body still to be read."""
        headers = {"user-agent": self._agent, **call.headers}
        if call.method == "POST" and call.body is not None:
            headers |= {"content-digest": content_digest(call.body), "content-type": "application/json"}
        head = RequestHead(method=call.method, path=call.path, query=call.query, headers=headers)
        headers |= sign_request(head, self._signer, created=int(time.time()), nonce=secrets.token_hex(16))
        started = time.perf_counter()
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
        self.meter.answered(time.perf_counter() - started)
        try:
            yield answer
        finally:
            # Once its answer is read to the end, a connection is back in the pool and this
            # leaves it alone; with bytes still to come it is no use to anybody else.
            answer.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._pool.close()

    def _unreachable(self, call: Call, error: HTTPError) -> Unavailable:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        return Unavailable(
            "center-unreachable",
            f"no center answers at {self._url} ({call.method} {call.path}): is it running, and is this its address? "
            f"{reason}",
        )


def read_reply(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The whole of a short answer; raises the error that a failing one stands for."""
    body = answer.read(MAX_REPLY_BYTES)
    if answer.status >= 300:
        raise error_of(answer.status, body)
    return body


def _open_pool(url: str, ca_file: Path | None) -> urllib3.HTTPConnectionPool:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        raise Misconfigured("center-url", f"expected http://host:port or https://host:port without a path, got {url!r}")
    kept = MAX_FLOWS + 2  # beside the flows of a blob, the long poll and a word
    if parts.scheme == "http":
        return urllib3.HTTPConnectionPool(parts.hostname, parts.port, maxsize=kept, blocksize=BLOCK_BYTES)
    return urllib3.HTTPSConnectionPool(
        parts.hostname, parts.port, maxsize=kept, blocksize=BLOCK_BYTES, ca_certs=str(ca_file) if ca_file else None
    )
