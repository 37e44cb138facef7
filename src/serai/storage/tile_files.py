"""The log as static files that any web server can serve and any foreign tool can verify (c2sp.org/tlog-tiles).

The files are derived: they hold nothing that the log's store does not. Writing
them is idempotent, and a process that starts compares every file with the store
and replaces what differs. That is why nothing here waits for the disk: whatever
a power cut leaves is repaired by the next start.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from serai.errors import Missing, Unavailable
from serai.ledger.merkle import leaf_hash
from serai.ledger.tiles import (
    ENTRIES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    TileEdge,
    encode_bundle,
    read_bundle,
    read_tile,
    tile_of,
)

CHECKPOINT: Final = "checkpoint"
_STEP: Final = 16 * TILE_WIDTH  # entries held in memory while files catch up; a multiple of the tile width


class TileFiles:
    """Publishes a growing log under a folder. Used by one thread.

    Args:
        folder: where ``checkpoint`` and ``tile/`` lie; created when first written to.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._edge = TileEdge()
        self._unfinished = b""  # the last bundle, which is written again until it is full
        self._is_compared = False

    @property
    def size(self) -> int:
        """Number of entries whose tiles this process has written or compared."""
        return self._edge.size

    def publish(self, read: Callable[[int, int], Sequence[bytes]], size: int, note: str) -> None:
        """Bring the files up to ``size`` entries; the checkpoint comes last.

        A crash before the checkpoint leaves tiles that no checkpoint speaks of
        yet, which harms nobody: a tile's content follows from its name.

        Args:
            read: gives the entries from a start up to, not including, an end.
            size: number of entries to publish.
            note: the signed checkpoint to show, of at most that size.

        Raises:
            Unavailable: the files cannot be written.

        """
        try:
            while self._edge.size < size:
                self._advance(read, min(size, (self._edge.size // _STEP + 1) * _STEP))
        except OSError as error:
            raise _unwritable(error) from error
        self.announce(note)
        self._is_compared = True

    def announce(self, note: str) -> None:
        """Show another checkpoint of what is published already.

        Raises:
            Unavailable: the file cannot be written.

        """
        try:
            self._write(CHECKPOINT, note.encode())
        except OSError as error:
            raise _unwritable(error) from error

    def show(self, size: int, note: str) -> None:
        """Show the checkpoint of a size that was published by the way: with the partial tiles that end there.

        Raises:
            Missing: fewer entries are published.
            Unavailable: the files cannot be written.

        """
        for level in range(ENTRIES, size.bit_length() // TILE_HEIGHT + 1):
            width = (size >> (TILE_HEIGHT * max(level, 0))) % TILE_WIDTH
            if width:
                tile = Tile(level, size >> (TILE_HEIGHT * (max(level, 0) + 1)), width)
                wider = tile_of(level, tile.index, self._edge.size)
                parts = read_bundle(wider, self.read) if level == ENTRIES else read_tile(wider, self.read)
                self.put(tile.path(), encode_bundle(parts[:width]) if level == ENTRIES else b"".join(parts[:width]))
        self.announce(note)

    def put(self, name: str, data: bytes) -> None:
        """Write a file by its path below the folder.

        Raises:
            Unavailable: it cannot be written.

        """
        try:
            self._write(name, data)
        except OSError as error:
            raise _unwritable(error) from error

    def read(self, path: str) -> bytes:
        """Read a published file by its path below the folder.

        Raises:
            Missing: it is not there.

        """
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError as error:
            raise Missing("tile-missing", f"{path} is not published") from error

    def _advance(self, read: Callable[[int, int], Sequence[bytes]], end: int) -> None:
        start, bundle = self._edge.size, self._unfinished
        entries = read(start, end)
        edge, tiles = self._edge.grow([leaf_hash(entry) for entry in entries])
        while start < end:
            index, width = divmod(start, TILE_WIDTH)
            place = start - self._edge.size
            part = entries[place : place + TILE_WIDTH - width]
            bundle += encode_bundle(part)
            tiles[Tile(ENTRIES, index, width + len(part))] = bundle
            start += len(part)
            if start % TILE_WIDTH == 0:
                bundle = b""
        for tile, data in tiles.items():
            self._write(tile.path(), data)
            if tile.width == TILE_WIDTH:
                # Readers of an older checkpoint fall back to the full tile, so its partial forms can go.
                shutil.rmtree(self.folder / f"{tile.path()}.p", ignore_errors=True)
        self._edge, self._unfinished = edge, bundle

    def _write(self, path: str, data: bytes) -> None:
        target = self.folder / path
        if not self._is_compared:
            with contextlib.suppress(FileNotFoundError):
                if target.read_bytes() == data:
                    return
        fresh = target.with_name(f"{target.name}.new")
        try:
            fresh.write_bytes(data)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(data)
        fresh.replace(target)


def _unwritable(error: OSError) -> Unavailable:
    return Unavailable("tiles-unwritable", f"the log's files cannot be written: {error}; check space and permissions")
