"""The page of a statistic: its curves, its tables, whose rows are in it, and how to check it; in one HTML file."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from markupsafe import Markup

from serai.analytics.frames import Cell, Frame, Result
from serai.reports.curves import draw_curves
from serai.reports.pages import NOTHING, render_page

Json: TypeAlias = dict[str, object]
_STYLE: Final = "curve.css"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a result comes from, as its page says it.

    Attributes:
        run: the run's id.
        agreement: id of the agreement under which it ran.
        members: names of those whose rows are in it.
        others: names of those invited whose rows are not, each with the reason.
        rounds: sums it took.
        home: folder of the zone that looks, for the commands that check it.

    """

    run: str
    agreement: str
    members: Sequence[str]
    others: Mapping[str, str]
    rounds: int
    home: str


def render_result(result: Result, provenance: Provenance) -> str:
    """The page, which stands alone."""
    values = {"result": result, "of": provenance, "plots": plots_of(result), "cell": cell}
    return render_page("result.html.j2", values)


def plots_of(result: Result) -> list[Markup]:
    """The plots of a result: of all its curves together, or of each where they have no axis in common."""
    if result.x_label:
        return [draw_curves(result.curves, result.title, result.x_label, result.y_label)] if result.curves else []
    return [draw_curves([curve], curve.name, "", result.y_label) for curve in result.curves]


def plot_files(result: Result) -> list[str]:
    """The plots, each as an SVG file that stands alone."""
    style = Markup("<style>{}</style>").format(Markup(render_page(_STYLE, {})))  # noqa: S704 - the house's own style sheet
    return [
        str(drawn)
        .replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        .replace("</title>", f"</title>{style}", 1)
        for drawn in plots_of(result)
    ]


def cell(value: Cell) -> str:
    """A value as people read it: six digits that matter, a dash for none."""
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def frame_html(frame: Frame) -> str:
    """A table as HTML, for a notebook."""
    head = Markup("").join(Markup("<th>{}</th>").format(column) for column in frame.columns)
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell(value)) for value in row))
        for row in frame.rows
    )
    return Markup("<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        frame.name, head, rows
    )


def frame_text(frame: Frame) -> str:
    """A table as lines of text, its columns side by side."""
    lines = [frame.columns, *(tuple(map(cell, row)) for row in frame.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def frame_csv(frame: Frame) -> str:
    """A table as CSV, with every digit."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(
        ["" if value is None else repr(value) if isinstance(value, float) else value for value in row]
        for row in frame.rows
    )
    return out.getvalue()


def result_json(result: Result) -> Json:
    """A result as JSON values: each table as a list of records."""
    return {
        "title": result.title,
        "tables": {
            frame.name: [dict(zip(frame.columns, row, strict=True)) for row in frame.rows] for frame in result.frames
        },
        "curves": [
            {
                "name": c.name,
                "x": list(c.x),
                "y": list(c.y),
                "low": list(map(_number, c.low)),
                "high": list(map(_number, c.high)),
                "is_step": c.is_step,
            }
            for c in result.curves
        ],
        "notes": list(result.notes),
    }


def _number(value: float) -> float | None:
    """JSON has no word for a number that is none."""
    return value if math.isfinite(value) else None
