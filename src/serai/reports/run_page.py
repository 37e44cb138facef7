"""The page that a run leaves: its curves, its members, what failed, the plan, and how to check it; in one HTML file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from serai.analytics.metrics import Scores, pool, score
from serai.kernel.ids import MemberId
from serai.ledger.checkpoint import Checkpoint, parse_checkpoint
from serai.ledger.note import parse_note
from serai.reports.course import Course, mark_of
from serai.reports.pages import number, render_page, seconds, signed
from serai.reports.plan_words import plan_in_words
from serai.reports.plots import curve_plot, format_bytes
from serai.reports.tallies import Tally, shared_value, tallies_of
from serai.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A curve on the page.

    Attributes:
        curve: its name among ``tallies.CURVES``.
        title: what it shows.
        caption: how to read it.
        show: spells a value.
        from_zero: whether its scale begins at 0.

    """

    curve: str
    title: str
    caption: str
    show: Callable[[float], str] = number
    from_zero: bool = True


CHARTS: Final = (
    Chart(
        curve="loss",
        title="Training loss",
        caption="Mean loss over a round's local steps on the member's own rows, in nats for each thing predicted.",
        from_zero=False,
    ),
    Chart(
        curve="gap",
        title="Gap to the members' mean loss",
        caption="A member's training loss less the mean over all members of that round: "
        "who stays above 0 is served less well.",
        show=signed,
        from_zero=False,
    ),
    Chart(
        curve="stall",
        title="Stall",
        caption="Seconds in which a member had nothing to compute before a round's local steps.",
        show=seconds,
    ),
    Chart(curve="bytes", title="Bytes sent", caption="Size of the masked vector of each round.", show=format_bytes),
    Chart(
        curve="clip",
        title="Clipped values",
        caption="Values beyond what a digit can say, per million; they are cut, and the rest is kept for the next round.",
    ),
    Chart(
        curve="residual",
        title="Residual",
        caption="What rounding left over, as a multiple of the update; it should not grow.",
        from_zero=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with its drawing."""

    chart: Chart
    plot: Markup


@dataclass(frozen=True, slots=True)
class Judged:
    """What a member's counts come to; ``loss`` in nats a prediction, None where it was not measured."""

    scores: Scores
    loss: float | None


def render_run(state: State, course: Course, checkpoint: str, home: str) -> str:
    """The page of a run as one HTML file without external resources.

    Args:
        state: what the log adds up to.
        course: of the run.
        checkpoint: the note of the log's newest checkpoint; empty where there is none yet.
        home: the zone's folder, to name in commands.

    """
    tallies = tallies_of(course)
    judged = {member: _judged(counts) for member, counts in course.evaluations.items()}
    return render_page(
        "run.html.j2",
        {
            "mark": mark_of(state, course.run),
            "course": course,
            "plan": course.run.plan,
            "names": _names(state, course),
            "tallies": tallies,
            "charts": _charts(course, tallies),
            "gain": shared_value(course, "gain"),
            "rho": shared_value(course, "rho"),
            "judged": judged,
            "mean": _mean(judged),
            "all_rows": _judged(pool(course.evaluations.values())) if judged else None,
            "others": _others(course),
            "words": plan_in_words(state, course.run),
            "rows": {member: _rows(state, course, member) for member in course.run.plan.offers},
            "log": _head(checkpoint),
            "genesis": state.charter.genesis,
            "log_size": state.size,
            "home": home,
        },
    )


def _charts(course: Course, tallies: Mapping[MemberId, Tally]) -> list[Drawn]:
    drawn = []
    for chart in CHARTS:
        told = {str(member): tally.curves[chart.curve] for member, tally in tallies.items()}
        curves = {member: curve for member, curve in told.items() if curve}
        if curves and len(course.rounds) > 1:
            title = f"{chart.title}, {course.run.plan.title}"
            drawn.append(Drawn(chart, curve_plot(curves, title, chart.show, from_zero=chart.from_zero)))
    return drawn


def _names(state: State, course: Course) -> dict[str, str]:
    members = state.charter.members
    return {member: members[MemberId(member)].name for member in course.run.plan.offers if MemberId(member) in members}


def _judged(counts: Mapping[str, int]) -> Judged:
    predicted = counts.get("predicted")
    loss = counts["micronats"] / predicted / 1e6 if predicted and "micronats" in counts else None
    return Judged(score(counts), loss)


def _mean(judged: Mapping[MemberId, Judged]) -> tuple[float | None, float | None]:
    """Accuracy and loss, each member counted once; None where one of them lacks it."""
    accuracies = [one.scores.accuracy for one in judged.values()]
    losses = [one.loss for one in judged.values()]
    told = [float(accuracy) for accuracy in accuracies if accuracy is not None]
    measured = [loss for loss in losses if loss is not None]
    return (
        sum(told) / len(told) if told and len(told) == len(accuracies) else None,
        sum(measured) / len(measured) if measured and len(measured) == len(losses) else None,
    )


def _others(course: Course) -> list[tuple[str, MemberId, Judged]]:
    return [
        (model, member, _judged(counts))
        for model, evaluations in course.others.items()
        for member, counts in evaluations.items()
    ]


def _rows(state: State, course: Course, member: str) -> int | None:
    offer = state.zones.offers.get(course.run.plan.offers[member])
    return None if offer is None else offer.body.rows


def _head(checkpoint: str) -> Checkpoint | None:
    return parse_checkpoint(parse_note(checkpoint).text) if checkpoint else None
