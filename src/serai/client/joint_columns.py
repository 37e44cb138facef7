"""The columns that all offers of a question have alike: what can be asked of everybody's rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from serai.errors import Conflict, Missing
from serai.kernel.ids import MemberId
from serai.zones.schemas import BOUNDS, find_differences
from serai.zones.statements import Column, Offer

NUMBER: Final = "number"
CATEGORY: Final = "category"


@dataclass(frozen=True, slots=True, kw_only=True)
class JointColumn:
    """A column as its stewards describe it.

    Attributes:
        name: what everybody calls it.
        kind: ``number`` or ``category``.
        unit: of a number; empty where there is none.
        levels: of a category, in the order that all share.
        low: smallest plausible value of a number, the smallest that any steward names; empty if one names none.
        high: largest plausible value, likewise.
        description: what it means, in the first steward's words.

    """

    name: str
    kind: str
    unit: str
    levels: tuple[str, ...]
    low: str
    high: str
    description: str


@dataclass(frozen=True, slots=True)
class JointColumns:
    """The columns of several offers.

    Attributes:
        alike: those that every offer has in the same form, by name.
        unlike: why each of the others cannot be asked for.

    """

    alike: Mapping[str, JointColumn]
    unlike: Mapping[str, str]

    def get(self, name: str, kind: str = "") -> JointColumn:
        """A column by name.

        Raises:
            Missing: no offer has it.
            Conflict: not every offer has it, or not alike, or it is of another kind.

        """
        if name in self.unlike:
            raise Conflict("column-unlike", f"column {name!r} cannot be asked for: {self.unlike[name]}")
        if name not in self.alike:
            known = ", ".join(self.alike) or "none"
            raise Missing("column-unknown", f"no offer has a column {name!r}; those that all have are {known}")
        found = self.alike[name]
        if kind and found.kind != kind:
            raise Conflict("column-kind", f"column {name!r} is a {found.kind}, expected a {kind}")
        return found


def joint_columns(offers: Mapping[MemberId, Offer]) -> JointColumns:
    """Compare the columns of each member's offer; their bounds may differ."""
    columns = {member: offer.columns for member, offer in offers.items()}
    unlike: dict[str, str] = {}
    for found in find_differences(columns):
        if found.aspect != BOUNDS:
            said = ", ".join(f"{text} at {member}" for member, text in found.said.items())
            unlike.setdefault(found.column, f"{found.aspect}: {said}")
    named: dict[str, list[Column]] = {}
    for offered in columns.values():
        for column in offered:
            named.setdefault(column.name, []).append(column)
    return JointColumns({name: _joined(found) for name, found in named.items() if name not in unlike}, unlike)


def _joined(columns: list[Column]) -> JointColumn:
    first = columns[0]
    lows, highs = [column.low for column in columns], [column.high for column in columns]
    return JointColumn(
        name=first.name,
        kind=first.kind,
        unit=first.unit,
        levels=first.levels,
        low=min(lows, key=Decimal) if all(lows) else "",
        high=max(highs, key=Decimal) if all(highs) else "",
        description=next((column.description for column in columns if column.description), ""),
    )
