"""How the demo speaks: a sentence for each step with the log entry that proves it, bars while it waits, tables at the end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from serai.agent.session import Session
from serai.cli.output import short
from serai.cli.report import Border, Report, Result, Step
from serai.client.voice import Spoken
from serai.errors import Unavailable
from serai.reports.plots import format_bytes
from serai.state import State

WAIT_S: Final = 1.0  # the center holds a question so long before the demo looks at its own clock again


class Teller:
    """Tells the story, and remembers it for the report.

    Args:
        console: where it is told; a quiet one where a program reads the output.

    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[Step] = []
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._started

    def tell(self, text: str, said: Spoken | None = None) -> None:
        """Say one sentence, with the entry that proves it where there is one."""
        entry, id_ = (said.index, said.id) if said else (None, None)
        step = Step(text=text, entry=entry, id=id_, seconds=round(self.elapsed_s, 2))
        self.steps.append(step)
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(justify="right", width=6, style="dim")
        grid.add_column(ratio=1)
        grid.add_column(width=24, style="dim")
        grid.add_row(f"{step.seconds:.1f} s", text, f"entry {entry} {short(id_)}" if id_ else "")
        self.console.print(grid)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar while the block runs; call what it yields with how far things are."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        hidden = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=hidden) as progress:
            task = progress.add_task(label, total=total)
            yield lambda done: progress.update(task, completed=done)

    def tables(self, report: Report) -> None:
        """Show what it came to."""
        names = {member.id: member.name for member in report.members}
        for result in report.results:
            self.console.print(f"\n[bold]{result.recipe}[/bold]: accuracy on each member's own test rows")
            self.console.print(_accuracy_table(result, names))
        self.console.print("[dim]* all rows in one place: only a demo that owns all four files can know it[/dim]")
        self.console.print("\n[bold]What crossed each border[/bold], measured on the wire")
        self.console.print(_border_table(report.border, names))


def wait_for(session: Session, is_done: Callable[[State], bool], what: str, timeout_s: float) -> State:
    """Follow the log until something is true; ``is_done`` sees every state on the way.

    Raises:
        Unavailable: it did not come true in time.

    """
    deadline = time.monotonic() + timeout_s
    view = session.view()
    while not is_done(view.state):
        if time.monotonic() > deadline:
            raise Unavailable(
                "demo-stalled", f"waited {timeout_s:g} s in vain for this: {what}; the logs of the processes say more"
            )
        view = session.mirror.follow(session.center, view.size, WAIT_S)
    return view.state


def _accuracy_table(result: Result, names: Mapping[str, str]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("member")
    for column in ("test rows", "alone", "joint", "pooled*"):
        table.add_column(column, justify="right")
    for member, row in result.members.items():
        shares = [f"{value:.1%}" if value is not None else "" for value in (row.alone, row.joint, row.pooled)]
        table.add_row(names[member], str(row.n), shares[0], f"[bold]{shares[1]}[/bold]", shares[2])
    return table


def _border_table(border: list[Border], names: Mapping[str, str]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("member")
    for column in ("rows of data", "masked vectors", "statements", "all out", "all in"):
        table.add_column(column, justify="right")
    for crossing in border:
        sizes = (crossing.masked_bytes, crossing.statement_bytes, crossing.out_bytes, crossing.in_bytes)
        table.add_row(
            names[crossing.member], f"[bold]{crossing.rows_out}[/bold]", *(format_bytes(size) for size in sizes)
        )
    return table
