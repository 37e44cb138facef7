"""``serai log, explain, audit``: what anybody may see, and how they check it."""

from pathlib import Path
from typing import Any

import click

from serai.agent.session import CHARTER_FILE, Session
from serai.agent.settings import load_settings
from serai.charter.constitution import Charter
from serai.cli.audits import RoundAudit, audit_published, audit_run, founding_charter, read_published
from serai.cli.explanation import Explanation
from serai.cli.explanation import explain as explain_id
from serai.cli.output import count, emit, emit_table, home_option, json_option, short
from serai.cli.reading import Line, read_lines
from serai.client.find import find_id
from serai.client.voice import open_session
from serai.errors import Misconfigured
from serai.storage.record_files import read_record

_some_home = click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), envvar="SERAI_HOME", help="A zone's folder."
)


@click.command()
@_some_home
@click.option("--center", help="Read what a center publishes, without a zone.")
@click.option("--from", "first", type=click.IntRange(min=0), default=0, help="Index of the first entry to show.")
@click.option("--void", "only_void", is_flag=True, help="Only entries without effect.")
@json_option
def log(home: Path | None, center: str | None, first: int, *, only_void: bool, as_json: bool) -> None:
    """Show the log in plain words."""
    if center is not None:
        state, entries = read_published(center)
    elif home is not None:
        session = open_session(home)
        state = session.state()
        entries = session.entries(0, state.size)
    else:
        raise Misconfigured("log-source", "whose log? give --home with a zone's folder, or --center with an address")
    lines = [line for line in read_lines(state, entries[first:], first) if line.void or not only_void]
    emit_table([_row(line) for line in lines], ("entry", "id", "said"), as_json=as_json)


@click.command()
@home_option
@click.argument("id_", metavar="ID")
@json_option
def explain(home: Path, id_: str, *, as_json: bool) -> None:
    """Say what ID is and why: clause, votes, log entry. ID may be the first characters, or #INDEX."""
    found = explain_id(open_session(home), id_)
    value = {**_row(found.line), "facts": [{"about": about, "text": text} for about, text in found.facts]}
    emit(value, _told(found), as_json=as_json)


@click.command()
@_some_home
@click.option("--center", help="Audit what a center publishes, without a zone.")
@click.argument("run", required=False)
@json_option
def audit(home: Path | None, center: str | None, run: str | None, *, as_json: bool) -> None:
    """Check the published log; or, given RUN, recompute every sum of it."""
    if run is not None:
        if home is None:
            raise Misconfigured(
                "audit-source", "the uploads of a run are for members; give --home with a zone's folder"
            )
        _audit_run(open_session(home), run, as_json=as_json)
        return
    if home is not None:
        settings = load_settings(home)
        url, charter = Session(settings).address, read_record(Charter, settings.home / CHARTER_FILE)
        trust = "the charter that this zone pinned"
    elif center is not None:
        url, charter, trust = center, founding_charter(center), "the charter in the log itself: compare its digest"
    else:
        raise Misconfigured("audit-source", "whose log? give --home with a zone's folder, or --center with an address")
    found = audit_published(url, charter)
    alarms = [f"{member} after {size} entries" for member, size in found.disagreeing]
    text = (
        f"Everything holds: {count(found.entries, 'entry', 'entries')}, replayed from the first; {found.void} of them void.\n"
        f"root       {found.root}\nwitnesses  {', '.join(found.witnesses)}\nstate      {found.state}\n"
        f"genesis    {found.genesis} ({trust})\n"
        f"attested   {count(found.attested, 'time')} by zones that found the same"
        + (f"\nALARM      other states were found by {', '.join(alarms)}: compare versions of serai" if alarms else "")
    )
    value = {
        "ok": not alarms,
        "entries": found.entries,
        "void": found.void,
        "root": found.root,
        "witnesses": list(found.witnesses),
        "state": found.state,
        "attested": found.attested,
        "disagreeing": [{"member": member, "size": size} for member, size in found.disagreeing],
        "genesis": found.genesis,
    }
    emit(value, text, as_json=as_json)
    if alarms:
        raise SystemExit(1)


def _audit_run(session: Session, prefix: str, *, as_json: bool) -> None:
    run = find_id(session.state().runs.plans, prefix, "run")
    rounds = list(audit_run(session, run))
    exact = sum(done.is_kept for done in rounds)
    lines = [f"round {done.number}: the sum of {', '.join(done.members)} {_found(done)}" for done in rounds]
    text = "\n".join([*lines, f"{count(exact, 'round')} of run {short(run)} recomputed, bit for bit."])
    told = [{"number": done.number, "members": list(done.members), "kept": done.is_kept} for done in rounds]
    value = {"ok": True, "run": run, "rounds": told}
    emit(value, text, as_json=as_json)


def _found(done: RoundAudit) -> str:
    return (
        "is exact" if done.is_kept else "cannot be computed again: the center kept no uploads; all its members agreed"
    )


def _row(line: Line) -> dict[str, Any]:
    void = f"{line.void.article}: {line.void.reason}" if line.void else None
    return {
        "entry": line.index,
        "id": short(line.id),
        "kind": line.kind,
        "member": line.member,
        "said": line.text + (f"  [void, {void}]" if void else ""),
        "void": void,
        "statement": line.id,
    }


def _told(found: Explanation) -> str:
    width = max((len(about) for about, _ in found.facts), default=0)
    facts = [f"  {about:<{width}}  {text}" for about, text in found.facts]
    said = f"{found.line.text[:1].upper()}{found.line.text[1:]}".rstrip(".")
    return "\n".join([f"{said}. ({short(found.line.id)})", *facts])
