"""Proofs that something was logged, for whoever is on no network (c2sp.org/tlog-proof).

A proof holds a checkpoint with its cosignatures, the index of an entry and the
inclusion proof between the two. Who has the entry, and a policy (c2sp.org/tlog-policy)
that says which log and whose cosignatures to trust, needs nothing else.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed
from serai.ledger.checkpoint import Checkpoint, parse_checkpoint
from serai.ledger.merkle import HASH_BYTES, MAX_PROOF_HASHES, leaf_hash, verify_inclusion
from serai.ledger.note import MAX_NOTE_BYTES, Note, parse_note

SUFFIX: Final = ".tlog-proof"
_FIRST: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class LogProof:
    """The proof of one entry.

    Attributes:
        index: of the entry.
        hashes: from the leaf's sibling to the root's child, 32 bytes each.
        note: the checkpoint, with signatures that nobody has checked yet.
        extra: further bytes for the reader; nothing authenticates them.

    """

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes = b""

    def encode(self) -> str:
        """Spell the proof."""
        lines = [_FIRST]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += encode_hashes(self.hashes)
        return "\n".join(lines) + "\n\n" + self.note.encode()

    def check(self, entry: bytes) -> Checkpoint:
        """Check that the checkpoint commits to an entry; its signatures are for a policy to judge.

        Returns:
            The checkpoint.

        Raises:
            Malformed: the note holds no checkpoint.
            Unverified: the proof does not lead from the entry to the root.

        """
        checkpoint = parse_checkpoint(self.note.text)
        verify_inclusion(self.hashes, self.index, checkpoint.size, leaf_hash(entry), checkpoint.root)
        return checkpoint


def parse_proof(text: str) -> LogProof:
    """Read a proof; nothing in it is verified here.

    Raises:
        Malformed: another form, or too large.

    """
    if len(text) > 2 * MAX_NOTE_BYTES:
        raise Malformed("proof-too-large", f"expected a proof of at most {2 * MAX_NOTE_BYTES} bytes, got {len(text)}")
    head, found, note = text.partition("\n\n")
    lines = head.split("\n")
    if not found or lines.pop(0) != _FIRST:
        raise Malformed("proof-form", f"expected a file that begins with {_FIRST}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = _decode(lines.pop(0).removeprefix("extra "))
    match = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None:
        raise Malformed("proof-form", "expected a line with the index of the entry")
    return LogProof(int(match[1]), parse_hashes(lines), parse_note(note), extra)


def encode_hashes(hashes: tuple[bytes, ...]) -> list[str]:
    """Spell hashes, one line each."""
    return [base64.b64encode(item).decode() for item in hashes]


def parse_hashes(lines: list[str]) -> tuple[bytes, ...]:
    """Read one hash from each line.

    Raises:
        Malformed: a line is not base64 of 32 bytes, or there are more than a tree is high.

    """
    if len(lines) > MAX_PROOF_HASHES:
        raise Malformed("proof-form", f"expected at most {MAX_PROOF_HASHES} hashes, got {len(lines)}")
    hashes = tuple(_decode(line) for line in lines)
    if any(len(item) != HASH_BYTES for item in hashes):
        raise Malformed("proof-form", f"expected hashes of {HASH_BYTES} bytes in base64")
    return hashes


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise Malformed("proof-form", f"expected base64, got {text[:80]!r}")
    return data
