"""``serai policy``: see what a zone's policy adds up to, test it against example jobs, start a profile."""

import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from serai.agent.settings import load_settings
from serai.cli.example_jobs import read_jobs
from serai.cli.output import count, emit, emit_table, json_option
from serai.cli.policies import (
    Outcome,
    Rulebook,
    check_sources,
    from_files,
    from_log,
    from_zone,
    joined,
    judge,
)
from serai.client.voice import open_session
from serai.errors import Misconfigured, Missing
from serai.kernel.records import to_json
from serai.zones.forms import worded

_files = click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path, dir_okay=False))
_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SERAI_HOME",
    help="A zone's folder: its own policy and legal profile count too.",
)
_dataset = click.option("--dataset", help="A dataset of the zone: what it is offered for, its rows and subjects.")
_agreement = click.option("--agreement", metavar="ID", help="An agreement in the log, with the zone's grants to it.")


@click.command()
@_files
@_home
@_dataset
@_agreement
@json_option
def show(
    *, files: tuple[Path, ...], home: Path | None, dataset: str | None, agreement: str | None, as_json: bool
) -> None:
    """Show every term that holds, by where it stands. FILE: a profile (.toml) or an agreement (.md)."""
    rulebook = _gather(files, home, dataset, agreement)
    rows = [
        {
            "source": source.policy.source,
            "term": term.name,
            "value": to_json(term.value) if as_json else worded(term.name, term.value),
            "clause": term.clause,
        }
        for source in rulebook.sources
        for term in source.policy.terms
    ]
    emit_table(rows, ("source", "term", "value", "clause"), as_json=as_json)
    _tell_problems(rulebook)


@click.command()
@_files
@click.option(
    "--jobs",
    "jobs_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Example jobs, a TOML file: their facts, and what is expected.",
)
@_home
@_dataset
@_agreement
@json_option
def test(
    *,
    files: tuple[Path, ...],
    jobs_file: Path,
    home: Path | None,
    dataset: str | None,
    agreement: str | None,
    as_json: bool,
) -> None:
    """Judge example jobs; ends with status 1 where one is not as expected. FILE: a profile (.toml) or an agreement (.md)."""
    rulebook = _gather(files, home, dataset, agreement)
    outcomes = list(judge(rulebook, read_jobs(jobs_file)))
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    told = [line for outcome in outcomes for line in _told(rulebook, outcome)]
    asked = sum(outcome.job.expect is not None or bool(outcome.job.because) for outcome in outcomes)
    told.append(f"{count(len(outcomes), 'job')} judged; {asked - failed} of {asked} as expected.")
    emit([_value(rulebook, outcome) for outcome in outcomes], "\n".join(told), as_json=as_json)
    _tell_problems(rulebook)
    if failed:
        raise SystemExit(1)


@click.command()
@click.argument("name", required=False)
@json_option
def template(*, name: str | None, as_json: bool) -> None:
    """Print a profile to start from, or list those there are. None of them is legal advice."""
    folder = importlib.resources.files("serai.cli") / "templates" / "profiles"
    texts = {place.name.removesuffix(".toml"): place.read_text(encoding="utf-8") for place in folder.iterdir()}
    if name is None:
        rows = [{"name": known, "title": _title(texts[known])} for known in sorted(texts)]
        emit_table(rows, ("name", "title"), as_json=as_json)
        return
    if name not in texts:
        raise Missing("template-unknown", f"no profile is called {name!r}; known: {', '.join(sorted(texts))}")
    emit({"name": name, "text": texts[name]}, texts[name].rstrip(), as_json=as_json)


def _gather(files: Sequence[Path], home: Path | None, dataset: str | None, agreement: str | None) -> Rulebook:
    if home is None and (dataset or agreement):
        raise Misconfigured("policy-source", "whose dataset, or whose log? give --home with a zone's folder")
    rulebook = from_files(files)
    if home is not None and agreement is None:
        rulebook = joined(from_zone(load_settings(home), dataset), rulebook)
    elif home is not None and agreement is not None:
        session = open_session(home)
        rulebook = joined(from_zone(session.settings, dataset), rulebook)
        rulebook = joined(rulebook, Rulebook(from_log(session, agreement)))
    check_sources(rulebook)
    return rulebook


def _tell_problems(rulebook: Rulebook) -> None:
    problems = [problem for source in rulebook.sources for problem in source.problems()]
    for problem in problems:
        click.echo(f"cannot be enforced, so it denies: {problem}", err=True)
    if problems:
        raise SystemExit(1)


def _told(rulebook: Rulebook, outcome: Outcome) -> list[str]:
    mark = f"FAILED ({outcome.failure})  " if outcome.failure else ""
    lines = [f"{outcome.answer:<5}  {mark}{outcome.job.name}"]
    for denied in outcome.denials:
        lines.append(f"         {denied.article}: {denied.reason}")
        if text := rulebook.clause(denied.article):
            lines.append(f"           which says: {' '.join(text.split())}")
    return lines


def _value(rulebook: Rulebook, outcome: Outcome) -> dict[str, Any]:
    return {
        "job": outcome.job.name,
        "answer": outcome.answer.value,
        "expect": outcome.job.expect and outcome.job.expect.value,
        "ok": not outcome.failure,
        "failure": outcome.failure or None,
        "reasons": [
            {"article": denied.article, "reason": denied.reason, "clause": rulebook.clause(denied.article) or None}
            for denied in outcome.denials
        ],
    }


def _title(text: str) -> str:
    return text.partition('title = "')[2].partition('"')[0]
