"""Content-addressed blobs: files, or memory, named by the SHA-256 of their bytes.

Writing goes to a private temporary file that is hashed on the way and renamed
into place only when its digest is the expected one, so a blob is either absent
or whole. Writing a blob that is already there writes it again: after a loss of
power has bent a file, whoever sends it again repairs it.

A round leaves vectors behind that the next round's are as long as. Their files are
written over: pages that a system takes back and gives out anew cost several times
the copying, and on a virtual machine that has to ask its host for them 15 times.
"""

import hashlib
import io
import os
import secrets
import threading
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self

from serai.errors import Malformed, Missing, Unverified
from serai.kernel.ids import Digest, parse_digest
from serai.storage.disk import no_room_explained

_INCOMING: Final = "incoming"  # temporary files; on the same file system, so that a rename is atomic
_MAX_SPARES: Final = 64  # the uploads of a round; their room was taken before, and the next ones take it again
_LEAST_SPARE_BYTES: Final = 2**20  # a shorter file is made in no time


class BlobWriter(Protocol):
    """One blob on its way in. Used by one thread at a time; ends with ``commit`` or ``abort``."""

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes.

        Raises:
            Unavailable: the disk is full.

        """

    def commit(self, expected: Digest | None = None) -> Digest:
        """Publish what was written, under its digest.

        Raises:
            Unverified: the bytes do not have the ``expected`` digest; nothing is kept.
            Unavailable: the disk is full.

        """

    def abort(self) -> None:
        """Forget what was written; does nothing after ``commit`` or a second time."""

    def __enter__(self) -> Self:
        """Use as ``with store.writer() as writer``."""

    def __exit__(self, *_: object) -> None:
        """Abort unless committed."""


class BlobStore(Protocol):
    """Where blobs are kept. Safe to use from several threads."""

    def writer(self, size: int | None = None) -> BlobWriter:
        """Start writing a blob.

        Args:
            size: how many bytes will come, if that is known; a spare file of that size is written over.

        Raises:
            Unavailable: the disk is full.

        """

    def path(self, digest: Digest) -> Path | None:
        """The file that holds a blob; None if this store keeps no files.

        Raises:
            Missing: no such blob.

        """

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading from its start.

        Raises:
            Missing: no such blob.

        """

    def read_range(self, digest: Digest, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset`` on; fewer at the end.

        Raises:
            Missing: no such blob.
            Malformed: a negative offset or length.

        """

    def size(self, digest: Digest) -> int:
        """Size in bytes.

        Raises:
            Missing: no such blob.

        """

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here, whole."""

    def delete(self, digest: Digest) -> None:
        """Remove a blob; one that is not here is already removed."""

    def recycle(self, digest: Digest) -> None:
        """Remove a blob that holds no secret; the room that it took may serve the next of its size."""

    def drop_spares(self) -> None:
        """Give the room of recycled blobs back to the system."""


class FileBlobs:
    """Blobs as files: ``<folder>/ab/abcd...``, readable by this user only.

    Args:
        folder: made if it is not there.
        sync: whether ``commit`` waits until the disk holds the bytes. Without it the
            death of the process loses nothing, but a loss of power may lose or bend
            what came in the last seconds; readers check digests and senders send again.

    """

    def __init__(self, folder: Path, *, sync: bool = False) -> None:
        self._folder = folder
        self._sync = sync
        self._lock = threading.Lock()
        self._spares: list[Path] = []
        (folder / _INCOMING).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def sweep(self) -> int:
        """Remove what interrupted writers left behind; how many there were.

        Called once at start by the process that owns the folder, before it writes.
        """
        left = list((self._folder / _INCOMING).iterdir())
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def writer(self, size: int | None = None) -> BlobWriter:
        """Start writing a blob, see ``BlobStore``."""
        return _FileWriter(self._folder, None if size is None else self.take_spare(size), sync=self._sync)

    def path(self, digest: Digest) -> Path:
        """The file that holds a blob, see ``BlobStore``."""
        path = _place(self._folder, digest)
        if not path.is_file():
            raise _missing(digest)
        return path

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob, see ``BlobStore``."""
        try:
            return _place(self._folder, digest).open("rb")
        except FileNotFoundError:
            raise _missing(digest) from None

    def read_range(self, digest: Digest, offset: int, length: int) -> bytes:
        """Part of a blob, see ``BlobStore``."""
        _check_range(offset, length)
        with self.open(digest) as file:
            file.seek(offset)
            return file.read(length)

    def size(self, digest: Digest) -> int:
        """Size in bytes, see ``BlobStore``."""
        try:
            return _place(self._folder, digest).stat().st_size
        except FileNotFoundError:
            raise _missing(digest) from None

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here, see ``BlobStore``."""
        return _place(self._folder, digest).is_file()

    def delete(self, digest: Digest) -> None:
        """Remove a blob, see ``BlobStore``."""
        _place(self._folder, digest).unlink(missing_ok=True)

    def recycle(self, digest: Digest) -> None:
        """Remove a blob and keep its file for the next of its size, see ``BlobStore``."""
        spare = _incoming(self._folder)
        with self._lock:
            if len(self._spares) < _MAX_SPARES and self.has(digest) and self.size(digest) >= _LEAST_SPARE_BYTES:
                _place(self._folder, digest).replace(spare)
                self._spares.append(spare)
        self.delete(digest)

    def drop_spares(self) -> None:
        """Remove the files of recycled blobs, see ``BlobStore``."""
        while (spare := self._pop_spare(None)) is not None:
            spare.unlink(missing_ok=True)

    def take_spare(self, size: int) -> Path | None:
        """The file of a recycled blob of a size, the caller's from now on, to be written over; None if there is none."""
        return self._pop_spare(size)

    def _pop_spare(self, size: int | None) -> Path | None:
        """The spare that was written to last, as its pages are likeliest still in memory; of a size, if one is given."""
        with self._lock:
            for spare in reversed(self._spares):
                if size is None or spare.stat().st_size == size:
                    self._spares.remove(spare)
                    return spare
        return None

    def adopt(self, path: Path, digest: Digest) -> None:
        """Move a file of this file system into the store, under the digest that the caller found it to have.

        Raises:
            Unavailable: the disk is full.

        """
        with no_room_explained(self._folder):
            if self._sync:
                _sync(path)
            _publish(path, _place(self._folder, digest), sync=self._sync)

    def verify(self, digest: Digest) -> None:
        """Hash a blob again, such as one that a loss of power may have bent.

        Raises:
            Missing: no such blob.
            Unverified: what lies under the digest has another.

        """
        with self.path(digest).open("rb") as file:
            _check_digest(Digest(hashlib.file_digest(file, "sha256").hexdigest()), digest)


class _FileWriter:
    def __init__(self, folder: Path, spare: Path | None, *, sync: bool) -> None:
        self._folder = folder
        self._sync = sync
        self._hash = hashlib.sha256()
        self._size = 0
        self._temporary = spare or _incoming(folder)
        made = 0 if spare else os.O_CREAT | os.O_EXCL
        with no_room_explained(folder):
            self._fd: int | None = os.open(self._temporary, os.O_WRONLY | made, 0o600)

    def write(self, data: bytes | memoryview) -> None:
        assert self._fd is not None, "a writer ends with commit or abort"
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._size += len(view)
        with no_room_explained(self._folder):
            while view:
                view = view[os.write(self._fd, view) :]

    def commit(self, expected: Digest | None = None) -> Digest:
        assert self._fd is not None, "a writer ends with commit or abort"
        digest = Digest(self._hash.hexdigest())
        try:
            _check_digest(digest, expected)
            place = _place(self._folder, digest)
            with no_room_explained(self._folder):
                os.ftruncate(self._fd, self._size)  # a spare file may have been longer
                if self._sync:
                    os.fsync(self._fd)
                _publish(self._temporary, place, sync=self._sync)
        finally:
            self.abort()
        return digest

    def abort(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


class MemoryBlobs:
    """Blobs in this process's memory: for one-process federations."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._lock = threading.Lock()

    def writer(self, size: int | None = None) -> BlobWriter:  # noqa: ARG002  # memory is written over by itself
        """Start writing a blob, see ``BlobStore``."""
        return _MemoryWriter(self)

    def path(self, digest: Digest) -> None:
        """No file holds a blob, see ``BlobStore``."""
        self._get(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob, see ``BlobStore``."""
        return io.BytesIO(self._get(digest))

    def read_range(self, digest: Digest, offset: int, length: int) -> bytes:
        """Part of a blob, see ``BlobStore``."""
        _check_range(offset, length)
        return self._get(digest)[offset : offset + length]

    def size(self, digest: Digest) -> int:
        """Size in bytes, see ``BlobStore``."""
        return len(self._get(digest))

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here, see ``BlobStore``."""
        return parse_digest(digest) in self._blobs

    def delete(self, digest: Digest) -> None:
        """Remove a blob, see ``BlobStore``."""
        with self._lock:
            self._blobs.pop(parse_digest(digest), None)

    def recycle(self, digest: Digest) -> None:
        """Remove a blob, see ``BlobStore``."""
        self.delete(digest)

    def drop_spares(self) -> None:
        """There are none, see ``BlobStore``."""

    def _get(self, digest: Digest) -> bytes:
        try:
            return self._blobs[parse_digest(digest)]
        except KeyError:
            raise _missing(digest) from None

    def _put(self, digest: Digest, data: bytes) -> None:
        with self._lock:
            self._blobs[digest] = data


class _MemoryWriter:
    def __init__(self, store: MemoryBlobs) -> None:
        self._store = store
        self._data: bytearray | None = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        assert self._data is not None, "a writer ends with commit or abort"
        self._data += data

    def commit(self, expected: Digest | None = None) -> Digest:
        assert self._data is not None, "a writer ends with commit or abort"
        data, self._data = bytes(self._data), None
        digest = Digest(hashlib.sha256(data).hexdigest())
        _check_digest(digest, expected)
        self._store._put(digest, data)  # noqa: SLF001  # the writer is the store's other half
        return digest

    def abort(self) -> None:
        self._data = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


def _incoming(folder: Path) -> Path:
    return folder / _INCOMING / secrets.token_hex(16)


def _place(folder: Path, digest: Digest) -> Path:
    # Checking the form here is what keeps "../" out of every path.
    name = parse_digest(digest)
    return folder / name[:2] / name


def _check_digest(digest: Digest, expected: Digest | None) -> None:
    if expected is not None and digest != parse_digest(expected):
        raise Unverified(
            "blob-digest", f"expected bytes with digest {expected}, got bytes with {digest}; send the whole blob again"
        )


def _check_range(offset: int, length: int) -> None:
    if offset < 0 or length < 0:
        raise Malformed("blob-range", f"expected an offset and a length of at least 0, got {offset} and {length}")


def _missing(digest: Digest) -> Missing:
    return Missing("blob-missing", f"there is no blob {digest} here; it was never sent, or it was deleted")


def _publish(path: Path, place: Path, *, sync: bool) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    path.replace(place)
    if sync:
        _sync(place.parent)  # the rename itself is durable only once the folder that holds the name is


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
