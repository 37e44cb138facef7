"""A member's border in the demo: a relay between zone and center that counts, and keeps, what crosses.

Every byte that a zone sends or receives passes one relay, so the figures in the
report are measured on the wire and owe nothing to what the programs say of
themselves.
"""

import contextlib
import socket
import threading
from collections.abc import Iterable
from typing import Final, Self

BLOCK_BYTES: Final = 1 << 16
MAX_KEPT_BYTES: Final = 64 << 20  # of what left, to be searched for rows; the demo sends far less


class Border:
    """Relays one member's connections to the center.

    Args:
        host: where the center listens.
        port: likewise.

    Attributes:
        out_bytes: bytes that left the member.
        in_bytes: bytes that came in.

    """

    def __init__(self, host: str, port: int) -> None:
        self._center = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._open: set[socket.socket] = set()
        self.out_bytes = 0
        self.in_bytes = 0

    @property
    def url(self) -> str:
        """Where the zone finds the center, as it seems to it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Begin to relay."""
        threading.Thread(target=self._accept, name="border", daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the border."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def rows_seen(self, rows: Iterable[bytes], unpacked: Iterable[bytes]) -> int:
        """How many of these rows stand, byte for byte, in what left the member.

        Args:
            rows: lines of the member's table.
            unpacked: what left in an encoded form, decoded, such as the payloads of statements.

        """
        with self._lock:
            left = [bytes(self._kept), *unpacked]
        return sum(any(row in part for part in left) for row in rows)

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            try:
                outside = socket.create_connection(self._center)
            except OSError:
                inside.close()
                continue
            for connection in (inside, outside):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {inside, outside}
            pump_out = threading.Thread(
                target=self._pump, args=(inside, outside), kwargs={"leaving": True}, daemon=True
            )
            pump_in = threading.Thread(
                target=self._pump, args=(outside, inside), kwargs={"leaving": False}, daemon=True
            )
            pump_out.start()
            pump_in.start()

    def _pump(self, source: socket.socket, target: socket.socket, *, leaving: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK_BYTES):
                self._count(block, leaving=leaving)
                target.sendall(block)
        # Either side ended: end both, or the other pump would wait for ever.
        for connection in (source, target):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()

    def _count(self, block: bytes, *, leaving: bool) -> None:
        with self._lock:
            if leaving:
                self.out_bytes += len(block)
                self._kept += block[: max(0, MAX_KEPT_BYTES - len(self._kept))]
            else:
                self.in_bytes += len(block)
