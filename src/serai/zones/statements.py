"""What can be said about data: offers, grants that narrow them, approvals, taking these back, what privacy was spent, and what was deleted."""

from dataclasses import dataclass
from typing import ClassVar, Final

from serai.charter.agreements import Term
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body
from serai.zones.descriptions import About
from serai.zones.facts import PrivacyCost


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of an offered dataset, described without showing a value.

    Attributes:
        name: the column's name.
        kind: what it holds, such as ``number``, ``category`` or ``text``.
        unit: unit of its values, such as ``mmHg``; empty where there is none.
        description: what it means, for people.
        levels: what a category can be, in the order that all members share; empty where that is not said.
        low: the least plausible number, as a decimal; public, like ``high``. Empty where none is known.
        high: the greatest.

    """

    name: str
    kind: str
    unit: str
    description: str
    levels: tuple[str, ...] = ()
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A steward describes a dataset and says what may be done with it.

    An offer alone lets nobody use the data: a grant to one agreement does.

    Attributes:
        dataset: digest of the dataset as it lies on the zone's disk.
        title: one line for people.
        description: what the data are and how they came about.
        rows: rows in the dataset.
        columns: the columns, in order.
        jurisdiction: whose law the data are under, such as ``CH``.
        terms: what holds for every use.
        about: what catalogs ask beside that; None where the steward did not say, as in offers
            of before it could be said.

    """

    KIND: ClassVar[str] = "offer"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.STEWARD})

    dataset: Digest
    title: str
    description: str
    rows: int
    columns: tuple[Column, ...]
    jurisdiction: str
    terms: tuple[Term, ...]
    about: About | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferWithdraw:
    """A steward takes an offer back; every grant under it ends at once."""

    KIND: ClassVar[str] = "offer.withdraw"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.STEWARD})

    offer: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A steward lets runs under one agreement use an offered dataset.

    Attributes:
        offer: the offer's id.
        agreement: the agreement's id.
        terms: further terms for this agreement; they hold besides the offer's,
            so a grant can only narrow what the offer allows.

    """

    KIND: ClassVar[str] = "grant"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.STEWARD})

    offer: Digest
    agreement: Digest
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRevoke:
    """A steward takes a grant back; no job may start under it from here on."""

    KIND: ClassVar[str] = "grant.revoke"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.STEWARD})

    grant: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person of a member approves something by its digest, such as a run or a program.

    Attributes:
        subject: digest of what is approved; for a run, its id.
        comment: for the record; may be empty.

    """

    KIND: ClassVar[str] = "approval"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.STEWARD, Role.DELEGATE})

    subject: Digest
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyCharge:
    """A zone states what a run has cost the privacy of a dataset; said before the release that it pays for.

    Attributes:
        offer: the offer under which the run used the dataset.
        run: the run's id.
        cost: of everything that the run has released from the dataset so far.

    """

    KIND: ClassVar[str] = "privacy.charge"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    offer: Digest
    run: Digest
    cost: PrivacyCost


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDeletion:
    """A zone states that it has deleted what a run derived from its data: the receipt of a retention limit.

    Attributes:
        offer: the offer under which the run used the dataset.
        run: the run's id.
        kept_days: the most days after the run that the zone keeps such data.
        items: models, vectors, seeds and records that it deleted.

    """

    KIND: ClassVar[str] = "data.deletion"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    offer: Digest
    run: Digest
    kept_days: int
    items: int


STATEMENTS: Final[tuple[type[Body], ...]] = (
    Offer,
    OfferWithdraw,
    Grant,
    GrantRevoke,
    Approval,
    PrivacyCharge,
    DataDeletion,
)
