"""Statements about the log itself: its time, and what its replays add up to."""

from dataclasses import dataclass
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body

ATTEST_EVERY: Final = 1024  # entries before zones first compare what their replays add up to


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
        size: how many entries; one that ``is_compared``, so that zones speak of the same.
        digest: ``serai.state.digest_state`` of what they add up to.

    """

    KIND: ClassVar[str] = "state.attest"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    size: int
    digest: Digest


def is_compared(size: int) -> bool:
    """Whether zones compare what so many entries add up to.

    First after ``ATTEST_EVERY``, then twice for each doubling: 1,024, 2,048, 3,072, 4,096, 6,144, 8,192 and so on.
    A digest takes time with all that the log adds up to, so digests at even distances would come to cost
    more than the replay itself.
    """
    every = ATTEST_EVERY
    while 4 * every <= size:
        every *= 2
    return size > 0 and size % every == 0


STATEMENTS: tuple[type[Body], ...] = (Clock, StateAttest)
