"""Public keys, the roles they hold, and what it takes to sign.

Theory of operation
-------------------
A public key is a byte string, and its length tells its *suite*: which signatures
it takes to speak with it. Nothing that signs or is signed names an algorithm, so
nobody can talk a verifier into a weaker one.

Every suite begins with Ed25519. So whatever a foreign format allows no more than
Ed25519 for (signed notes, cosignatures, HTTP requests) takes the first part of a
key and of a signature, and the rest where there is room for it.

The hybrid suite adds ML-DSA-65 (FIPS 204): whoever forges must break both. Its
public key is 1,952 bytes, and a charter holds every member's, in an entry of
65,535 bytes. So the key that a charter holds has a digest of it, and each
signature brings the ML-DSA key along: whoever checks compares, then verifies.

Private keys stay in ``serai.storage.keyring`` (or a hardware token): the pure
rooms know only the ``Signer`` protocol.
"""

import functools
import hashlib
from enum import StrEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from serai.errors import Unverified
from serai.kernel.ids import KeyId, digest_of

ED25519_KEY_BYTES: Final = 32  # RFC 8032 5.1.5
ED25519_SIGNATURE_BYTES: Final = 64  # RFC 8032 5.1.6
MLDSA_KEY_BYTES: Final = 1952  # FIPS 204 table 2, ML-DSA-65
MLDSA_SIGNATURE_BYTES: Final = 3309  # as above
HYBRID_KEY_BYTES: Final = ED25519_KEY_BYTES + 32  # and SHA-256 of the ML-DSA key


class Role(StrEnum):
    """What a key may be used for; one key, one role."""

    ROOT = "root"  # adopts the charter, names the other keys; kept offline
    DELEGATE = "delegate"  # proposes, votes, signs agreements
    STEWARD = "steward"  # offers and grants datasets
    ZONE = "zone"  # the member's agent: joins runs, uploads, releases
    WITNESS = "witness"  # cosigns checkpoints
    OPERATOR = "operator"  # the center: orders entries, opens and closes rounds


class Suite(StrEnum):
    """Which signatures it takes to speak with a key; all of them must hold."""

    ED25519 = "ed25519"
    HYBRID = "ed25519+ml-dsa-65"


_SUITES: Final = {ED25519_KEY_BYTES: Suite.ED25519, HYBRID_KEY_BYTES: Suite.HYBRID}
_PARTS: Final = {
    Suite.ED25519: (ED25519_SIGNATURE_BYTES,),
    Suite.HYBRID: (ED25519_SIGNATURE_BYTES, MLDSA_KEY_BYTES + MLDSA_SIGNATURE_BYTES),
}


class Signer(Protocol):
    """Something that can sign with one private key, wherever that key lives."""

    @property
    def public(self) -> bytes:
        """The public key: 32 bytes of Ed25519; in the hybrid suite ``hybrid_key`` of both, 64 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The parts of the suite's signature of ``message``, one after the other; see ``split_signature``."""


def key_id(public: bytes) -> KeyId:
    """The id of a public key."""
    return KeyId(digest_of(public))


def find_suite(public: bytes) -> Suite | None:
    """The suite of a public key, by its length; None if there is none of that length."""
    return _SUITES.get(len(public))


def hybrid_key(ed25519: bytes, mldsa: bytes) -> bytes:
    """The public key of the hybrid suite: the raw Ed25519 key and SHA-256 of the raw ML-DSA-65 key."""
    return ed25519 + hashlib.sha256(mldsa).digest()


def ed25519_part(public: bytes) -> bytes:
    """The raw Ed25519 key that every public key begins with, 32 bytes."""
    return public[:ED25519_KEY_BYTES]


def ed25519_signature(signer: Signer, message: bytes) -> bytes:
    """What Ed25519 alone says of a message, 64 bytes, for formats that allow nothing else."""
    return signer.sign(message)[:ED25519_SIGNATURE_BYTES]


def split_signature(public: bytes, signature: bytes) -> tuple[bytes, ...]:
    """Cut a signature into the parts of the key's suite.

    Returns:
        Ed25519, 64 bytes; in the hybrid suite then the raw ML-DSA-65 key and its
        signature in one, 5,261 bytes.

    Raises:
        Unverified: the key is of no suite, or the signature is of another.

    """
    sizes = _part_bytes(public)
    if len(signature) != sum(sizes):
        raise Unverified("signature", f"expected a signature of {sum(sizes)} bytes, got {len(signature)}")
    first, rest = signature[: sizes[0]], signature[sizes[0] :]
    return (first, rest) if rest else (first,)


@functools.lru_cache(maxsize=256)  # what was admitted is soon folded, and what holds once holds for ever
def verify_parts(public: bytes, parts: tuple[bytes, ...], message: bytes) -> None:
    """Check every part of a signature.

    Raises:
        Unverified: a part is missing, too many, of another key, or does not hold.

    """
    sizes = _part_bytes(public)
    if tuple(len(part) for part in parts) != sizes:
        raise Unverified(
            "signature",
            f"expected {len(sizes)} signatures of {', '.join(map(str, sizes))} bytes by key {key_id(public)[:12]}, "
            f"got {', '.join(str(len(part)) for part in parts) or 'none'}",
        )
    try:
        Ed25519PublicKey.from_public_bytes(ed25519_part(public)).verify(parts[0], message)
        for part in parts[1:]:
            mldsa, signature = part[:MLDSA_KEY_BYTES], part[MLDSA_KEY_BYTES:]
            if hybrid_key(ed25519_part(public), mldsa) != public:
                raise Unverified(
                    "signature", f"the ML-DSA key in it is not the one that key {key_id(public)[:12]} names"
                )
            MLDSA65PublicKey.from_public_bytes(mldsa).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Unverified("signature", f"the signature of key {key_id(public)[:12]} does not hold") from error


def verify_signature(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature of any suite, as ``Signer.sign`` makes it.

    Raises:
        Unverified: the signature does not fit the key and message.

    """
    verify_parts(public, split_signature(public, signature), message)


def _part_bytes(public: bytes) -> tuple[int, ...]:
    suite = find_suite(public)
    if suite is None:
        raise Unverified("signature", f"expected a public key of a known suite, got {len(public)} bytes")
    return _PARTS[suite]
