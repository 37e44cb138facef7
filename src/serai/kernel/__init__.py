"""What every room shares: bytes, digests, names, signatures, statements, verdicts."""
