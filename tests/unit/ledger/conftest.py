"""Keys that are the same in every run."""

from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class SeededSigner:
    """An Ed25519 key made from one byte."""

    seed: int

    @property
    def _key(self):
        return Ed25519PrivateKey.from_private_bytes(bytes([self.seed]) * 32)

    @property
    def public(self):
        return self._key.public_key().public_bytes_raw()

    def sign(self, message):
        return self._key.sign(message)


@pytest.fixture(scope="session")
def signer():
    return SeededSigner
