"""Further signatures on a statement, of suites that serai does not know.

A member's law may ask for a signature by a national algorithm. It stands beside
the statement's own, over the same bytes, and the log keeps it. It never decides
whether a statement holds: those who have a verifier for it may count it, all
others see that it is there. So no replay differs by what is installed where.

Nothing that is signed says that a further signature belongs to it: whoever
passes a statement on can leave it out, and adds none that a verifier would take.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed

MAX_EXTRAS: Final = 4
MAX_EXTRA_BYTES: Final = 8192  # of one signature: SLH-DSA-128s takes 7,856
_KEY: Final = re.compile(r"([a-z0-9][a-z0-9.-]{0,31}):([!-~]{1,128})")

ExtraVerifier = Callable[[str, bytes, bytes], bool]
"""Whether a key, as its suite names it, made a signature of a message."""


@dataclass(frozen=True, slots=True, order=True)
class ExtraSignature:
    """A further signature.

    Attributes:
        key: ``suite:key``, each in the words of those who use it; printable ASCII.
        signature: 1 to 8,192 bytes.

    Raises:
        Malformed: the name has another form, or the signature another size.

    """

    key: str
    signature: bytes

    def __post_init__(self) -> None:
        """Keep names short and signatures bounded: anybody's verifier has to read them."""
        if not _KEY.fullmatch(self.key):
            raise Malformed(
                "extra-key", f"expected a key as suite:name in at most 32 and 128 characters, got {self.key[:80]!r}"
            )
        if not 0 < len(self.signature) <= MAX_EXTRA_BYTES:
            raise Malformed(
                "extra-signature", f"expected a signature of 1 to {MAX_EXTRA_BYTES} bytes, got {len(self.signature)}"
            )

    @property
    def suite(self) -> str:
        """The name of its suite."""
        return self.key.partition(":")[0]


def judge_extras(
    extras: tuple[ExtraSignature, ...], message: bytes, verifiers: Mapping[str, ExtraVerifier]
) -> dict[str, bool | None]:
    """What the verifiers at hand say of further signatures.

    Args:
        extras: as the envelope has them.
        message: what was signed.
        verifiers: by suite.

    Returns:
        By key: whether it holds; None where nobody here can tell.

    """
    return {
        extra.key: None
        if (verifier := verifiers.get(extra.suite)) is None
        else verifier(extra.key.partition(":")[2], extra.signature, message)
        for extra in extras
    }
