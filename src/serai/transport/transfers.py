"""Blobs to the center and back: long ones in pieces, over one connection or several, going on where they broke.

Theory of operation
-------------------
A blob that fits one piece takes one request either way. A longer one goes up in
pieces, each a ``PUT`` with ``Content-Range`` (RFC 9110 14.5), once the center has
said what it lacks: the whole of it, or what an earlier attempt left. A piece whose
connection breaks is sent again; the blob's digest is checked once all are there.

Down, a blob comes in one answer. If that breaks, the next request asks for the
rest by ``Range``. On a long link, where one connection's window does not fill the
pipe and the sender pauses for an answer after each piece, several connections
each carry a piece at a time.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from serai.aggregation.pipeline import in_order
from serai.errors import Conflict, Malformed, Missing, Unavailable
from serai.kernel.ids import Digest, parse_digest
from serai.transport.connection import BLOCK_BYTES, MAX_REPLY_BYTES, Call, Connection, read_reply
from serai.transport.flows import choose_flows, is_long
from serai.transport.problems import error_of
from serai.transport.wire import UploadReply

PIECE_BYTES: Final = 4 * 2**20  # what one request sends of a blob: as much as a broken connection may cost
_PART: Final = re.compile(r"bytes [0-9]{1,15}-[0-9]{1,15}/([0-9]{1,15})")

Span = tuple[int, int]
"""First byte and length of a part of a blob."""

ReadSpan = Callable[[int, int], bytes]
"""Gives a part of the blob that is sent, from any thread."""


class Transfers:
    """Blobs over one ``Connection``. Safe to use from several threads.

    Args:
        connection: to the center.

    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, digest: Digest, source: Path | bytes) -> None:
        """Send a blob; see ``Center.put_blob``."""
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        started = time.perf_counter()
        with _opened(source) as read:
            if size > PIECE_BYTES:
                size = self._put_pieces(digest, read, size)
            else:
                call = Call(method="PUT", path=f"/blobs/{parse_digest(digest)}", body=read(0, size))
                self._connection.attempts(call, read_reply)
        self._connection.meter.sent(size, time.perf_counter() - started)

    def blocks(self, digest: Digest) -> Iterator[bytes]:
        """A blob from its start, in blocks of any size; see ``Center.stream_blob``."""
        flows, measured = self._connection.dialing.flows, self._connection.meter.measured()
        if flows > 1 or (not flows and measured is not None and is_long(measured.rtt_s)):
            return self._blocks_in_flows(digest)
        return self._blocks_in_order(digest)

    def read_part(self, digest: Digest, offset: int, length: int) -> tuple[bytes, int]:
        """Part of a blob, and the size of the whole; b"" and 0 beyond its end.

        Raises:
            Missing: the center has no such blob.
            Unavailable: it does not answer.

        """
        headers = {"range": f"bytes={offset}-{offset + length - 1}"}
        call = Call(method="GET", path=f"/blobs/{parse_digest(digest)}", headers=headers)
        return self._connection.attempts(call, lambda answer: self._take_part(answer, length))

    def _put_pieces(self, digest: Digest, read: ReadSpan, size: int) -> int:
        """Send what the center lacks of a blob until it has all of it; how many bytes that were."""
        sent = 0
        for wait_s in (0.0, *self._connection.dialing.backoff_s):
            time.sleep(wait_s)
            spans = self._find_lacking(digest, size)
            if spans is None:
                return sent

            def put(span: Span) -> bool:
                return self._put_piece(digest, read(*span), span[0], size)

            sent += sum(length for _, length in spans)
            if True in list(in_order(self._flows(size), put, spans)):
                return sent
        raise Unavailable(
            "upload-unfinished", f"the center has not put blob {digest} together yet; send it again later"
        )

    def _find_lacking(self, digest: Digest, size: int) -> list[Span] | None:
        """The pieces that the center lacks of a blob; None if it has the blob."""
        try:
            reply = self._connection.json(UploadReply, Call(method="GET", path=f"/uploads/{parse_digest(digest)}"))
        except Missing:
            return _pieces([(0, size)], size)
        return None if reply.whole else _pieces(reply.missing, size)

    def _put_piece(self, digest: Digest, data: bytes, first: int, size: int) -> bool:
        """Send one piece; whether the blob is whole with it. One whose upload was closed meanwhile is no failure."""
        headers = {"content-range": f"bytes {first}-{first + len(data) - 1}/{size}"}
        call = Call(method="PUT", path=f"/blobs/{parse_digest(digest)}", headers=headers, body=data)
        try:
            return self._connection.attempts(call, _is_whole)
        except Conflict as error:
            if error.code != "upload-closed":
                raise
            return False

    def _blocks_in_flows(self, digest: Digest) -> Iterator[bytes]:
        block, size = self.read_part(digest, 0, PIECE_BYTES)
        yield block
        spans = ((first, PIECE_BYTES) for first in range(PIECE_BYTES, size, PIECE_BYTES))
        started, done = time.perf_counter(), 0
        for block, _ in in_order(self._flows(size), lambda span: self.read_part(digest, *span), spans):
            if not block:
                raise Malformed("blob-range", f"expected a blob of {size} bytes, it ended before; ask another holder")
            done += len(block)
            yield block
        self._connection.meter.received(done, time.perf_counter() - started)

    def _blocks_in_order(self, digest: Digest) -> Iterator[bytes]:
        done, waits = 0, iter(self._connection.dialing.backoff_s)
        while True:
            headers = {"range": f"bytes={done}-"} if done else {}
            call = Call(method="GET", path=f"/blobs/{parse_digest(digest)}", headers=headers)
            begun = done
            try:
                with self._connection.open(call) as answer:
                    started = time.perf_counter()
                    for block in _rest(answer, done):
                        done += len(block)
                        yield block
                    self._connection.meter.received(done - begun, time.perf_counter() - started)
                    return
            except HTTPError as error:
                if done > begun:  # the link carries something, so patience begins anew
                    waits = iter(self._connection.dialing.backoff_s)
                self._connection.wait(call, error, waits)

    def _take_part(self, answer: urllib3.BaseHTTPResponse, length: int) -> tuple[bytes, int]:
        if answer.status == 416:  # the range begins at or after the end
            answer.read(MAX_REPLY_BYTES)
            return b"", 0
        if answer.status != 206:
            raise error_of(answer.status, answer.read(MAX_REPLY_BYTES))
        started = time.perf_counter()
        data = bytearray()
        # One read may stop short where a connection breaks; only the next one then says so.
        while len(data) < length and (block := answer.read(length - len(data))):
            data += block
        self._connection.meter.received(len(data), time.perf_counter() - started)
        return bytes(data), _total(answer)

    def _flows(self, size: int) -> int:
        measured = self._connection.meter.measured()
        return self._connection.dialing.flows or choose_flows(size, measured.rtt_s if measured else 0.0)


def _pieces(gaps: Sequence[Span], size: int) -> list[Span]:
    """What fills the gaps of a blob, in order.

    Raises:
        Malformed: the gaps overlap or reach beyond it; filling them could take for ever.

    """
    spans: list[Span] = []
    before = 0
    for first, length in gaps:
        if not before <= first < first + length <= size:
            raise Malformed("upload-gaps", f"expected gaps in order within {size} bytes, got {length} from {first}")
        before = first + length
        spans.extend((start, min(PIECE_BYTES, before - start)) for start in range(first, before, PIECE_BYTES))
    return spans


def _rest(answer: urllib3.BaseHTTPResponse, offset: int) -> Iterator[bytes]:
    """The body of an answer that gives a blob from ``offset`` on."""
    if offset and answer.status == 416:  # all of it came before the connection broke
        answer.read(MAX_REPLY_BYTES)
        return
    if answer.status != (206 if offset else 200):
        raise error_of(answer.status, answer.read(MAX_REPLY_BYTES))
    while block := answer.read(BLOCK_BYTES):
        yield block


def _total(answer: urllib3.BaseHTTPResponse) -> int:
    """How long the blob is of which a part came (RFC 9110 14.4)."""
    given = answer.headers.get("content-range", "")
    match = _PART.fullmatch(given)
    if match is None:
        raise Malformed("blob-range", f"expected Content-Range: bytes <first>-<last>/<size>, got {given[:80]!r}")
    return int(match[1])


def _is_whole(answer: urllib3.BaseHTTPResponse) -> bool:
    read_reply(answer)
    return answer.status == 204


@contextlib.contextmanager
def _opened(source: Path | bytes) -> Iterator[ReadSpan]:
    if isinstance(source, bytes):
        yield lambda first, length: source[first : first + length]
        return
    with source.open("rb") as file:
        yield lambda first, length: os.pread(file.fileno(), length, first)
