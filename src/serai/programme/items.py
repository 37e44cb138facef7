"""Items of a plan: goals, actions, tasks with owner and due date, and targets for indicators, by dotted numbers.

The number says where an item stands: goal ``2``, action ``2.1`` of that goal,
task ``2.1.3`` of that action. A target stands under a goal or an action.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from serai.kernel.ids import MemberId

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}(\.[1-9][0-9]{0,3}){0,2}")


class Kind(StrEnum):
    """What an item is."""

    GOAL = "goal"
    ACTION = "action"
    TASK = "task"
    TARGET = "target"


_DEPTHS: Final = {Kind.GOAL: (1,), Kind.ACTION: (2,), Kind.TASK: (3,), Kind.TARGET: (2, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a plan.

    Attributes:
        number: its place, such as ``2.1.3``.
        kind: what it is.
        title: one line.
        text: what it is about, for people.
        owner: the member that answers for a task.
        co_owners: further members that may report on it.
        due_ms: Unix milliseconds by which a task is to be done or a target to be reached.
        indicator: the name of a target's indicator.
        value: what a target's indicator is to be at least.
        dropped: the item leaves the plan, and all below it.

    """

    number: str
    kind: Kind
    title: str
    text: str = ""
    owner: MemberId | None = None
    co_owners: tuple[MemberId, ...] = ()
    due_ms: int | None = None
    indicator: str | None = None
    value: Fraction | None = None
    dropped: bool = False

    def __post_init__(self) -> None:
        """Refuse an item that stands nowhere, or that nobody could be asked about."""
        if not _NUMBER.fullmatch(self.number):
            raise ValueError(f"expected a number such as 2, 2.1 or 2.1.3, got {self.number[:40]!r}")
        if len(place_of(self.number)) not in _DEPTHS[self.kind]:
            raise ValueError(f"{self.number} is no number of a {self.kind}: goal 2, action 2.1, task 2.1.3, target 2.1")
        if not self.title.strip():
            raise ValueError(f"item {self.number} needs a title")
        if (self.kind is Kind.TASK) != (self.owner is not None) or (self.owner is None and self.co_owners):
            raise ValueError(f"a task has an owner, and nothing else has; item {self.number} is a {self.kind}")
        if (self.kind in (Kind.TASK, Kind.TARGET)) != (self.due_ms is not None):
            raise ValueError(f"a task or target has a due date, and nothing else has; item {self.number} is off")
        if (self.kind is Kind.TARGET) != (self.indicator is not None and self.value is not None):
            raise ValueError(f"a target has an indicator and a value, and nothing else has; item {self.number} is off")

    @property
    def owners(self) -> frozenset[MemberId]:
        """Everyone who may report on it."""
        return frozenset(self.co_owners) | ({self.owner} if self.owner else frozenset())


def place_of(number: str) -> tuple[int, ...]:
    """A number as it sorts: ``2.10`` after ``2.9``."""
    return tuple(int(part) for part in number.split("."))


def parent_of(number: str) -> str | None:
    """The number above, or None for a goal's."""
    above, dot, _ = number.rpartition(".")
    return above if dot else None
