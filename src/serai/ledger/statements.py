"""Statements about the log itself: its time, and what its replays add up to."""

from dataclasses import dataclass
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body

ATTEST_EVERY: Final = 1024  # entries between two sizes at which zones compare what their replays add up to


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A checkpoint of this log with its cosignatures; its median member time becomes log time.

    Attributes:
        checkpoint: the signed note, cosignature lines included.

    """

    KIND: ClassVar[str] = "clock"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.OPERATOR})

    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateAttest:
    """What a zone's replay of the first entries adds up to; zones that find different things have a bug, or are lied to.

    Attributes:
        size: how many entries; a multiple of ``ATTEST_EVERY``, so that zones speak of the same.
        digest: ``serai.state.digest_state`` of what they add up to.

    """

    KIND: ClassVar[str] = "state.attest"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    size: int
    digest: Digest


STATEMENTS: tuple[type[Body], ...] = (Clock, StateAttest)
