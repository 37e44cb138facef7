"""``serai zone airlock``: look at what waits to leave this zone, and let it go or keep it."""

import getpass
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from serai.agent.held import REJECTED, RELEASED, WAITING, Held
from serai.agent.journal import open_journal
from serai.agent.settings import load_settings
from serai.cli.output import emit, emit_table, home_option, json_option, printable, short
from serai.client.find import find_id


@click.group()
def airlock() -> None:
    """Look at what waits to leave this zone, and let it go or keep it."""


@airlock.command("list")
@home_option
@click.option("--all", "is_all", is_flag=True, help="Also what was decided upon.")
@json_option
def list_(home: Path, *, is_all: bool, as_json: bool) -> None:
    """List what waits for the steward."""
    with closing(open_journal(load_settings(home).home)) as journal:
        items = [held for held in journal.airlock.all() if is_all or held.decision == WAITING]
    rows = [
        _value(held) if as_json else {**_value(held), "id": short(held.id), "run": short(held.run), "why": held.why[0]}
        for held in items
    ]
    emit_table(rows, ("id", "kind", "run", "decision", "why"), as_json=as_json)


@airlock.command()
@home_option
@click.argument("item")
@json_option
def show(home: Path, item: str, *, as_json: bool) -> None:
    """Show ITEM: what it is, why it waits, what was measured, until when it may wait."""
    with closing(open_journal(load_settings(home).home)) as journal:
        held = _find(journal.airlock.all(), item)
    about = "round" if held.kind == "vector" else "model"
    lines = [
        f"{held.kind} {held.id}",
        f"run       {held.run}",
        f"{about}     {held.about}",
        f"since     {held.since_ms} ms",
        f"until     {held.until_ms} ms, when its round may close without it" if held.until_ms else "until     decided",
        *(f"why       {why}" for why in held.why),
        *(f"measured  {name} {value}" for name, value in held.facts.items()),
        _decision(held),
    ]
    emit(_value(held), "\n".join(lines), as_json=as_json)


@airlock.command()
@home_option
@click.argument("item")
@click.option("--reason", default="", help="What was looked at, for the record.")
@json_option
def release(home: Path, item: str, reason: str, *, as_json: bool) -> None:
    """Let exactly these bytes leave; other bytes need another look."""
    _decide(home, item, RELEASED, reason, as_json=as_json)


@airlock.command()
@home_option
@click.argument("item")
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
def reject(home: Path, item: str, reason: str, *, as_json: bool) -> None:
    """Keep it here: these bytes never leave this zone for that run."""
    _decide(home, item, REJECTED, reason, as_json=as_json)


def _decide(home: Path, item: str, decision: str, reason: str, *, as_json: bool) -> None:
    with closing(open_journal(load_settings(home).home)) as journal:
        found = _find(journal.airlock.all(), item)
        journal.airlock.decide(found.id, decision, getpass.getuser(), reason, time.time_ns() // 1_000_000)
    emit({"id": found.id, "decision": decision}, f"{found.kind} {short(found.id)} is {decision}.", as_json=as_json)


def _find(items: tuple[Held, ...], prefix: str) -> Held:
    by_id = {held.id: held for held in items}
    return by_id[find_id(by_id, prefix, "output in the airlock")]


def _decision(held: Held) -> str:
    if held.decision == WAITING:
        return "decision  none yet: `serai zone airlock release` or `reject`"
    by = f" by {held.decided_by}" if held.decided_by else ""
    because = f": {printable(held.reason)}" if held.reason else ""
    return f"decision  {held.decision}{by}, {held.decided_ms} ms{because}"


def _value(held: Held) -> dict[str, Any]:
    return {
        "id": held.id,
        "kind": held.kind,
        "run": held.run,
        "about": held.about,
        "why": list(held.why),
        "facts": dict(held.facts),
        "since_ms": held.since_ms,
        "until_ms": held.until_ms or None,
        "decision": held.decision,
        "decided_by": held.decided_by or None,
        "decided_ms": held.decided_ms or None,
        "reason": held.reason or None,
    }
