"""``serai demo``: the whole story in one command."""

import contextlib
import threading
from pathlib import Path

import click
from rich.console import Console

from serai.cli.demo.stage import LOG_FOLDER, REPORT_HTML, REPORT_JSON, Stage, sweep
from serai.cli.demo.story import LEAD, Length, play
from serai.cli.demo.telling import Teller
from serai.cli.output import json_option, short
from serai.cli.report import Report, render


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("serai-demo"),
    show_default=True,
    help="Where it plays and leaves its report.",
)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, and its files after that.")
@click.option("--quick", is_flag=True, help="Fewer rounds.")
@json_option
def demo(folder: Path, *, keep: bool, quick: bool, as_json: bool) -> None:
    """Four hospitals found a center, agree, train one model, crash, release it, and are audited.

    Real processes on this machine only: one center and four zones. Needs the data of
    `pip install 'serai[demo]'`; takes half a minute.
    """
    console = Console(quiet=as_json)
    teller = Teller(console)
    console.print("[bold]serai demo[/bold]: one center and four zones, each a process of its own, on this machine\n")

    def epilogue(report: Report, stage: Stage) -> None:
        text = report.model_dump_json(indent=2)
        (folder / REPORT_JSON).write_text(text + "\n", encoding="utf-8")
        (folder / REPORT_HTML).write_text(render(report.model_dump()), encoding="utf-8")
        if as_json:
            click.echo(text)
        _tell_end(console, teller, report, folder)
        if keep:
            _linger(console, report, stage)
        else:
            genesis = stage.observer.settings.genesis
            console.print(f"log         {folder / LOG_FOLDER}, genesis {genesis}", highlight=False)

    play(folder, Length.quick() if quick else Length(), teller, epilogue)
    if not keep:
        sweep(folder)


def _tell_end(console: Console, teller: Teller, report: Report, folder: Path) -> None:
    console.print()
    teller.tables(report)
    console.print(f"\nmodel       {report.model.digest if report.model else ''}", highlight=False)
    console.print(
        f"checkpoint  {report.log.origin}, {report.log.size} entries, root {report.log.root}", highlight=False
    )
    console.print(f"witnesses   {', '.join(report.log.witnesses)}", highlight=False)
    console.print(f"report      {folder / REPORT_HTML}", highlight=False)


def _linger(console: Console, report: Report, stage: Stage) -> None:
    home = stage.folder / LEAD
    released = short(report.model.release) if report.model else ""
    console.print(
        f"\nThe center answers at {stage.url}; the zones work on. In another terminal:\n"
        f"  serai log --home {home}\n"
        f"  serai explain --home {home} {released}\n"
        f"Ctrl-C ends them all; their files stay in {stage.folder}.",
        highlight=False,
    )
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    stage.settle()
