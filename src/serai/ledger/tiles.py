"""Tiles and entry bundles: how a log is cut into immutable files (c2sp.org/tlog-tiles, height 8).

Theory of operation. A tile holds up to 256 neighbouring hashes of one tree
level: level 0 are leaf hashes, level 1 the roots of full level-0 tiles, and so
on. Only the last tile of a level can be partial; its width is part of its name,
so a name never changes its content. An entry bundle holds the entries under a
level-0 tile, each with a two-byte length.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from serai.errors import Malformed, Missing
from serai.kernel.envelope import MAX_ENTRY_BYTES
from serai.ledger.merkle import HASH_BYTES, NodeReader, complete_root

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)
_MAX_TILE_LEVEL: Final = 7  # a tree of 2^63 leaves needs no higher one
_PATH: Final = re.compile(r"tile/(entries|[0-7])/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")

PathReader: TypeAlias = Callable[[str], bytes]
"""Gives the bytes of a file of the log by its path; raises Missing."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of one tile or, with level -1, of one entry bundle.

    Attributes:
        level: tile level from 0; ``ENTRIES`` (-1) for an entry bundle.
        index: position in its level, from 0.
        width: number of hashes or entries in it, 1 to 256.

    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def path(self) -> str:
        """Return the path below the log's prefix, such as ``tile/0/x001/067.p/12``."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"

    def full(self) -> "Tile":
        """Return the full tile that takes this one's place as the log grows."""
        return Tile(self.level, self.index)


ENTRIES: Final = -1


def parse_tile_path(path: str) -> Tile:
    """Read a path below the log's prefix.

    Raises:
        Malformed: not the canonical path of a tile or entry bundle.

    """
    match = _PATH.fullmatch(path)
    if match:
        level, groups, width = match.groups()
        index = int(groups.replace("x", "").replace("/", ""))
        tile = Tile(ENTRIES if level == "entries" else int(level), index, int(width) if width else TILE_WIDTH)
        if tile.path() == path and tile.width <= TILE_WIDTH:
            return tile
    raise Malformed("tile-path", f"expected tile/<level or entries>/<index>[.p/<width>], got {path[:80]!r}")


def tile_of(level: int, index: int, size: int) -> Tile:
    """Name a tile as it is in a tree of ``size`` leaves.

    Raises:
        Missing: the tree has no such tile.

    """
    width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * max(level, 0))) - TILE_WIDTH * index)
    if index < 0 or width < 1 or not ENTRIES <= level <= _MAX_TILE_LEVEL:
        raise Missing("tile-missing", f"a tree of size {size} has no tile {level}/{index}")
    return Tile(level, index, width)


def tiles_of(size: int) -> Iterator[Tile]:
    """Name every hash tile of a tree of ``size`` leaves, level by level."""
    for level in range(_MAX_TILE_LEVEL + 1):
        hashes = size >> (TILE_HEIGHT * level)
        for index in range((hashes + TILE_WIDTH - 1) // TILE_WIDTH):
            yield tile_of(level, index, size)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Join entries, each behind its length as two bytes, big-endian.

    Raises:
        Malformed: an entry exceeds 65,535 bytes.

    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise Malformed("entry-too-large", f"expected at most {MAX_ENTRY_BYTES} bytes, got {len(entry)}")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def parse_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Split an entry bundle into exactly ``width`` entries.

    Raises:
        Malformed: it holds fewer or more, or ends inside one.

    """
    entries: list[bytes] = []
    place = 0
    while place < len(data) and len(entries) <= width:
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if place + 2 > len(data) or end > len(data):
            raise Malformed("bundle-form", f"the entry bundle ends inside entry {len(entries)}")
        entries.append(data[place + 2 : end])
        place = end
    if len(entries) != width:
        raise Malformed("bundle-form", f"expected {width} entries in the bundle, got {len(entries)}")
    return tuple(entries)


def split_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """Split a tile into its hashes.

    Raises:
        Malformed: its length is not ``width`` hashes.

    """
    if len(data) != width * HASH_BYTES:
        raise Malformed("tile-form", f"expected a tile of {width * HASH_BYTES} bytes, got {len(data)}")
    return tuple(data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES))


def read_tile(tile: Tile, read: PathReader) -> tuple[bytes, ...]:
    """Read the hashes of a tile, from the full one if the partial one is gone.

    Raises:
        Missing: neither is there.
        Malformed: its length does not fit its name.

    """
    try:
        return split_tile(read(tile.path()), tile.width)
    except Missing:
        if tile.width == TILE_WIDTH:
            raise
    return split_tile(read(tile.full().path()), TILE_WIDTH)[: tile.width]


def read_bundle(tile: Tile, read: PathReader) -> tuple[bytes, ...]:
    """Read the entries of a bundle, from the full one if the partial one is gone.

    Raises:
        Missing: neither is there.
        Malformed: its content does not fit its name.

    """
    try:
        return parse_bundle(read(tile.path()), tile.width)
    except Missing:
        if tile.width == TILE_WIDTH:
            raise
    return parse_bundle(read(tile.full().path()), TILE_WIDTH)[: tile.width]


def tile_reader(size: int, read: PathReader) -> NodeReader:
    """Read tree nodes out of the tiles of a log of ``size`` entries.

    Every tile that is read stays in memory as long as the reader does. The hashes
    are not trusted: a proof made from them shows itself wrong when it is verified.
    """
    seen: dict[Tile, tuple[bytes, ...]] = {}

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        tile = tile_of(tile_level, first // TILE_WIDTH, size)
        if tile not in seen:
            seen[tile] = read_tile(tile, read)
        start = first % TILE_WIDTH
        hashes = seen[tile][start : start + (1 << height)]
        if len(hashes) != 1 << height:
            raise Missing("node-missing", f"node {level}/{index} is not complete in a tree of size {size}")
        return complete_root(hashes)

    return node


@dataclass(frozen=True, slots=True)
class TileEdge:
    """The partial tiles of a log, from which the tiles to come are made.

    Attributes:
        size: number of leaves so far.
        levels: for each tile level, the hashes in its last, partial tile (0 to 255).

    """

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()

    def grow(self, leaves: Sequence[bytes]) -> tuple["TileEdge", dict[Tile, bytes]]:
        """Add leaf hashes.

        Returns:
            The edge after them, and the content of every tile that is new.

        """
        tiles: dict[Tile, bytes] = {}
        levels: list[tuple[bytes, ...]] = []
        added = tuple(leaves)
        while added or len(levels) < len(self.levels):
            level = len(levels)
            held = (self.levels[level] if level < len(self.levels) else ()) + added
            index = self.size >> (TILE_HEIGHT * (level + 1))
            carried: list[bytes] = []
            full = len(held) // TILE_WIDTH * TILE_WIDTH
            for start in range(0, full, TILE_WIDTH):
                hashes = held[start : start + TILE_WIDTH]
                tiles[Tile(level, index + len(carried))] = b"".join(hashes)
                carried.append(complete_root(hashes))
            rest = held[full:]
            if rest and added:
                tiles[Tile(level, index + len(carried), len(rest))] = b"".join(rest)
            levels.append(rest)
            added = tuple(carried)
        return TileEdge(self.size + len(leaves), tuple(levels)), tiles
