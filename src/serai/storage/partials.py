"""Blobs that arrive in pieces: kept through a crash, each its sender's own, bounded, and forgotten after a time.

Theory of operation
-------------------
A blob that is too long for one request comes in pieces on a grid of 1 MiB, in
any order and over several connections. Two files hold it: the bytes at their
places, as long as the whole will be, sparse until then or a recycled blob's, and one
byte for each MiB that has arrived. The mark is set after the bytes, so the death of the process
at any moment leaves marks that are true; a loss of power may leave marks without
bytes, which the digest of the whole finds, and then all of it is forgotten.

Whatever lies at the beginning without a gap is hashed as it arrives. With the last piece the
upload is closed, what is left is hashed, and the file is renamed into the store.
Every write is made under the upload's lock and finds out there whether the upload is
closed, or its place marked, so a straggling connection changes nothing that was
hashed or published.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.errors import Conflict, Malformed, Refused
from serai.kernel.ids import Digest, KeyId, parse_digest
from serai.storage.disk import no_room_explained

GRID_BYTES: Final = 2**20  # pieces begin on multiples of it, and end there or at the blob's end
MAX_PIECE_BYTES: Final = 4 * GRID_BYTES  # what a connection that breaks may cost
MAX_UPLOADS: Final = 8  # unfinished uploads of one sender; one more replaces the oldest
KEEP_S: Final = 24 * 3600.0  # an upload that nothing was added to for so long is forgotten
_SWEEP_S: Final = 3600.0  # how often the old ones are looked for
_MARKS: Final = ".marks"

TakeSpare = Callable[[int], Path | None]


def _no_spare(_size: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a blob.

    Attributes:
        first: where it begins, bytes from the blob's start.
        length: bytes.
        total: bytes of the whole blob.

    """

    first: int
    length: int
    total: int

    def __post_init__(self) -> None:
        """Refuse what is no piece of a blob.

        Raises:
            Malformed: it lies outside the blob, off the grid, or is too long.

        """
        end = self.first + self.length
        if not (0 <= self.first < end <= self.total) or self.length > MAX_PIECE_BYTES:
            raise Malformed(
                "piece-range",
                f"expected 1 to {MAX_PIECE_BYTES} bytes within the blob's {self.total}, got {self.length} from {self.first}",
            )
        if self.first % GRID_BYTES or (end % GRID_BYTES and end != self.total):
            raise Malformed(
                "piece-range",
                f"expected a piece between multiples of {GRID_BYTES} bytes, or up to the blob's end, got {self.first} to {end}",
            )


class PartialUpload:
    """One blob on its way in. Safe to use from several threads.

    Args:
        path: where its bytes lie.
        total: of the whole blob.
        spare: gives a file of a size to be written over, or None.

    """

    def __init__(self, path: Path, total: int, spare: TakeSpare = _no_spare) -> None:
        self._path = path
        self._spare = spare
        self._marks_path = _marks_of(path)
        self._lock = threading.Lock()
        self._closed = False
        self._hash = hashlib.sha256()
        self._hashed = 0
        self.total = total
        with no_room_explained(path.parent):
            self._marks = self._open()

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes in their place; they count once ``mark`` is called for the piece.

        What was marked stays as it is, for it may have been hashed.

        Raises:
            Conflict: the upload was finished, replaced or forgotten meanwhile.
            Unavailable: the disk is full.

        """
        view = memoryview(data).cast("B")
        with self._lock, no_room_explained(self._path.parent):
            self._require_open()
            fd = os.open(self._path, os.O_WRONLY)
            try:
                while view:
                    unit = offset // GRID_BYTES
                    part = view[: (unit + 1) * GRID_BYTES - offset]
                    written = len(part) if self._marks[unit] else os.pwrite(fd, part, offset)
                    view, offset = view[written:], offset + written
            finally:
                os.close(fd)

    def mark(self, span: Span) -> None:
        """Count a piece whose bytes were all written.

        Raises:
            Conflict: the upload was finished, replaced or forgotten meanwhile.
            Unavailable: the disk is full.

        """
        units = range(span.first // GRID_BYTES, -(-(span.first + span.length) // GRID_BYTES))
        with self._lock, no_room_explained(self._path.parent):
            self._require_open()
            with self._marks_path.open("r+b", buffering=0) as file:
                file.seek(units.start)
                file.write(b"\1" * len(units))
            self._marks[units.start : units.stop] = b"\1" * len(units)
            self._hash_on()

    def finish(self) -> Digest | None:
        """Close the upload if all of it is here; SHA-256 of the whole, to whoever closed it, else None."""
        with self._lock:
            if self._closed or 0 in self._marks:
                return None
            self._closed = True
            self._hash_on()
            return Digest(self._hash.hexdigest())

    def close(self) -> None:
        """Let nothing be added any more."""
        with self._lock:
            self._closed = True

    @property
    def path(self) -> Path:
        """Where the bytes lie."""
        return self._path

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """First byte and length of each gap, in order."""
        with self._lock:
            marks = bytes(self._marks)
        gaps: list[tuple[int, int]] = []
        start = marks.find(0)
        while start >= 0:
            end = marks.find(1, start)
            end = len(marks) if end < 0 else end
            first = start * GRID_BYTES
            gaps.append((first, min(end * GRID_BYTES, self.total) - first))
            start = marks.find(0, end)
        return tuple(gaps)

    def remove(self) -> None:
        """Forget all of it; does nothing to what was published."""
        self.close()
        self._path.unlink(missing_ok=True)
        self._marks_path.unlink(missing_ok=True)

    def _require_open(self) -> None:
        if self._closed:
            raise Conflict("upload-closed", "this upload was finished or replaced meanwhile; ask what there is of it")

    def _open(self) -> bytearray:
        count = -(-self.total // GRID_BYTES)
        try:
            marks = self._marks_path.read_bytes()
            if len(marks) == count and self._path.stat().st_size == self.total:
                return bytearray(marks)
        except FileNotFoundError:
            pass
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The bytes first: marks of an earlier, other attempt must not speak for them.
        self._marks_path.unlink(missing_ok=True)
        if (spare := self._spare(self.total)) is not None:
            spare.replace(self._path)
        else:
            _make(self._path, self.total)
        _make(self._marks_path, count)
        return bytearray(count)

    def _hash_on(self) -> None:
        """Hash what lies at the beginning without a gap; it was written just now, so no disk is asked."""
        gap = self._marks.find(0, self._hashed // GRID_BYTES)
        end = self.total if gap < 0 else gap * GRID_BYTES
        if end <= self._hashed:
            return
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._hashed)
            while self._hashed < end:
                block = file.read(min(GRID_BYTES, end - self._hashed))
                self._hash.update(block)
                self._hashed += len(block)


class PartialUploads:
    """The unfinished uploads of everybody, each under its sender's key. Safe to use from several threads.

    Args:
        folder: made if it is not there; on the file system of the store.
        max_bytes: what the unfinished uploads of one sender may come to when they are whole.
        now_s: Unix time in seconds.
        spare: as ``PartialUpload`` takes it.

    """

    def __init__(self, folder: Path, max_bytes: int, now_s: Callable[[], float], spare: TakeSpare = _no_spare) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._now_s = now_s
        self._spare = spare
        self._lock = threading.Lock()
        self._open: dict[Path, PartialUpload] = {}
        self._swept_s = -_SWEEP_S
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def begin(self, owner: KeyId, digest: Digest, total: int) -> PartialUpload:
        """The upload of a blob by a sender: the one that it began, or a new one.

        Raises:
            Conflict: it began one of another size.
            Refused: longer than its uploads may be.
            Unavailable: the disk is full.

        """
        if total > self._max_bytes:
            raise Refused("blob-too-large", f"expected a blob of at most {self._max_bytes} bytes, got {total}")
        path = self._place(owner, digest)
        with self._lock:
            self._sweep()
            upload = self._find(path)
            if upload is None:
                self._make_room(path.parent, total)
                upload = self._open[path] = PartialUpload(path, total, self._spare)
        if upload.total != total:
            raise Conflict("upload-size", f"this upload was begun with {upload.total} bytes in all, now it has {total}")
        return upload

    def find(self, owner: KeyId, digest: Digest) -> PartialUpload | None:
        """The unfinished upload of a blob by a sender, or None."""
        with self._lock:
            return self._find(self._place(owner, digest))

    def end(self, owner: KeyId, digest: Digest) -> None:
        """Forget an upload: it is in the store now, or was not what it said."""
        with self._lock:
            self._forget(self._place(owner, digest))

    def _place(self, owner: KeyId, digest: Digest) -> Path:
        return self._folder / parse_digest(owner) / parse_digest(digest)

    def _find(self, path: Path) -> PartialUpload | None:
        if path not in self._open and path.is_file():
            self._open[path] = PartialUpload(path, path.stat().st_size)
        return self._open.get(path)

    def _forget(self, path: Path) -> None:
        upload = self._open.pop(path, None)
        if upload is not None:
            upload.remove()
        path.unlink(missing_ok=True)
        _marks_of(path).unlink(missing_ok=True)

    def _make_room(self, folder: Path, total: int) -> None:
        """Forget the sender's oldest uploads until one more keeps within the bounds."""
        held = sorted(_uploads_in(folder), key=lambda upload: upload.touched_s)
        while held and (len(held) >= MAX_UPLOADS or sum(item.size for item in held) + total > self._max_bytes):
            self._forget(held.pop(0).path)

    def _sweep(self) -> None:
        now = self._now_s()
        if now < self._swept_s + _SWEEP_S:
            return
        self._swept_s = now
        for folder in self._folder.iterdir():
            for upload in _uploads_in(folder):
                if upload.touched_s < now - KEEP_S:
                    self._forget(upload.path)
            with contextlib.suppress(OSError):  # while something is in it, it stays
                folder.rmdir()


@dataclass(frozen=True, slots=True)
class _Found:
    """An unfinished upload on the disk."""

    path: Path
    size: int
    touched_s: float


def _uploads_in(folder: Path) -> list[_Found]:
    found: list[_Found] = []
    for path in folder.glob("*"):
        if path.suffix != _MARKS:
            with contextlib.suppress(FileNotFoundError):  # it went into the store this moment
                stat = path.stat()
                found.append(_Found(path, stat.st_size, stat.st_mtime))
    return found


def _make(path: Path, size: int) -> None:
    """A private file of zeros that takes no room yet."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _marks_of(path: Path) -> Path:
    return path.with_name(path.name + _MARKS)
