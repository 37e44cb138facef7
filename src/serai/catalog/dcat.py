"""The catalog in DCAT-AP 3.0.1, as JSON-LD and as Turtle, with every text in every language that it has.

No dataset has a distribution: nobody can fetch the rows, anywhere. How one gets
to use them is said by what DCAT has for it instead: restricted access rights, a
sentence beside them, a contact where the steward names one, and the policy.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serai.catalog.names import PREFIXES, catalog_iri, member_iri, moment, node, offer_iri, policy_iri
from serai.catalog.odrl import offer_policy, policy_node
from serai.catalog.record import ENGLISH, CatalogRecord
from serai.catalog.turtle import write_turtle
from serai.kernel.canonical import Json
from serai.kernel.ids import Digest
from serai.zones.descriptions import UNDETERMINED, is_address

RESTRICTED: Final = "http://publications.europa.eu/resource/authority/access-right/RESTRICTED"
"""The code of the EU's authority table for what is not open to everybody."""

ACCESS: Final = (
    "The rows never leave the zone of the member that holds them. They are used in joint runs, of which sums leave "
    "under masks, by parties of an agreement that the member has granted the use to. To ask for one, propose it."
)
SPDX: Final = "https://spdx.org/licenses/"
_STANDARD: Final = "http://data.europa.eu/r5r/"  # the application profile itself, as DCAT-AP names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Center:
    """Whose catalog it is.

    Attributes:
        genesis: digest of the center's founding charter.
        name: the center's name.

    """

    genesis: Digest
    name: str


def write_jsonld(center: Center, records: Sequence[CatalogRecord]) -> str:
    """A catalog of some records, as JSON-LD.

    Raises:
        Malformed: a record has a term that no zone could enforce.

    """
    document = {"@context": PREFIXES, "@graph": list(_graph(center, records))}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def write_ttl(center: Center, records: Sequence[CatalogRecord]) -> str:
    """The same as Turtle.

    Raises:
        Malformed: as ``write_jsonld``.

    """
    return write_turtle(PREFIXES, list(_graph(center, records)))


def license_iri(license_: str) -> str:
    """A licence as an IRI: an address as it stands, an SPDX identifier in SPDX's list."""
    return license_ if is_address(license_) else f"{SPDX}{license_}"


def description_of(record: CatalogRecord) -> str:
    """What stands in for a description where the steward gave none: plain facts."""
    offer = record.offer
    return f"{offer.rows} rows of {len(offer.columns)} columns, under the law of {offer.jurisdiction}."


def _graph(center: Center, records: Sequence[CatalogRecord]) -> Iterator[dict[str, Json]]:
    yield {
        "@id": catalog_iri(center.genesis),
        "@type": "dcat:Catalog",
        "dct:title": _tagged(f"Datasets offered in {center.name}", ENGLISH),
        "dct:description": _tagged(f"What members of {center.name} offer for joint work, as its log has it.", ENGLISH),
        "dct:publisher": {"@type": "foaf:Agent", "foaf:name": center.name},
        "dcat:dataset": [node(offer_iri(record.id)) for record in records],
        "dcat:record": [_listing(record) for record in records if record.at.time_ms],
    }
    yield {"@id": RESTRICTED, "@type": "dct:RightsStatement"}
    yield {"@id": _STANDARD, "@type": "dct:Standard"}
    yield from (_agent(one) for one in {record.member: record for record in records}.values())
    for record in records:
        yield _dataset(record)
        yield policy_node(offer_policy(record))
    licenses = {record.about.license for record in records if record.about.license}
    for license_ in sorted(licenses):
        yield {"@id": license_iri(license_), "@type": "dct:LicenseDocument"}


def _dataset(record: CatalogRecord) -> dict[str, Json]:
    about, texts = record.about, record.texts
    described = {tag: text.description for tag, text in texts.items() if text.description}
    told: dict[str, Json] = {
        "@id": offer_iri(record.id),
        "@type": ["dcat:Dataset", "dcat:Resource"],
        "dct:title": [_tagged(text.title, tag) for tag, text in texts.items()],
        "dct:description": [
            _tagged(text, tag) for tag, text in (described or {ENGLISH: description_of(record)}).items()
        ],
        "dcat:keyword": [_tagged(word, tag) for tag, text in texts.items() for word in text.keywords],
        "dct:identifier": record.id,
        "dct:issued": _dates(record),
        "dct:publisher": node(member_iri(record.genesis, record.member)),
        "dct:creator": {"@type": "foaf:Agent", "foaf:name": about.creator} if about.creator else [],
        "dcat:contactPoint": _contact(record),
        "dct:accessRights": node(RESTRICTED),
        "dct:rights": {"@type": "dct:RightsStatement", "dct:description": _tagged(ACCESS, ENGLISH)},
        "dct:license": node(license_iri(about.license)) if about.license else [],
        "odrl:hasPolicy": node(policy_iri(record.id)),
    }
    return {name: value for name, value in told.items() if value != []}


def _listing(record: CatalogRecord) -> Mapping[str, Json]:
    return {
        "@type": "dcat:CatalogRecord",
        "foaf:primaryTopic": node(offer_iri(record.id)),
        "dct:modified": _dates(record),
        "dct:conformsTo": node(_STANDARD),
    }


def _agent(record: CatalogRecord) -> dict[str, Json]:
    return {
        "@id": member_iri(record.genesis, record.member),
        "@type": "foaf:Agent",
        "foaf:name": record.publisher,
    }


def _contact(record: CatalogRecord) -> Json:
    contact = record.about.contact
    if not contact:
        return []
    how = "vcard:hasURL" if is_address(contact) else "vcard:hasEmail"
    return {"@type": "vcard:Kind", "vcard:fn": record.publisher, how: node(contact)}


def _dates(record: CatalogRecord) -> Json:
    # An offer that stands before the log's first clock has no date, and gets none.
    told = moment(record.at.time_ms) if record.at.time_ms else None
    return {"@type": "xsd:dateTime", "@value": told} if told else []


def _tagged(text: str, tag: str) -> Json:
    return text if tag == UNDETERMINED else {"@language": tag, "@value": text}
