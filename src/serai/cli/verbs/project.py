"""``serai project``: a joint project from a need to the close."""

from pathlib import Path

import click

from serai.agent.session import Session
from serai.cli.output import emit, emit_table, home_option, json_option, short
from serai.cli.projects import facts, keep_review, kept_review, read_document, rows
from serai.cli.verbs.plan import evidence_of
from serai.client.find import find_id
from serai.client.voice import Spoken, open_session, say
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.programme.projects import Project
from serai.programme.stages import Stage
from serai.programme.statements import (
    HoldKind,
    ProjectAdvance,
    ProjectBack,
    ProjectBenefit,
    ProjectHold,
    ProjectLift,
    ProjectOpen,
    ReviewDeclare,
)
from serai.state import State


@click.command("open")
@home_option
@click.option("--title", required=True, help="One line.")
@click.option("--need", required=True, help="What is needed, in a few sentences.")
@click.option("--language", default="en", show_default=True, help="BCP 47 tag of that text.")
@json_option
def open_(home: Path, title: str, need: str, language: str, *, as_json: bool) -> None:
    """Name a need; the member leads the project that may come of it."""
    said = say(open_session(home), ProjectOpen(title=title, need=need, language=language), Role.DELEGATE)
    text = f"Opened, entry {said.index}, project {said.id}. Another member may back it: serai project back {short(said.id)}"
    emit({"project": said.id, "entry": said.index}, text, as_json=as_json)


@click.command("list")
@home_option
@json_option
def list_(home: Path, *, as_json: bool) -> None:
    """List all projects."""
    found = list(rows(open_session(home).state()))
    shown = [
        {**row, "id": short(row["id"]), "parties": ", ".join(row["parties"]), "held": "; ".join(row["held"])}
        for row in found
    ]
    columns = ("id", "title", "lead", "stage", "since", "parties", "held")
    emit_table(found if as_json else shown, columns, as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@json_option
def show(home: Path, project: str, *, as_json: bool) -> None:
    """Show how PROJECT came where it is, and what each way on still needs."""
    state = open_session(home).state()
    found = _find(state, project)
    told = list(facts(state, found))
    width = max(len(about) for about, _ in told)
    lines = [f"{found.body.title}, in stage {found.stage} ({found.id})"]
    lines += [f"  {about:<{width}}  {text}" for about, text in told]
    value = {
        "project": found.id,
        "stage": found.stage.value,
        "facts": [{"about": about, "text": text} for about, text in told],
    }
    emit(value, "\n".join(lines), as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@json_option
def back(home: Path, project: str, *, as_json: bool) -> None:
    """Say that the member is interested in PROJECT."""
    session = open_session(home)
    _tell(say(session, ProjectBack(project=_id(session, project)), Role.DELEGATE), project, "Backed", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@click.argument("stage", type=click.Choice([stage.value for stage in Stage]))
@click.option(
    "--document",
    "documents",
    multiple=True,
    metavar="KIND=FILE[@LANGUAGE]",
    help="A document that comes with it; the first of a kind is authoritative; repeatable.",
)
@click.option("--proposal", help="The adopted proposal that it rests on.")
@click.option("--run", help="The run that it rests on.")
@click.option("--note", default="", help="For the record.")
@json_option
def advance(
    *,
    home: Path,
    project: str,
    stage: str,
    documents: tuple[str, ...],
    proposal: str | None,
    run: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Take PROJECT to STAGE; `serai project show` lists the ways on and what each needs."""
    session = open_session(home)
    state = session.state()
    seen: set[str] = set()
    body = ProjectAdvance(
        project=_find(state, project).id,
        to=Stage(stage),
        note=note,
        documents=tuple(read_document(session, text, seen) for text in documents),
        proposal=None if proposal is None else find_id(state.charter.proposals, proposal, "proposal"),
        run=None if run is None else find_id(state.runs.plans, run, "run"),
    )
    _tell(say(session, body, Role.DELEGATE), project, f"In stage {stage}", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@click.option("--conflict", default="", help="A conflict of interest  [default: there is none]")
@json_option
def declare(home: Path, project: str, conflict: str, *, as_json: bool) -> None:
    """Offer to review PROJECT, and declare conflicts of interest first."""
    session = open_session(home)
    body = ReviewDeclare(project=_id(session, project), conflict=conflict)
    _tell(say(session, body, Role.DELEGATE), project, "Declared", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@click.option("--technical", type=click.IntRange(0, 5), required=True, help="Can it be done so? 0 to 5.")
@click.option("--scientific", type=click.IntRange(0, 5), required=True, help="Is it worth doing? 0 to 5.")
@click.option("--text", required=True, help="For the lead and everybody else.")
@json_option
def review(home: Path, project: str, technical: int, scientific: int, text: str, *, as_json: bool) -> None:
    """Review PROJECT: commit to the review now, and keep it at home until all have committed."""
    session = open_session(home)
    body = keep_review(session, _find(session.state(), project), technical, scientific, text)
    _tell(say(session, body, Role.DELEGATE), project, "Committed; reveal it once all have", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@json_option
def reveal(home: Path, project: str, *, as_json: bool) -> None:
    """Open the member's review of PROJECT, once all reviewers have committed to theirs."""
    session = open_session(home)
    body = kept_review(session, _id(session, project))
    _tell(say(session, body, Role.DELEGATE), project, "Opened", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@click.argument("kind", type=click.Choice([kind.value for kind in HoldKind]))
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
def hold(home: Path, project: str, kind: str, reason: str, *, as_json: bool) -> None:
    """Hold PROJECT: an incident freezes its runs at once, a dispute keeps it in its stage."""
    session = open_session(home)
    body = ProjectHold(project=_id(session, project), kind=HoldKind(kind), reason=reason)
    said = say(session, body, Role.DELEGATE)
    value = {"entry": said.index, "hold": said.id}
    emit(value, f"Held for {kind}, entry {said.index}, hold {said.id}.", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@click.argument("hold", metavar="HOLD")
@click.option("--reason", required=True, help="What was found or settled.")
@click.option("--proposal", help="The decision, for anybody but the member that placed the hold.")
@json_option
def lift(home: Path, project: str, hold: str, reason: str, proposal: str | None, *, as_json: bool) -> None:
    """Lift HOLD from PROJECT."""
    session = open_session(home)
    state = session.state()
    found = _find(state, project)
    body = ProjectLift(
        project=found.id,
        hold=find_id(found.holds, hold, "hold"),
        reason=reason,
        proposal=None if proposal is None else find_id(state.charter.proposals, proposal, "proposal"),
    )
    _tell(say(session, body, Role.DELEGATE), project, "Lifted", as_json=as_json)


@click.command()
@home_option
@click.argument("project")
@click.option("--text", required=True, help="Who uses the model for what, faults, what it brought or cost.")
@click.option("--evidence", multiple=True, metavar="FILE|ID", help="A file to bring along, or an id; repeatable.")
@json_option
def benefit(home: Path, project: str, text: str, evidence: tuple[str, ...], *, as_json: bool) -> None:
    """Tell how PROJECT's model is used at home, and what it brought."""
    session = open_session(home)
    shown = tuple(evidence_of(session, item) for item in evidence)
    body = ProjectBenefit(project=_id(session, project), text=text, evidence=shown)
    _tell(say(session, body, Role.DELEGATE), project, "Told", as_json=as_json)


def _find(state: State, prefix: str) -> Project:
    projects = state.programme.projects.projects
    return projects[find_id(projects, prefix, "project")]


def _id(session: Session, prefix: str) -> Digest:
    return _find(session.state(), prefix).id


def _tell(said: Spoken, project: str, done: str, *, as_json: bool) -> None:
    found = _find(said.state, project)
    value = {"entry": said.index, "project": found.id, "stage": found.stage.value}
    emit(value, f"{done}, entry {said.index}. The project is in stage {found.stage}.", as_json=as_json)
