"""RFC 6962 vectors, and what a proof must not get away with."""

import pytest

from serai.errors import Malformed, Missing, Unverified
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import (
    EMPTY_ROOT,
    MAX_PROOF_HASHES,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    reader_of,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The entries, roots and proofs that Certificate Transparency implementations share
# (google/certificate-transparency, merkletree tests; transparency-dev/merkle testonly).
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def hexes(proof):
    return [item.hex() for item in proof]


def test_the_empty_tree_has_the_hash_of_nothing_as_root():
    assert root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size):
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]
    assert Frontier().extend(LEAVES[:size]).root().hex() == ROOTS[size - 1]


def test_inclusion_proofs_are_the_published_ones():
    read = reader_of(LEAVES)
    assert hexes(prove_inclusion(0, 8, read)) == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert hexes(prove_inclusion(5, 8, read)) == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert hexes(prove_inclusion(2, 3, read)) == ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
    assert prove_inclusion(0, 1, read) == ()


def test_consistency_proofs_are_the_published_ones():
    read = reader_of(LEAVES)
    assert hexes(prove_consistency(1, 8, read)) == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert hexes(prove_consistency(6, 8, read)) == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert hexes(prove_consistency(2, 5, read)) == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    assert prove_consistency(4, 4, read) == prove_consistency(0, 8, read) == ()


def test_an_entry_cannot_pass_for_two_subtrees():
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


def test_a_proof_of_an_entry_outside_the_tree_is_refused():
    with pytest.raises(Unverified, match="index below the size"):
        verify_inclusion((), 1, 1, LEAVES[0], LEAVES[0])
    with pytest.raises(Missing, match="index below the size"):
        prove_inclusion(8, 8, reader_of(LEAVES))
    with pytest.raises(Missing, match="old size"):
        prove_consistency(9, 8, reader_of(LEAVES))


@pytest.mark.parametrize("proof", [(b"short",), (bytes(32),) * (MAX_PROOF_HASHES + 1)])
def test_hashes_of_another_length_and_endless_proofs_are_refused(proof):
    with pytest.raises(Unverified, match="at most 63 hashes"):
        verify_inclusion(proof, 0, 2**62, LEAVES[0], bytes(32))
    with pytest.raises(Unverified, match="at most 63 hashes"):
        verify_consistency(proof, (1, bytes(32)), (2, bytes(32)))


def test_a_log_that_shrank_is_refused():
    with pytest.raises(Unverified, match="shrank"):
        verify_consistency((), (8, root_of(LEAVES)), (7, root_of(LEAVES[:7])))


def test_equal_sizes_need_equal_roots_and_no_proof():
    verify_consistency((), (8, root_of(LEAVES)), (8, root_of(LEAVES)))
    with pytest.raises(Unverified, match="agreeing roots"):
        verify_consistency((), (8, root_of(LEAVES)), (8, LEAVES[0]))
    with pytest.raises(Unverified, match="no proof"):
        verify_consistency((bytes(32),), (8, root_of(LEAVES)), (8, root_of(LEAVES)))


def test_every_log_continues_the_empty_one_but_not_one_that_claims_a_root():
    verify_consistency((), (0, EMPTY_ROOT), (8, root_of(LEAVES)))
    with pytest.raises(Unverified):
        verify_consistency((), (0, LEAVES[0]), (8, root_of(LEAVES)))


@pytest.mark.parametrize("size", [2, 4, 16])
def test_an_inclusion_proof_of_another_height_is_refused_though_its_hashes_fit(size):
    proof = prove_inclusion(0, 8, reader_of(LEAVES))

    with pytest.raises(Unverified):
        verify_inclusion(proof, 0, size, LEAVES[0], root_of(LEAVES))


@pytest.mark.parametrize("size", [3, 4, 16])
def test_a_consistency_proof_of_another_height_is_refused_though_its_hashes_fit(size):
    proof = prove_consistency(2, 8, reader_of(LEAVES))

    verify_consistency(proof, (2, root_of(LEAVES[:2])), (8, root_of(LEAVES)))
    with pytest.raises(Unverified):
        verify_consistency(proof, (2, root_of(LEAVES[:2])), (size, root_of(LEAVES)))


def test_a_proof_at_the_right_edge_does_not_pass_for_one_of_a_lower_tree():
    read = reader_of(LEAVES)

    with pytest.raises(Unverified, match="longer than its tree is high"):
        verify_inclusion(prove_inclusion(7, 8, read), 3, 4, LEAVES[7], root_of(LEAVES))
    with pytest.raises(Unverified):
        verify_consistency(prove_consistency(7, 8, read), (3, root_of(LEAVES[:7])), (4, root_of(LEAVES)))


def test_an_empty_proof_shows_no_growth():
    with pytest.raises(Unverified, match="does not continue"):
        verify_consistency((), (3, root_of(LEAVES[:3])), (8, root_of(LEAVES)))


def test_a_frontier_that_does_not_fit_its_size_is_refused():
    with pytest.raises(Malformed, match="expected 2 hashes"):
        Frontier(3, (bytes(32),))
    with pytest.raises(Malformed):
        Frontier(1, (b"short",))
