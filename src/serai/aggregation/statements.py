"""What can be said about a round: open, upload, close, release, recover, result."""

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
        steps: how many local steps each participant takes; empty where the plan sets no pace.

    """

    KIND: ClassVar[str] = "round.open"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.OPERATOR, Role.ZONE})

    run: Digest
    number: int
    model: Digest
    participants: tuple[MemberId, ...]
    deadline_ms: int
    steps: Mapping[MemberId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """In the resilient profile: what a participant commits to when it deals its seeds to the others.

    Attributes:
        threshold: how many shares give a seed back, as the plan says.
        seed: SHA-256 of its self seed.
        rows: SHA-256 over the digests of the rows of its table of shares.
        blob: digest of the encrypted shares.
        size_bytes: the size of that blob.

    """

    threshold: int
    seed: Digest
    rows: Digest
    blob: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundUpload:
    """A participant has put its masked vector into the blob store.

    Attributes:
        open: the round.
        blob: digest of the packed vector.
        chunks: SHA-256 over the SHA-256 digests of its chunks, so that one chunk can be checked alone.
        size_bytes: its size.
        deal: its seeds in shares, in the resilient profile; None in the plain one.
        figures: what it shows about its training, by the names in ``FIGURES``.

    """

    KIND: ClassVar[str] = "round.upload"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    open: Digest
    blob: Digest
    chunks: Digest
    size_bytes: int
    deal: Deal | None = None
    figures: Mapping[str, int] = field(default_factory=dict)


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
class RoundRecover:
    """A member in the sum shows its shares of what a lost member's release would have said.

    Attributes:
        close: statement id of the close.
        member: the lost member.
        rows: digest of each row of that member's table, row 0 first, 32 bytes each.
        seeds: digest of each of its seeds, in the participants' order.
        row: digest of each share that it dealt to the sayer, in the same order.
        shares: of its self seed under its own name, and of the seed it shares with
            each participant that is not in the sum, 33 bytes each.

    """

    KIND: ClassVar[str] = "round.recover"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    close: Digest
    member: MemberId
    rows: bytes
    seeds: bytes
    row: bytes
    shares: Mapping[MemberId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What a participant computed from the sum.

    Attributes:
        close: statement id of the close.
        total: digest of the packed unmasked sum.
        model: digest of the next model.
        objects: whether that model is grossly worse on the sayer's held-back rows than the one before.

    """

    KIND: ClassVar[str] = "round.result"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    close: Digest
    total: Digest
    model: Digest
    objects: bool = False


RoundStatement: TypeAlias = RoundOpen | RoundUpload | RoundClose | RoundRelease | RoundRecover | RoundResult

RECIPE_FIGURES: Final = frozenset(
    {
        "steps",  # local steps taken in the round
        "micronats",  # their mean training loss, of one prediction
        "clipped_ppm",  # digits that were cut at the codec's limit, per million
        "residual_permille",  # root mean square of what rounding left over, in thousandths of the update's
        "gain_permille",  # how far a unit of update moves the model, in thousandths
        "rho_permille",  # cosine of the last two sums, -1000 to 1000
    }
)
"""What a recipe knows of a member's part in a round."""

FIGURES: Final = RECIPE_FIGURES | frozenset(
    {
        "train_ms",  # taking the local steps
        "stall_ms",  # waiting, with nothing to compute, since the vector before was sent
        "sent_bytes",
        "received_bytes",
    }
)
"""What members may show about their part in a round: how it went, nothing that is made of few rows."""

STATEMENTS: Final = (RoundOpen, RoundUpload, RoundClose, RoundRelease, RoundRecover, RoundResult)
