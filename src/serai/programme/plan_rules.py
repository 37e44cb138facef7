"""What may be said about the plan, and what says so.

| article | says                                                                                      |
| ------- | ----------------------------------------------------------------------------------------- |
| plan 1  | it takes a member in good standing, and a log that has a time                             |
| plan 2  | each item of a draft has its own number, and what it stands under is in the plan or draft |
| plan 3  | a number whose window is open waits for it; a change takes a reason; what is done stays   |
| plan 4  | owners are members in good standing; a target names an indicator; due dates lie ahead     |
| plan 5  | an owner reports on a task that is not done and has no report on the table, with evidence |
| plan 6  | an objection has a reason, comes once from a member, and while the window is open         |
| plan 7  | a decision overrules objections if it was adopted and spells out the id it is about       |
| plan 8  | a year's figures are fixed once, in order of years, when the year is over                 |
| plan 9  | the figures are those that the log gives                                                  |
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from serai.charter.state import in_good_standing
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.programme.indicators import INDICATORS, Moment, measure
from serai.programme.items import Item, Kind, parent_of
from serai.programme.plan import (
    Fate,
    PlanState,
    Status,
    Submission,
    accepted_items,
    items_of,
    open_numbers,
    reports_on,
    status_of,
)
from serai.programme.record import Record
from serai.programme.state import ProgrammeState
from serai.programme.statements import PlanAdd, PlanDecide, PlanObject, PlanReport, PlanSnapshot

MAX_ITEMS: Final = 200  # of one draft; a plan has as many drafts as it needs
MAX_EVIDENCE: Final = 64
_LAST_S: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def judge(
    record: Record,
    programme: ProgrammeState,
    said: Said[PlanAdd | PlanReport | PlanObject | PlanDecide | PlanSnapshot],
    at: Instant,
) -> Verdict:
    """Whether a statement about the plan may be said now."""
    if not in_good_standing(record.charter, said.member, at):
        return Denied("plan 1", f"{said.member} is not in good standing")
    if at.time_ms == 0:
        return Denied("plan 1", "the log has no time yet; speak after its first clock entry")
    plan = programme.plan
    match said.body:
        case PlanAdd() as body:
            return next(_wrong_items(record, plan, body, at), GRANTED)
        case PlanReport() as body:
            return _judge_report(plan, body, said.member, at)
        case PlanObject() as body:
            return _judge_objection(plan, body, said.member, at)
        case PlanDecide() as body:
            return _judge_decision(record, plan, body, at)
        case PlanSnapshot() as body:
            return _judge_snapshot(record, programme, body, at)


def year_of(time_ms: int) -> int:
    """The year of a log time, UTC; the last one that dates know for any time beyond."""
    return datetime.fromtimestamp(min(time_ms // 1000, _LAST_S), UTC).year


def _wrong_items(record: Record, plan: PlanState, body: PlanAdd, at: Instant) -> Iterator[Denied]:
    numbers = [item.number for item in body.items]
    if not 1 <= len(numbers) <= MAX_ITEMS or len(set(numbers)) != len(numbers):
        yield Denied("plan 2", f"expected 1 to {MAX_ITEMS} items, each with its own number, got {len(numbers)}")
        return
    if taken := sorted(set(numbers) & open_numbers(plan, at.time_ms)):
        yield Denied("plan 3", f"item {taken[0]} is on the table already; wait until its window closes")
    drafted = {item.number: item for item in body.items}
    current = items_of(plan, at.time_ms)
    known = accepted_items(plan, at.time_ms)
    for item in body.items:
        yield from _misplaced(item, {**current, **drafted}, current)
        if item.number in known and item.number not in current:
            yield Denied("plan 3", f"item {item.number} was dropped; give a number that nothing had before")
        elif item.number in current:
            yield from _wrong_change(plan, item, current[item.number], body.reason, at)
        yield from _wrong_item(record, item, current.get(item.number), at)


def _misplaced(item: Item, around: Mapping[str, Item], current: Mapping[str, Item]) -> Iterator[Denied]:
    above = parent_of(item.number)
    if above is not None and above not in around:
        yield Denied("plan 2", f"item {item.number} stands under {above}, which is neither in the plan nor here")
    elif above is not None and around[above].kind is Kind.TARGET:
        yield Denied("plan 2", f"item {item.number} stands under {above}, which is a target")
    if item.dropped and item.number not in current:
        yield Denied("plan 2", f"item {item.number} is not in the plan, so it cannot be dropped")


def _wrong_change(plan: PlanState, item: Item, before: Item, reason: str, at: Instant) -> Iterator[Denied]:
    if not reason.strip():
        yield Denied("plan 3", f"item {item.number} is in the plan; say why it changes")
    if item.kind is not before.kind:
        yield Denied("plan 3", f"item {item.number} is a {before.kind} and stays one")
    elif item.kind is Kind.TASK and status_of(plan, before, at.time_ms) is Status.DONE:
        yield Denied("plan 3", f"task {item.number} is done and stays as it is")


def _wrong_item(record: Record, item: Item, before: Item | None, at: Instant) -> Iterator[Denied]:
    if absent := sorted(owner for owner in item.owners if not in_good_standing(record.charter, owner, at)):
        yield Denied("plan 4", f"{absent[0]}, an owner of item {item.number}, is no member in good standing")
    if item.indicator is not None and item.indicator not in INDICATORS:
        known = ", ".join(INDICATORS)
        yield Denied("plan 4", f"item {item.number} names indicator {item.indicator[:40]!r}; known: {known}")
    moved = before is None or before.due_ms != item.due_ms
    if item.due_ms is not None and moved and item.due_ms <= at.time_ms:
        yield Denied("plan 4", f"item {item.number} would have been due at log time {item.due_ms}, which is past")


def _judge_report(plan: PlanState, body: PlanReport, member: MemberId, at: Instant) -> Verdict:
    task = items_of(plan, at.time_ms).get(body.task)
    if task is None or task.kind is not Kind.TASK:
        return Denied("plan 5", f"the plan has no task {body.task[:20]!r}")
    if member not in task.owners:
        return Denied("plan 5", f"{', '.join(sorted(task.owners))} answer for task {task.number}, not {member}")
    if status_of(plan, task, at.time_ms) is Status.DONE:
        return Denied("plan 5", f"task {task.number} is done")
    if any(report.fate(at.time_ms) is Fate.OPEN for report in reports_on(plan, task.number)):
        return Denied("plan 5", f"a report on task {task.number} is on the table already")
    if not body.text.strip() or len(body.evidence) > MAX_EVIDENCE or (body.done and not body.evidence):
        return Denied("plan 5", f"a report has a text and at most {MAX_EVIDENCE} digests; to be done takes evidence")
    return GRANTED


def _judge_objection(plan: PlanState, body: PlanObject, member: MemberId, at: Instant) -> Verdict:
    found = _find_subject(plan, body.subject, "plan 6")
    if isinstance(found, Denied):
        return found
    if found.decided is not None or at.time_ms >= found.closes_ms:
        return Denied("plan 6", f"the window closed at log time {found.closes_ms}")
    if member in found.objections:
        return Denied("plan 6", f"{member} has objected already")
    return GRANTED if body.reason.strip() else Denied("plan 6", "to object takes a reason on record")


def _judge_decision(record: Record, plan: PlanState, body: PlanDecide, at: Instant) -> Verdict:
    found = _find_subject(plan, body.subject, "plan 7")
    if isinstance(found, Denied):
        return found
    if found.fate(at.time_ms) is not Fate.OBJECTED:
        return Denied("plan 7", f"nobody has objected to {body.subject[:12]}, or it has been decided")
    if not record.is_adopted(body.proposal) or not record.names(body.proposal, body.subject):
        return Denied("plan 7", f"expected an adopted proposal whose text spells out {body.subject}")
    return GRANTED


def _judge_snapshot(record: Record, programme: ProgrammeState, body: PlanSnapshot, at: Instant) -> Verdict:
    plan = programme.plan
    if body.year >= year_of(at.time_ms):
        return Denied("plan 8", f"{body.year} is not over: log time is in {year_of(at.time_ms)}")
    if plan.snapshots and body.year <= max(plan.snapshots):
        return Denied("plan 8", f"the figures of {max(plan.snapshots)} are fixed, and those of no earlier year can be")
    if body.year < 1970:
        return Denied("plan 8", f"expected a year of log time, got {body.year}")
    expected = measure(Moment(record=record, programme=programme, at=at))
    if set(body.values) != set(expected):
        return Denied("plan 9", f"expected the indicators {', '.join(expected)}")
    for name, value in expected.items():
        if body.values[name] != value:
            return Denied("plan 9", f"{name} is {value} in the log, not {body.values[name]}")
    return GRANTED


def _find_subject(plan: PlanState, subject: Digest, article: str) -> Submission | Denied:
    found = plan.submissions.get(subject)
    return Denied(article, f"no items and no report {subject[:12]} in the log") if found is None else found
