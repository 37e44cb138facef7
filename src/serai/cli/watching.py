"""Watching a run: its course as a screen for people and as facts for programs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serai.aggregation.state import Stage
from serai.cli.output import count, printable, short
from serai.reports.course import Course, RoundCourse, Status
from serai.reports.pages import NOTHING, number, percent, seconds, signed
from serai.reports.plots import format_bytes
from serai.reports.tallies import Curve, Tally, shared_value, tallies_of
from serai.training.state import model_judged

SPARKS: Final = "▁▂▃▄▅▆▇█"
SPARK_ROUNDS: Final = 20  # so many of the last rounds are drawn

Fact = dict[str, Any]
"""Something new about a run, as programs read it: what it is under ``fact``, and the run's id under ``run``."""


def facts_of(course: Course) -> Iterator[Fact]:
    """All that is known of a run, one fact after another: uploads, ends of rounds, evaluations, the end.

    A later course repeats the facts of an earlier one, in the same words.
    """
    for this in course.rounds:
        for member, part in this.parts.items():
            if part.has_uploaded:
                figures = dict(sorted(part.figures.items()))  # in the same words, whoever looks
                yield _fact(
                    course, "upload", round=this.number, member=member, sent_bytes=part.sent_bytes, figures=figures
                )
        if this.stage in {Stage.FINISHED, Stage.FAILED}:
            yield _fact(
                course,
                "round",
                round=this.number,
                stage=this.stage.value,
                summed=[member for member, part in this.parts.items() if part.is_summed],
                objections=list(this.objectors),
                why=this.why,
            )
    judged = model_judged(course.run.plan, course.model)
    evaluated = {**course.others, **({judged: course.evaluations} if judged else {})}
    for model, evaluations in evaluated.items():
        for member, counts in evaluations.items():
            yield _fact(course, "evaluation", model=model, member=member, counts=dict(counts))
    if course.status in {Status.FINISHED, Status.CANCELLED, Status.HALTED}:
        yield _fact(
            course, "end", status=course.status.value, finished=course.finished, model=course.model, why=course.why
        )


def screen(course: Course, *, answers: bool = True) -> RenderableType:
    """A run as people watch it: where it is, then a row for each member.

    Args:
        course: the run so far.
        answers: whether the center does.

    """
    tallies = tallies_of(course)
    lines = [Text(printable(line), overflow="fold") for line in _head(course)]
    if not answers:
        lines.append(Text("The center does not answer; asking again.", style="yellow"))
    return Group(*lines, Text(), _table({str(member): tally for member, tally in tallies.items()}))


def sparkline(curve: Curve) -> str:
    """A curve in one line of text: its last rounds, from its own lowest to its own highest value."""
    values = [curve[at] for at in sorted(curve)][-SPARK_ROUNDS:]
    if len(values) < 2:
        return ""
    low, span = min(values), (max(values) - min(values)) or 1.0
    return "".join(SPARKS[min(len(SPARKS) - 1, int((value - low) / span * len(SPARKS)))] for value in values)


def _fact(course: Course, kind: str, **values: Any) -> Fact:
    return {"fact": kind, "run": course.run.id, **values}


def _head(course: Course) -> Iterator[str]:
    plan = course.run.plan
    yield f"{plan.title} ({short(course.run.id)}), {course.status.value}: {_progress(course)}"
    if course.why:
        yield course.why
    if told := "; ".join(_told(course)):
        yield told


def _told(course: Course) -> Iterator[str]:
    for name, curve in (("effective step", "gain"), ("rho", "rho")):
        value = shared_value(course, curve)
        if value is not None:
            yield f"{name} {number(value)}"
    if course.rounds and (objectors := course.rounds[-1].objectors):
        yield f"{', '.join(objectors)} object to the last sum"
    if failed := course.failed:
        yield f"{count(len(failed), 'round')} failed, the last because {failed[-1].why}"


def _progress(course: Course) -> str:
    done = f"{course.finished} of {count(course.run.plan.rounds, 'round')} finished"
    if course.status is Status.PLANNED:
        invited = len(course.run.plan.offers)
        return f"{len(course.members)} of {count(invited, 'member')} joined"
    if course.status is not Status.RUNNING:
        return done
    return f"{done}; round {course.rounds[-1].number} {_waits(course.rounds[-1])}"


def _waits(this: RoundCourse) -> str:
    if this.stage is Stage.FAILED:
        return f"failed: {this.why}"
    what = _AWAITED.get(this.stage)
    if what is None:
        return "finished"
    return f"waits for {what} of {', '.join(this.absent)}" if this.absent else f"has all {what}"


_AWAITED: Final[Mapping[Stage, str]] = {Stage.OPEN: "uploads", Stage.CLOSED: "releases", Stage.RELEASED: "results"}

_COLUMNS: Final[Sequence[tuple[str, Callable[[Tally], str]]]] = (
    ("in sums", lambda tally: str(tally.summed)),
    ("loss", lambda tally: number(tally.last("loss"))),
    ("", lambda tally: sparkline(tally.curves["loss"]) or NOTHING),
    ("gap", lambda tally: signed(tally.last("gap"))),
    ("steps", lambda tally: number(tally.steps)),
    ("sent", lambda tally: format_bytes(tally.sent_bytes)),
    ("trained", lambda tally: seconds(tally.train_s)),
    ("stalled", lambda tally: seconds(tally.stall_s)),
    ("busy", lambda tally: percent(tally.utilisation)),
    ("clipped ppm", lambda tally: number(tally.last("clip"))),
    ("residual", lambda tally: number(tally.last("residual"))),
)


def _table(tallies: Mapping[str, Tally]) -> Table:
    """A row for each member; a column that has nothing to say about anybody is left out."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("member", overflow="fold")
    shown = [(name, cell) for name, cell in _COLUMNS if any(cell(tally) != NOTHING for tally in tallies.values())]
    for name, _ in shown:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for member, tally in tallies.items():
        table.add_row(member, *(cell(tally) for _, cell in shown))
    return table
