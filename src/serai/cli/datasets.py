"""Offers and grants of a member's datasets, from what ``zone.toml`` says of them."""

from collections.abc import Sequence

from serai.agent.datasets import described_about, described_columns
from serai.agent.session import Session
from serai.agent.vault import Vault
from serai.charter.agreements import Term
from serai.client.find import find_id
from serai.client.voice import Spoken, say
from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.zones.descriptions import find_fault
from serai.zones.statements import Grant, GrantRevoke, Offer, OfferWithdraw


def offer(session: Session, dataset: str) -> Spoken:
    """Describe a dataset to the other members.

    Raises:
        Missing, Misconfigured, Malformed: as ``Vault.load``.
        Misconfigured: what it says about the dataset could not stand in a catalog.
        Refused: the log's rules do not let this member offer it.

    """
    vault = Vault(session.settings)
    settings = vault.settings_of(dataset)
    body = Offer(
        dataset=vault.digest(dataset),
        title=settings.title,
        description=settings.description,
        rows=vault.rows(dataset),
        columns=described_columns(settings),
        jurisdiction=settings.jurisdiction or session.settings.jurisdiction,
        terms=settings.terms,
        about=described_about(settings),
    )
    names = [column.name for column in body.columns]
    if body.about is not None and (fault := find_fault(body.about, names)) is not None:
        raise Misconfigured("settings-value", f"datasets.{dataset}: {fault}")
    return say(session, body, Role.STEWARD)


def grant(session: Session, offer_id: Digest, agreement: Digest, terms: Sequence[str]) -> Spoken:
    """Let runs under an agreement use an offered dataset, within further terms.

    Args:
        session: the member's.
        offer_id: which dataset.
        agreement: for runs under which agreement.
        terms: further limits as ``name=value``; a value of digits is a number, commas make a list.

    Raises:
        Malformed: a term has no equals sign.
        Refused: the log's rules do not allow the grant.

    """
    narrowed = tuple(_term(text) for text in terms)
    return say(session, Grant(offer=offer_id, agreement=agreement, terms=narrowed), Role.STEWARD)


def withdraw(session: Session, prefix: str) -> Spoken:
    """Take back an offer or a grant of this member.

    Raises:
        Missing: it has no offer or grant of that id.

    """
    zones = session.state().zones
    member = session.settings.member
    own = [id_ for id_, record in [*zones.offers.items(), *zones.grants.items()] if record.member == member]
    id_ = find_id(own, prefix, f"offer or grant of {member}")
    return say(session, OfferWithdraw(offer=id_) if id_ in zones.offers else GrantRevoke(grant=id_), Role.STEWARD)


def _term(text: str) -> Term:
    name, equals, value = text.partition("=")
    if not equals:
        raise Malformed("term-form", f"expected NAME=VALUE, such as min_participants=3, got {text!r}")
    parsed: str | int | tuple[str, ...] = value
    if value.isdecimal():
        parsed = int(value)
    elif "," in value:
        parsed = tuple(part.strip() for part in value.split(",") if part.strip())
    return Term(name=name, value=parsed, clause="grant")
