"""A plan's tasks are read by icalendar, an independent implementation of RFC 5545."""

import icalendar
import pytest

from serai.cli.icalendar import Calendar, to_icalendar
from serai.programme.items import Item, Kind
from serai.programme.plan import Status

TITLES = [
    "Gauges",
    "Gauges; every hour, by \\radio",
    "\u0432\u043e\u0434\u0430, " * 40 + "!",
    "\U0001f30a" * 50,
    "two\nlines",
]


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("title", TITLES, ids=["plain", "escaped", "cyrillic", "emoji", "two lines"])
def test_a_task_comes_out_as_it_went_in(title, status):
    task = Item(number="1.2.1", kind=Kind.TASK, title=title, owner="lima", due_ms=1_798_761_599_000)
    text = to_icalendar(
        Calendar(name="Caravan", domain="serai.example/log", at_ms=1_790_000_000_000, tasks=((task, status),))
    )

    calendar = icalendar.Calendar.from_ical(text)
    (todo,) = calendar.walk("VTODO")

    assert calendar["NAME"] == "Caravan"
    assert todo["UID"] == "1.2.1@serai.example/log"
    assert todo["SUMMARY"] == f"1.2.1 {title} (lima)"
    assert todo["DUE"].dt.isoformat() == "2026-12-31T23:59:59+00:00"
    assert todo["DTSTAMP"].dt.isoformat() == "2026-09-21T14:13:20+00:00"
    assert todo["STATUS"] in {"NEEDS-ACTION", "IN-PROCESS", "COMPLETED"}
    assert todo["DESCRIPTION"] == title
    assert [str(category) for category in todo["CATEGORIES"].cats] == [status.value]
    assert len(calendar.errors) + len(todo.errors) == 0
