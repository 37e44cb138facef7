"""``serai watch``: see how a run goes, member by member, while it goes and after it."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from serai.agent.reports import look
from serai.agent.session import Session
from serai.cli.output import PIPE_WIDTH, emit, home_option, short
from serai.cli.watching import facts_of, screen
from serai.client.find import find_id
from serai.client.following import follow
from serai.client.voice import open_session
from serai.kernel.ids import Digest
from serai.reports.course import Course
from serai.reports.run_page import render_run


@click.command()
@home_option
@click.argument("run")
@click.option("--once", is_flag=True, help="Show how it stands and end.")
@click.option(
    "--html",
    "page",
    type=click.File("w", encoding="utf-8", atomic=True),
    help="Write the run's report to this file and end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each new fact.")
def watch(*, home: Path, run: str, once: bool, page: Any, as_json: bool) -> None:
    """Follow RUN until it ends or Ctrl-C: each member's curves, then who is missing and what failed."""
    session = open_session(home)
    view = session.view()
    id_ = find_id(view.state.runs.plans, run, "run")
    if page is not None:
        course = look(session.settings.home, session.settings.member, view.state, id_)
        page.write(render_run(view.state, course, view.note, str(session.settings.home)))
        emit({"run": id_, "html": page.name}, f"Wrote the report of run {short(id_)} to {page.name}.", as_json=as_json)
        return
    with contextlib.suppress(KeyboardInterrupt):
        courses = _once(session, id_) if once else follow(session, id_)
        (_print_facts if as_json else _show)(courses)


def _once(session: Session, run: Digest) -> Iterable[tuple[Course, bool]]:
    course, answers = next(follow(session, run))
    return [(course, answers)]


def _print_facts(courses: Iterable[tuple[Course, bool]]) -> None:
    printed: set[str] = set()
    for course, _ in courses:
        for fact in facts_of(course):
            line = json.dumps(fact, ensure_ascii=False)
            if line not in printed:
                printed.add(line)
                click.echo(line)


def _show(courses: Iterable[tuple[Course, bool]]) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    with Live(console=console, auto_refresh=False) as live:
        for course, answers in courses:
            live.update(screen(course, answers=answers), refresh=True)
