"""A tap on the line: every byte that a member's zone writes to the center, as it goes over the wire.

    with TappedFederation(folder, tables) as bloc, watched_dials() as dials:
        mark = bloc.taps["bern"].mark()
        bloc.settle()
        requests = bloc.taps["bern"].since(mark)

Each member dials a proxy of its own on the loopback, which passes bytes on as they
come and keeps what the member wrote. They are read as strictly as can be: what is no
request of HTTP/1.1, to the last byte, is an error. ``watched_dials`` sees, below every
library, whom this process dials; so a member that went past its tap would be seen.
"""

import contextlib
import functools
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from serai.errors import Malformed
from serai.kernel.ids import MemberId
from serai.testing.federation import Rows
from serai.testing.served import ServedFederation

HOST: Final = "127.0.0.1"
_PIECE: Final = 2**16
_LINE: Final = re.compile(rb"(GET|HEAD|POST|PUT) (/[!-~]*) HTTP/1\.1")
_HEADER: Final = re.compile(rb"([A-Za-z][A-Za-z-]*): ([ -~]*)")
_THREAD: Final = "tap"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it was written.

    Attributes:
        method: such as ``GET``.
        target: path and query.
        headers: names in lower case, and values, in order.
        body: its bytes.
        end: how many bytes of its connection were written once it was.

    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    end: int


def parse_requests(stream: bytes, start: int = 0) -> Iterator[Asked]:
    """Every request that was written to one connection, from one that begins at ``start`` on.

    Raises:
        Malformed: some bytes belong to no whole request.

    """
    while start < len(stream):
        head_end = stream.find(b"\r\n\r\n", start)
        if head_end < 0:
            raise Malformed("tap-stream", f"expected the head of a request, got {stream[start : start + 80]!r}")
        first, *lines = stream[start:head_end].split(b"\r\n")
        line, headers = _LINE.fullmatch(first), [_HEADER.fullmatch(line) for line in lines]
        if line is None or None in headers:
            raise Malformed("tap-stream", f"expected a request line and headers, got {stream[start:head_end][:200]!r}")
        told = tuple((found[1].decode().lower(), found[2].decode()) for found in headers if found)
        names = [name for name, _ in told]
        if len(set(names)) != len(names) or "transfer-encoding" in names:
            raise Malformed("tap-stream", f"expected each header once and a body of known length, got {names}")
        end = head_end + 4 + int(dict(told).get("content-length", "0"))
        if end > len(stream):
            raise Malformed("tap-stream", f"a request's body ends {end - len(stream)} bytes after what was written")
        yield Asked(line[1].decode(), line[2].decode(), told, stream[head_end + 4 : end], end)
        start = end


class Tap:
    """A proxy for one member. Connections run in threads of their own.

    Args:
        port: where the center listens.

    Attributes:
        port: where the member dials.

    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._streams: list[bytearray] = []
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, name=_THREAD, daemon=True).start()

    def mark(self) -> tuple[int, ...]:
        """How many bytes were written so far, by connection."""
        return tuple(len(stream) for stream in self._streams)

    def since(self, mark: tuple[int, ...] = ()) -> list[Asked]:
        """The requests that were written after a mark, at which none was half written.

        Raises:
            Malformed: some bytes belong to no whole request.

        """
        marks = (*mark, *([0] * (len(self._streams) - len(mark))))
        pairs = zip(marks, tuple(self._streams), strict=True)
        return [asked for begun, stream in pairs for asked in parse_requests(bytes(stream), begun)]

    @property
    def written(self) -> bytes:
        """Every byte, one connection after the other."""
        return b"".join(map(bytes, self._streams))

    def close(self) -> None:
        """End every connection."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                member, _ = self._listener.accept()
                self._sockets.append(member)
                self._join(member)

    def _join(self, member: socket.socket) -> None:
        """Pass on what one connection carries, both ways."""
        try:
            center = socket.create_connection((HOST, self._to))
        except OSError:
            member.close()  # the center is gone, and so is the line to it
            return
        self._sockets.append(center)
        kept = bytearray()
        self._streams.append(kept)
        for source, target, into in ((member, center, kept), (center, member, None)):
            pump = threading.Thread(target=_pump, args=(source, target, into), name=_THREAD, daemon=True)
            pump.start()


def _pump(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
    with contextlib.suppress(OSError):  # either end has hung up
        while piece := source.recv(_PIECE):
            if kept is not None:
                kept += piece  # before it is passed on: what the center has is kept
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class TappedFederation(ServedFederation):
    """A bloc whose members' lines to the center are tapped.

    Attributes:
        taps: by member.

    """

    def __init__(self, folder: Path, tables: Mapping[str, Rows], preset: str = "consensus") -> None:
        self.taps: dict[MemberId, Tap] = {}
        super().__init__(folder, tables, preset)

    def address(self, member: str) -> str:
        """Where a member dials the center: its tap."""
        name = MemberId(member)
        if name not in self.taps:
            self.taps[name] = Tap(int(self.url.rpartition(":")[2]))
        return f"http://{HOST}:{self.taps[name].port}"

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close the bloc, then its taps."""
        super().__exit__(_type, _error, _trace)
        for tap in self.taps.values():
            tap.close()


_dials: list[Any] = []
_watching = threading.Event()


@contextlib.contextmanager
def watched_dials() -> Iterator[list[Any]]:
    """The addresses that this process dials meanwhile, but for taps, which pass on what others dialled."""
    _install()
    _dials.clear()
    _watching.set()
    try:
        yield _dials
    finally:
        _watching.clear()


@functools.cache
def _install() -> None:
    sys.addaudithook(_hear)  # cannot be taken away again, so it is installed once and mostly idle


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if (
        event in {"socket.connect", "socket.sendto", "socket.sendmsg"}
        and _watching.is_set()
        and threading.current_thread().name != _THREAD
    ):
        _dials.append(arguments[1])
