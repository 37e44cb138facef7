"""A log and blobs in one file, for mirrors that no network reaches, and for whoever leaves with proof.

Theory of operation
-------------------
A bundle is a tar file in the plain POSIX form. Unpacked it is a published log as
in c2sp.org/tlog-tiles, ``checkpoint`` and ``tile/``, which ``tools/audit_log.py``
and Go's packages check; beside that lie ``head``, the newest head, which no quorum
may have cosigned yet, and ``blobs/``.

A bundle that comes from elsewhere is read by the few lines below, and never
unpacked: only plain files under these very names are known, the sizes of all are
bounded, and nothing counts before the mirror has verified it like anything that a
center sends.
"""

import os
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from serai.agent.mirror import Mirror, View
from serai.errors import Conflict, Malformed, Missing
from serai.kernel.ids import Digest
from serai.ledger.checkpoint import parse_checkpoint
from serai.ledger.note import MAX_NOTE_BYTES, parse_note
from serai.ledger.tiles import ENTRIES, MAX_BUNDLE_BYTES, TILE_WIDTH, PathReader, parse_tile_path, read_bundle, tile_of
from serai.storage.blobs import BlobStore
from serai.storage.tile_files import TileFiles
from serai.transport.port import MAX_NEWS_BYTES, News

CHECKPOINT: Final = "checkpoint"
HEAD: Final = "head"
MAX_FILES: Final = 1_000_000
_BLOCK: Final = 512
_PIECE: Final = 2**20
_BLOB: Final = re.compile(r"blobs/([0-9a-f]{64})")
_OCTAL: Final = re.compile(rb"[0-7]{1,12}")
_PLAIN: Final = {b"0", b"\0"}


class TileSource:
    """A log as published files: in a bundle, or at another member's endpoint. The mirror verifies what it says.

    Args:
        read: gives ``head``, ``checkpoint`` and entry bundles by path.

    """

    def __init__(self, read: PathReader) -> None:
        self._read = read

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What there is beyond what the asker holds, see ``serai.transport.port.Center``; never waits.

        Raises:
            Conflict: there are fewer than ``size`` entries.
            Malformed, Missing: a file does not have its form, or is not there.

        """
        del wait_s
        head = _text(self._read(HEAD))
        end = parse_checkpoint(parse_note(head).text).size
        if size > end:
            raise Conflict("log-shorter", f"there are {end} entries, and {size} are here already")
        cosigned = _text(self._read(CHECKPOINT))
        is_new = parse_checkpoint(parse_note(cosigned).text).size > witnessed
        return News(size, tuple(self._entries(size, end)), head, cosigned if is_new else None)

    def _entries(self, start: int, end: int) -> Iterator[bytes]:
        room = MAX_NEWS_BYTES
        while start < end:
            bundle = read_bundle(tile_of(ENTRIES, start // TILE_WIDTH, end), self._read)
            for entry in bundle[start % TILE_WIDTH :]:
                room -= len(entry)
                if room < 0:
                    return
                yield entry
                start += 1


def publish(tiles: TileFiles, mirror: Mirror) -> View:
    """Bring published files up to a mirror, its newest head beside its newest witnessed checkpoint; the view shown."""
    view = mirror.view
    tiles.publish(mirror.entries, view.size, view.note)
    if view.witnessed is not None:
        tiles.show(view.witnessed_size, view.witnessed_note)
    tiles.put(HEAD, view.note.encode())
    return view


def write_bundle(out: Path, mirror: Mirror, blobs: BlobStore | None = None, wanted: Iterable[Digest] = ()) -> View:
    """Write the whole mirrored log, and those of the wanted blobs that the store has; the view that it shows.

    Raises:
        Missing: the mirror is empty.
        OSError: the file cannot be written.

    """
    view = mirror.view
    if not view.size:
        raise Missing("mirror-empty", "this zone has mirrored no log yet; there is nothing to bundle")
    temporary = out.with_name(f".{out.name}.new")
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, temporary.open("wb") as file:
        tiles = TileFiles(Path(folder))
        if view.witnessed is not None:
            tiles.publish(
                mirror.entries, view.witnessed_size, view.witnessed_note
            )  # with the partial tiles of its size
        tiles.publish(mirror.entries, view.size, view.witnessed_note or view.note)
        (Path(folder) / HEAD).write_text(view.note, encoding="utf-8")
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    tar.add(path, path.relative_to(folder).as_posix(), filter=_anonymous)
            for blob in sorted(set(wanted)):
                if blobs is not None and blobs.has(blob):
                    info = tarfile.TarInfo(f"blobs/{blob}")
                    info.size, info.mode = blobs.size(blob), 0o600
                    with blobs.open(blob) as source:
                        tar.addfile(info, source)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(out)
    return view


class Bundle:
    """A bundle that somebody made, opened for reading. What it says is for the mirror to verify.

    Args:
        path: the file.

    Raises:
        Malformed: not a bundle; the message says where.

    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            self._places = dict(_members(self._file))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Use as ``with Bundle(path) as bundle``."""
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def read(self, path: str) -> bytes:
        """A file of the log in it.

        Raises:
            Missing: it is not there.
            Malformed: the bundle ends inside it, or it is too large.

        """
        limit = MAX_BUNDLE_BYTES if path.startswith("tile/") else MAX_NOTE_BYTES
        if path not in self._places:
            raise Missing("file-missing", f"the bundle has no {path}")
        start, size = self._places[path]
        if size > limit:
            raise Malformed("bundle-file", f"expected at most {limit} bytes in {path}, got {size}")
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:
            raise Malformed("bundle-file", f"the bundle ends inside {path}; copy it again")
        return data

    def blobs(self) -> Iterator[Digest]:
        """The blobs in it, as it calls them."""
        for path in self._places:
            if match := _BLOB.fullmatch(path):
                yield Digest(match[1])

    def copy_blob(self, blob: Digest, store: BlobStore) -> None:
        """Put a blob into a store.

        Raises:
            Unverified: it does not have its digest; nothing was kept.
            Unavailable: the disk is full.

        """
        start, left = self._places[f"blobs/{blob}"]
        self._file.seek(start)
        with store.writer() as writer:
            while left and (piece := self._file.read(min(left, _PIECE))):
                writer.write(piece)
                left -= len(piece)
            writer.commit(blob)


def _members(file: BinaryIO) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, place and size of each file in a tar file (POSIX.1-1988 ustar)."""
    end = file.seek(0, os.SEEK_END)
    place = 0
    for _ in range(MAX_FILES):
        file.seek(place)
        header = file.read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        if len(header) != _BLOCK or header[257:262] != b"ustar" or header[156:157] not in _PLAIN:
            raise Malformed("bundle-form", f"expected a plain file of a bundle at byte {place}")
        octal = header[124:136].strip(b" \0")
        if not _OCTAL.fullmatch(octal):
            raise Malformed("bundle-form", f"expected a size in octal at byte {place}")
        size, start = int(octal, 8), place + _BLOCK
        if start + size > end:
            raise Malformed("bundle-form", f"the bundle ends before byte {start + size}; copy it again")
        name, prefix = (part.split(b"\0")[0].decode("latin-1") for part in (header[:100], header[345:500]))
        path = f"{prefix}/{name}" if prefix else name
        if path not in {CHECKPOINT, HEAD} and not _BLOB.fullmatch(path):
            parse_tile_path(path)
        yield path, (start, size)
        place = start + -(-size // _BLOCK) * _BLOCK
    raise Malformed("bundle-form", f"expected at most {MAX_FILES} files in a bundle")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("note-text", f"expected a checkpoint in UTF-8: {error}") from error


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Say nothing of who wrote the file, and when."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info
