"""What a witness answers to ``add-checkpoint`` (c2sp.org/tlog-witness).

| status | when                                                                              |
| ------ | --------------------------------------------------------------------------------- |
| 400    | not the form of a request, or the old size is larger than the checkpoint's        |
| 404    | a checkpoint of a log that the witness does not know                              |
| 403    | not signed with that log's key                                                    |
| 409    | the old size is not that of the checkpoint cosigned last; the body has that size  |
| 422    | the proof does not hold, or one size has two roots                                |
| 200    | cosignature lines, after the checkpoint was stored                                |

Two roots of one size are 422 since C2SP pull request 280 (July 2026); version 1.0.0 of
the specification has 409 for them, without a size. A log is to take either as a no.
The old root is the one that the witness stored, never one from the request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed, Unverified
from serai.ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from serai.ledger.merkle import EMPTY_ROOT, verify_consistency
from serai.ledger.note import MAX_NOTE_BYTES, Note, NoteKey, parse_note
from serai.ledger.proof import encode_hashes, parse_hashes

MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 4096  # 63 proof lines of 45 bytes beside the note
SIZE_TYPE: Final = "text/x.tlog.size"
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class WitnessReply:
    """A status with its body; for 200 the body is still to be made by whoever cosigns."""

    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request.

    Attributes:
        old: size of the checkpoint that the witness is thought to have.
        proof: of consistency between the two.
        note: the new checkpoint; its signatures are not checked yet.

    """

    old: int
    proof: tuple[bytes, ...]
    note: Note

    def encode(self) -> str:
        """Spell the request."""
        return "\n".join([f"old {self.old}", *encode_hashes(self.proof)]) + "\n\n" + self.note.encode()


def parse_add_checkpoint(text: str) -> AddCheckpoint:
    """Read a request.

    Raises:
        Malformed: another form.

    """
    head, found, note = text.partition("\n\n")
    lines = head.split("\n")
    match = _OLD.fullmatch(lines.pop(0))
    if not found or match is None:
        raise Malformed("add-checkpoint-form", "expected an old size, proof lines, an empty line and a checkpoint")
    return AddCheckpoint(int(match[1]), parse_hashes(lines), parse_note(note))


def judge_add_checkpoint(
    body: bytes, key_of: Callable[[str], NoteKey | None], stored: Callable[[str], tuple[int, bytes]]
) -> Checkpoint | WitnessReply:
    """The checkpoint to store and cosign, or the answer that refuses it.

    Args:
        body: of the request.
        key_of: the key of the log with an origin; None for an unknown log.
        stored: size and root of the checkpoint of an origin that was cosigned last;
            0 and the empty tree's root before the first. Between this call and the
            storing of what is returned nobody else may ask.

    """
    try:
        asked = parse_add_checkpoint(body.decode())
        checkpoint = parse_checkpoint(asked.note.text)
    except (Malformed, UnicodeDecodeError) as error:
        return WitnessReply(400, f"{error}\n")
    key = key_of(checkpoint.origin)
    if key is None:
        return WitnessReply(404, f"this witness does not know {checkpoint.origin}\n")
    try:
        open_checkpoint(asked.note, key)
    except Unverified as error:
        return WitnessReply(403, f"{error.message}\n")
    if asked.old > checkpoint.size:
        return WitnessReply(400, f"the old size {asked.old} is larger than {checkpoint.size}\n")
    size, root = stored(checkpoint.origin)
    if asked.old != size:
        return WitnessReply(409, f"{size}\n", SIZE_TYPE)
    try:
        verify_consistency(asked.proof, (size, root if size else EMPTY_ROOT), (checkpoint.size, checkpoint.root))
    except Unverified as error:
        return WitnessReply(422, f"{error.message}\n")
    return checkpoint
