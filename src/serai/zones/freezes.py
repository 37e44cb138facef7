"""Freezes: what a zone's people have stopped for a time, run by run, without stopping the whole zone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from serai.kernel.ids import Digest, MemberId


class Frozen(StrEnum):
    """What can be frozen."""

    RUN = "run"
    DATASET = "dataset"
    AGREEMENT = "agreement"
    MEMBER = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One freeze in a zone's own record.

    Attributes:
        id: its number there.
        what: what is frozen.
        name: which one: the first characters of an id, a dataset's name in ``zone.toml``, or a member.
        digest: of the dataset as it lay on the disk then; empty for others.
        reason: why, in the words of whoever froze it.
        by: the account of that person.
        since_ms: when, by the zone's clock, Unix milliseconds.
        thawed_ms: when it was thawed; 0 while it holds.
        thawed_by: the account of who thawed it.

    """

    id: int
    what: Frozen
    name: str
    digest: str
    reason: str
    by: str
    since_ms: int
    thawed_ms: int = 0
    thawed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a run touches.

    Attributes:
        run: its id.
        agreement: under which it is.
        dataset: digest of this zone's dataset that it reads; None if the log has no such offer.
        dataset_name: under which name that is in ``zone.toml``; None if it is not, or nobody has looked.
        members: who planned it and who is invited.

    """

    run: Digest
    agreement: Digest
    dataset: Digest | None
    dataset_name: str | None
    members: frozenset[MemberId]


def find_freezes(freezes: Iterable[Freeze], touched: Touched) -> Iterator[str]:
    """Why a run is frozen here, a sentence each; the order is that of the freezes."""
    for freeze in freezes:
        if not freeze.thawed_ms and _holds(freeze, touched):
            because = f": {freeze.reason}" if freeze.reason else ""
            yield f"this zone has frozen {freeze.what} {freeze.name}{because}"


def _holds(freeze: Freeze, touched: Touched) -> bool:
    match freeze.what:
        case Frozen.RUN:
            return touched.run.startswith(freeze.name)
        case Frozen.AGREEMENT:
            return touched.agreement.startswith(freeze.name)
        case Frozen.MEMBER:
            return freeze.name in touched.members
        case Frozen.DATASET:
            # A file that changed since keeps its name, and one that got another name its digest.
            return freeze.name == touched.dataset_name or (
                touched.dataset is not None and freeze.digest == touched.dataset
            )
