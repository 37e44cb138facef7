"""What holds of every tree and every proof."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.errors import Malformed, Missing, Unverified
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import (
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    reader_of,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from serai.ledger.tiles import (
    TILE_WIDTH,
    Tile,
    TileEdge,
    encode_bundle,
    parse_bundle,
    parse_tile_path,
    tile_reader,
    tiles_of,
)

LEAVES = [leaf_hash(index.to_bytes(4, "big")) for index in range(1100)]
ROOTS = [Frontier().root()]
_frontier = Frontier()
for _leaf in LEAVES:
    _frontier = _frontier.append(_leaf)
    ROOTS.append(_frontier.root())

sizes = st.integers(1, 300)


@st.composite
def bent(draw, proof):
    """The proof with one bit flipped, one hash gone, doubled or added, or two swapped."""
    items = list(proof)
    ways = ["add"] + (["flip", "drop"] if items else []) + (["swap"] if len(set(items)) > 1 else [])
    match draw(st.sampled_from(ways)):
        case "add":
            items.insert(draw(st.integers(0, len(items))), draw(st.binary(min_size=32, max_size=32)))
        case "flip":
            place, bit = draw(st.integers(0, len(items) - 1)), draw(st.integers(0, 255))
            items[place] = (int.from_bytes(items[place], "big") ^ (1 << bit)).to_bytes(32, "big")
        case "drop":
            del items[draw(st.integers(0, len(items) - 1))]
        case "swap":
            first = draw(st.integers(0, len(items) - 2))
            items[first], items[first + 1] = items[first + 1], items[first]
    return tuple(items)


@given(sizes)
def test_the_frontier_has_the_root_of_the_whole_list(size):
    assert ROOTS[size] == root_of(LEAVES[:size])


@given(sizes, st.lists(st.integers(0, 300), max_size=4))
def test_a_frontier_grows_the_same_however_it_is_cut(size, cuts):
    frontier, start = Frontier(), 0
    for cut in [*sorted(min(cut, size) for cut in cuts), size]:
        frontier, start = frontier.extend(LEAVES[start:cut]), cut
    assert frontier == Frontier().extend(LEAVES[:size])


@given(st.data(), sizes)
def test_every_entry_has_a_proof_that_verifies(data, size):
    index = data.draw(st.integers(0, size - 1))
    proof = prove_inclusion(index, size, reader_of(LEAVES[:size]))
    verify_inclusion(proof, index, size, LEAVES[index], ROOTS[size])


@given(st.data(), sizes)
def test_a_bent_inclusion_proof_never_verifies(data, size):
    index = data.draw(st.integers(0, size - 1))
    proof = prove_inclusion(index, size, reader_of(LEAVES[:size]))
    with pytest.raises(Unverified):
        verify_inclusion(data.draw(bent(proof)), index, size, LEAVES[index], ROOTS[size])


@given(st.data(), st.integers(2, 300))
def test_a_proof_never_verifies_for_another_index_leaf_or_root(data, size):
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda item: item != index))
    proof = prove_inclusion(index, size, reader_of(LEAVES[:size]))
    with pytest.raises(Unverified):
        verify_inclusion(proof, other, size, LEAVES[index], ROOTS[size])
    with pytest.raises(Unverified):
        verify_inclusion(proof, index, size, LEAVES[other], ROOTS[size])
    with pytest.raises(Unverified):
        verify_inclusion(proof, index, size, LEAVES[index], ROOTS[other])


@given(sizes, sizes)
def test_every_two_sizes_have_a_consistency_proof_that_verifies(first, second):
    old, new = sorted((first, second))
    proof = prove_consistency(old, new, reader_of(LEAVES[:new]))
    verify_consistency(proof, (old, ROOTS[old]), (new, ROOTS[new]))


@given(st.data(), sizes, sizes)
def test_a_bent_consistency_proof_never_verifies(data, first, second):
    old, new = sorted((first, second))
    proof = prove_consistency(old, new, reader_of(LEAVES[:new]))
    with pytest.raises(Unverified):
        verify_consistency(data.draw(bent(proof)), (old, ROOTS[old]), (new, ROOTS[new]))


@given(st.data(), st.integers(2, 300))
def test_a_log_with_one_entry_rewritten_never_continues_the_old_one(data, size):
    old = data.draw(st.integers(1, size - 1))
    index = data.draw(st.integers(0, old - 1))
    forged = list(LEAVES[:size])
    forged[index] = leaf_hash(b"another entry")
    proof = prove_consistency(old, size, reader_of(forged))
    with pytest.raises(Unverified):
        verify_consistency(proof, (old, ROOTS[old]), (size, root_of(forged)))


@given(st.integers(1, 1100), st.lists(st.integers(0, 1100), max_size=5))
def test_tiles_do_not_depend_on_how_entries_came_in_batches(size, cuts):
    edge, start, files = TileEdge(), 0, {}
    for cut in [*sorted(min(cut, size) for cut in cuts), size]:
        edge, tiles = edge.grow(LEAVES[start:cut])
        start = cut
        files |= {tile.path(): data for tile, data in tiles.items()}
    once, tiles = TileEdge().grow(LEAVES[:size])
    assert edge == once
    assert {tile.path() for tile in tiles_of(size)} == {tile.path() for tile in tiles}
    assert {path: files[path] for path in (tile.path() for tile in tiles)} == {t.path(): d for t, d in tiles.items()}


@given(st.data(), st.integers(1, 1100))
def test_proofs_made_from_tiles_verify(data, size):
    files = {tile.path(): content for tile, content in TileEdge().grow(LEAVES[:size])[1].items()}
    read = tile_reader(size, files.__getitem__)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    verify_inclusion(prove_inclusion(index, size, read), index, size, LEAVES[index], ROOTS[size])
    verify_consistency(prove_consistency(old, size, read), (old, ROOTS[old]), (size, ROOTS[size]))


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_is_read_back_as_it_was_written(entries):
    assert parse_bundle(encode_bundle(entries), len(entries)) == tuple(entries)


@given(st.binary(max_size=80), st.integers(0, 8))
def test_bytes_that_are_read_as_a_bundle_are_that_bundle(data, width):
    try:
        entries = parse_bundle(data, width)
    except Malformed:
        return
    assert encode_bundle(entries) == data


@given(st.integers(-1, 7), st.integers(0, 10**10), st.integers(1, TILE_WIDTH))
def test_a_tile_path_is_read_back_as_it_was_written(level, index, width):
    assert parse_tile_path(Tile(level, index, width).path()) == Tile(level, index, width)


@given(st.integers(1, 1100), st.integers(0, 12), st.integers(0, 1100))
def test_a_node_that_is_not_complete_is_not_there(size, level, index):
    files = {tile.path(): content for tile, content in TileEdge().grow(LEAVES[:size])[1].items()}
    read = tile_reader(size, files.__getitem__)
    if (index + 1) << level <= size:
        assert read(level, index) == reader_of(LEAVES)(level, index)
    else:
        with pytest.raises(Missing):
            read(level, index)
