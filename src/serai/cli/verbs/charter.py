"""``serai charter``: try what other rules would make of votes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from serai.charter.presets import PRESETS
from serai.charter.simulation import Question, RuleBook, questions_of
from serai.charter.simulation import simulate as simulate_question
from serai.cli.output import emit_table, json_option, short
from serai.cli.simulations import ask, parse_weights, read_questions, rule_books
from serai.client.find import find_id
from serai.client.voice import open_session
from serai.errors import Misconfigured

_COLUMNS: Final = ("proposal", "title", "topic", "rules", "result", "article", "reason")


@click.command()
@click.argument("proposal", required=False)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SERAI_HOME",
    help="A zone's folder: try the votes in its log.",
)
@click.option(
    "--votes", type=click.Path(path_type=Path, dir_okay=False), help="Imagined votes in a TOML file, instead of a log."
)
@click.option("--topic", default="agreement", show_default=True, help="Beside --ballot: the article that decides.")
@click.option("--ballot", "ballots", multiple=True, metavar="MEMBER=CHOICE", help="An imagined ballot; repeatable.")
@click.option("--silent", multiple=True, metavar="MEMBER", help="A member that casts no ballot; repeatable.")
@click.option(
    "--rules",
    "names",
    multiple=True,
    metavar="PRESET|FILE",
    help=f"A preset, a charter.json, or a TOML file of articles; repeatable  [default: {', '.join(PRESETS)}]",
)
@click.option("--weight", "weights", multiple=True, metavar="TABLE:MEMBER=N", help="A voting weight; repeatable.")
@json_option
def simulate(
    *,
    proposal: str | None,
    home: Path | None,
    votes: Path | None,
    topic: str,
    ballots: tuple[str, ...],
    silent: tuple[str, ...],
    names: tuple[str, ...],
    weights: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show how votes come out under other rules: PROPOSAL, all in the log, or imagined ones."""
    books = list(rule_books(names, parse_weights(weights)))
    if votes is not None:
        questions: Sequence[Question] = read_questions(votes)
    elif ballots:
        questions = [ask(topic, ballots, silent)]
    elif home is not None:
        questions = _logged(home, proposal)
    else:
        raise Misconfigured(
            "simulation-source", "whose votes? give --home with a zone's folder, --votes with a file, or --ballot"
        )
    rows = [row for question in questions for row in _rows(question, books)]
    columns = _COLUMNS if any(row["proposal"] for row in rows) else _COLUMNS[1:]
    emit_table(rows if as_json else _for_people(rows), columns, as_json=as_json)


def _logged(home: Path, prefix: str | None) -> Sequence[Question]:
    charter = open_session(home).state().charter
    wanted = None if prefix is None else find_id(charter.proposals, prefix, "proposal")
    return [question for question in questions_of(charter) if wanted in (None, question.id)]


def _rows(question: Question, books: Sequence[RuleBook]) -> list[dict[str, Any]]:
    said = [(book.name, simulate_question(question, book)) for book in books]
    if question.decided is not None:
        said = [("as decided", question.decided), *said]
    return [
        {
            "proposal": question.id,
            "title": question.title,
            "topic": question.topic,
            "rules": name,
            "result": outcome.result.value,
            "reason": outcome.reason,
            "article": outcome.article,
        }
        for name, outcome in said
    ]


def _for_people(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with each question named once, and its id short."""
    shown, before = [], None
    for row in rows:
        asked = (row["proposal"], row["title"])
        names = {"proposal": short(row["proposal"] or ""), "title": row["title"], "topic": row["topic"]}
        shown.append({**row, **(names if asked != before else dict.fromkeys(names))})
        before = asked
    return shown
