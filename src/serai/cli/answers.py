"""Answers of joint statistics as a terminal shows them, and as files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from serai.agent.session import Session
from serai.analytics.frames import Cell, Frame
from serai.cli.output import PIPE_WIDTH, count, printable, short
from serai.client.asking import Answer
from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import MemberId
from serai.reports.result_page import Provenance, cell, frame_csv, plot_files, render_result, result_json

_HEAD: Final = 20
_TAIL: Final = 5  # of a table that is longer than both, people see so many rows; files and programs get all


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where to write an answer to.

    Attributes:
        html: a page.
        svg: a picture; several are numbered.
        csv: a folder for the tables.

    """

    html: Path | None = None
    svg: Path | None = None
    csv: Path | None = None


def show(answer: Answer) -> None:
    """Print an answer: its tables, how to read them, and whose rows are in it."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    frames = [frame for frame in answer.result.frames if frame.rows]
    for frame in frames:
        if len(frames) > 1:
            console.print(printable(frame.name), style="bold")
        console.print(_table(frame))
        console.print()
    for line in _lines(answer):
        console.print(printable(line), style="dim")


def write_files(answer: Answer, provenance: Provenance, files: Files) -> None:
    """Write an answer as a page, its plots as pictures, its tables as CSV, where these were asked for.

    Raises:
        Malformed: a picture was asked for, and the result has no curves.
        Misconfigured: a file cannot be written.

    """
    if files.html is not None:
        _write(files.html, render_result(answer.result, provenance))
    if files.svg is not None:
        plots = plot_files(answer.result)
        if not plots:
            raise Malformed("result-plot", f"{answer.result.title} has no curves to draw; leave --svg out")
        for number, plot in enumerate(plots, 1):
            path = files.svg if len(plots) == 1 else files.svg.with_stem(f"{files.svg.stem}-{number}")
            _write(path, plot)
    if files.csv is not None:
        for frame in answer.result.frames:
            _write(files.csv / f"{frame.name}.csv", frame_csv(frame))


def _table(frame: Frame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(frame.columns):
        is_text = all(isinstance(row[number], str) for row in frame.rows)
        table.add_column(printable(column), justify="left" if is_text or number == 0 else "right", overflow="fold")
    for row in _some(frame.rows):
        table.add_row(*(printable(cell(value)) for value in row))
    return table


def _some(rows: tuple[tuple[Cell, ...], ...]) -> Iterator[tuple[Cell, ...]]:
    """All rows of a short table, the first and the last of a long one."""
    if len(rows) <= _HEAD + _TAIL + 1:
        yield from rows
        return
    yield from rows[:_HEAD]
    yield tuple(["…"] * len(rows[0]))
    yield from rows[-_TAIL:]


def _lines(answer: Answer) -> Iterator[str]:
    yield from answer.result.notes
    for member, reasons in answer.declined.items():
        yield f"{member} is not in it: {'; '.join(f'{reason.text} ({reason.article})' for reason in reasons)}"
    if answer.absent:
        yield f"{', '.join(answer.absent)} did not answer and is not in it"
    again = ", answered before" if answer.is_repeated else ""
    yield f"Rows of {count(len(answer.members), 'member')}: {', '.join(answer.members)}. Run {short(answer.run)}{again}."


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured("output-file", f"cannot write {path}: {error.strerror}; name another file") from error


def answer_value(answer: Answer) -> dict[str, object]:
    """An answer for programs."""
    return {
        "run": answer.run,
        "members": list(answer.members),
        "declined": {
            member: [{"article": reason.article, "text": reason.text} for reason in reasons]
            for member, reasons in answer.declined.items()
        },
        "absent": list(answer.absent),
        "is_repeated": answer.is_repeated,
        **result_json(answer.result),
    }


def provenance_of(session: Session, answer: Answer) -> Provenance:
    """Where an answer comes from, with the members' names."""
    state = session.state()
    plan = state.runs.plans[answer.run].plan
    records = state.charter.members

    def name(member: MemberId) -> str:
        return records[member].name if member in records else member

    others = {
        name(member): "; ".join(f"{reason.text} ({reason.article})" for reason in reasons)
        for member, reasons in answer.declined.items()
    }
    return Provenance(
        run=answer.run,
        agreement=plan.agreement,
        members=[name(member) for member in answer.members],
        others={**others, **{name(member): "it did not answer" for member in answer.absent}},
        rounds=plan.rounds,
        home=str(session.settings.home),
    )
