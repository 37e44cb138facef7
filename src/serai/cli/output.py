"""What the verbs print: one sentence or table for people, or one JSON value for programs."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

_LOG_TIME: Final = re.compile(r"log time (\d{12,14})\b|\b(\d{12,14}) ms\b")
PIPE_WIDTH: Final = 240  # columns where the output goes to no terminal: long sentences stay on one line

SHORT: Final = 12  # hex characters of an id that people see: 48 bits, enough to be unique in any log

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value for programs.")
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SERAI_HOME",
    required=True,
    help="The zone's folder, with zone.toml and keys; or set SERAI_HOME.",
)


def with_dates(text: str) -> str:
    """Spell log times as dates: people do not read Unix milliseconds."""
    return _LOG_TIME.sub(
        lambda found: f"{datetime.fromtimestamp(int(found[1] or found[2]) / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC", text
    )


def printable(text: str) -> str:
    """A member's words, fit for a terminal: what would move its cursor or colour its text becomes U+FFFD."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def emit(value: Any, text: str, *, as_json: bool) -> None:
    """Print a verb's answer: ``text`` for people, ``value`` for programs."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        click.echo(with_dates(text))


def emit_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print records as a table; programs get every field, people the named columns."""
    if as_json:
        click.echo(json.dumps(list(rows), ensure_ascii=False, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column == "entry" else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def short(digest: str) -> str:
    """The first characters of an id, which every verb accepts in its place."""
    return digest[:SHORT]


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, such as ``1 member`` or ``2 members``."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
