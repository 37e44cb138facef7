"""``serai zone freeze, thaw, frozen``: stop one run, dataset, agreement or member here, at once and for a time."""

import getpass
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

from serai.agent.journal import open_journal
from serai.agent.settings import ZoneSettings, load_settings
from serai.agent.vault import Vault
from serai.cli.output import emit, emit_table, home_option, json_option, printable, short, with_dates
from serai.client.find import MIN_PREFIX, find_id
from serai.client.voice import open_session, say
from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.training.statements import RunFreeze, RunThaw
from serai.zones.freezes import Freeze, Frozen

Command = Callable[..., None]


def _things(command: Command) -> Command:
    """Add one option for each kind of thing; the verb is given the one that was named."""

    @wraps(command)
    def named(**options: Any) -> None:
        given = {what: name for what in Frozen if (name := options.pop(what.value)) is not None}
        if len(given) != 1:
            raise Misconfigured(
                "freeze-what",
                "name one thing: --run, --dataset, --agreement or --member; `serai zone stop` stops the whole zone",
            )
        ((what, name),) = given.items()
        command(what=what, name=name, **options)

    for what, metavar, words in (
        (Frozen.MEMBER, "MEMBER", "Runs that a member planned or is invited to."),
        (Frozen.AGREEMENT, "ID", "Runs under an agreement."),
        (Frozen.DATASET, "NAME", "Runs on a dataset of zone.toml."),
        (Frozen.RUN, "ID", "One run."),
    ):
        named = click.option(f"--{what}", what.value, metavar=metavar, help=words)(named)
    return named


_for_all = click.option(
    "--for-all", is_flag=True, help="A run, in the log: for every member, until each has thawed its own."
)


@click.command()
@home_option
@_things
@click.option("--reason", required=True, help="Why; the log quotes it where a run is declined for it.")
@_for_all
@json_option
def freeze(*, home: Path, what: Frozen, name: str, reason: str, for_all: bool, as_json: bool) -> None:
    """Let nothing of a run, dataset, agreement or member work here or leave, from now until it is thawed."""
    if for_all:
        _say(home, what, name, lambda run: RunFreeze(plan=run, reason=reason), as_json=as_json)
        return
    settings = load_settings(home)
    made = Freeze(
        id=0,
        what=what,
        name=_checked(settings, what, name),
        digest=Vault(settings).digest(name) if what is Frozen.DATASET else "",
        reason=reason,
        by=getpass.getuser(),
        since_ms=time.time_ns() // 1_000_000,
    )
    with closing(open_journal(settings.home)) as journal:
        journal.freezes.add(made)
    text = f"{what} {name} is frozen in this zone. What has left already stays where it is."
    emit({"what": what.value, "name": name, "frozen": True}, text, as_json=as_json)


@click.command()
@home_option
@_things
@_for_all
@json_option
def thaw(*, home: Path, what: Frozen, name: str, for_all: bool, as_json: bool) -> None:
    """End a freeze; runs that it held go on where they are, if their rounds have not ended."""
    if for_all:
        _say(home, what, name, lambda run: RunThaw(plan=run), as_json=as_json)
        return
    with closing(open_journal(load_settings(home).home)) as journal:
        journal.freezes.thaw(what, name, getpass.getuser(), time.time_ns() // 1_000_000)
    emit({"what": what.value, "name": name, "frozen": False}, f"{what} {name} is thawed.", as_json=as_json)


@click.command()
@home_option
@click.option("--all", "is_all", is_flag=True, help="Also what was thawed.")
@json_option
def frozen(home: Path, *, is_all: bool, as_json: bool) -> None:
    """List what is frozen, by whom, since when and why."""
    with closing(open_journal(load_settings(home).home)) as journal:
        found = [item for item in journal.freezes.all() if is_all or not item.thawed_ms]
    rows = [_row(item) if not as_json else {**asdict(item), "what": item.what.value} for item in found]
    emit_table(rows, ("what", "name", "since", "by", "thawed", "reason"), as_json=as_json)


def _say(home: Path, what: Frozen, name: str, body: Callable[[Digest], RunFreeze | RunThaw], *, as_json: bool) -> None:
    if what is not Frozen.RUN:
        raise Misconfigured("freeze-for-all", f"only a run is frozen for all, not a {what}; leave --for-all out")
    session = open_session(home)
    run = find_id(session.state().runs.plans, name, "run")
    said = say(session, body(run), Role.STEWARD)
    holders = sorted(said.state.runs.plans[run].freezes)
    text = f"Entry {said.index}. " + (
        f"Run {short(run)} is held by {', '.join(holders)}." if holders else f"Nobody holds run {short(run)}."
    )
    emit({"run": run, "entry": said.index, "held_by": holders}, text, as_json=as_json)


def _checked(settings: ZoneSettings, what: Frozen, name: str) -> str:
    """The name, if it can be one: a slip must not freeze nothing and look as if it did."""
    if what is Frozen.DATASET:
        Vault(settings).settings_of(name)
    elif what is not Frozen.MEMBER and not (
        MIN_PREFIX <= len(name) <= 64 and all(char in "0123456789abcdef" for char in name)
    ):
        raise Malformed(
            "freeze-id", f"expected {MIN_PREFIX} or more characters of the id of a {what}, got {name[:80]!r}"
        )
    return name


def _row(item: Freeze) -> dict[str, str]:
    thawed = f"{with_dates(f'{item.thawed_ms} ms')} by {item.thawed_by}" if item.thawed_ms else ""
    return {
        "what": item.what.value,
        "name": item.name,
        "since": with_dates(f"{item.since_ms} ms"),
        "by": item.by,
        "thawed": thawed,
        "reason": printable(item.reason),
    }
