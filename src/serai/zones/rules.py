"""Who may offer, grant and approve, and when.

===========  ===========================================================================
article      says
===========  ===========================================================================
``zones 1``  An offer comes from a member in good standing and describes its dataset.
``zones 2``  Every term is one that each zone understands and can enforce.
``zones 3``  An offer or grant that has ended by log time cannot be made or used.
``zones 4``  Only the member whose data it is may grant, revoke or withdraw.
``zones 5``  A grant names an agreement that was adopted and to which the member is a party.
``zones 6``  One grant at a time joins an offer to an agreement; it only adds terms.
``zones 7``  A member approves a subject once, while in good standing; its steward may confirm its delegate's approval.
``zones 8``  A charge is stated by the member whose data were used; a run's cost only grows.
``zones 9``  A deletion is stated by the member whose data were used, once for each run.
===========  ===========================================================================

Taking back is never refused to the owner, suspended or not: data stop at once.
"""

from collections.abc import Iterator
from typing import Final

from serai.charter.agreements import Life, Term
from serai.charter.state import CharterState, in_good_standing, life_of, parties_of
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.zones.checks import shown_cost
from serai.zones.descriptions import find_fault
from serai.zones.facts import PrivacyCost
from serai.zones.policy import offer_source
from serai.zones.state import OfferRecord, ZonesState, charges_of, find_deletion, find_grant, is_offer_open
from serai.zones.statements import Approval, DataDeletion, Grant, GrantRevoke, Offer, OfferWithdraw, PrivacyCharge
from serai.zones.terms import find_expiry, judge_forms

GRANTABLE: Final = frozenset({Life.ADOPTED, Life.OPEN_FOR_SIGNATURE, Life.IN_FORCE})
"""Lives of an agreement in which grants may be given; runs need more: that it is in force."""


def judge(charter: CharterState, zones: ZonesState, said: Said[Body], at: Instant) -> Verdict:
    """Decide whether a statement about data may be made now."""
    body = said.body
    match body:
        case Offer():
            return _judge_offer(charter, said.member, body, at)
        case OfferWithdraw():
            return _judge_withdrawal(zones, said.member, body)
        case Grant():
            return _judge_grant(charter, zones, said.member, body, at)
        case GrantRevoke():
            return _judge_revocation(zones, said.member, body)
        case Approval():
            return _judge_approval(charter, zones, said, at)
        case PrivacyCharge():
            return _judge_charge(zones, said.member, body)
        case DataDeletion():
            return _judge_deletion(zones, said.member, body)
        case _:
            return Denied("zones", f"a statement of kind {body.KIND} does not concern data")


def _judge_offer(charter: CharterState, member: MemberId, offer: Offer, at: Instant) -> Verdict:
    if not in_good_standing(charter, member, at):
        return Denied("zones 1", f"an offer comes from a member in good standing, and {member} is not")
    if not offer.title or not offer.jurisdiction:
        return Denied("zones 1", "an offer needs a title and the jurisdiction that the data are under")
    if offer.rows < 1:
        return Denied("zones 1", f"expected at least one row, got {offer.rows}")
    names = [column.name for column in offer.columns]
    if not names or not all(names) or len(set(names)) != len(names):
        return Denied("zones 1", "expected at least one column, each with a name of its own")
    if offer.about is not None and (fault := find_fault(offer.about, names)) is not None:
        return Denied("zones 1", fault)
    return _judge_terms("this offer", offer.terms, at)


def _judge_withdrawal(zones: ZonesState, member: MemberId, body: OfferWithdraw) -> Verdict:
    record = zones.offers.get(body.offer)
    if record is None:
        return Denied("zones 4", f"no offer {body.offer[:12]} is in the log")
    if record.member != member:
        return Denied("zones 4", f"the offer is {record.member}'s, and {member} may not withdraw it")
    if record.withdrawn is not None:
        return Denied("zones 4", f"the offer was withdrawn at entry {record.withdrawn.index}")
    return GRANTED


def _judge_grant(charter: CharterState, zones: ZonesState, member: MemberId, grant: Grant, at: Instant) -> Verdict:
    record = zones.offers.get(grant.offer)
    if record is None:
        return Denied("zones 4", f"no offer {grant.offer[:12]} is in the log")
    if record.member != member:
        return Denied("zones 4", f"the offer is {record.member}'s, and {member} may not grant it")
    for verdict in _grant_verdicts(charter, zones, record, grant, at):
        if isinstance(verdict, Denied):
            return verdict
    if (earlier := find_grant(zones, grant.offer, grant.agreement, at)) is not None:
        return Denied("zones 6", f"grant {earlier.id[:12]} stands already; revoke it before giving another")
    return GRANTED


def _grant_verdicts(
    charter: CharterState, zones: ZonesState, record: OfferRecord, grant: Grant, at: Instant
) -> Iterator[Verdict]:
    yield _judge_open(zones, record, at)
    yield _judge_party(charter, record.member, grant.agreement, at)
    yield _judge_terms("this grant", grant.terms, at)


def _judge_open(zones: ZonesState, record: OfferRecord, at: Instant) -> Verdict:
    if record.withdrawn is not None:
        return Denied("zones 3", f"{offer_source(record.id)} was withdrawn at entry {record.withdrawn.index}")
    if not is_offer_open(zones, record.id, at):
        return Denied("zones 3", f"{offer_source(record.id)} has expired; make a new one")
    return GRANTED


def _judge_party(charter: CharterState, member: MemberId, agreement: Digest, at: Instant) -> Verdict:
    if not in_good_standing(charter, member, at):
        return Denied("zones 5", f"a grant comes from a member in good standing, and {member} is not")
    life = life_of(charter, agreement, at)
    if life not in GRANTABLE:
        return Denied("zones 5", f"agreement {agreement[:12]} is {_words(life)}; a grant needs one that was adopted")
    if member not in parties_of(charter, agreement, at):
        return Denied("zones 5", f"{member} is not a party of agreement {agreement[:12]}; sign it first")
    return GRANTED


def _judge_revocation(zones: ZonesState, member: MemberId, body: GrantRevoke) -> Verdict:
    record = zones.grants.get(body.grant)
    if record is None:
        return Denied("zones 4", f"no grant {body.grant[:12]} is in the log")
    if record.member != member:
        return Denied("zones 4", f"the grant is {record.member}'s, and {member} may not revoke it")
    if record.revoked is not None:
        return Denied("zones 4", f"the grant was revoked at entry {record.revoked.index}")
    return GRANTED


def _judge_approval(charter: CharterState, zones: ZonesState, said: Said[Body], at: Instant) -> Verdict:
    member, body = said.member, said.body
    assert isinstance(body, Approval)
    if not in_good_standing(charter, member, at):
        return Denied("zones 7", f"an approval comes from a member in good standing, and {member} is not")
    # What a steward alone may permit, such as a foreign program, must not hang on who of the two was quicker.
    given = (zones.steward_approvals if said.role is Role.STEWARD else zones.approvals).get(body.subject)
    if given is not None and member in given:
        return Denied("zones 7", f"{member} approved {body.subject[:12]} at entry {given[member].index}")
    return GRANTED


def _judge_charge(zones: ZonesState, member: MemberId, charge: PrivacyCharge) -> Verdict:
    record = zones.offers.get(charge.offer)
    if record is None:
        return Denied("zones 8", f"no offer {charge.offer[:12]} is in the log")
    if record.member != member:
        return Denied("zones 8", f"the offer is {record.member}'s, and {member} may not charge its data")
    cost = charge.cost
    if cost.epsilon_millionths < 0 or not 0 <= cost.delta_trillionths <= 10**12:
        return Denied("zones 8", "expected an epsilon of at least 0 and a delta of 0 to 1")
    earlier = charges_of(zones, member, record.body.dataset).get(charge.run)
    if earlier is not None and not _exceeds(cost, earlier):
        return Denied(
            "zones 8",
            f"run {charge.run[:12]} was charged {shown_cost(earlier)}; what is spent is not given back, "
            f"and {shown_cost(cost)} is not more",
        )
    return GRANTED


def _judge_deletion(zones: ZonesState, member: MemberId, body: DataDeletion) -> Verdict:
    record = zones.offers.get(body.offer)
    if record is None or record.member != member:
        return Denied("zones 9", f"offer {body.offer[:12]} is not {member}'s, and only its data are its to delete")
    if min(body.kept_days, body.items) < 0:
        return Denied("zones 9", "expected days and items of at least 0")
    said = find_deletion(zones, body.run, member)
    if said is not None:
        return Denied("zones 9", f"{member} stated the deletion of run {body.run[:12]} at entry {said.index}")
    return GRANTED


def _exceeds(cost: PrivacyCost, earlier: PrivacyCost) -> bool:
    return (
        cost != earlier
        and cost.unit is earlier.unit
        and cost.epsilon_millionths >= earlier.epsilon_millionths
        and cost.delta_trillionths >= earlier.delta_trillionths
    )


def _judge_terms(source: str, terms: tuple[Term, ...], at: Instant) -> Verdict:
    denials = judge_forms(terms, source)
    if denials:
        return Denied("zones 2", f"{denials[0].article}: {denials[0].reason}")
    until_ms = find_expiry(terms)
    if until_ms is not None and until_ms <= at.time_ms:
        return Denied("zones 3", f"{source} would have ended at {until_ms} ms, log time is {at.time_ms} ms")
    return GRANTED


def _words(life: Life) -> str:
    return life.value.replace("-", " ")
