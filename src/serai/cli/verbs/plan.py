"""``serai plan``: what the members set out to do, what became of it, and how fairly."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import click

from serai.agent.session import Session
from serai.cli.output import count, emit, emit_table, home_option, json_option, short
from serai.cli.plans import (
    COLUMNS,
    figure_rows,
    moment_of,
    read_items,
    rows,
    shown_number,
    shown_time,
    table_rows,
    to_csv,
    to_ics,
    to_json_text,
)
from serai.client.find import find_id
from serai.client.voice import open_session, say
from serai.errors import Malformed, Missing
from serai.kernel.ids import Digest, digest_of
from serai.kernel.keys import Role
from serai.programme.fairness import INDICES, ROWS, assess
from serai.programme.indicators import measure
from serai.programme.plan_rules import year_of
from serai.programme.statements import PlanDecide, PlanObject, PlanReport, PlanSnapshot
from serai.state import State

_FORMATS: Final[Mapping[str, Callable[[State], str]]] = {"csv": to_csv, "ics": to_ics, "json": to_json_text}
_DIGEST_CHARS: Final = 64


@click.command()
@home_option
@click.option("--table", "only_table", is_flag=True, help="What is on the table: items and reports not accepted yet.")
@click.option("--figures", "only_figures", is_flag=True, help="Every indicator, now and in the years that were fixed.")
@json_option
def show(home: Path, *, only_table: bool, only_figures: bool, as_json: bool) -> None:
    """Show the plan, with where each task and target stands."""
    state = open_session(home).state()
    if only_figures:
        found = figure_rows(state)
        emit_table(found, list(found[0]), as_json=as_json)
    elif only_table:
        lines = list(table_rows(state))
        emit_table(lines if as_json else [_short(line) for line in lines], _TABLE, as_json=as_json)
    else:
        emit_table(list(rows(state)), COLUMNS, as_json=as_json)


@click.command()
@home_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def add(home: Path, file: Path, *, as_json: bool) -> None:
    """Put the items in FILE (TOML) on the table; silence makes them part of the plan."""
    body = read_items(file)
    said = say(open_session(home), body, Role.DELEGATE)
    closes = said.state.programme.plan.submissions[said.id].closes_ms
    text = f"On the table, entry {said.index}, {short(said.id)}: {count(len(body.items), 'item')}, open to objection until {shown_time(closes)}."
    emit({"id": said.id, "entry": said.index, "closes": shown_time(closes)}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("task")
@click.option("--text", required=True, help="What was done, or why it slipped.")
@click.option("--evidence", multiple=True, metavar="FILE|ID", help="A file to bring along, or an id; repeatable.")
@click.option("--done", is_flag=True, help="The task is done with this.")
@json_option
def report(home: Path, task: str, text: str, evidence: tuple[str, ...], *, done: bool, as_json: bool) -> None:
    """Report on TASK (its number); silence accepts the report."""
    session = open_session(home)
    shown = tuple(evidence_of(session, item) for item in evidence)
    said = say(session, PlanReport(task=task, text=text, evidence=shown, done=done), Role.DELEGATE)
    closes = said.state.programme.plan.submissions[said.id].closes_ms
    told = f"Reported, entry {said.index}, {short(said.id)}: open to objection until {shown_time(closes)}."
    emit({"id": said.id, "entry": said.index, "closes": shown_time(closes)}, told, as_json=as_json)


@click.command("object")
@home_option
@click.argument("subject")
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
def object_(home: Path, subject: str, reason: str, *, as_json: bool) -> None:
    """Break the silence over SUBJECT, items or a report on the table."""
    session = open_session(home)
    id_ = find_id(session.state().programme.plan.submissions, subject, "submission")
    said = say(session, PlanObject(subject=id_, reason=reason), Role.DELEGATE)
    text = f"Objected, entry {said.index}. It takes an adopted proposal that spells out {id_} to overrule this."
    emit({"entry": said.index, "subject": id_}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("subject")
@click.argument("proposal")
@json_option
def decide(home: Path, subject: str, proposal: str, *, as_json: bool) -> None:
    """Show that the adopted PROPOSAL, which spells out SUBJECT's id, overrules objections."""
    session = open_session(home)
    state = session.state()
    body = PlanDecide(
        subject=find_id(state.programme.plan.submissions, subject, "submission"),
        proposal=find_id(state.charter.proposals, proposal, "proposal"),
    )
    said = say(session, body, Role.DELEGATE)
    emit({"entry": said.index}, f"Decided, entry {said.index}: {short(body.subject)} is accepted.", as_json=as_json)


@click.command()
@home_option
@click.option("--year", type=int, help="The year  [default: the one before log time's]")
@json_option
def snapshot(home: Path, year: int | None, *, as_json: bool) -> None:
    """Fix the figures of a year that is over; every member's replay computes them again."""
    session = open_session(home)
    state = session.state()
    fixed = year_of(state.time_ms) - 1 if year is None else year
    values = measure(moment_of(state))
    said = say(session, PlanSnapshot(year=fixed, values=values), Role.DELEGATE)
    value = {
        "entry": said.index,
        "year": fixed,
        "values": {name: shown_number(found) for name, found in values.items()},
    }
    emit(value, f"The figures of {fixed} are fixed, entry {said.index}.", as_json=as_json)


@click.command()
@home_option
@click.argument("form", metavar="FORMAT", type=click.Choice(sorted(_FORMATS)))
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write  [default: stdout]")
def export(home: Path, form: str, output: Path | None) -> None:
    """Write the plan as FORMAT: csv, ics (iCalendar, the tasks) or json."""
    data = _FORMATS[form](open_session(home).state()).encode()
    if output is None:
        click.echo(data, nl=False)
    else:
        output.write_bytes(data)


@click.command()
@home_option
@click.option(
    "--small",
    "yardstick",
    default=ROWS,
    show_default=True,
    metavar="rows|weight:TABLE|group:NAME",
    help="Who is small: below the median of rows offered, of a table of weights, or a group.",
)
@click.option(
    "--alarm", "alarms", multiple=True, metavar="INDEX=N", help="Another threshold, such as inclusion=3/4; repeatable."
)
@json_option
def fairness(home: Path, yardstick: str, alarms: tuple[str, ...], *, as_json: bool) -> None:
    """Show how fairly the center treats small members: each member before any mean, with alarms."""
    found = assess(moment_of(open_session(home).state()), yardstick, dict(_threshold(text) for text in alarms))
    lines = [
        {
            "index": name,
            **{member: _shown(value) for member, value in fairness.members.items()},
            "value": _shown(fairness.value),
            "alarm": fairness.alarm if as_json else "ALARM" if fairness.alarm else "",
            "definition": INDICES[name].definition,
        }
        for name, fairness in found.items()
    ]
    emit_table(lines, list(lines[0]), as_json=as_json)


_TABLE: Final = ("entry", "id", "member", "what", "fate", "closes", "objections")


def _short(line: dict[str, Any]) -> dict[str, Any]:
    objections = "; ".join(f"{member}: {reason}" for member, reason in line["objections"].items())
    return {**line, "id": short(line["id"]), "objections": objections}


def _shown(value: Fraction | None) -> str | None:
    """Three digits for people; what is compared is exact."""
    if value is None:
        return None
    return str(value) if value.denominator == 1 else f"{float(value):.3f}"


def _threshold(text: str) -> tuple[str, Fraction]:
    name, _, number = text.partition("=")
    try:
        return name, Fraction(number)
    except (ValueError, ZeroDivisionError):
        raise Malformed("alarm-form", f"expected INDEX=N, such as inclusion=3/4, got {text!r}") from None


def evidence_of(session: Session, text: str) -> Digest:
    """The digest of a file, which is brought to the center, or the id that some characters name.

    Raises:
        Missing: there is neither.

    """
    path = Path(text)
    if path.is_file():
        data = path.read_bytes()
        session.center.put_blob(digest_of(data), data)
        return digest_of(data)
    if len(text) == _DIGEST_CHARS and not set(text) - set("0123456789abcdef"):
        return Digest(text)  # of something outside the log, too
    try:
        return find_id(session.state().seen, text, "statement")
    except Malformed:
        raise Missing("evidence-missing", f"{text!r} is neither a file here nor an id in the log") from None
