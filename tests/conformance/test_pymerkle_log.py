"""Roots and proofs agree with pymerkle, an independent implementation of RFC 6962."""

import pytest
from pymerkle import InclusionProof, InmemoryTree, verify_consistency, verify_inclusion

from serai.ledger import merkle
from serai.ledger.merkle import leaf_hash, prove_consistency, prove_inclusion, reader_of, root_of

ENTRIES = [b"entry %d" % index for index in range(67)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


@pytest.fixture(scope="module")
def tree():
    tree = InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        tree.append_entry(entry)
    return tree


def test_both_compute_the_same_roots(tree):
    assert [tree.get_root(size) for size in range(1, 68)] == [root_of(LEAVES[:size]) for size in range(1, 68)]


@pytest.mark.parametrize("size", [1, 2, 3, 31, 32, 33, 67])
def test_pymerkle_verifies_our_inclusion_proofs(tree, size):
    for index in range(size):
        theirs = tree.prove_inclusion(index + 1, size)
        path = [LEAVES[index], *prove_inclusion(index, size, reader_of(LEAVES))]  # pymerkle's path begins at the leaf
        ours = InclusionProof("sha256", True, size, index + 1, theirs.rule, path)  # noqa: FBT003 - pymerkle's order

        verify_inclusion(LEAVES[index], root_of(LEAVES[:size]), ours, index=index + 1, size=size)
        merkle.verify_inclusion(theirs.path[1:], index, size, theirs.path[0], tree.get_root(size))


@pytest.mark.parametrize("size", [1, 2, 3, 31, 32, 33, 67])
def test_both_find_the_same_sizes_consistent(tree, size):
    for old in range(1, size + 1):
        verify_consistency(root_of(LEAVES[:old]), root_of(LEAVES[:size]), tree.prove_consistency(old, size))
        proof = prove_consistency(old, size, reader_of(LEAVES))
        merkle.verify_consistency(proof, (old, tree.get_root(old)), (size, tree.get_root(size)))
