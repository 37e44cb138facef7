"""What can be said about a round: open, upload, close, release, result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias

from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpen:
    """A round begins; its statement id is the round's id, its leaf hash salts the masks.

    Attributes:
        run: the run it belongs to.
        number: how many rounds of the run were opened before it.
        model: digest of the model everybody starts from.
        participants: who takes part, in ascending order.
        deadline_ms: log time from which the round may close without those still missing.

    """

    KIND: ClassVar[str] = "round.open"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.OPERATOR, Role.ZONE})

    run: Digest
    number: int
    model: Digest
    participants: tuple[MemberId, ...]
    deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundUpload:
    """A participant has put its masked vector into the blob store.

    Attributes:
        open: the round.
        blob: digest of the packed vector.
        chunks: SHA-256 over the SHA-256 digests of its chunks, so that one chunk can be checked alone.
        size_bytes: its size.

    """

    KIND: ClassVar[str] = "round.upload"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    open: Digest
    blob: Digest
    chunks: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundClose:
    """Whose uploads are in the sum; the first close of a round in the log is the only one.

    Attributes:
        open: the round.
        uploads: the blob of each member in the sum.
        masked_sum: digest of the packed sum of these blobs.

    """

    KIND: ClassVar[str] = "round.close"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.OPERATOR, Role.ZONE})

    open: Digest
    uploads: Mapping[MemberId, Digest]
    masked_sum: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRelease:
    """A member in the sum makes known what unmasks it: once, and for this close only.

    Attributes:
        close: statement id of the close.
        self_seed: seed of the member's own mask, 32 bytes.
        pair_seeds: seed shared with each participant that is not in the sum, 32 bytes each.

    """

    KIND: ClassVar[str] = "round.release"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    close: Digest
    self_seed: bytes = field(repr=False)
    pair_seeds: Mapping[MemberId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What a participant computed from the sum.

    Attributes:
        close: statement id of the close.
        total: digest of the packed unmasked sum.
        model: digest of the next model.

    """

    KIND: ClassVar[str] = "round.result"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    close: Digest
    total: Digest
    model: Digest


RoundStatement: TypeAlias = RoundOpen | RoundUpload | RoundClose | RoundRelease | RoundResult

STATEMENTS: Final = (RoundOpen, RoundUpload, RoundClose, RoundRelease, RoundResult)
