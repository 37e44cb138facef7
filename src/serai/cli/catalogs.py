"""The catalog as people see it: lists, hits with their reasons, and one dataset at length."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from serai.catalog import dcat
from serai.catalog.card import write_card
from serai.catalog.croissant import write_croissant
from serai.catalog.odrl import agreed_policy, offer_policy, write_policy
from serai.catalog.record import CatalogRecord, Use, record_of, records_of
from serai.catalog.search import Access, Hit, access_of
from serai.client.find import find_id
from serai.errors import Malformed
from serai.kernel.ids import MemberId
from serai.kernel.visible import visible_line
from serai.state import State

ONE_EACH: Final = ("croissant", "odrl", "card")
WHOLE: Final[Mapping[str, Callable[[dcat.Center, Sequence[CatalogRecord]], str]]] = {
    "dcat": dcat.write_jsonld,
    "dcat-ttl": dcat.write_ttl,
}
FORMATS: Final = (*ONE_EACH, *WHOLE)


def find_record(state: State, prefix: str) -> CatalogRecord:
    """The record of an offer, open or not, by the first characters of its id.

    Raises:
        Missing, Conflict, Malformed: as ``find_id``.

    """
    return record_of(state, state.zones.offers[find_id(state.zones.offers, prefix, "offer")])


def export_all(state: State, form: str) -> str:
    """Everything that is offered now, as one document.

    Raises:
        Malformed: the format has one document for each dataset.

    """
    if form not in WHOLE:
        raise Malformed("option-form", f"expected --all with {' or '.join(WHOLE)}; {form} describes one dataset")
    return WHOLE[form](_center(state), records_of(state))


def export_one(state: State, record: CatalogRecord, form: str, language: str, agreement: str) -> str:
    """One dataset in a format.

    Args:
        state: what the log adds up to.
        record: the dataset.
        form: one of ``FORMATS``.
        language: of a card.
        agreement: the first characters of the agreement whose terms an ODRL document adds; empty for the offer alone.

    Raises:
        Missing, Conflict, Malformed: no such agreement has the dataset granted, or the format asks for none.

    """
    if agreement and form != "odrl":
        raise Malformed("option-form", f"expected --agreement with odrl, got it with {form}")
    if form in WHOLE:
        return WHOLE[form](_center(state), [record])
    if form == "card":
        return write_card(record, language)
    if form == "croissant":
        return write_croissant(record)
    return write_policy(agreed_policy(record, _use(record, agreement)) if agreement else offer_policy(record))


def row(record: CatalogRecord, member: MemberId, language: str) -> dict[str, Any]:
    """A line of a list."""
    shown = record.language_for(language)
    access = access_of(record, member)
    usable = [one.use for one in access if not one.obstacles]
    return {
        "offer": record.id,
        "id": record.id[:12],
        "title": visible_line(record.texts[shown].title),
        "language": shown,
        "languages": sorted(record.texts),
        "member": record.member,
        "rows": record.offer.rows,
        "columns": len(record.offer.columns),
        "jurisdiction": visible_line(record.offer.jurisdiction),
        "usable": ", ".join(visible_line(use.title) for use in usable) or "no",
        "agreements": [_access(one) for one in access],
    }


def hit_row(hit: Hit, member: MemberId, language: str) -> dict[str, Any]:
    """A line of what was found, and why."""
    matches = [
        {"part": match.part, "text": visible_line(match.text), "language": match.language or None}
        for match in hit.matches
    ]
    why = "; ".join(f"{one['part']} {_cut(str(one['text']))}" for one in matches)
    return {**row(hit.record, member, language), "score": hit.score, "matches": matches, "why": why or "everything"}


def in_words(record: CatalogRecord, member: MemberId, language: str) -> str:
    """A dataset's card, and what the member could do with it now."""
    lines = [write_card(record, language), f"For {member}, now:"]
    if not record.is_open:
        lines.append("- nothing: the offer was taken back, or has expired")
    lines += [f"- {_sentence(one)}" for one in access_of(record, member)]
    if not record.uses:
        lines.append("- nothing before its steward grants it to an agreement: `serai propose` opens one")
    return "\n".join(lines)


def _center(state: State) -> dcat.Center:
    charter = state.charter
    assert charter.charter is not None, "offers need a charter"
    assert charter.genesis is not None, "offers need a charter"
    return dcat.Center(genesis=charter.genesis, name=charter.charter.name)


def _use(record: CatalogRecord, prefix: str) -> Use:
    uses = {use.agreement: use for use in record.uses}
    return uses[find_id(uses, prefix, "agreement that the dataset is granted to")]


def _access(access: Access) -> dict[str, Any]:
    use = access.use
    return {
        "agreement": use.agreement,
        "title": visible_line(use.title),
        "life": use.life.value,
        "scope": list(use.scope),
        "usable": not access.obstacles,
        "obstacles": [visible_line(one) for one in access.obstacles],
    }


def _sentence(access: Access) -> str:
    named = f"{visible_line(access.use.title)} ({access.use.agreement[:12]})"
    if access.obstacles:
        return f"not under {named}: {visible_line('; '.join(access.obstacles))}"
    return f"runs under {named}, for {', '.join(access.use.scope)}; each zone still checks each run"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
