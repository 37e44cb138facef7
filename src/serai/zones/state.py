"""What the statements about data add up to: offers and grants, each in force or not, and who approved what."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from immutables import Map

from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.zones.facts import PrivacyCost
from serai.zones.statements import Approval, DataDeletion, Grant, GrantRevoke, Offer, OfferWithdraw, PrivacyCharge
from serai.zones.terms import find_expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRecord:
    """An offer as the log has it.

    Attributes:
        id: the offer's id.
        member: whose dataset it is.
        body: what was offered.
        at: when.
        withdrawn: when it was taken back, if it was.

    """

    id: Digest
    member: MemberId
    body: Offer
    at: Instant
    withdrawn: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRecord:
    """A grant as the log has it.

    Attributes:
        id: the grant's id.
        member: whose dataset it concerns.
        body: what was granted.
        at: when.
        revoked: when it was taken back, if it was.

    """

    id: Digest
    member: MemberId
    body: Grant
    at: Instant
    revoked: Instant | None = None


GrantKey: TypeAlias = tuple[Digest, Digest]
"""An offer's id and an agreement's id."""

LedgerKey: TypeAlias = tuple[MemberId, Digest]
"""A member and the digest of its dataset: a dataset that is offered twice has one budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesState:
    """All offers, grants and approvals in the log.

    Attributes:
        offers: by id.
        grants: by id.
        latest: the last grant for each offer and agreement.
        approvals: by subject, the approving members and when each approved first.
        steward_approvals: the same, of those that a steward signed.
        charges: by member and dataset, what each run has cost in privacy.
        deletions: by run, the members that have deleted what it derived from their data, and when each said so.

    """

    offers: Map[Digest, OfferRecord] = field(default_factory=Map)
    grants: Map[Digest, GrantRecord] = field(default_factory=Map)
    latest: Map[GrantKey, Digest] = field(default_factory=Map)
    approvals: Map[Digest, Map[MemberId, Instant]] = field(default_factory=Map)
    steward_approvals: Map[Digest, Map[MemberId, Instant]] = field(default_factory=Map)
    charges: Map[LedgerKey, Map[Digest, PrivacyCost]] = field(default_factory=Map)
    deletions: Map[Digest, Map[MemberId, Instant]] = field(default_factory=Map)


def apply(zones: ZonesState, said: Said[Body], at: Instant) -> ZonesState:
    """What is true of data after a statement that was granted."""
    body = said.body
    match body:
        case Offer():
            offer = OfferRecord(id=said.id, member=said.member, body=body, at=at)
            return replace(zones, offers=zones.offers.set(said.id, offer))
        case OfferWithdraw():
            offer = replace(zones.offers[body.offer], withdrawn=at)
            return replace(zones, offers=zones.offers.set(offer.id, offer))
        case Grant():
            grant = GrantRecord(id=said.id, member=said.member, body=body, at=at)
            key = (body.offer, body.agreement)
            return replace(zones, grants=zones.grants.set(said.id, grant), latest=zones.latest.set(key, said.id))
        case GrantRevoke():
            grant = replace(zones.grants[body.grant], revoked=at)
            return replace(zones, grants=zones.grants.set(grant.id, grant))
        case Approval():
            approvals = _with_approval(zones.approvals, body.subject, said.member, at)
            if said.role is not Role.STEWARD:
                return replace(zones, approvals=approvals)
            by_stewards = _with_approval(zones.steward_approvals, body.subject, said.member, at)
            return replace(zones, approvals=approvals, steward_approvals=by_stewards)
        case PrivacyCharge():
            ledger = (said.member, zones.offers[body.offer].body.dataset)
            charges: Map[Digest, PrivacyCost] = zones.charges.get(ledger, Map())
            return replace(zones, charges=zones.charges.set(ledger, charges.set(body.run, body.cost)))
        case DataDeletion():
            deleted: Map[MemberId, Instant] = zones.deletions.get(body.run, Map())
            return replace(zones, deletions=zones.deletions.set(body.run, deleted.set(said.member, at)))
        case _:
            return zones


def disown(zones: ZonesState, indices: Collection[int], at: Instant) -> ZonesState:
    """Take back the offers, grants and approvals that were said at some log indices, by a key that is now revoked.

    What it took back stays taken back, and what a run has cost stays charged: neither lets anybody use more.
    """
    offers = {
        id_: replace(offer, withdrawn=at)
        for id_, offer in zones.offers.items()
        if offer.at.index in indices and offer.withdrawn is None
    }
    grants = {
        id_: replace(grant, revoked=at)
        for id_, grant in zones.grants.items()
        if grant.at.index in indices and grant.revoked is None
    }
    return replace(
        zones,
        offers=zones.offers.update(offers),
        grants=zones.grants.update(grants),
        approvals=_without_approvals(zones.approvals, indices),
        steward_approvals=_without_approvals(zones.steward_approvals, indices),
    )


def _without_approvals(
    approvals: Map[Digest, Map[MemberId, Instant]], indices: Collection[int]
) -> Map[Digest, Map[MemberId, Instant]]:
    for subject, given in approvals.items():
        kept = Map({member: when for member, when in given.items() if when.index not in indices})
        if len(kept) != len(given):
            approvals = approvals.set(subject, kept)
    return approvals


def _with_approval(
    approvals: Map[Digest, Map[MemberId, Instant]], subject: Digest, member: MemberId, at: Instant
) -> Map[Digest, Map[MemberId, Instant]]:
    given: Map[MemberId, Instant] = approvals.get(subject, Map())
    return approvals if member in given else approvals.set(subject, given.set(member, at))


def is_offer_open(zones: ZonesState, offer: Digest, at: Instant) -> bool:
    """Whether an offer exists, was not withdrawn, and has not expired by log time."""
    record = zones.offers.get(offer)
    if record is None or record.withdrawn is not None:
        return False
    until_ms = find_expiry(record.body.terms)
    return until_ms is None or at.time_ms < until_ms


def find_grant(zones: ZonesState, offer: Digest, agreement: Digest, at: Instant) -> GrantRecord | None:
    """The grant that lets runs under an agreement use an offered dataset now, or None.

    None as well when the offer was withdrawn, or the offer or grant has expired.
    """
    grant = zones.grants.get(zones.latest.get((offer, agreement), Digest("")))
    if grant is None or grant.revoked is not None or not is_offer_open(zones, offer, at):
        return None
    until_ms = find_expiry(grant.body.terms)
    return grant if until_ms is None or at.time_ms < until_ms else None


def charges_of(zones: ZonesState, member: MemberId, dataset: Digest) -> Mapping[Digest, PrivacyCost]:
    """What each run has cost the privacy of a member's dataset, by run, as that member's zone stated it."""
    charges: Map[Digest, PrivacyCost] = zones.charges.get((member, dataset), Map())
    return charges


def approving_members(zones: ZonesState, subject: Digest) -> frozenset[MemberId]:
    """The distinct members whose stewards or delegates approved a subject."""
    return frozenset(zones.approvals.get(subject, Map()))


def find_steward_approval(zones: ZonesState, subject: Digest, member: MemberId) -> Instant | None:
    """When a member's steward approved a subject first, or None."""
    return zones.steward_approvals.get(subject, Map()).get(member)


def find_deletion(zones: ZonesState, run: Digest, member: MemberId) -> Instant | None:
    """When a member's zone said that it has deleted what a run derived from its data, or None."""
    said: Map[MemberId, Instant] = zones.deletions.get(run, Map())
    return said.get(member)
