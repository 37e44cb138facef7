"""The plan as people write and read it: items from a TOML file, tables, and files that other programs open.

A file of items::

    reason = "the first plan"

    [[items]]
    number = "1"
    title = "Rivers"

    [[items]]
    number = "1.1"
    title = "Two flood models in use"
    indicator = "models_released"
    at_least = 2
    due = 2030-12-31

    [[items]]
    number = "1.2.1"
    title = "Gauges report every hour"
    owner = "lima"
    due = 2027-06-30

The number says what an item is; one with an indicator is a target. A due date
lasts to the end of its day, UTC.
"""

import csv
import io
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from serai.agent.toml_files import dates_as_text
from serai.cli.icalendar import Calendar, to_icalendar
from serai.cli.moments import unix_ms
from serai.errors import Malformed, Missing
from serai.kernel.ids import MemberId
from serai.kernel.records import from_json
from serai.programme.indicators import INDICATORS, Moment, measure
from serai.programme.items import Item, Kind, place_of
from serai.programme.plan import Fate, Status, Submission, items_of, reports_on, status_of, tasks_by_status
from serai.programme.statements import PlanAdd
from serai.state import State, record_of

MAX_FILE_BYTES: Final = 1_000_000  # of a file that people write by hand
COLUMNS: Final = ("number", "kind", "title", "owner", "due", "status", "now", "target")
_KINDS: Final = (Kind.GOAL, Kind.ACTION, Kind.TASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    number: str
    title: str
    text: str = ""
    owner: MemberId | None = None
    co_owners: tuple[MemberId, ...] = ()
    due: str | None = None
    indicator: str | None = None
    at_least: int | Fraction | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    items: tuple[_Line, ...]
    reason: str = ""


def read_items(path: Path) -> PlanAdd:
    """The items in a TOML file.

    Raises:
        Missing: there is no such file.
        Malformed: it is not TOML of this form; the message names file and place.

    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Missing("plan-file-missing", f"there is no file {path}; write the items first") from None
    if len(data) > MAX_FILE_BYTES:
        raise Malformed("plan-file-size", f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {len(data)}")
    try:
        read = from_json(_File, dates_as_text(tomllib.loads(data.decode())))
        return PlanAdd(items=tuple(_item(line) for line in read.items), reason=read.reason)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed("plan-toml", f"{path} is not valid TOML: {error}") from error
    except (Malformed, ValueError) as error:
        place = str(error).replace("_File.", "").replace("_File", "the file")
        raise Malformed("plan-form", f"{path}: {place}") from error


def moment_of(state: State) -> Moment:
    """What indicators and indices are computed from."""
    return Moment(record=record_of(state), programme=state.programme, at=state.now)


def rows(state: State) -> Iterator[dict[str, Any]]:
    """Every item of the plan in force, for tables and for programs."""
    plan, time_ms = state.programme.plan, state.time_ms
    figures = measure(moment_of(state))
    for item in items_of(plan, time_ms).values():
        now = figures.get(item.indicator or "")
        yield {
            "number": item.number,
            "kind": item.kind.value,
            "title": item.title,
            "text": item.text,
            "owner": item.owner,
            "co_owners": list(item.co_owners),
            "due": None if item.due_ms is None else shown_time(item.due_ms),
            "status": _status(state, item, now),
            "indicator": item.indicator,
            "now": None if now is None else shown_number(now),
            "target": None if item.value is None else shown_number(item.value),
            "evidence": [digest for report in reports_on(plan, item.number) for digest in _evidence(report)],
        }


def table_rows(state: State) -> Iterator[dict[str, Any]]:
    """What is on the table, with how long silence has still to last and who broke it."""
    found = state.programme.plan.submissions.values()
    for item in sorted(found, key=lambda item: item.at):
        fate = item.fate(state.time_ms)
        if fate is not Fate.ACCEPTED:
            yield {
                "id": item.id,
                "entry": item.at.index,
                "member": item.member,
                "what": _what(item),
                "fate": fate.value,
                "closes": shown_time(item.closes_ms),
                "objections": {member: item.objections[member] for member in sorted(item.objections)},
            }


def figure_rows(state: State) -> list[dict[str, Any]]:
    """Every indicator now and in each year that was fixed."""
    now = measure(moment_of(state))
    snapshots = state.programme.plan.snapshots
    years = sorted(snapshots)
    return [
        {
            "indicator": name,
            **{str(year): shown_number(snapshots[year].values[name]) for year in years},
            "now": shown_number(now[name]),
            "definition": indicator.definition,
        }
        for name, indicator in INDICATORS.items()
    ]


def to_csv(state: State) -> str:
    """The plan as CSV (RFC 4180), a row for each item."""
    target = io.StringIO(newline="")
    writer = csv.DictWriter(target, fieldnames=[*COLUMNS, "co_owners", "indicator", "text"], extrasaction="ignore")
    writer.writeheader()
    for row in rows(state):
        writer.writerow({**row, "co_owners": " ".join(row["co_owners"])})
    return target.getvalue()


def to_json_text(state: State) -> str:
    """The plan, its figures and what is on the table as one JSON value."""
    value = {
        "log_time": shown_time(state.time_ms),
        "entries": state.size,
        "items": list(rows(state)),
        "table": list(table_rows(state)),
        "figures": figure_rows(state),
    }
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def to_ics(state: State) -> str:
    """The plan's tasks as an iCalendar file."""
    charter = state.charter.charter
    assert charter is not None, "a log with a plan has a charter"
    tasks = tuple(tasks_by_status(state.programme.plan, state.time_ms))
    return to_icalendar(Calendar(name=charter.name, domain=charter.origin, at_ms=state.time_ms, tasks=tasks))


def shown_time(time_ms: int) -> str:
    """A log time as people and programs read it (ISO 8601)."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def shown_number(value: Fraction) -> str:
    """A whole number as such, another as an exact fraction."""
    return str(value)


def _status(state: State, item: Item, now: Fraction | None) -> str | None:
    if item.kind is Kind.TASK:
        return status_of(state.programme.plan, item, state.time_ms).value
    if item.value is None or now is None:
        return None
    assert item.due_ms is not None, "targets have a due date"
    if now >= item.value:
        return "reached"
    return Status.LATE.value if state.time_ms >= item.due_ms else "ahead"


def _evidence(report: Submission) -> tuple[str, ...]:
    return () if isinstance(report.body, PlanAdd) else report.body.evidence


def _what(item: Submission) -> str:
    if isinstance(item.body, PlanAdd):
        return f"items {', '.join(line.number for line in item.body.items)}"
    return f"report on task {item.body.task}{', done' if item.body.done else ''}: {item.body.text}"


def _item(line: _Line) -> Item:
    depth = len(place_of(line.number)) if line.number.replace(".", "").isdecimal() else 0
    return Item(
        number=line.number,
        kind=Kind.TARGET if line.indicator is not None else _KINDS[min(max(depth, 1), 3) - 1],
        title=line.title,
        text=line.text,
        owner=line.owner,
        co_owners=line.co_owners,
        due_ms=None if line.due is None else _unix_ms(line.due),
        indicator=line.indicator,
        value=None if line.at_least is None else Fraction(line.at_least),
        dropped=line.dropped,
    )


def _unix_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if len(text) == len("2030-12-31"):
        moment = datetime.combine(moment.date(), time(23, 59, 59))
    return unix_ms(moment)
