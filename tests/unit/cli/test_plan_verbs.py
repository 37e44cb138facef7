"""``serai plan`` as members use it, and files that other programs open."""

import csv
import io
import json
from fractions import Fraction

import pytest

from serai.charter.decision import Choice
from serai.charter.statements import Ballot, ProposalOpen
from serai.cli.icalendar import Calendar, to_icalendar
from serai.cli.plans import read_items
from serai.errors import Malformed, Missing
from serai.programme.items import Item, Kind
from serai.programme.plan import Status

DAY_MS = 24 * 3_600_000
PLAN = """
reason = "the first plan"

[[items]]
number = "1"
title = "Rivers"

[[items]]
number = "1.1"
title = "A flood model in use"
indicator = "models_released"
at_least = 1
due = 2030-12-31

[[items]]
number = "1.2"
title = "Flood warning"

[[items]]
number = "1.2.1"
title = "Gauges; every hour, by radio"
owner = "lima"
co_owners = ["oslo"]
due = 2026-12-31
"""


@pytest.fixture
def planned(desk, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    desk.json("bern", "plan", "add", tmp_path / "plan.toml")
    desk.bloc.pass_time(4 * DAY_MS)
    return desk


def status(desk):
    return {row["number"]: row["status"] for row in desk.json("oslo", "plan", "show")}


def test_items_are_read_with_their_dates_to_the_end_of_the_day(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    body = read_items(tmp_path / "plan.toml")
    assert [item.kind.value for item in body.items] == ["goal", "target", "action", "task"]
    assert body.items[3].due_ms == 1_798_761_599_000  # 2026-12-31T23:59:59Z
    assert (body.items[1].value, body.reason) == (Fraction(1), "the first plan")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("items = [", "not valid TOML"),
        ("", "items is required"),
        (PLAN.replace('title = "Rivers"', 'titel = "Rivers"'), "no field 'titel'"),
        (PLAN.replace('"1.2.1"', '"one"'), "expected a number"),
        (PLAN.replace("due = 2026-12-31", ""), "due date"),
        (PLAN.replace("2030-12-31", '"soon"'), "isoformat"),
    ],
)
def test_a_plan_of_another_form_is_refused_with_its_place(tmp_path, text, said):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(Malformed, match=said) as caught:
        read_items(path)
    assert str(path) in caught.value.message
    assert "_File" not in caught.value.message


def test_a_plan_that_is_not_there_or_too_long_is_named(tmp_path):
    with pytest.raises(Missing, match="there is no file"):
        read_items(tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(Malformed, match="at most 1000000 bytes"):
        read_items(tmp_path / "plan.toml")


def test_a_task_goes_from_the_table_to_done(desk, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    (tmp_path / "minutes.txt").write_text("They stand.")
    assert "4 items" in desk.told("bern", "plan", "add", tmp_path / "plan.toml")
    assert status(desk) == {}
    (line,) = desk.json("lima", "plan", "show", "--table")
    assert (line["fate"], line["member"]) == ("open", "bern")
    desk.bloc.pass_time(4 * DAY_MS)
    assert status(desk) == {"1": None, "1.1": "ahead", "1.2": None, "1.2.1": "planned"}
    desk.told("lima", "plan", "report", "1.2.1", "--text", "Done.", "--done", "--evidence", tmp_path / "minutes.txt")
    assert status(desk)["1.2.1"] == "reported"
    desk.bloc.pass_time(4 * DAY_MS)
    assert status(desk)["1.2.1"] == "done"
    assert "report on task 1.2.1" not in desk.told("oslo", "plan", "show", "--table")
    (evidence,) = desk.json("bern", "plan", "show")[3]["evidence"]
    assert desk.bloc.center_parts.blobs.read_range(evidence, 0, 100) == b"They stand."


def test_an_objection_is_overruled_by_a_proposal_that_spells_out_the_id(desk, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    draft = desk.json("bern", "plan", "add", tmp_path / "plan.toml")["id"]
    desk.told("oslo", "plan", "object", draft[:12], "--reason", "Too dear.")
    assert "oslo: Too dear." in desk.told("bern", "plan", "show", "--table")
    proposal = desk.bloc.say("bern", ProposalOpen(topic="project", title="The plan", text=f"We take {draft}."))
    for member in desk.bloc.members:
        desk.bloc.say(member, Ballot(proposal=proposal, choice=Choice.YES))
    desk.told("lima", "plan", "decide", draft[:12], proposal[:12])
    assert len(status(desk)) == 4


def test_what_is_on_the_table_explains_itself(desk, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    draft = desk.json("bern", "plan", "add", tmp_path / "plan.toml")["id"]
    objection = desk.json("oslo", "plan", "object", draft[:12], "--reason", "Too dear.")["entry"]
    for id_ in (draft[:12], f"#{objection}"):
        told = {fact["about"]: fact["text"] for fact in desk.json("lima", "explain", id_)["facts"]}
        assert told["fate"].startswith("objected; silence lasts until")
        assert told["objection of oslo"] == "Too dear."
        assert told["task 1.2.1"] == "Gauges; every hour, by radio (lima)"


def test_figures_of_a_year_are_fixed_and_shown_beside_those_of_today(planned):
    assert "2026 is not over" in planned.refused("bern", "plan", "snapshot", "--year", "2026")
    planned.bloc.pass_time(130 * DAY_MS)
    fixed = planned.json("bern", "plan", "snapshot")
    assert (fixed["year"], fixed["values"]["members"], fixed["values"]["tasks_late"]) == (2026, "3", "1")
    rows = {row["indicator"]: row for row in planned.json("lima", "plan", "show", "--figures")}
    assert (rows["tasks_late"]["2026"], rows["tasks_late"]["now"]) == ("1", "1")
    assert "are fixed" in planned.refused("bern", "plan", "snapshot")


def test_the_plan_leaves_as_csv_json_and_icalendar(planned, tmp_path):
    lines = list(csv.DictReader(io.StringIO(planned.told("bern", "plan", "export", "csv"))))
    assert [(line["number"], line["owner"]) for line in lines] == [
        ("1", ""),
        ("1.1", ""),
        ("1.2", ""),
        ("1.2.1", "lima"),
    ]
    value = json.loads(planned.told("bern", "plan", "export", "json"))
    assert [item["due"] for item in value["items"]] == [None, "2030-12-31T23:59:59Z", None, "2026-12-31T23:59:59Z"]
    planned.told("bern", "plan", "export", "ics", "--output", tmp_path / "plan.ics")
    text = (tmp_path / "plan.ics").read_bytes().decode()
    assert "SUMMARY:1.2.1 Gauges\\; every hour\\, by radio (lima\\, oslo)\r\n" in text
    assert "UID:1.2.1@center.example/serai\r\n" in text


def test_fairness_is_shown_for_each_member_and_alarms_where_it_should(planned):
    rows = {row["index"]: row for row in planned.json("bern", "plan", "fairness", "--small", "rows")}
    assert set(rows["voice"]) == {"index", "bern", "lima", "oslo", "value", "alarm", "definition"}
    assert not any(row["alarm"] for row in rows.values())
    assert "'weight:votes'" in planned.refused("bern", "plan", "fairness", "--small", "weight:votes")
    assert "INDEX=N" in planned.refused("bern", "plan", "fairness", "--alarm", "voice=much")
    assert "no index is called 'luck'" in planned.refused("bern", "plan", "fairness", "--alarm", "luck=1")


def test_evidence_is_a_file_or_something_in_the_log(planned):
    report = ("plan", "report", "1.2.1", "--text", "Done.", "--done", "--evidence")
    assert "starts with 'minutes.txt'" in planned.refused("lima", *report, "minutes.txt")
    assert "neither a file here nor an id" in planned.refused("lima", *report, "x")
    planned.told("lima", *report, next(iter(planned.state.seen))[:16])


# iCalendar


def a_calendar(*tasks):
    return Calendar(name="Caravan", domain="serai.example/log", at_ms=1_790_000_000_000, tasks=tasks)


def a_task(**changes):
    given = {"number": "1.2.1", "kind": Kind.TASK, "title": "Gauges", "owner": "lima", "due_ms": 1_798_761_599_000}
    return Item(**{**given, **changes})


def unfolded(text):
    return text.replace("\r\n ", "").split("\r\n")


def test_a_calendar_has_what_the_standard_asks_for():
    assert unfolded(to_icalendar(a_calendar((a_task(), Status.DONE)))) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//serai//plan//EN",
        "NAME:Caravan",
        "BEGIN:VTODO",
        "UID:1.2.1@serai.example/log",
        "DTSTAMP:20260921T141320Z",
        "DUE:20261231T235959Z",
        "SUMMARY:1.2.1 Gauges (lima)",
        "DESCRIPTION:Gauges",
        "CATEGORIES:done",
        "STATUS:COMPLETED",
        "END:VTODO",
        "END:VCALENDAR",
        "",
    ]


@pytest.mark.parametrize("title", ["x" * 200, "\u0432\u043e\u0434\u0430 " * 40, "\U0001f30a" * 50])
def test_a_long_line_is_folded_between_characters_at_75_bytes(title):
    text = to_icalendar(a_calendar((a_task(title=title), Status.PLANNED)))
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    assert any(line == f"SUMMARY:1.2.1 {title.strip()} (lima)" or title in line for line in unfolded(text))


def test_a_value_cannot_break_out_of_its_line():
    text = to_icalendar(a_calendar((a_task(title="a\r\nEND:VCALENDAR\tb\x00c\\n"), Status.LATE)))
    assert unfolded(text).count("END:VCALENDAR") == 1
    assert "SUMMARY:1.2.1 a\\nEND:VCALENDAR b c\\\\n (lima)" in unfolded(text)
