"""Audit of a whole published log from its bytes: checkpoint, cosignatures, every entry and every tile."""

from collections.abc import Callable

from serai.errors import Malformed, Unverified
from serai.ledger.checkpoint import open_checkpoint, parse_checkpoint
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.note import NoteKey, parse_note
from serai.ledger.policy import Witnessed, Witnesses, require_quorum
from serai.ledger.tiles import ENTRIES, TILE_WIDTH, PathReader, Tile, TileEdge, read_bundle, read_tile, tile_of


def audit_log(
    read: PathReader,
    key: NoteKey | Callable[[], NoteKey],
    witnesses: Witnesses | Callable[[], Witnesses],
    receive: Callable[[int, bytes], None] | None = None,
) -> Witnessed:
    """Check that what is published is the log that was signed and witnessed, in constant memory.

    The root is computed from the entries alone; each tile must hold exactly the
    hashes that the entries give it, so any proof made from the tiles will verify.

    Args:
        read: gives the published files by path.
        key: the log's key.
        witnesses: whose cosignatures count. For both: or what tells it once every entry
            was received, where the entries themselves say so.
        receive: called with index and bytes of each entry, before its root is confirmed.

    Returns:
        The checkpoint that was audited, with the members that cosigned it.

    Raises:
        Malformed: a file does not have its form.
        Misconfigured: there are too few witnesses for the faults to be borne.
        Missing: a file is not there.
        Unverified: a signature, the quorum, a tile or the root does not hold.

    """
    note = parse_note(_text(read("checkpoint")))
    checkpoint = open_checkpoint(note, key) if isinstance(key, NoteKey) else parse_checkpoint(note.text)
    times_s = require_quorum(note, witnesses) if isinstance(witnesses, Witnesses) else None
    size = checkpoint.size
    frontier, edge = Frontier(), TileEdge()
    while frontier.size < size:
        entries = read_bundle(tile_of(ENTRIES, frontier.size // TILE_WIDTH, size), read)
        leaves = [leaf_hash(entry) for entry in entries]
        if receive is not None:
            for index, entry in enumerate(entries, frontier.size):
                receive(index, entry)
        frontier = frontier.extend(leaves)
        edge, tiles = edge.grow(leaves)
        _compare({tile: data for tile, data in tiles.items() if tile.width == TILE_WIDTH}, read)
    _compare(_partial_tiles(edge), read)
    if frontier.root() != checkpoint.root:
        raise Unverified("log-root", f"the {size} published entries do not have the root that was signed")
    if not isinstance(key, NoteKey):
        open_checkpoint(note, key())
    if not isinstance(witnesses, Witnesses):
        times_s = require_quorum(note, witnesses())
    assert times_s is not None
    return Witnessed(checkpoint, times_s)


def _partial_tiles(edge: TileEdge) -> dict[Tile, bytes]:
    return {
        tile_of(level, (edge.size >> (8 * level)) // TILE_WIDTH, edge.size): b"".join(hashes)
        for level, hashes in enumerate(edge.levels)
        if hashes
    }


def _compare(tiles: dict[Tile, bytes], read: PathReader) -> None:
    for tile, data in tiles.items():
        if b"".join(read_tile(tile, read)) != data:
            raise Unverified("tile-content", f"{tile.path()} does not hold the hashes of the entries below it")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("note-text", f"expected a checkpoint in UTF-8: {error}") from error
