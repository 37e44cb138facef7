"""The Merkle tree of a log: hashes, inclusion proofs and consistency proofs, as in RFC 6962.

Theory of operation. A tree of n leaves splits at k, the largest power of two
below n: the left part is a complete subtree, the right part splits again. So
every hash that a root or a proof needs is a fold of *complete* subtrees, each
named by its level and its position: node (level, index) covers the leaves from
``index << level`` to ``(index + 1) << level``. Complete subtrees never change
as the log grows, which is why they can be stored as immutable tiles. Proofs are
made from a ``NodeReader``, wherever the nodes lie.

Sources: RFC 6962 2.1 (hashes, proofs); RFC 9162 2.1.3.2 and 2.1.4.2 (how to
verify them without building a tree).
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from serai.errors import Missing, Unverified

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
MAX_PROOF_HASHES: Final = 63  # what a tree of 2^63 leaves needs, and what a witness request may carry

NodeReader: TypeAlias = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree (level, index)."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry as a leaf, 32 bytes (RFC 6962 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent, 32 bytes (RFC 6962 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """Fold 1, 2, 4, 8, ... neighbouring hashes of one level into their common ancestor."""
    row = hashes
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def reader_of(leaves: Sequence[bytes]) -> NodeReader:
    """Read nodes out of a list of leaf hashes, by folding them each time."""

    def read(level: int, index: int) -> bytes:
        span = leaves[index << level : (index + 1) << level]
        if len(span) != 1 << level:
            raise Missing("node-missing", f"node {level}/{index} needs more than {len(leaves)} leaves")
        return complete_root(span)

    return read


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Compute the root of a list of leaf hashes, 32 bytes."""
    return tree_root(len(leaves), reader_of(leaves))


def tree_root(size: int, read: NodeReader) -> bytes:
    """Compute the root of the tree's first ``size`` leaves, 32 bytes.

    Raises:
        Missing: the reader lacks a node.

    """
    return _span_root(0, size, read) if size else EMPTY_ROOT


def _span_root(start: int, end: int, read: NodeReader) -> bytes:
    """Hash leaves start..end, where start is a multiple of the span's next power of two."""
    level = (end - start - 1).bit_length()
    if end - start == 1 << level:
        return read(level, start >> level)
    middle = start + (1 << (level - 1))
    return node_hash(_span_root(start, middle, read), _span_root(middle, end, read))


def _split(start: int, end: int) -> int:
    return start + (1 << ((end - start - 1).bit_length() - 1))


def prove_inclusion(index: int, size: int, read: NodeReader) -> tuple[bytes, ...]:
    """Make the audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 6962 2.1.1).

    Returns:
        Hashes from the leaf's sibling up to the root's child.

    Raises:
        Missing: no such leaf, or the reader lacks a node.

    """
    if not 0 <= index < size:
        raise Missing("leaf-missing", f"expected an index below the size {size}, got {index}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            proof.append(_span_root(middle, end, read))
            end = middle
        else:
            proof.append(_span_root(start, middle, read))
            start = middle
    return tuple(reversed(proof))


def prove_consistency(old_size: int, new_size: int, read: NodeReader) -> tuple[bytes, ...]:
    """Prove that the tree of ``new_size`` continues the tree of ``old_size`` (RFC 6962 2.1.2).

    Returns:
        The proof; empty when the old tree is empty or the sizes are equal.

    Raises:
        Missing: the old size exceeds the new one, or the reader lacks a node.

    """
    if not 0 <= old_size <= new_size:
        raise Missing("tree-missing", f"expected an old size of at most {new_size}, got {old_size}")
    if old_size == 0:
        return ()
    proof: list[bytes] = []
    start, end = 0, new_size
    while end != old_size:
        middle = _split(start, end)
        if old_size <= middle:
            proof.append(_span_root(middle, end, read))
            end = middle
        else:
            proof.append(_span_root(start, middle, read))
            start = middle
    if start:
        proof.append(_span_root(start, end, read))
    return tuple(reversed(proof))


def verify_inclusion(proof: Sequence[bytes], index: int, size: int, leaf: bytes, root: bytes) -> None:
    """Check that ``leaf`` (a leaf hash) is at ``index`` in the tree (RFC 9162 2.1.3.2).

    Raises:
        Unverified: the proof does not lead from the leaf to the root.

    """
    _check_hashes(proof)
    if not 0 <= index < size:
        raise Unverified("inclusion-proof", f"expected an index below the size {size}, got {index}")
    here, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Unverified("inclusion-proof", "the inclusion proof is longer than its tree is high")
        if here & 1 or here == last:
            hashed = node_hash(sibling, hashed)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        here, last = here >> 1, last >> 1
    if last or hashed != root:
        raise Unverified("inclusion-proof", f"the proof of entry {index} does not lead to the root of size {size}")


def verify_consistency(proof: Sequence[bytes], old: tuple[int, bytes], new: tuple[int, bytes]) -> None:
    """Check that the tree ``new`` continues the tree ``old`` (RFC 9162 2.1.4.2).

    Args:
        proof: hashes in the order of ``prove_consistency``.
        old: size and root of the tree seen before.
        new: size and root of the tree shown now.

    Raises:
        Unverified: the new tree does not continue the old one by this proof.

    """
    (old_size, old_root), (new_size, new_root) = old, new
    _check_hashes(proof)
    if not 0 <= old_size <= new_size:
        raise Unverified("consistency-proof", f"the log shrank: it had {old_size} entries and now shows {new_size}")
    if old_size in {new_size, 0}:
        fits = old_root == new_root if old_size == new_size else old_root == EMPTY_ROOT
        if proof or not fits:
            raise Unverified("consistency-proof", f"sizes {old_size} and {new_size} need no proof and agreeing roots")
        return
    if _replayed(proof, old, new_size) != (old_root, new_root):
        raise Unverified(
            "consistency-proof", f"the log of size {new_size} does not continue the log of size {old_size}"
        )


def _replayed(proof: Sequence[bytes], old: tuple[int, bytes], new_size: int) -> tuple[bytes, bytes] | None:
    """Both roots as the proof gives them; None when its length does not fit the sizes."""
    old_size, old_root = old
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)  # a complete old tree is itself the first node, so the proof leaves it out
    here, last = old_size - 1, new_size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    if not path:
        return None
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if here & 1 or here == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        here, last = here >> 1, last >> 1
    return None if last else (before, after)


def _check_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > MAX_PROOF_HASHES or any(len(item) != HASH_BYTES for item in proof):
        raise Unverified("proof-form", f"expected at most {MAX_PROOF_HASHES} hashes of {HASH_BYTES} bytes each")
