"""Whether the columns of several offers fit one another, and in what they differ if not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serai.kernel.ids import MemberId
from serai.zones.statements import Column

NOWHERE: Final = "missing"
BOUNDS: Final = "bounds"

_ASPECTS: Final[tuple[tuple[str, Callable[[Column], str]], ...]] = (
    ("kind", lambda column: column.kind),
    ("unit", lambda column: column.unit or "none"),
    ("levels", lambda column: ", ".join(column.levels) or "not said"),
    (BOUNDS, lambda column: f"{column.low or '?'} to {column.high or '?'}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which members' columns of one name differ.

    Attributes:
        column: the column.
        aspect: ``missing``, ``kind``, ``unit``, ``levels`` or ``bounds``.
        said: what each member's offer says of it, in words.

    """

    column: str
    aspect: str
    said: Mapping[MemberId, str]


def find_differences(
    offers: Mapping[MemberId, Sequence[Column]], columns: Iterable[str] = ()
) -> tuple[Difference, ...]:
    """What keeps the offered columns from being used together.

    Args:
        offers: each member's columns.
        columns: those that are needed; every one that any member offers, if none is named.

    """
    known = {member: {column.name: column for column in offered} for member, offered in sorted(offers.items())}
    names = tuple(columns) or tuple(dict.fromkeys(name for offered in known.values() for name in offered))
    return tuple(found for name in names for found in _differences(name, known))


def _differences(name: str, known: Mapping[MemberId, Mapping[str, Column]]) -> Iterable[Difference]:
    having = {member: offered[name] for member, offered in known.items() if name in offered}
    if len(having) < len(known):
        said = {member: "offered" if member in having else NOWHERE for member in known}
        yield Difference(column=name, aspect=NOWHERE, said=said)
    for aspect, words in _ASPECTS:
        said = {member: words(column) for member, column in having.items()}
        if len(set(said.values())) > 1:
            yield Difference(column=name, aspect=aspect, said=said)
