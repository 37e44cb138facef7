"""Receipts of use: for everything made of a dataset that leaves a zone, one signed record, chained to the one before.

A receipt is a signed statement like those in the log, and stays in the zone: its
steward's own book. Each names the SHA-256 of the one before, so none can be taken
out or changed afterwards without that showing; that the last ones are there shows
in the log, which has what left.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from serai.errors import Malformed, Unverified
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.records import from_json
from serai.zones.facts import PrivacyCost

FIRST: Final = digest_of(b"")
"""What the first receipt names as the one before."""


class Left(StrEnum):
    """What left."""

    VECTOR = "vector"  # under masks: noise to whoever has it
    UNMASKING = "unmasking"  # the seeds with which the sum of a round that the vector is in can be read
    COUNTS = "counts"  # of an evaluation, in the clear


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of a dataset.

    Attributes:
        number: from 0 without a gap.
        previous: SHA-256 of the receipt before.
        at_ms: when it was written, just before anything left; the zone's clock, Unix milliseconds.
        size: entries of the log that the zone knew.
        left: what left.
        run: for which run.
        about: the round; of counts, the model that they are about.
        offer: the offer that the run used.
        dataset: digest of the data.
        agreement: which permits it.
        purpose: the run's.
        planner: who planned it.
        recipe: name of the program.
        code: its digest.
        rows: rows behind what left; None if nobody counted them.
        subjects: subjects whom they are about, likewise.
        bytes: how many left.
        digest: of a vector, that of the upload; of an unmasking, that of the upload it makes readable in
            a sum; of counts, that of their canonical JSON.
        shown: numbers that left in the clear: counts, or figures beside a vector.
        receivers: who may receive it, or what is made of it.
        privacy: what the run's releases cost, once that is charged; None where no budget is set.
        airlock: who released it from the airlock, and when; empty if nobody had to look.

    """

    KIND: ClassVar[str] = "use"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    number: int
    previous: Digest
    at_ms: int
    size: int
    left: Left
    run: Digest
    about: Digest
    offer: Digest
    dataset: Digest
    agreement: Digest
    purpose: str
    planner: MemberId
    recipe: str
    code: Digest
    rows: int | None = None
    subjects: int | None = None
    bytes: int
    digest: Digest
    shown: Mapping[str, int]
    receivers: tuple[str, ...]
    privacy: PrivacyCost | None = None
    airlock: str


def parse_use(receipt: bytes) -> Use:
    """Read a receipt; its signature is not looked at.

    Raises:
        Malformed: it is none.

    """
    envelope = parse_envelope(receipt)
    if envelope.kind != Use.KIND:
        raise Malformed("use-kind", f"expected a receipt of use, got a statement of kind {envelope.kind!r}")
    return from_json(Use, envelope.predicate)


def verify_uses(receipts: Iterable[bytes], find_key: Callable[[KeyId], bytes | None]) -> tuple[Use, ...]:
    """Check a chain of receipts from its first one on, and read them.

    Args:
        receipts: in order.
        find_key: a zone key that the member has, or has had; None for any other.

    Raises:
        Unverified: one is missing, was changed, or is signed by another key.
        Malformed: one is no receipt.

    """
    uses: list[Use] = []
    previous = FIRST
    for number, receipt in enumerate(receipts):
        use, envelope = parse_use(receipt), parse_envelope(receipt)
        if (use.number, use.previous) != (number, previous):
            raise Unverified(
                "use-chain",
                f"expected receipt {number} after {previous[:12]}, got {use.number} after {use.previous[:12]}",
            )
        public = find_key(envelope.signer)
        if public is None:
            raise Unverified(
                "use-key", f"receipt {number} is signed with {envelope.signer[:12]}, no zone key of this member"
            )
        envelope.verify(public)
        previous = digest_of(receipt)
        uses.append(use)
    return tuple(uses)
