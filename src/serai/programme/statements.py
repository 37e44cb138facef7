"""What can be said about the plan: add to it, report on it, object, decide, and fix a year's figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body
from serai.programme.items import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAdd:
    """A delegate puts items on the table; silence until the window closes makes them part of the plan.

    Attributes:
        items: new ones, and ones that take the place of items of the same number.
        reason: why items change or leave; needed where any does.

    """

    KIND: ClassVar[str] = "plan.add"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    items: tuple[Item, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """An owner reports on a task; silence until the window closes accepts it.

    Attributes:
        task: the task's number.
        text: what was done, or why it slipped.
        evidence: digests of what shows it: statements, models, files in the blob store.
        done: whether the task is done with this.

    """

    KIND: ClassVar[str] = "plan.report"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    task: str
    text: str
    evidence: tuple[Digest, ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanObject:
    """A member breaks the silence over items or a report.

    Attributes:
        subject: statement id of the ``plan.add`` or ``plan.report``.
        reason: for the record.

    """

    KIND: ClassVar[str] = "plan.object"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    subject: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDecide:
    """A member shows that the members have decided for what was objected to.

    Attributes:
        subject: what was objected to.
        proposal: the adopted proposal, whose text names the subject's id in full.

    """

    KIND: ClassVar[str] = "plan.decide"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    subject: Digest
    proposal: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSnapshot:
    """A member fixes the figures of a year that is over; every replay computes them again.

    Attributes:
        year: the year, UTC.
        values: every indicator, as the log has it before this entry.

    """

    KIND: ClassVar[str] = "plan.snapshot"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    year: int
    values: Mapping[str, Fraction]


PLAN_STATEMENTS: Final[tuple[type[Body], ...]] = (PlanAdd, PlanReport, PlanObject, PlanDecide, PlanSnapshot)

STATEMENTS: Final[tuple[type[Body], ...]] = PLAN_STATEMENTS
