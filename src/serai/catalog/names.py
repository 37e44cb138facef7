"""Names for the world outside: what the log holds, as IRIs of this house's own URN, and the prefixes that exports share.

None of them leads anywhere, on purpose: a reader finds a thing by its digest in
the log, and no document that serai writes makes anybody's program fetch another.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from serai.kernel.canonical import Json
from serai.kernel.ids import Digest, MemberId
from serai.zones.forms import LAST_MS

PROFILE: Final = "urn:serai:odrl:v1"
"""The ODRL profile of the closed vocabulary; another vocabulary is another profile."""

PREFIXES: Final[Mapping[str, str]] = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "serai": f"{PROFILE}#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}

_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def offer_iri(offer: Digest) -> str:
    """A dataset as it is offered; the same rows offered twice are two."""
    return f"urn:serai:offer:{offer}"


def policy_iri(statement: Digest) -> str:
    """What an offer or a grant says about its use."""
    return f"urn:serai:policy:{statement}"


def agreement_iri(agreement: Digest) -> str:
    """An agreement, under which datasets are used."""
    return f"urn:serai:agreement:{agreement}"


def member_iri(genesis: Digest, member: MemberId) -> str:
    """A member of the center that was founded with a charter of that digest."""
    return f"urn:serai:member:{genesis}:{member}"


def catalog_iri(genesis: Digest) -> str:
    """The catalog of everything that members of that center offer."""
    return f"urn:serai:catalog:{genesis}"


def node(prefixed: str) -> Mapping[str, Json]:
    """A reference in JSON-LD."""
    return {"@id": prefixed}


def escaped(text: str) -> str:
    """A text as part of an IRI (RFC 3986 section 2.1)."""
    return "".join(char if char in _UNRESERVED else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)


def moment(time_ms: int) -> str | None:
    """Log time as ``xsd:dateTime`` in UTC, to the millisecond; None beyond the year 9999."""
    if not 0 <= time_ms <= LAST_MS:
        return None
    seconds, rest_ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ms:03d}Z"
