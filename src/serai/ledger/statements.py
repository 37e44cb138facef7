"""Statements about the log itself: its time, what its replays add up to, and what is missing in it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body

ATTEST_EVERY: Final = 1024  # entries before zones first compare what their replays add up to
LEAST_WAIT_MS: Final = 10_000  # between handing a statement in and a receipt for it; any round trip is shorter
MAX_ANSWER_CHARS: Final = 300  # of what a center said to a statement, as a receipt quotes it


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


class Answered(StrEnum):
    """What a center did with a statement that it was handed."""

    TAKEN = "taken"  # it named an index
    REFUSED = "refused"
    SILENT = "silent"  # no answer, while it answered other questions


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A member's word that it handed a statement to the center, waited, and did not find it in the log.

    Attributes:
        statement: id of the statement, whoever signed it.
        handed_ms: when this member handed it in first, to a center that answered it; Unix milliseconds of its own clock.
        seen_ms: when it looked, by the same clock; the center answered it then.
        size: how many entries it looked at: all that the center showed.
        answered: what the center did with the statement.
        code: of the refusal, such as ``signer-ended``; empty without one.
        answer: the refusal in the center's words, at most 300 characters; empty without one.

    """

    KIND: ClassVar[str] = "receipt"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    statement: Digest
    handed_ms: int
    seen_ms: int
    size: int
    answered: Answered
    code: str = ""
    answer: str = ""


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


STATEMENTS: tuple[type[Body], ...] = (Clock, StateAttest, Receipt)
