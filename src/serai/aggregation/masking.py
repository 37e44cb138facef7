"""Masks that cancel in the sum, keyed by the round that everybody saw.

Theory of operation
    Every pair of participants i < j shares a seed that only they can compute
    (X25519, then HKDF). Member i adds the seed's keystream to its vector, j
    subtracts it; in the sum both vanish. Every member also adds the keystream
    of a fresh seed of its own, the self mask, and releases that seed once the
    round has closed. For a participant that never uploaded, the others release
    the pair seeds they share with it. Nobody ever releases both kinds for one
    member, so a false report of a drop-out leaves that member's self mask on.
    (Bonawitz et al., CCS 2017, sections 4 and 6.)

    The salt of the pair seeds is the leaf hash of ``round.open``. A center that
    shows somebody another round (another model, another roster) thereby gives
    that member other masks, and the sum turns to noise instead of into a leak
    (against Pasquini et al., CCS 2022).

    A keystream is AES-256-CTR from counter 0 with the seed as key, cut into
    little-endian lanes. A seed is used for one vector only. Chunk c of a vector
    starts at counter block c * 2^18 * lane bytes / 16, so any chunk can be
    masked, or checked, alone.

KNOWN GAP: masks hide a vector from everybody, checks included. A member that
uploads, or releases, something else than it should can spoil the sum for all;
it learns nothing by that, and the round's evaluation shows the damage.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from serai.aggregation.ring import CHUNK_VALUES, Lanes, Ring
from serai.errors import Malformed
from serai.kernel.ids import MemberId

SEED_BYTES: Final = 32
_AES_BLOCK: Final = 16
_STRETCH: Final = 2**18  # bytes of keystream at a time: with the lanes it goes to, half a second-level cache
_ZEROS: Final = bytes(_STRETCH)


class KeyAgreement(Protocol):
    """A private X25519 key, wherever it lives."""

    @property
    def public(self) -> bytes:
        """The raw public key, 32 bytes."""

    def exchange(self, public: bytes) -> bytes:
        """The 32-byte shared secret with another raw public key (RFC 7748 section 6.1)."""


@dataclass(frozen=True, slots=True)
class Mask:
    """One keystream and the sign with which it enters a vector.

    Raises:
        Malformed: the seed is not 32 bytes or the sign is neither 1 nor -1.

    """

    seed: bytes = field(repr=False)
    sign: int

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES or self.sign not in {1, -1}:
            raise Malformed("mask-form", f"expected a seed of 32 bytes and a sign, got {len(self.seed)}, {self.sign}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who takes part in a round, as seen by one of them.

    Attributes:
        me: the member that computes.
        keys: raw X25519 public keys of all participants, ``me`` included.
        salt: leaf hash of the ``round.open``, 32 raw bytes.

    Raises:
        Malformed: ``me`` is not among the participants or the salt is not 32 bytes.

    """

    me: MemberId
    keys: Mapping[MemberId, bytes]
    salt: bytes

    def __post_init__(self) -> None:
        if self.me not in self.keys or len(self.salt) != SEED_BYTES:
            raise Malformed("roster-form", f"expected {self.me} among the participants and a salt of 32 bytes")

    def pair_seeds(self, agreement: KeyAgreement, others: Iterable[MemberId]) -> dict[MemberId, bytes]:
        """The seeds shared with ``others``: for masking all of them, for a release those who did not upload."""
        return {
            other: pair_seed(agreement.exchange(self.keys[other]), self.salt, self.me, other)
            for other in sorted(others)
        }

    def masks(self, agreement: KeyAgreement, self_seed: bytes) -> tuple[Mask, ...]:
        """The masks of this member's upload: its own, and one for each other participant.

        Args:
            agreement: this member's private X25519 key.
            self_seed: 32 fresh random bytes, used for this upload alone.

        """
        others = self.pair_seeds(agreement, (member for member in self.keys if member != self.me))
        return (Mask(self_seed, 1), *(Mask(seed, _sign(self.me, other)) for other, seed in others.items()))


@dataclass(frozen=True, slots=True)
class Release:
    """What one uploader makes known after the close.

    Attributes:
        self_seed: seed of its own mask.
        pair_seeds: seeds shared with participants that did not upload.

    """

    self_seed: bytes = field(repr=False)
    pair_seeds: Mapping[MemberId, bytes] = field(repr=False)


class Keystreams:
    """The keystreams of some masks, ready to be added to any chunk of a vector.

    Holds one cipher per mask and two buffers of 256 KiB, whatever the vector's size.
    """

    def __init__(self, ring: Ring, masks: Sequence[Mask]) -> None:
        self._lane_bytes = ring.lane_bits // 8
        self._buffer = bytearray(_STRETCH + _AES_BLOCK - 1)  # update_into wants room for a block more
        self._stream: Lanes = np.frombuffer(self._buffer, ring.dtype, _STRETCH // self._lane_bytes)
        self._ciphers = [
            (Cipher(algorithms.AES(mask.seed), modes.CTR(bytes(_AES_BLOCK))).encryptor(), mask.sign) for mask in masks
        ]

    def add(self, lanes: Lanes, chunk: int) -> None:
        """Add every mask, with its sign, to the lanes of chunk number ``chunk``, in place."""
        counter = chunk * CHUNK_VALUES * self._lane_bytes // _AES_BLOCK
        for cipher, _ in self._ciphers:
            cipher.reset_nonce(counter.to_bytes(_AES_BLOCK, "big"))
        zeros = memoryview(_ZEROS)
        step = self._stream.size
        for start in range(0, lanes.size, step):
            part = lanes[start : start + step]
            stream = self._stream[: part.size]
            for cipher, sign in self._ciphers:
                cipher.update_into(zeros[: part.nbytes], self._buffer)
                (np.add if sign > 0 else np.subtract)(part, stream, out=part)


def pair_seed(shared: bytes, salt: bytes, first: MemberId, second: MemberId) -> bytes:
    """The seed two members share for one round (HKDF-SHA256, RFC 5869); their order does not matter.

    Args:
        shared: their X25519 secret, 32 bytes.
        salt: leaf hash of the ``round.open``, 32 bytes.
        first: one member.
        second: the other.

    Raises:
        Malformed: the secret is all zeros, as a low-order public key makes it (RFC 7748 section 6.1).

    """
    if len(shared) != SEED_BYTES or not any(shared):
        raise Malformed(
            "shared-secret", "expected a non-zero X25519 secret; one of the two public keys is of low order"
        )
    low, high = sorted((first, second))
    info = f"serai/secagg/v1 pair {low} {high}".encode()
    return HKDF(hashes.SHA256(), SEED_BYTES, salt, info).derive(shared)


def leftover_masks(releases: Mapping[MemberId, Release]) -> tuple[Mask, ...]:
    """What to add to the masked sum to make it readable: every mask in it that found no partner, negated.

    Args:
        releases: by uploader; all of them are needed.

    """
    masks: list[Mask] = []
    for member in sorted(releases):
        release = releases[member]
        masks.append(Mask(release.self_seed, -1))
        masks.extend(Mask(release.pair_seeds[other], -_sign(member, other)) for other in sorted(release.pair_seeds))
    return tuple(masks)


def _sign(member: MemberId, other: MemberId) -> int:
    return 1 if member < other else -1
