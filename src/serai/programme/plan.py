"""The plan as the log tells it: what was put on the table, what silence or a decision made of it.

Nothing here waits for anybody to declare a window closed: whether silence has
lasted is a question of log time, asked anew each time. Of two accepted versions
of an item, the one accepted later stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from immutables import Map

from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.programme.items import Item, Kind, parent_of, place_of
from serai.programme.statements import PlanAdd, PlanDecide, PlanObject, PlanReport, PlanSnapshot


class Fate(StrEnum):
    """What has become of items or a report."""

    OPEN = "open"  # the window is open and nobody has objected
    OBJECTED = "objected"  # until a decision says otherwise
    ACCEPTED = "accepted"


class Status(StrEnum):
    """Where a task stands."""

    PLANNED = "planned"
    LATE = "late"  # due, without a report that says it is done
    REPORTED = "reported"  # a report that says it is done waits for its window
    OBJECTED = "objected"  # the last report was objected to
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Items or a report on the table.

    Attributes:
        id: its statement.
        member: whose delegate said it.
        body: what was said.
        at: when.
        closes_ms: log time at which silence has lasted.
        objections: the reason of each member that objected.
        decided: when a decision was shown to overrule them.

    """

    id: Digest
    member: MemberId
    body: PlanAdd | PlanReport
    at: Instant
    closes_ms: int
    objections: Map[MemberId, str] = field(default_factory=Map)
    decided: Instant | None = None

    def fate(self, time_ms: int) -> Fate:
        """What has become of it by a log time."""
        if self.decided is not None:
            return Fate.ACCEPTED
        if self.objections:
            return Fate.OBJECTED
        return Fate.ACCEPTED if time_ms >= self.closes_ms else Fate.OPEN

    @property
    def accepted_ms(self) -> int:
        """When it was, or will be, accepted, if nobody objects."""
        return self.closes_ms if self.decided is None else self.decided.time_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A year's figures, for good.

    Attributes:
        id: the statement that fixed them.
        member: whose delegate said it.
        values: every indicator.
        at: the log up to here is what they were computed from.

    """

    id: Digest
    member: MemberId
    values: Mapping[str, Fraction]
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanState:
    """Everything said about the plan.

    Attributes:
        submissions: items and reports, by statement id.
        snapshots: by year.

    """

    submissions: Map[Digest, Submission] = field(default_factory=Map)
    snapshots: Map[int, Snapshot] = field(default_factory=Map)


def apply(
    plan: PlanState,
    said: Said[PlanAdd | PlanReport | PlanObject | PlanDecide | PlanSnapshot],
    at: Instant,
    routine_ms: int,
) -> PlanState:
    """The plan after a statement that the rules have granted; ``routine_ms`` is how long silence has to last."""
    match said.body:
        case PlanAdd() | PlanReport() as body:
            closes_ms = at.time_ms + routine_ms
            made = Submission(id=said.id, member=said.member, body=body, at=at, closes_ms=closes_ms)
            return _with(plan, made)
        case PlanObject(subject=subject, reason=reason):
            found = plan.submissions[subject]
            return _with(plan, replace(found, objections=found.objections.set(said.member, reason)))
        case PlanDecide(subject=subject):
            return _with(plan, replace(plan.submissions[subject], decided=at))
        case PlanSnapshot(year=year, values=values):
            snapshot = Snapshot(id=said.id, member=said.member, values=values, at=at)
            return replace(plan, snapshots=plan.snapshots.set(year, snapshot))


def items_of(plan: PlanState, time_ms: int) -> dict[str, Item]:
    """The plan in force at a log time, by number, in the order of numbers."""
    items = accepted_items(plan, time_ms)
    return {number: items[number] for number in sorted(items, key=place_of) if _is_kept(items, number)}


def accepted_items(plan: PlanState, time_ms: int) -> dict[str, Item]:
    """The accepted version of every item that was ever in the plan, those that were dropped too."""
    accepted = (item for item in plan.submissions.values() if item.fate(time_ms) is Fate.ACCEPTED)
    items: dict[str, Item] = {}
    for submission in sorted(accepted, key=lambda item: (item.accepted_ms, item.at)):
        if isinstance(submission.body, PlanAdd):
            items |= {item.number: item for item in submission.body.items}
    return items


def open_numbers(plan: PlanState, time_ms: int) -> frozenset[str]:
    """The numbers of items whose window is still open."""
    return frozenset(
        item.number
        for submission in plan.submissions.values()
        if isinstance(submission.body, PlanAdd) and submission.fate(time_ms) is Fate.OPEN
        for item in submission.body.items
    )


def reports_on(plan: PlanState, task: str) -> tuple[Submission, ...]:
    """All reports on a task, in log order."""
    found = (item for item in plan.submissions.values() if isinstance(item.body, PlanReport) and item.body.task == task)
    return tuple(sorted(found, key=lambda item: item.at))


def status_of(plan: PlanState, task: Item, time_ms: int) -> Status:
    """Where a task stands at a log time."""
    assert task.due_ms is not None, "tasks have a due date"
    finals = [item for item in reports_on(plan, task.number) if isinstance(item.body, PlanReport) and item.body.done]
    fates = [item.fate(time_ms) for item in finals]
    if Fate.ACCEPTED in fates:
        return Status.DONE
    if fates and fates[-1] is Fate.OPEN:
        return Status.REPORTED
    if fates:
        return Status.OBJECTED
    return Status.LATE if time_ms >= task.due_ms else Status.PLANNED


def tasks_by_status(plan: PlanState, time_ms: int) -> Iterator[tuple[Item, Status]]:
    """Every task of the plan in force with where it stands."""
    for item in items_of(plan, time_ms).values():
        if item.kind is Kind.TASK:
            yield item, status_of(plan, item, time_ms)


def _is_kept(items: Mapping[str, Item], number: str) -> bool:
    above: str | None = number
    while above is not None:
        if above not in items or items[above].dropped:
            return False
        above = parent_of(above)
    return True


def _with(plan: PlanState, submission: Submission) -> PlanState:
    return replace(plan, submissions=plan.submissions.set(submission.id, submission))
