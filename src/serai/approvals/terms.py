"""Two policies side by side: which terms came, which went, and which allow less or more than they did.

Every term narrows what is allowed. So one that came narrows and one that went
widens; of one that changed its value, an order of the values decides, where the
term has one (``_NARROWER``). Terms are compared by where they stand: an offer's
with the earlier offer's, even if it was offered anew under another id.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from serai.charter.agreements import Term
from serai.zones.facts import Unit
from serai.zones.forms import Value, parse_dp, parse_hours, parse_tolerance, worded
from serai.zones.policy import LEGAL_PROFILE, ZONE_POLICY, Policy

_HOURS: Final = 24


class Kind(StrEnum):
    """What became of a term, or of anything else that is compared."""

    ADDED = "added"
    REMOVED = "removed"
    NARROWED = "narrowed"  # allows less than it did
    WIDENED = "widened"  # allows more
    CHANGED = "changed"  # allows something else


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        kind: what became of it.
        name: of what.
        before: as it was; empty for what came.
        after: as it is; empty for what went.
        place: where it stands, such as ``offer``; empty where that is plain.
        clause: the clause that says so, for a term.

    """

    kind: Kind
    name: str
    before: str
    after: str
    place: str = ""
    clause: str = ""


def compare_policies(before: Iterable[Policy], after: Iterable[Policy]) -> tuple[Change, ...]:
    """What changed from some policies to others, by place and term."""
    old, new = _by_place(before), _by_place(after)
    keys = list(dict.fromkeys([*old, *new]))
    return tuple(change for key in keys for change in _compare(key, old.get(key, []), new.get(key, [])))


def place_of(source: str) -> str:
    """The kind of place that a policy stands in, without the id that tells one such place from another."""
    return source if source in {ZONE_POLICY, LEGAL_PROFILE} else source.partition(" ")[0]


def _by_place(policies: Iterable[Policy]) -> dict[tuple[str, str], list[Term]]:
    found: dict[tuple[str, str], list[Term]] = {}
    for policy in policies:
        for term in policy.terms:
            terms = found.setdefault((place_of(policy.source), term.name), [])
            if term not in terms:
                terms.append(term)
    return found


def _compare(key: tuple[str, str], before: list[Term], after: list[Term]) -> Iterator[Change]:
    place, name = key
    gone = [term for term in before if term not in after]
    come = [term for term in after if term not in before]
    if len(gone) == len(come) == 1:
        (old,), (new,) = gone, come
        yield Change(_direction(name, old.value, new.value), name, _quoted(old), _quoted(new), place, new.clause)
        return
    yield from (Change(Kind.REMOVED, name, _quoted(term), "", place, term.clause) for term in gone)
    yield from (Change(Kind.ADDED, name, "", _quoted(term), place, term.clause) for term in come)


def _quoted(term: Term) -> str:
    return worded(term.name, term.value)


def _direction(name: str, before: Value, after: Value) -> Kind:
    """Whether a value allows less or more than another; neither where the values have no order."""
    try:
        within = _NARROWER.get(name, _never)
        is_within, holds = within(after, before), within(before, after)
    except (TypeError, ValueError, AttributeError):  # a value of another form has no order
        return Kind.CHANGED
    if is_within == holds:
        return Kind.CHANGED
    return Kind.NARROWED if is_within else Kind.WIDENED


def _never(_one: Value, _other: Value) -> bool:
    return False


def _no_less(one: Any, other: Any) -> bool:
    return bool(one >= other)


def _no_more(one: Any, other: Any) -> bool:
    return bool(one <= other)


def _no_other(one: Any, other: Any) -> bool:
    return set(one) <= set(other)


def _below(one: Any, other: Any) -> bool:
    """Every purpose is one of the others, or below one."""
    return all(any(code == above or code.startswith(f"{above}.") for above in other) for code in one)


def _no_hour_more(one: Any, other: Any) -> bool:
    return _hours(one) <= _hours(other)


def _hours(value: Any) -> set[int]:
    parsed = parse_hours(value)
    if parsed is None:
        raise ValueError("not hours of the day")
    start, end = parsed
    return set(range(start, end)) if start < end else {*range(start, _HOURS), *range(end)}


def _no_dearer(one: Any, other: Any) -> bool:
    """A budget that is no larger; what hides a member hides each of its records."""
    left, right = parse_dp(one), parse_dp(other)
    if left is None or right is None:
        raise ValueError("not a privacy budget")
    hides_as_much = left.unit is right.unit or left.unit is Unit.MEMBER
    return (
        hides_as_much
        and left.epsilon_millionths <= right.epsilon_millionths
        and left.delta_trillionths <= right.delta_trillionths
    )


def _no_worse(one: Any, other: Any) -> bool:
    """A tolerance in the same metric that is no larger."""
    left, right = parse_tolerance(one), parse_tolerance(other)
    if left is None or right is None:
        raise ValueError("not a tolerance")
    return left[0] == right[0] and left[1] <= right[1]


_NARROWER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "purpose": _below,
    "dp": _no_dearer,
    "hours": _no_hour_more,
    "no_member_worse": _no_worse,
    **dict.fromkeys(("code", "outputs", "recipients", "residency", "output_to", "transfer_basis"), _no_other),
    **dict.fromkeys(
        ("min_cohort", "min_participants", "min_subjects", "approvals", "release_approvals", "embargo_until_ms"),
        _no_less,
    ),
    **dict.fromkeys(
        ("max_subjects", "max_uses", "expires_ms", "retention_days", "compute_cap_s", "membership_advantage"), _no_more
    ),
}
"""For each term, whether its first value allows nothing that its second does not."""
