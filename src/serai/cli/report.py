"""The demo's report: one HTML page that stands alone, from the numbers in ``report.json``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serai.errors import Malformed
from serai.reports import plots
from serai.reports.pages import render_page

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemberRows(_Part):
    """A member and how many rows it trained and tested on, all of which stayed at home."""

    id: str
    name: str
    rows_train: Count
    rows_test: Count


class Step(_Part):
    """One sentence of the story, with the log entry that proves it."""

    text: str
    entry: Count | None = None
    id: str | None = None
    seconds: Seconds


class Figures(_Part):
    """Accuracy of one member on its own ``n`` test rows; None where nobody could know it."""

    n: Count
    alone: Share | None
    joint: Share | None
    pooled: Share | None


class RoundFigures(_Part):
    """Accuracy by member after one round."""

    round: Count
    members: dict[str, Share]


class Result(_Part):
    """What one recipe came to."""

    recipe: str
    members: dict[str, Figures]
    rounds: list[RoundFigures] = []


class Border(_Part):
    """What crossed one member's border: bytes out and in, and the rows among them."""

    member: str
    out_bytes: Count
    in_bytes: Count
    masked_bytes: Count
    statement_bytes: Count
    rows_out: Count


class ReleasedModel(_Part):
    """The released model: its digest, its size, and the statement that released it."""

    digest: str
    size_bytes: Count
    release: str


class LogHead(_Part):
    """Where the log stood at the end, and who cosigned it."""

    origin: str
    size: Count
    root: str
    checkpoint: str
    witnesses: list[str]


class AuditResult(_Part):
    """What an auditor that shares no code with serai found."""

    entries: Count
    rounds: Count
    ok: bool
    tool: str


class Crash(_Part):
    """The member that was killed on purpose, and how long it was away."""

    member: str
    killed_at_round: Count
    recovered_seconds: Seconds


class Report(_Part):
    """Everything on the page."""

    title: str
    made: str
    machine: str
    members: list[MemberRows]
    story: list[Step]
    results: list[Result]
    border: list[Border]
    model: ReleasedModel | None = None
    log: LogHead
    audit: AuditResult | None = None
    crash: Crash | None = None


def render(report: Mapping[str, Any]) -> str:
    """Render a report as one HTML page without external resources.

    Raises:
        Malformed: the report lacks a field, has an unknown one, or a value of the wrong kind.

    """
    try:
        page = Report.model_validate(report)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Malformed("report-form", f"report.json, at {place}: {first['msg']}") from error
    return render_page(
        "demo.html.j2",
        {
            "report": page,
            "names": {member.id: member.name for member in page.members},
            "figures": [_figures(result, page.members) for result in page.results],
            "border_plot": _border_plot(page.border, page.members),
        },
    )


def _figures(result: Result, members: Sequence[MemberRows]) -> dict[str, object]:
    names = [(member.id, member.name) for member in members if member.id in result.members]
    rows = [
        plots.Dots(name, {kind: getattr(result.members[id_], kind) for kind in ("alone", "joint", "pooled")})
        for id_, name in names
    ]
    series = {name: [step.members[id_] for step in result.rounds if id_ in step.members] for id_, name in names}
    lines = plots.line_plot(series, f"Accuracy after each round, {result.recipe}") if len(result.rounds) > 1 else None
    return {
        "result": result,
        "dots": plots.dot_plot(rows, f"Accuracy alone, joint and pooled, {result.recipe}"),
        "lines": lines,
    }


def _border_plot(border: Sequence[Border], members: Sequence[MemberRows]) -> Markup:
    names = {member.id: member.name for member in members}
    groups = [
        plots.Bars(
            names.get(crossing.member, crossing.member),
            {
                "masked vectors out": crossing.masked_bytes,
                "signed statements out": crossing.statement_bytes,
                "in": crossing.in_bytes,
            },
        )
        for crossing in border
    ]
    return plots.bar_plot(groups, "Bytes that crossed each member's border")
