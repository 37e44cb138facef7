"""Names as types: digests, members, keys; and what each must look like."""

import hashlib
import re
from typing import Final, NewType

from serai.errors import Malformed

Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hex characters."""

MemberId = NewType("MemberId", str)
"""A member's short name in the charter, such as ``bern``."""

KeyId = NewType("KeyId", str)
"""SHA-256 of a raw public key, as a Digest is spelled."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def digest_of(data: bytes | memoryview) -> Digest:
    """SHA-256 of some bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def parse_digest(text: str) -> Digest:
    """Read a digest.

    Raises:
        Malformed: not 64 lower-case hex characters.

    """
    if not _DIGEST.fullmatch(text):
        raise Malformed("digest-form", f"expected 64 lower-case hex characters, got {text[:80]!r}")
    return Digest(text)


def parse_member_id(text: str) -> MemberId:
    """Read a member id.

    Raises:
        Malformed: not 1 to 63 of ``a-z 0-9 . _ -``, starting with a letter or digit.

    """
    if not _NAME.fullmatch(text):
        raise Malformed(
            "name-form", f"expected 1 to 63 of a-z 0-9 . _ - starting with a letter or digit, got {text[:80]!r}"
        )
    return MemberId(text)
