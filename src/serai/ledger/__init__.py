"""The transparency log: Merkle tree, tiles, signed notes, checkpoints, cosignatures, witness policy (C2SP, RFC 6962)."""
