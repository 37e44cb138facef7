"""Policies as ODRL 2.2 in JSON-LD, under this house's own profile, and back.

One way out: zones enforce the terms in the log, never an ODRL document. It is
written so that catalogs and lawyers' tools can read the terms, and it can be read
back, so that nothing is lost on the way. The context is inside the document, and
a document that names any other context is refused: its words might mean anything.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serai.catalog.names import PREFIXES, PROFILE, agreement_iri, member_iri, node, offer_iri, policy_iri
from serai.catalog.record import CatalogRecord, Use
from serai.catalog.terms import RETENTION, fields, read_constraint, read_duty, write_constraint, write_duty
from serai.charter.agreements import ACTIONS, Term
from serai.errors import Malformed
from serai.kernel.canonical import Json, decode
from serai.zones.policy import Policy

MAX_BYTES: Final = 1 << 20
CONTEXT: Final[Mapping[str, str]] = {name: PREFIXES[name] for name in ("odrl", "serai", "xsd")}
USE: Final = "odrl:use"
_DISTRIBUTE: Final = "odrl:distribute"
_IRI: Final = re.compile(r"urn:serai:[a-z]+:[0-9a-f]{64}(:[a-z0-9._-]{1,63})?")
_ACTIONS: Final = frozenset({USE, *(f"serai:{action}" for action in ACTIONS)})
_COMMON: Final = frozenset(
    {"@id", "odrl:profile", "odrl:assigner", "odrl:permission", "odrl:prohibition", "serai:sources"}
)
_AGREED: Final = frozenset({"odrl:assignee", "serai:agreement"})
_OFFER, _AGREEMENT = ["odrl:Policy", "odrl:Offer"], ["odrl:Policy", "odrl:Agreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OdrlPolicy:
    """What an ODRL document of this profile says.

    Attributes:
        uid: names the policy of an offer or a grant.
        target: the dataset as it is offered.
        assigner: whose it is.
        assignees: who may use it; empty for an offer.
        agreement: under which agreement; empty for an offer.
        actions: what it permits.
        policies: the terms, by where they stand; all must hold.

    """

    uid: str
    target: str
    assigner: str
    assignees: tuple[str, ...]
    agreement: str
    actions: tuple[str, ...]
    policies: tuple[Policy, ...]


def offer_policy(record: CatalogRecord) -> OdrlPolicy:
    """What holds for every use of a dataset."""
    return OdrlPolicy(
        uid=policy_iri(record.id),
        target=offer_iri(record.id),
        assigner=member_iri(record.genesis, record.member),
        assignees=(),
        agreement="",
        actions=(USE,),
        policies=(record.policy,),
    )


def agreed_policy(record: CatalogRecord, use: Use) -> OdrlPolicy:
    """What holds for its use under one agreement: the agreement's terms, the offer's and the grant's."""
    return OdrlPolicy(
        uid=policy_iri(use.grant),
        target=offer_iri(record.id),
        assigner=member_iri(record.genesis, record.member),
        assignees=tuple(member_iri(record.genesis, member) for member in sorted(use.parties)),
        agreement=agreement_iri(use.agreement),
        actions=tuple(f"serai:{action}" for action in use.scope),
        policies=use.policies,
    )


def policy_node(policy: OdrlPolicy) -> dict[str, Json]:
    """A policy as a node of JSON-LD, for documents whose context has the prefixes of ``CONTEXT``.

    Raises:
        Malformed: it holds a term that no zone could enforce.

    """
    terms = [(one.source, term) for one in policy.policies for term in one.terms]
    permission: dict[str, Json] = {
        "@type": "odrl:Permission",
        "odrl:target": node(policy.target),
        "odrl:action": [node(action) for action in policy.actions],
        "odrl:constraint": [write_constraint(term, source) for source, term in terms if term.name != RETENTION],
        "odrl:duty": [write_duty(term, source) for source, term in terms if term.name == RETENTION],
    }
    agreed: dict[str, Json] = {
        "odrl:assignee": [node(assignee) for assignee in policy.assignees],
        "serai:agreement": node(policy.agreement),
    }
    return {
        "@id": policy.uid,
        "@type": _AGREEMENT if policy.agreement else _OFFER,
        "odrl:profile": node(PROFILE),
        "odrl:assigner": node(policy.assigner),
        **(agreed if policy.agreement else {}),
        "odrl:permission": [permission],
        "odrl:prohibition": [_prohibition(policy.target)],
        "serai:sources": [one.source for one in policy.policies],
    }


def write_policy(policy: OdrlPolicy) -> str:
    """A policy as a document of its own.

    Raises:
        Malformed: as ``policy_node``.

    """
    return json.dumps({"@context": CONTEXT, **policy_node(policy)}, ensure_ascii=False, indent=2) + "\n"


def parse_policy(data: bytes) -> OdrlPolicy:
    """Read a document that ``write_policy`` could have made.

    Raises:
        Malformed: it is larger than 1 MiB, no JSON, of another context or profile, or has
            anything in it that this profile does not know.

    """
    value = decode(data, MAX_BYTES)
    if not isinstance(value, Mapping) or value.get("@context") != CONTEXT:
        raise Malformed("odrl-context", "expected an object with the context of serai's profile, inside the document")
    if value.get("odrl:profile") != node(PROFILE):
        raise Malformed("odrl-profile", f"expected the profile {PROFILE}; another one's words mean something else")
    kind = value.get("@type")
    if kind not in (_OFFER, _AGREEMENT):
        raise Malformed("odrl-form", f"expected an offer or an agreement, got {str(kind)[:80]!r}")
    found = fields({name: item for name, item in value.items() if name != "@context"}, _COMMON, _expected(kind))
    permission = fields(_only(found["odrl:permission"]), _PERMISSION)
    target = _iri(permission["odrl:target"])
    if found["odrl:prohibition"] != [_prohibition(target)]:
        raise Malformed("odrl-form", "expected the prohibition to distribute the target, and no other")
    return OdrlPolicy(
        uid=_iri({"@id": found["@id"]}),
        target=target,
        assigner=_iri(found["odrl:assigner"]),
        assignees=tuple(_iri(item) for item in _list(found.get("odrl:assignee", []))),
        agreement=_iri(found["serai:agreement"]) if kind == _AGREEMENT else "",
        actions=tuple(_action(item) for item in _list(permission["odrl:action"])),
        policies=_policies(_list(found["serai:sources"]), permission),
    )


def _policies(sources: Sequence[Json], permission: Mapping[str, Json]) -> tuple[Policy, ...]:
    terms: dict[str, list[Term]] = {}
    for source in sources:
        if not isinstance(source, str) or source in terms:
            raise Malformed("odrl-form", f"expected each source once, as text, got {str(source)[:80]!r}")
        terms[source] = []
    for source, term in _read_terms(permission):
        if source not in terms:
            raise Malformed("odrl-form", f"a term stands in {source[:80]!r}, which is not among the sources")
        terms[source].append(term)
    return tuple(Policy(source=source, terms=tuple(found)) for source, found in terms.items())


def _read_terms(permission: Mapping[str, Json]) -> Iterable[tuple[str, Term]]:
    yield from map(read_constraint, _list(permission["odrl:constraint"]))
    yield from map(read_duty, _list(permission["odrl:duty"]))


def _prohibition(target: str) -> dict[str, Json]:
    # Rows never leave a zone; there is no code that could send them.
    return {"@type": "odrl:Prohibition", "odrl:target": node(target), "odrl:action": [node(_DISTRIBUTE)]}


def _expected(kind: Json) -> frozenset[str]:
    return _AGREED if kind == _AGREEMENT else frozenset()


def _action(value: Json) -> str:
    action = value.get("@id") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(action, str) or action not in _ACTIONS:
        raise Malformed("odrl-form", f"expected an action of {', '.join(sorted(_ACTIONS))}, got {str(value)[:80]!r}")
    return action


def _iri(value: Json) -> str:
    found = value.get("@id") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(found, str) or not _IRI.fullmatch(found):
        raise Malformed("odrl-form", f"expected a name such as urn:serai:offer:<digest>, got {str(value)[:80]!r}")
    return found


def _only(value: Json) -> Json:
    found = _list(value)
    if len(found) != 1:
        raise Malformed("odrl-form", f"expected one permission, got {len(found)}")
    return found[0]


def _list(value: Json) -> Sequence[Json]:
    if not isinstance(value, list):
        raise Malformed("odrl-form", f"expected a list, got {type(value).__name__}")
    return value


_PERMISSION: Final = frozenset({"odrl:target", "odrl:action", "odrl:constraint", "odrl:duty"})
