"""What the center says about time: cosigned checkpoints, logged so that every replay reads the same clock."""

from dataclasses import dataclass
from typing import ClassVar

from serai.kernel.keys import Role
from serai.kernel.statement import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A checkpoint of this log with its cosignatures; its median member time becomes log time.

    Attributes:
        checkpoint: the signed note, cosignature lines included.

    """

    KIND: ClassVar[str] = "clock"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.OPERATOR})

    checkpoint: str


STATEMENTS: tuple[type[Body], ...] = (Clock,)
