"""Tasks of a plan as an iCalendar file, which any calendar can subscribe to (RFC 5545)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from serai.programme.items import Item
from serai.programme.plan import Status

_LINE_BYTES: Final = 75  # without the line break (3.1)
_STATUS: Final = {Status.DONE: "COMPLETED", Status.REPORTED: "IN-PROCESS", Status.OBJECTED: "IN-PROCESS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A plan's tasks at one moment.

    Attributes:
        name: what a calendar shows above them.
        domain: makes the ids of tasks unique in the world, such as the log's origin.
        at_ms: log time at which the tasks stood so.
        tasks: each with where it stands.

    """

    name: str
    domain: str
    at_ms: int
    tasks: Sequence[tuple[Item, Status]]


def to_icalendar(calendar: Calendar) -> str:
    """The calendar as a stream of to-dos, each with its due date and status."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//serai//plan//EN", f"NAME:{_text(calendar.name)}"]
    for item, status in calendar.tasks:
        lines += _todo(calendar, item, status)
    return "".join(f"{part}\r\n" for line in [*lines, "END:VCALENDAR"] for part in _folded(line))


def _todo(calendar: Calendar, item: Item, status: Status) -> list[str]:
    assert item.due_ms is not None, "tasks have a due date"
    owners = ", ".join([str(item.owner), *item.co_owners])
    return [
        "BEGIN:VTODO",
        f"UID:{_text(f'{item.number}@{calendar.domain}')}",
        f"DTSTAMP:{_moment(calendar.at_ms)}",
        f"DUE:{_moment(item.due_ms)}",
        f"SUMMARY:{_text(f'{item.number} {item.title} ({owners})')}",
        f"DESCRIPTION:{_text(item.text or item.title)}",
        f"CATEGORIES:{_text(status.value)}",
        f"STATUS:{_STATUS.get(status, 'NEEDS-ACTION')}",
        "END:VTODO",
    ]


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    """Escape a value (3.3.11); control characters, which no text may hold, become spaces."""
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\r\n", "\n")
    return "".join("\\n" if char == "\n" else " " if ord(char) < 32 or ord(char) == 127 else char for char in escaped)


def _folded(line: str) -> Iterator[str]:
    """Fold a line so that each part has at most 75 bytes and no character is cut (3.1)."""
    part, size = "", 0
    for char in line:
        width = len(char.encode())
        if size + width > _LINE_BYTES:
            yield part
            part, size = " ", 1
        part, size = part + char, size + width
    yield part
