"""Signed notes: a text and signature lines that people and foreign tools can read (c2sp.org/signed-note).

A note is a text that ends in a newline, an empty line, and one line for each
signature: an em dash, the key's name, and base64 of key id and signature. A key
is known by name *and* id. Signatures by unknown keys are ignored; a known key
whose signature does not hold spoils the whole note.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from serai.errors import Malformed
from serai.kernel.keys import Signer, verify_signature

MAX_NOTE_BYTES: Final = 1 << 20  # 256 ML-DSA lines of 3.3 kB fit
MAX_SIGNATURES: Final = 257  # one for each of 256 members, and the log's own
_DASH: Final = "\u2014 "
_KEY_ID_BYTES: Final = 4
_PUBLIC_BYTES: Final = 32
_TIME_BYTES: Final = 8


class NoteKeyKind(IntEnum):
    """Signature types of signed notes that serai verifies."""

    ED25519 = 0x01  # over the text
    COSIGNATURE = 0x04  # Ed25519 over a time and the text (c2sp.org/tlog-cosignature v1)


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key as signed notes name it.

    Attributes:
        name: who signs, such as ``example.org/log``; no spaces, no plus sign.
        kind: the signature type.
        public: raw Ed25519 public key, 32 bytes.

    Raises:
        Malformed: the name or the key has another form.

    """

    name: str
    kind: NoteKeyKind
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != _PUBLIC_BYTES:
            raise Malformed("note-key", f"expected a public key of {_PUBLIC_BYTES} bytes, got {len(self.public)}")

    @property
    def id(self) -> bytes:
        """The key id, 4 bytes; a hint, not an identity: anybody can find two keys with the same."""
        tagged = bytes([self.kind]) + self.public
        return hashlib.sha256(self.name.encode() + b"\n" + tagged).digest()[:_KEY_ID_BYTES]

    def encode(self) -> str:
        """Spell the key as a vkey: name, key id in hex and base64 of type and key, joined by plus signs."""
        tagged = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{tagged}"

    def verify(self, text: str, signature: bytes) -> int:
        """Check one signature over a note's text.

        Returns:
            The cosignature's time in Unix seconds; 0 for a plain signature.

        Raises:
            Unverified: the signature does not hold.

        """
        if self.kind is NoteKeyKind.ED25519:
            verify_signature(self.public, signature, text.encode())
            return 0
        time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
        verify_signature(self.public, signature[_TIME_BYTES:], cosigned_message(text, time_s))
        return time_s


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: name of the key.
        key_id: 4 bytes.
        signature: what follows the key id; its form depends on the key's kind.

    """

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> str:
        """Spell the line, newline included."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signatures that nobody checked yet.

    Attributes:
        text: ends in a newline.
        signatures: in the order of their lines.

    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> str:
        """Spell the note."""
        return self.text + "\n" + "".join(signature.encode() for signature in self.signatures)

    def verify(self, keys: Collection[NoteKey]) -> dict[NoteKey, int]:
        """Check every signature that names a known key.

        Returns:
            The keys that signed, each with the latest time it signed at (Unix
            seconds, 0 for plain signatures). It may be empty: the caller says
            whose signatures it needs.

        Raises:
            Unverified: a signature that names a known key does not hold.

        """
        known = {(key.name, key.id): key for key in keys}
        times: dict[NoteKey, int] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is not None:
                times[key] = max(times.get(key, 0), key.verify(self.text, signature.signature))
        return times


def cosigned_message(text: str, time_s: int) -> bytes:
    """Build what a cosigner signs: the time in Unix seconds, then the text (c2sp.org/tlog-cosignature)."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def sign_text(text: str, name: str, signer: Signer) -> NoteSignature:
    """Sign a note's text with a plain Ed25519 signature.

    Raises:
        Malformed: the text or the name cannot be in a note.

    """
    _check_text(text)
    key = NoteKey(name, NoteKeyKind.ED25519, signer.public)
    return NoteSignature(name, key.id, signer.sign(text.encode()))


def cosign_text(text: str, name: str, signer: Signer, time_s: int) -> NoteSignature:
    """Sign a note's text together with a time in Unix seconds.

    Raises:
        Malformed: the text or the name cannot be in a note.

    """
    _check_text(text)
    key = NoteKey(name, NoteKeyKind.COSIGNATURE, signer.public)
    stamp = time_s.to_bytes(_TIME_BYTES, "big")
    return NoteSignature(name, key.id, stamp + signer.sign(cosigned_message(text, time_s)))


def parse_note(data: str) -> Note:
    """Read a note; the signatures are *not* checked here.

    Raises:
        Malformed: not a signed note, or larger than the limits.

    """
    if len(data) > MAX_NOTE_BYTES:
        raise Malformed("note-too-large", f"expected a note of at most {MAX_NOTE_BYTES} bytes, got {len(data)}")
    text, found, lines = data.rpartition("\n\n")
    if not found or not lines.endswith("\n"):
        raise Malformed("note-form", "expected a text, an empty line, and signature lines")
    text += "\n"
    _check_text(text)
    signatures = lines[:-1].split("\n")
    if len(signatures) > MAX_SIGNATURES:
        raise Malformed("note-form", f"expected at most {MAX_SIGNATURES} signatures, got {len(signatures)}")
    return Note(text, tuple(parse_signature(line + "\n") for line in signatures))


def parse_signature(line: str) -> NoteSignature:
    """Read one signature line, newline included.

    Raises:
        Malformed: not an em dash, a name and base64 of key id and signature.

    """
    name, _, blob = line.removeprefix(_DASH).removesuffix("\n").partition(" ")
    _check_name(name)
    try:
        data = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    signature = NoteSignature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])
    if not signature.signature or signature.encode() != line:
        raise Malformed("note-signature", f"expected an em dash, a name and base64, got {line[:80]!r}")
    return signature


def parse_vkey(text: str) -> NoteKey:
    """Read a key as ``NoteKey.encode`` spells it.

    Raises:
        Malformed: another form, an unknown signature type, or a key id that does not fit.

    """
    name, _, rest = text.partition("+")
    blob = rest.partition("+")[2]
    try:
        data = base64.b64decode(blob, validate=True)
        key = NoteKey(name, NoteKeyKind(data[0]), data[1:])
    except (binascii.Error, ValueError, IndexError) as error:
        raise Malformed("note-key", f"expected name+id+base64 with type 1 or 4, got {text[:120]!r}") from error
    if key.encode() != text:
        raise Malformed("note-key", f"the key id in {text[:120]!r} does not fit its key, expected {key.id.hex()}")
    return key


def _check_name(name: str) -> None:
    if not name or "+" in name or " " in name or not name.isprintable():  # of all spaces, only " " is printable
        raise Malformed("note-name", f"expected a name without spaces and plus signs, got {name[:80]!r}")


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any((char < " " and char != "\n") or "\ud800" <= char <= "\udfff" for char in text):
        raise Malformed("note-text", "expected Unicode that ends in a newline and has no other control characters")
