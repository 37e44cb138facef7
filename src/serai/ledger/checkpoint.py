"""Checkpoints: what a log says about itself, signed by the log and cosigned by its witnesses (c2sp.org/tlog-checkpoint)."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed, Unverified
from serai.kernel.ids import MemberId
from serai.kernel.keys import Signer
from serai.ledger.merkle import HASH_BYTES
from serai.ledger.note import Note, NoteKey, NoteKeyKind, cosign_text, parse_signature, sign_text

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and root of a log at one moment.

    Attributes:
        origin: the log's name, which is also the name of its key.
        size: number of entries.
        root: RFC 6962 root, 32 bytes.

    """

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Spell the checkpoint as the text of a note."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(body: str) -> Checkpoint:
    """Read a checkpoint from the text of a note.

    Extension lines are refused: witnesses do not agree on them, so they would
    look signed by a quorum without anybody having judged them.

    Raises:
        Malformed: not exactly origin, size and root.

    """
    lines = body.split("\n")
    if len(lines) == 4 and lines[0] and not lines[3] and _SIZE.fullmatch(lines[1]):
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError):
            root = b""
        checkpoint = Checkpoint(lines[0], int(lines[1]), root)
        if len(root) == HASH_BYTES and checkpoint.body() == body:
            return checkpoint
    raise Malformed("checkpoint-form", f"expected three lines, origin, size and root in base64, got {body[:120]!r}")


@dataclass(frozen=True, slots=True)
class LogSigner:
    """A log's origin with the private key that signs its checkpoints.

    Attributes:
        origin: the log's name, such as ``center.example/serai``.
        signer: holds the private key.

    """

    origin: str
    signer: Signer

    @property
    def key(self) -> NoteKey:
        """The public key by which others know the log; the charter carries its vkey."""
        return log_key(self.origin, self.signer.public)

    def sign(self, size: int, root: bytes) -> str:
        """Sign the checkpoint of a size and root.

        Returns:
            The signed note.

        Raises:
            Malformed: the origin cannot be in a note.

        """
        body = Checkpoint(self.origin, size, root).body()
        return Note(body, (sign_text(body, self.origin, self.signer),)).encode()


def log_key(origin: str, public: bytes) -> NoteKey:
    """Name a log's key: its name is the origin.

    Raises:
        Malformed: the origin has spaces or plus signs, or the key is not 32 bytes.

    """
    return NoteKey(origin, NoteKeyKind.ED25519, public)


def witness_key(origin: str, member: MemberId, public: bytes) -> NoteKey:
    """Name a member's witness key for one log: ``<origin>/witness/<member>``.

    Raises:
        Malformed: the name cannot be in a note, or the key is not 32 bytes.

    """
    return NoteKey(f"{origin}/witness/{member}", NoteKeyKind.COSIGNATURE, public)


def open_checkpoint(note: Note, key: NoteKey) -> Checkpoint:
    """Read a checkpoint after checking the log's signature; cosignatures are not looked at.

    Raises:
        Malformed: the text is not a checkpoint.
        Unverified: the log's key did not sign it, or it names another log.

    """
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise Unverified("checkpoint-origin", f"expected a checkpoint of {key.name}, got one of {checkpoint.origin}")
    if key not in note.verify([key]):
        raise Unverified("checkpoint-signature", f"expected a signature of {key.encode()}, the checkpoint has none")
    return checkpoint


def cosign(body: str, member: MemberId, signer: Signer, time_s: int) -> str:
    """Cosign a checkpoint as a witness.

    Args:
        body: the text of the checkpoint's note.
        member: whose witness signs; the key's name follows from it and the origin.
        signer: holds the witness key.
        time_s: when, in Unix seconds.

    Returns:
        The signature line, newline included.

    Raises:
        Malformed: the body is not a checkpoint.

    """
    name = witness_key(parse_checkpoint(body).origin, member, signer.public).name
    return cosign_text(body, name, signer, time_s).encode()


def verify_cosignature(body: str, line: str, key: NoteKey) -> int:
    """Check a cosignature line against a checkpoint's text.

    Returns:
        The time it was made, in Unix seconds.

    Raises:
        Malformed: not a signature line.
        Unverified: made by another key, or it does not hold.

    """
    signature = parse_signature(line)
    if (signature.name, signature.key_id) != (key.name, key.id) or key.kind is not NoteKeyKind.COSIGNATURE:
        raise Unverified("cosignature-key", f"expected a cosignature of {key.encode()}, got one of {signature.name}")
    return key.verify(body, signature.signature)
