"""What passes between an agent and a recipe's worker: bounded frames on a socket, bulk in memory files.

A frame is four bytes of length and JSON. Bulk (models, rows, vectors) never
passes through the socket: the agent makes a file without a name in memory and
hands its descriptor over, and both sides copy each part once. Whoever reads
trusts nothing that the other side wrote: sizes are checked against the file,
which can be neither cut nor, once there is an answer, changed. Where the system
cannot see to that, a file is read with ``pread`` into a copy, so that cutting it
short is a short read and not a signal.
"""

import ctypes
import fcntl
import json
import mmap
import os
import socket
import struct
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from serai.errors import Malformed, Unavailable
from serai.training.tensors import Tensor

Bulk: TypeAlias = bytes | memoryview
Message: TypeAlias = dict[str, Any]

MAX_FRAME_BYTES: Final = 2**20  # settings, counts and a codec with thousands of blocks; never an array
ALIGNMENT: Final = 64  # where parts begin: what any vector unit likes
_MAX_FDS: Final = 2
_LENGTH: Final = struct.Struct(">I")
_PIECE: Final = 2**30  # Linux copies at most 2 GiB in one call
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def send_frame(channel: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send a message, and hand over descriptors with its first bytes.

    Raises:
        Malformed: the message is too long for a frame.
        OSError: the other side is gone, or the channel's timeout has passed.

    """
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > MAX_FRAME_BYTES:
        raise Malformed("frame-too-long", f"expected a message of at most {MAX_FRAME_BYTES} bytes, got {len(text)}")
    head = _LENGTH.pack(len(text))
    if fds:
        socket.send_fds(channel, [head], fds)
    else:
        channel.sendall(head)
    channel.sendall(text)


def receive_frame(channel: socket.socket, deadline: float) -> Message:
    """Read a message; descriptors that come with it are not taken.

    Args:
        channel: the socket.
        deadline: of ``time.monotonic``; later than that the wait ends.

    Raises:
        Malformed: what came is not a frame that holds a JSON object.
        Unavailable: nothing came in time, or the other side is gone (``frame-late``, ``frame-end``).

    """
    (size,) = _LENGTH.unpack(_receive(channel, _LENGTH.size, deadline))
    if size > MAX_FRAME_BYTES:
        raise Malformed("frame-too-long", f"expected a message of at most {MAX_FRAME_BYTES} bytes, got {size}")
    return _parse(_receive(channel, size, deadline))


def receive_call(channel: socket.socket) -> tuple[Message, list[int]] | None:
    """Read a message and its descriptors, as a worker does; None when the agent is gone."""
    head, fds, _, _ = socket.recv_fds(channel, _LENGTH.size, _MAX_FDS)
    if not head:
        return None
    head += channel.recv(_LENGTH.size - len(head), socket.MSG_WAITALL) if len(head) < _LENGTH.size else b""
    (size,) = _LENGTH.unpack(head)
    return _parse(channel.recv(size, socket.MSG_WAITALL)), fds


def make_file(capacity: int | None = None) -> int:
    """A new file without a name, in memory where the system has such; its descriptor.

    With a ``capacity`` it has that size, takes room only as it is written, and
    can be neither cut nor grown (where the system can seal a file).
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
        os.ftruncate(fd, capacity or 0)
        return fd
    fd = os.memfd_create("serai", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if capacity is not None:
        os.ftruncate(fd, capacity)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return fd


def seal(fd: int) -> bool:
    """Let nobody change a file any more; False where the system cannot do that.

    Raises:
        OSError: somebody maps it for writing, or has seen to it that nothing more can be sealed.

    """
    if not hasattr(os, "memfd_create"):
        return False
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    return True


def write_parts(fd: int, parts: Iterable[Iterable[Bulk]]) -> list[int]:
    """Write parts one after another, each from an aligned place on; their sizes."""
    sizes: list[int] = []
    start = 0
    for part in parts:
        end = start
        for piece in part:
            end = _write(fd, memoryview(piece).cast("B"), end)
        sizes.append(end - start)
        start = _aligned(end)
    return sizes


def map_parts(fd: int, sizes: Sequence[int], stride: int = 0) -> list[memoryview]:
    """Parts that the agent wrote, without a copy; for the worker, which trusts the agent.

    They may be written to: what is changed becomes this process's own, page by page, and nobody else sees it.

    Args:
        fd: the file.
        sizes: bytes of each part.
        stride: how far apart the parts begin; 0 where they follow one another.

    """
    if not any(sizes):
        return [memoryview(b"") for _ in sizes]
    if stride:
        return [map_stretch(fd, place * stride, size, writable=True) for place, size in enumerate(sizes)]
    whole = memoryview(mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    return [whole[start : start + size] for start, size in _places(sizes)]


def map_stretch(fd: int, start: int, size: int, *, writable: bool = False) -> memoryview:
    """A stretch of a file in memory, without a copy; what is written to it stays this process's own.

    Unlike ``mmap.mmap`` it keeps no descriptor, of which a process has fewer than a table has columns.

    Args:
        fd: the file, sealed, so that nobody cuts it short under the reader's feet.
        start: where the stretch begins, at a page.
        size: its length in bytes, at least 1.
        writable: whether it may be written to.

    Raises:
        OSError: the system does not map it.

    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype, libc.munmap.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t)
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    reach = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    address = libc.mmap(None, size, reach, mmap.MAP_PRIVATE, fd, start)
    if address in {None, _MAP_FAILED}:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    stretch = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(stretch, libc.munmap, address, size).atexit = False  # at the end arrays may still lie there
    view = memoryview(stretch).cast("B")
    return view if writable else view.toreadonly()


class Outbox:
    """The parts of a worker's answer; read by the agent, which trusts nothing in it.

    Args:
        fd: the file that the worker wrote; sealed here.
        sizes: the sizes that the worker states.
        capacity: the size that the file was given.

    Raises:
        Malformed: the sizes are no sizes, or do not fit the file, or the worker could still change it.

    """

    def __init__(self, fd: int, sizes: object, capacity: int) -> None:
        if not isinstance(sizes, list) or not all(type(size) is int and 0 <= size <= capacity for size in sizes):
            raise Malformed("frame-parts", f"expected sizes of at most {capacity} bytes, got {str(sizes)[:80]}")
        self._fd = fd
        self._places = list(_places(sizes))
        if sum(_aligned(size) for size in sizes) > _aligned(capacity):
            raise Malformed("frame-parts", f"expected parts of at most {capacity} bytes in all, got {sizes[:8]}")
        try:
            self._is_sealed = seal(fd)
        except OSError:
            raise Malformed("frame-parts", "expected an answer that is final, the worker still maps its file") from None

    def __len__(self) -> int:
        return len(self._places)

    def duplicate(self) -> int:
        """Another descriptor of the file, for whoever reads it by other places than parts."""
        return os.dup(self._fd)

    def size(self, number: int) -> int:
        """Size of a part in bytes."""
        return self._places[number][1]

    def view(self, number: int) -> memoryview:
        """A part, read-only; its memory is the worker's file where that is sealed, else a copy.

        Raises:
            Malformed: the file is shorter than the worker says.

        """
        start, size = self._places[number]
        if not size:
            return memoryview(b"")
        if self._is_sealed:
            whole = mmap.mmap(self._fd, start + size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            return memoryview(whole)[start:]
        copy = np.empty(size, np.uint8)
        self.read(number, 0, copy)
        return memoryview(copy.data).toreadonly()

    def read(self, number: int, offset: int, into: Tensor) -> None:
        """Copy a stretch of a part.

        Args:
            number: which part.
            offset: where in the part the stretch begins, in bytes.
            into: an array, filled with as many bytes as it has.

        Raises:
            Malformed: the file is shorter than the worker says.

        """
        start, size = self._places[number]
        view = memoryview(into.reshape(-1).view(np.uint8).data)
        assert 0 <= offset <= size - len(view)
        start += offset
        while view:
            count = os.preadv(self._fd, [view[:_PIECE]], start)
            if count == 0:
                raise Malformed("frame-parts", f"expected {size} bytes in part {number}, the file ends before")
            view, start = view[count:], start + count


def _parse(text: bytes) -> Message:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("frame-form", f"expected a JSON object in a frame: {str(error)[:80]}") from None
    if not isinstance(message, dict):
        raise Malformed("frame-form", f"expected a JSON object in a frame, got {type(message).__name__}")
    return message


def _receive(channel: socket.socket, size: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        rest_s = deadline - time.monotonic()
        if rest_s <= 0:
            raise Unavailable("frame-late", "no answer came in time")
        channel.settimeout(rest_s)
        try:
            piece = channel.recv(size - len(received))
        except TimeoutError:
            continue
        except OSError:
            piece = b""
        if not piece:
            raise Unavailable("frame-end", "the other side has closed the channel")
        received += piece
    return bytes(received)


def _write(fd: int, view: memoryview, start: int) -> int:
    while view:
        count = os.pwrite(fd, view[:_PIECE], start)
        view, start = view[count:], start + count
    return start


def _places(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for size in sizes:
        yield start, size
        start = _aligned(start + size)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
