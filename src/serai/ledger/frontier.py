"""The right edge of a log: the few hashes from which its root, and every later root, can be computed."""

from collections.abc import Iterable
from dataclasses import dataclass

from serai.errors import Malformed
from serai.ledger.merkle import EMPTY_ROOT, HASH_BYTES, node_hash


@dataclass(frozen=True, slots=True)
class Frontier:
    """The complete subtrees that a log of ``size`` entries consists of, largest first.

    There is one subtree for each bit set in ``size``, so a frontier holds at most
    log2(size) hashes. It is all that a witness or a replay has to remember.

    Attributes:
        size: number of entries.
        nodes: roots of the complete subtrees, 32 bytes each, from the left.

    Raises:
        Malformed: the nodes do not fit the size.

    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.nodes) != self.size.bit_count() or any(len(n) != HASH_BYTES for n in self.nodes):
            raise Malformed(
                "frontier-form", f"expected {self.size.bit_count()} hashes for size {self.size}, got {len(self.nodes)}"
            )

    def append(self, leaf: bytes) -> "Frontier":
        """Return the frontier after one more leaf hash."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """Return the frontier after more leaf hashes; amortised one node hash for each."""
        size, nodes = self.size, list(self.nodes)
        for leaf in leaves:
            node, carry = leaf, size
            while carry & 1:
                node = node_hash(nodes.pop(), node)
                carry >>= 1
            nodes.append(node)
            size += 1
        return Frontier(size, tuple(nodes))

    def root(self) -> bytes:
        """Compute the root of the tree, 32 bytes (RFC 6962 2.1)."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root
