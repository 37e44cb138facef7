"""A dataset in Croissant 1.1: its columns with units, levels and public ranges, and its terms, but no file to fetch.

Croissant asks for the files that a dataset consists of (``distribution``), and
for the source of each column. Both are here, as one set of files in the zone, of
which neither place nor checksum is told: nobody can fetch them, anywhere.
``conditionsOfAccess`` and ``usageInfo`` say how the rows are used instead.
Sections are those of the specification, http://mlcommons.org/croissant/1.1.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from serai.catalog.dcat import ACCESS, description_of, license_iri
from serai.catalog.names import PREFIXES, escaped, member_iri, moment, node, offer_iri
from serai.catalog.odrl import offer_policy, policy_node
from serai.catalog.record import ENGLISH, CatalogRecord
from serai.kernel.canonical import Json
from serai.zones.statements import Column

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"
ROWS: Final = "rows"
ZONE: Final = "zone"
TERMS: Final = "Terms of the offer, which each zone enforces"
_ALIASES: Final = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
    *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
    *("key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)
CONTEXT: Final[Mapping[str, Json]] = {
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": PREFIXES["dct"],
    "odrl": PREFIXES["odrl"],
    "serai": PREFIXES["serai"],
    "xsd": PREFIXES["xsd"],
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _ALIASES},
}
"""The context of appendix 1, and the prefixes of the policy; the default language is that of each offer."""

_FILES: Final[Mapping[str, Json]] = {
    "@type": "cr:FileSet",
    "@id": ZONE,
    "name": ZONE,
    "description": {ENGLISH: "Held by the publisher in its own zone, which they never leave; there is no download."},
    "encodingFormat": "application/octet-stream",
    "includes": "*",
}
_TYPES: Final[Mapping[str, str]] = {"number": "sc:Float", "category": "sc:Text", "text": "sc:Text"}


def write_croissant(record: CatalogRecord) -> str:
    """A record as a Croissant document, in every language that it has.

    Raises:
        Malformed: the offer has a term that no zone could enforce.

    """
    return json.dumps(_document(record), ensure_ascii=False, indent=2) + "\n"


def _document(record: CatalogRecord) -> dict[str, Json]:
    texts, about = record.texts, record.about
    described = {tag: text.description for tag, text in texts.items() if text.description}
    publisher = {"@type": "Organization", "@id": member_iri(record.genesis, record.member), "name": record.publisher}
    told = moment(record.at.time_ms) if record.at.time_ms else None
    # The dataset has no @id of its own: its policy names it as target, and mlcroissant follows such a circle for ever.
    document: dict[str, Json] = {
        "@context": {"@language": about.language, **CONTEXT},
        "@type": "Dataset",
        "name": _worded(record, {tag: text.title for tag, text in texts.items()}),
        "description": _worded(record, described or {ENGLISH: description_of(record)}),
        "conformsTo": CONFORMS_TO,
        "license": _license(record),
        "url": offer_iri(record.id),
        "creator": {"@type": "Organization", "name": about.creator} if about.creator else publisher,
        "publisher": publisher,
        "datePublished": told,
        "keywords": [{"@language": tag, "@value": word} for tag, text in texts.items() for word in text.keywords],
        "conditionsOfAccess": {"@language": ENGLISH, "@value": _conditions(record)},
        "usageInfo": _usage(record),
        "distribution": [_FILES],
        "recordSet": list(_record_sets(record)),
    }
    return {name: value for name, value in document.items() if value not in (None, [])}


def _record_sets(record: CatalogRecord) -> Iterator[Json]:
    columns = record.offer.columns
    yield {
        "@type": "cr:RecordSet",
        "@id": ROWS,
        "name": ROWS,
        "description": _worded(record, {ENGLISH: f"{record.offer.rows} rows, which stay where they are."}),
        "field": [_field(record, column) for column in columns],
    }
    yield from (_enumeration(column) for column in columns if column.levels)


def _field(record: CatalogRecord, column: Column) -> Json:
    meanings = dict(_meanings(record, column))
    field: dict[str, Json] = {
        "@type": "cr:Field",
        "@id": f"{ROWS}/{escaped(column.name)}",
        "name": column.name,
        "description": _worded(record, meanings) if meanings else None,
        "dataType": _TYPES.get(column.kind, "sc:Text"),
        "unitText": column.unit or None,
        "minValue": _bound(column.low),
        "maxValue": _bound(column.high),
        "source": {"fileSet": node(ZONE), "extract": {"column": column.name}},
        # The specification shortens this to the node itself; its own datasets, and mlcroissant, have the field between.
        "references": {"field": node(_name_of(column))} if column.levels else None,
    }
    return {name: value for name, value in field.items() if value is not None}


def _enumeration(column: Column) -> Json:
    """The levels of a column (section "Categorical Data")."""
    key = _name_of(column)
    return {
        "@type": "cr:RecordSet",
        "@id": key.rpartition("/")[0],
        "name": {ENGLISH: f"levels of {column.name}"},
        "dataType": "sc:Enumeration",
        "key": node(key),
        "field": [{"@type": "cr:Field", "@id": key, "name": "name", "dataType": "sc:Text"}],
        "data": [{key: level} for level in column.levels],
    }


def _usage(record: CatalogRecord) -> Json:
    """The policy, as section "Fine-Grained Control with ODRL" has it."""
    policy = policy_node(offer_policy(record))
    # Codes are no words of any language, so the default language ends here.
    return {
        "@context": {"@language": None},
        **policy,
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": {ENGLISH: TERMS},
    }


def _license(record: CatalogRecord) -> Json:
    if record.about.license:
        return license_iri(record.about.license)
    return {
        "@type": "CreativeWork",
        "name": {ENGLISH: "No licence: used by agreement only"},
        "url": offer_iri(record.id),
    }


def _meanings(record: CatalogRecord, column: Column) -> Iterator[tuple[str, str]]:
    for tag, text in record.texts.items():
        yield from ((tag, item.description) for item in text.columns if item.name == column.name and item.description)


def _conditions(record: CatalogRecord) -> str:
    contact = record.about.contact
    return f"{ACCESS} Contact: {contact}" if contact else ACCESS


def _worded(record: CatalogRecord, texts: Mapping[str, str]) -> Json:
    """Text in the offer's own language as it stands, or by language where there are others."""
    return texts[record.about.language] if set(texts) == {record.about.language} else texts


def _bound(text: str) -> Json:
    return {"@type": "xsd:decimal", "@value": text} if text else None


def _name_of(column: Column) -> str:
    return f"levels/{escaped(column.name)}/name"
