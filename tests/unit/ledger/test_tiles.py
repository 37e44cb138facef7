"""Tiles at the sizes where something begins, and the audit of a whole published log."""

import pytest

from serai.errors import Malformed, Missing, Unverified
from serai.kernel.ids import MemberId
from serai.ledger.audit import audit_log
from serai.ledger.checkpoint import Checkpoint, LogSigner, cosign
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion
from serai.ledger.policy import Witnesses
from serai.ledger.tiles import (
    ENTRIES,
    Tile,
    TileEdge,
    encode_bundle,
    parse_bundle,
    parse_tile_path,
    read_bundle,
    read_tile,
    tile_of,
    tile_reader,
    tiles_of,
)

MEMBER = MemberId("bern")
SIZES = (1, 255, 256, 257, 70_000)


def entry(index):
    return b"entry %d" % index


@pytest.fixture(scope="module")
def published(signer):
    """A published log of a size, as files by path, with its signer and witnesses."""
    log, witness = LogSigner("center.example/log", signer(1)), signer(2)

    def publish(size):
        entries = [entry(index) for index in range(size)]
        leaves = [leaf_hash(item) for item in entries]
        files = {tile.path(): data for tile, data in TileEdge().grow(leaves)[1].items()}
        for start in range(0, size, 256):
            bundle = entries[start : start + 256]
            files[Tile(ENTRIES, start // 256, len(bundle)).path()] = encode_bundle(bundle)
        root = Frontier().extend(leaves).root()
        body = Checkpoint(log.origin, size, root).body()
        files["checkpoint"] = (log.sign(size, root) + cosign(body, MEMBER, witness, 1_700_000_000)).encode()
        return files

    return publish, log.key, Witnesses({MEMBER: witness.public})


def reader(files):
    def read(path):
        if path not in files:
            raise Missing("file-missing", path)
        return files[path]

    return read


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999, 255), "tile/1/999.p/255"),
        (Tile(0, 1000), "tile/0/x001/000"),
        (Tile(2, 1234067, 8), "tile/2/x001/x234/067.p/8"),
        (Tile(ENTRIES, 273, 112), "tile/entries/273.p/112"),
    ],
)
def test_tile_paths_are_those_of_the_specification(tile, path):
    assert tile.path() == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/01",
        "tile/8/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/../../etc/passwd",
        "tile/0/\u0661\u0661\u0661",
        "tile/entries/000\n",
    ],
)
def test_what_is_no_tile_path_is_refused(path):
    with pytest.raises(Malformed):
        parse_tile_path(path)


def test_a_tree_has_the_tiles_that_the_specification_counts():
    tiles = [tile.path() for tile in tiles_of(70_000)]

    assert len(tiles) == 274 + 2 + 1
    assert tiles[272:] == ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert list(tiles_of(0)) == []
    with pytest.raises(Missing):
        tile_of(0, 1, 256)
    with pytest.raises(Missing):
        tile_of(1, 0, 255)


@pytest.mark.parametrize("size", SIZES)
def test_a_published_log_passes_its_audit_and_gives_proofs_that_verify(published, size):
    publish, key, witnesses = published
    files = publish(size)
    last = []

    witnessed = audit_log(
        reader(files), key, witnesses, lambda index, data: last.__setitem__(slice(None), (index, data))
    )

    root = witnessed.checkpoint.root
    assert last == [size - 1, entry(size - 1)]
    assert {path for path in files if path[:6] in {"tile/0", "tile/1", "tile/2"}} == {t.path() for t in tiles_of(size)}
    read = tile_reader(size, reader(files))
    for index in {0, size // 2, size - 1}:
        verify_inclusion(prove_inclusion(index, size, read), index, size, leaf_hash(entry(index)), root)
        old = Frontier().extend(leaf_hash(entry(place)) for place in range(index + 1)).root()
        verify_consistency(prove_consistency(index + 1, size, read), (index + 1, old), (size, root))


def test_an_older_checkpoint_is_audited_after_its_partial_tiles_are_gone(published):
    publish, key, witnesses = published
    old, new = publish(200), publish(256)

    audit_log(reader({**new, "checkpoint": old["checkpoint"]}), key, witnesses)


def bend(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "path", ["tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]
)
@pytest.mark.parametrize("place", [5, -5])
def test_one_bent_bit_in_any_file_fails_the_audit(published, path, place):
    publish, key, witnesses = published
    files = publish(300)

    with pytest.raises((Unverified, Malformed)):
        audit_log(reader({**files, path: bend(files[path], place % len(files[path]))}), key, witnesses)


@pytest.mark.parametrize("path", ["checkpoint", "tile/entries/001.p/44", "tile/0/000", "tile/1/000.p/1"])
def test_a_missing_file_fails_the_audit(published, path):
    publish, key, witnesses = published
    files = publish(300)
    del files[path]

    with pytest.raises(Missing):
        audit_log(reader(files), key, witnesses)


def test_a_checkpoint_that_is_no_text_fails_the_audit(published):
    publish, key, witnesses = published

    with pytest.raises(Malformed):
        audit_log(reader({**publish(1), "checkpoint": b"\xff\n\n"}), key, witnesses)


def test_a_consistent_log_whose_entries_were_all_exchanged_fails_the_audit(published):
    publish, key, witnesses = published
    files, others = publish(300), publish(301)

    with pytest.raises((Unverified, Malformed, Missing)):
        audit_log(reader({**others, "checkpoint": files["checkpoint"], "tile/0/000": bytes(8192)}), key, witnesses)


@pytest.mark.parametrize(("data", "width"), [(b"\0\1", 1), (b"\0", 1), (b"\0\0", 2), (b"\0\0\0\0", 1), (b"", 1)])
def test_a_bundle_of_another_width_or_cut_short_is_refused(data, width):
    with pytest.raises(Malformed):
        parse_bundle(data, width)


def test_an_entry_of_more_than_65535_bytes_fits_no_bundle():
    assert parse_bundle(encode_bundle([bytes(65_535)]), 1) == (bytes(65_535),)
    with pytest.raises(Malformed, match="65535"):
        encode_bundle([bytes(65_536)])


def test_a_tile_of_another_length_is_refused():
    files = {"tile/0/000.p/2": bytes(63), "tile/entries/000.p/1": b"\0"}
    with pytest.raises(Malformed, match="expected a tile of 64 bytes"):
        read_tile(Tile(0, 0, 2), reader(files))
    with pytest.raises(Malformed):
        read_bundle(Tile(ENTRIES, 0, 1), reader(files))
