"""Public keys, the roles they hold, and what it takes to sign.

Private keys stay in ``serai.storage.keyring`` (or a hardware token): the pure
rooms know only the ``Signer`` protocol.
"""

from enum import StrEnum
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from serai.errors import Unverified
from serai.kernel.ids import KeyId, digest_of


class Role(StrEnum):
    """What a key may be used for; one key, one role."""

    ROOT = "root"  # adopts and amends the charter; kept offline
    DELEGATE = "delegate"  # proposes, votes, signs agreements
    STEWARD = "steward"  # offers and grants datasets
    ZONE = "zone"  # the member's agent: joins runs, uploads, releases
    WITNESS = "witness"  # cosigns checkpoints
    OPERATOR = "operator"  # the center: orders entries, opens and closes rounds


class Signer(Protocol):
    """Something that can sign with one private key, wherever that key lives."""

    @property
    def public(self) -> bytes:
        """The raw Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of ``message``."""


def key_id(public: bytes) -> KeyId:
    """The id of a raw public key."""
    return KeyId(digest_of(public))


def verify_signature(public: bytes, signature: bytes, message: bytes) -> None:
    """Check an Ed25519 signature (RFC 8032).

    Raises:
        Unverified: the signature does not fit the key and message.

    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Unverified("signature", f"the signature of key {key_id(public)[:12]} does not hold") from error
