"""Every exception serai raises: eight families, named by whose move is next.

SeraiError
├── Malformed       the sender: send well-formed bytes
├── Unverified      nobody: a signature, digest or proof does not hold; do not retry
├── Refused         the asker: a rule says no, and names its article
├── Conflict        the asker: look again at what is there, then decide
├── Missing         the asker: what was named is not here
├── Unavailable     nobody yet: try again later
├── Corrupt         the operator: what was stored is no longer what was written
└── Misconfigured   the operator: change a setting
"""

from typing import ClassVar


class SeraiError(Exception):
    """A failure with a stable code, so that programs and docs can refer to it.

    Args:
        code: stable kebab-case code; ``docs/errors.md`` has an entry for each.
        message: what was expected, what came, and what to do.

    """

    family: ClassVar[str] = "error"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Malformed(SeraiError):
    """The bytes or values do not have the expected form. The sender moves next."""

    family = "malformed"


class Unverified(SeraiError):
    """A signature, digest or proof does not hold. Retrying cannot help."""

    family = "unverified"


class Refused(SeraiError):
    """A rule says no. ``article`` names the rule or clause that says so."""

    family = "refused"

    def __init__(self, code: str, message: str, article: str = "") -> None:
        super().__init__(code, message)
        self.article = article


class Conflict(SeraiError):
    """The request does not fit what is already there."""

    family = "conflict"


class Missing(SeraiError):
    """What was named does not exist here."""

    family = "missing"


class Unavailable(SeraiError):
    """Something needed does not answer now. Try again later."""

    family = "unavailable"


class Corrupt(SeraiError):
    """What was stored is no longer what was written."""

    family = "corrupt"


class Misconfigured(SeraiError):
    """A setting must change before this can work."""

    family = "misconfigured"


FAMILIES = (Malformed, Unverified, Refused, Conflict, Missing, Unavailable, Corrupt, Misconfigured)
