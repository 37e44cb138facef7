"""A small HTTP server for what a member shows to others: bounded requests, one function that answers them.

It is not the center's: it has no long polls and streams nothing, so it needs no
event loop and runs in threads beside an agent.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from serai.errors import Malformed, Misconfigured, Missing
from serai.ledger.tiles import PathReader, parse_tile_path

MAX_REQUESTS: Final = 32  # answered at once; further ones wait in the system's queue
SILENCE_S: Final = 10  # a client that says nothing for so long holds a thread for nothing
NOTES: Final = ("checkpoint", "head")
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the method, the path without its query, and the body."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes = b""
    content_type: str = TEXT


Handle: TypeAlias = Callable[[Asked], Answer]


def answer_file(read: PathReader, path: str) -> Answer:
    """A published file of a log: ``/checkpoint``, ``/head`` or a tile (c2sp.org/tlog-tiles), and nothing else there may be."""
    name = path.removeprefix("/")
    try:
        if name in NOTES:
            return Answer(200, read(name))
        parse_tile_path(name)  # what keeps "../" out
        return Answer(200, read(name), "application/octet-stream")
    except (Malformed, Missing) as error:
        return Answer(404, f"{error.message}\n".encode())


class SmallServer:
    """Answers GET and POST requests by one function, in threads of its own while the ``with`` lasts.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        handle: answers; called from several threads at once.
        max_body_bytes: of a request; a larger one is refused unread.

    Raises:
        Misconfigured: the address is taken or unusable.

    """

    def __init__(self, host: str, port: int, handle: Handle, max_body_bytes: int) -> None:
        places = threading.BoundedSemaphore(MAX_REQUESTS)
        connections = self._connections = set[socket.socket]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = SILENCE_S
            disable_nagle_algorithm = True  # or a body waits for an answer to its headers, 40 ms

            def handle(self) -> None:
                connections.add(self.connection)
                try:
                    with places:
                        super().handle()
                except OSError:
                    pass  # the client is gone, or this server is
                finally:
                    connections.discard(self.connection)

            def do_GET(self) -> None:
                self._answer(handle(Asked("GET", self.path.partition("?")[0])))

            def do_POST(self) -> None:
                length = self.headers.get("content-length", "")
                if not length.isdecimal() or int(length) > max_body_bytes:
                    self.close_connection = True
                    self._answer(Answer(413, f"expected a body of at most {max_body_bytes} bytes\n".encode()))
                    return
                body = self.rfile.read(int(length))
                self._answer(handle(Asked("POST", self.path.partition("?")[0], body)))

            def _answer(self, answer: Answer) -> None:
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: who asks is in nobody's log."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise Misconfigured(
                "address-unusable", f"cannot listen at {host} port {port}: {error}; set another address or port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="serving", daemon=True)
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Answer no more, and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        for connection in tuple(self._connections):  # a kept-alive one would go on being answered
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
