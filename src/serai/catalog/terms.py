"""Each term of the closed vocabulary as an ODRL constraint or duty, and back.

ODRL 2.2 says what a constraint is: a left operand, an operator, a right operand
(https://www.w3.org/TR/odrl-model/#constraint). All constraints of a permission
must hold, as all terms must. Where ODRL's own vocabulary has the operand it is
used; the others are of this house's profile, named by the fact that is measured.

========================  =============================  ============  ==============================
term                      left operand                   operator      right operand
========================  =============================  ============  ==============================
``purpose``               ``odrl:purpose``               ``isAnyOf``   codes
``code``                  ``serai:code``                 ``isAnyOf``   digests
``min_cohort``            ``serai:rows``                 ``gteq``      number
``min_participants``      ``serai:participants``         ``gteq``      number
``outputs``               ``serai:outputs``              ``isPartOf``  codes
``expires_ms``            ``odrl:dateTime``              ``lt``        moment
``approvals``             ``serai:approvals``            ``gteq``      number
``recipients``            ``odrl:recipient``             ``isPartOf``  names
``residency``             ``odrl:spatial``               ``isAnyOf``   jurisdictions
``secure_sum``            ``serai:secureSum``            ``eq``        ``required``
``retention_days``        ``odrl:elapsedTime``           ``lteq``      days, of the duty to delete
``output_to``             ``serai:jurisdictions``        ``isPartOf``  jurisdictions
``transfer_basis``        ``serai:transferBasis``        ``isAnyOf``   instruments
``max_uses``              ``odrl:count``                 ``lteq``      number
``dp``                    ``serai:epsilon`` and          ``lteq``      text, with the unit it hides
                          ``serai:delta``
``min_subjects``          ``serai:subjects``             ``gteq``      number
``max_subjects``          ``serai:subjects``             ``lteq``      number
``hours``                 ``serai:hours``                ``isPartOf``  hours of the day, UTC
``embargo_until_ms``      ``odrl:dateTime``              ``gteq``      moment
``release_approvals``     ``serai:releaseApprovals``     ``gteq``      number
``compute_cap_s``         ``serai:computeSeconds``       ``lt``        number
``airlock``               ``serai:airlock``              ``eq``        which outputs a steward looks at
``no_member_worse``       ``serai:lossAgainstAlone``     ``lteq``      a metric, and thousandths of it
``membership_advantage``  ``serai:membershipAdvantage``  ``lteq``      thousandths
========================  =============================  ============  ==============================
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from serai.catalog.names import moment, node
from serai.charter.agreements import Term
from serai.errors import Malformed
from serai.kernel.canonical import Json
from serai.kernel.verdict import Denied
from serai.zones.forms import Value
from serai.zones.terms import judge_form

RETENTION: Final = "retention_days"
_DP: Final = "dp"
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_DAYS: Final = re.compile(r"P([0-9]{1,16})D")
_SHOWN: Final = 80  # characters of what came that an error quotes


@dataclass(frozen=True, slots=True)
class _Form:
    operand: str
    operator: str
    write: Callable[[Value], Json]
    read: Callable[[Json], Value]


def write_constraint(term: Term, source: str) -> Mapping[str, Json]:
    """A term as a constraint; ``source`` says where the term stands.

    Raises:
        Malformed: no zone could enforce the term.

    """
    _check(term, source)
    if term.name == _DP:
        assert isinstance(term.value, tuple)
        unit, epsilon, delta = term.value
        both = (_bound("serai:epsilon", epsilon, unit), _bound("serai:delta", delta, unit))
        return {"@type": "odrl:LogicalConstraint", "odrl:and": {"@list": both}, **_placed(term, source)}
    form = _FORMS[term.name]
    return {**_constraint(form.operand, form.operator, form.write(term.value)), **_placed(term, source)}


def read_constraint(value: Json) -> tuple[str, Term]:
    """The source and the term of a constraint.

    Raises:
        Malformed: it has another form, or operands that this profile does not know.

    """
    found = fields(value, {"odrl:and"} if isinstance(value, Mapping) and "odrl:and" in value else _SIMPLE, _PLACE)
    if "odrl:and" in found:
        name, read = _DP, _read_dp(found)
    else:
        name, read = _read_simple(found)
    return _told(name, read, found)


def write_duty(term: Term, source: str) -> Mapping[str, Json]:
    """A retention limit as the duty to delete what was derived within so many days.

    Raises:
        Malformed: no zone could enforce the term.

    """
    _check(term, source)
    limit = _constraint("odrl:elapsedTime", "odrl:lteq", {"@type": "xsd:duration", "@value": f"P{term.value}D"})
    duty: dict[str, Json] = {"@type": "odrl:Duty", "odrl:action": [node("odrl:delete")], "odrl:constraint": [limit]}
    return {**duty, **_placed(term, source)}


def read_duty(value: Json) -> tuple[str, Term]:
    """The source and the term of a duty.

    Raises:
        Malformed: it has another form.

    """
    found = fields(value, {"odrl:action", "odrl:constraint"}, _PLACE)
    limit = found["odrl:constraint"]
    (inner,) = limit if isinstance(limit, list) and len(limit) == 1 else (None,)
    constraint = fields(inner, _SIMPLE)
    expected = _constraint("odrl:elapsedTime", "odrl:lteq", constraint["odrl:rightOperand"])
    days = constraint["odrl:rightOperand"]
    text = days.get("@value") if isinstance(days, Mapping) and days.get("@type") == "xsd:duration" else None
    match = _DAYS.fullmatch(text) if isinstance(text, str) else None
    if match is None or constraint != expected or found["odrl:action"] != [node("odrl:delete")]:
        raise _unknown("the duty to delete within days, as P30D", value)
    return _told(RETENTION, int(match[1]), found)


def fields(value: Json, required: set[str] | frozenset[str], also: frozenset[str] = frozenset()) -> Mapping[str, Json]:
    """An object with a type and exactly the fields that are expected.

    Raises:
        Malformed: a field is missing or not known; what is not understood is not permitted.

    """
    expected = required | also | {"@type"}
    if not isinstance(value, Mapping) or set(value) != expected:
        raise _unknown(f"an object with {', '.join(sorted(expected))}", value)
    return value


def _read_simple(found: Mapping[str, Json]) -> tuple[str, Value]:
    key = (_name(found["odrl:leftOperand"]), _name(found["odrl:operator"]))
    if key not in _BY_OPERANDS:
        raise _unknown("a left operand and an operator of this profile", list(key))
    name, form = _BY_OPERANDS[key]
    return name, form.read(found["odrl:rightOperand"])


def _read_dp(found: Mapping[str, Json]) -> Value:
    both = found["odrl:and"]
    listed = both.get("@list") if isinstance(both, Mapping) else None
    if not isinstance(listed, list) or len(listed) != 2:
        raise _unknown("a bound on epsilon and one on delta", both)
    epsilon, delta = (fields(item, _SIMPLE, frozenset({"odrl:unit"})) for item in listed)
    unit = _name(epsilon["odrl:unit"]).removeprefix("serai:")
    values = (_text(epsilon["odrl:rightOperand"]), _text(delta["odrl:rightOperand"]))
    expected = [_bound("serai:epsilon", values[0], unit), _bound("serai:delta", values[1], unit)]
    if listed != expected:
        raise _unknown("serai:epsilon and serai:delta, lteq, in one unit", listed)
    return (unit, *values)


def _told(name: str, value: Value, found: Mapping[str, Json]) -> tuple[str, Term]:
    source, clause = _text(found["serai:source"]), _text(found["serai:clause"])
    term = Term(name=name, value=value, clause=clause)
    _check(term, source)
    return source, term


def _check(term: Term, source: str) -> None:
    verdict = judge_form(term, source)
    if isinstance(verdict, Denied):
        raise Malformed("odrl-term", f"{verdict.article}: {verdict.reason}")


def _constraint(operand: str, operator: str, right: Json) -> dict[str, Json]:
    return {
        "@type": "odrl:Constraint",
        "odrl:leftOperand": node(operand),
        "odrl:operator": node(operator),
        "odrl:rightOperand": right,
    }


def _bound(operand: str, limit: str, unit: str) -> dict[str, Json]:
    return {**_constraint(operand, "odrl:lteq", limit), "odrl:unit": node(f"serai:{unit}")}


def _placed(term: Term, source: str) -> Mapping[str, Json]:
    return {"serai:clause": term.clause, "serai:source": source}


def _name(value: Json) -> str:
    found = value.get("@id") if isinstance(value, Mapping) and len(value) == 1 else None
    return _text(found)


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise _unknown("text", value)
    return value


def _unknown(expected: str, value: Json) -> Malformed:
    return Malformed(
        "odrl-form",
        f"expected {expected}, got {str(value)[:_SHOWN]!r}; what this profile does not know is not permitted",
    )


def _same(value: Value) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _number(value: Json) -> Value:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unknown("a whole number", value)
    return value


def _codes(value: Json) -> Value:
    if not isinstance(value, list):
        raise _unknown("a list of codes", value)
    return tuple(_text(item) for item in value)


def _moment_of(value: Value) -> Json:
    assert isinstance(value, int)
    told = moment(value)
    # Beyond the year 9999 dates have no form that every reader knows; the number itself has.
    return value if told is None else {"@type": "xsd:dateTime", "@value": told}


def _read_moment(value: Json) -> Value:
    if isinstance(value, int):
        return _number(value)
    told = value.get("@value") if isinstance(value, Mapping) and value.get("@type") == "xsd:dateTime" else None
    if not isinstance(told, str) or not _MOMENT.fullmatch(told):
        raise _unknown("a moment in UTC such as 2027-01-01T00:00:00.000Z", value)
    try:
        seconds = int(datetime.fromisoformat(told[:19]).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise _unknown("a moment in UTC that the calendar has", value) from None
    return 1000 * seconds + int(told[20:23])


def _numbers(operand: str, operator: str) -> _Form:
    return _Form(operand, operator, _same, _number)


def _sets(operand: str, operator: str) -> _Form:
    return _Form(operand, operator, _same, _codes)


_SIMPLE: Final = frozenset({"odrl:leftOperand", "odrl:operator", "odrl:rightOperand"})
_PLACE: Final = frozenset({"serai:clause", "serai:source"})
_FORMS: Final[Mapping[str, _Form]] = {
    "purpose": _sets("odrl:purpose", "odrl:isAnyOf"),
    "code": _sets("serai:code", "odrl:isAnyOf"),
    "min_cohort": _numbers("serai:rows", "odrl:gteq"),
    "min_participants": _numbers("serai:participants", "odrl:gteq"),
    "outputs": _sets("serai:outputs", "odrl:isPartOf"),
    "expires_ms": _Form("odrl:dateTime", "odrl:lt", _moment_of, _read_moment),
    "approvals": _numbers("serai:approvals", "odrl:gteq"),
    "recipients": _sets("odrl:recipient", "odrl:isPartOf"),
    "residency": _sets("odrl:spatial", "odrl:isAnyOf"),
    "secure_sum": _Form("serai:secureSum", "odrl:eq", _same, _text),
    "output_to": _sets("serai:jurisdictions", "odrl:isPartOf"),
    "transfer_basis": _sets("serai:transferBasis", "odrl:isAnyOf"),
    "max_uses": _numbers("odrl:count", "odrl:lteq"),
    "min_subjects": _numbers("serai:subjects", "odrl:gteq"),
    "max_subjects": _numbers("serai:subjects", "odrl:lteq"),
    "hours": _Form("serai:hours", "odrl:isPartOf", _same, _text),
    "embargo_until_ms": _Form("odrl:dateTime", "odrl:gteq", _moment_of, _read_moment),
    "release_approvals": _numbers("serai:releaseApprovals", "odrl:gteq"),
    "compute_cap_s": _numbers("serai:computeSeconds", "odrl:lt"),
    "no_member_worse": _sets("serai:lossAgainstAlone", "odrl:lteq"),
    "membership_advantage": _numbers("serai:membershipAdvantage", "odrl:lteq"),
    "airlock": _Form("serai:airlock", "odrl:eq", _same, _text),
}
_BY_OPERANDS: Final = {(form.operand, form.operator): (name, form) for name, form in _FORMS.items()}
