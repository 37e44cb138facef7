"""``serai stats``: joint statistics of rows that stay at home."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from serai.cli.answers import Files, answer_value, provenance_of, show, write_files
from serai.cli.output import emit, emit_table, home_option, json_option
from serai.client.asking import WAIT_S
from serai.client.joint_columns import JointColumn
from serai.client.joint_data import JointData, JointTable
from serai.client.questions import QUARTILES
from serai.errors import Malformed
from serai.kernel.visible import visible_line

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_FOLDER: Final = click.Path(path_type=Path, file_okay=False)
_by_option = click.option("--by", default="", metavar="CATEGORY", help="By the levels of this category.")

_noise_options = (
    click.option("--noise", default="", help="On each zone's sums; what it promises counts against privacy budgets."),
    click.option("--delta", default="", help="The odds that the promise does not hold  [default: 1e-6]"),
)
_ridge_option = click.option("--ridge", default="0", show_default=True, help="Weight of the squared coefficients.")

_OPTIONS: Final = (
    home_option,
    click.option("--agreement", required=True, help="The agreement that permits it."),
    click.option("--offer", "offers", multiple=True, help="Use this offer; repeatable  [default: every one granted]"),
    click.option("--purpose", default="", help="Purpose code  [default: the agreement's, if it names one]"),
)
_ANSWER_OPTIONS: Final = (
    *_OPTIONS,
    click.option(
        "--bounds", "bounds", multiple=True, metavar="COLUMN=LOW:HIGH", help="A range in place of the stewards'."
    ),
    click.option(
        "--least", type=click.IntRange(min=1), help="Zones leave smaller groups out  [default: as terms demand]"
    ),
    click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=WAIT_S, show_default=True, help="Seconds."),
    click.option("--anew", is_flag=True, help="Compute again what an earlier run answered."),
    click.option("--html", type=_FILE, help="Write a page."),
    click.option("--svg", type=_FILE, help="Write the plot as a picture."),
    click.option("--csv", type=_FOLDER, help="Write the tables into this folder."),
    json_option,
)


def _statistic(ask: Callable[..., JointTable]) -> Callable[..., None]:
    """A verb that asks one question and shows its answer, with the options that all of them have."""

    @wraps(ask)
    def verb(
        *,
        home: Path,
        agreement: str,
        offers: tuple[str, ...],
        purpose: str,
        bounds: tuple[str, ...],
        least: int | None,
        wait_s: float,
        anew: bool,
        html: Path | None,
        svg: Path | None,
        csv: Path | None,
        as_json: bool,
        **asked: Any,
    ) -> None:
        data = JointData.open(home, agreement, offers, purpose).with_(
            bounds=dict(map(_bound, bounds)), least=least or 0, wait_s=wait_s, anew=anew
        )
        answer = ask(data, **asked).answer
        write_files(answer, provenance_of(data.session, answer), Files(html=html, svg=svg, csv=csv))
        if as_json:
            emit(answer_value(answer), "", as_json=True)
        else:
            show(answer)

    made = verb
    for option in reversed(_ANSWER_OPTIONS):
        made = option(made)
    return made


def _noised(verb: Callable[..., JointTable]) -> Callable[..., JointTable]:
    """A verb whose sums may have noise."""
    for option in reversed(_noise_options):
        verb = option(verb)
    return verb


@click.command()
@json_option
def columns(*, home: Path, agreement: str, offers: tuple[str, ...], purpose: str, as_json: bool) -> None:
    """List the columns that can be asked for, and why others cannot."""
    found = JointData.open(home, agreement, offers, purpose).columns
    rows: list[dict[str, Any]] = [
        {"column": one.name, "kind": one.kind, "unit": one.unit, "values": _values(one), "says": one.description}
        for one in found.alike.values()
    ]
    rows += [
        {"column": name, "kind": "", "unit": "", "values": "", "says": f"not to be asked for: {why}"}
        for name, why in found.unlike.items()
    ]
    if not as_json:  # other members' words
        rows = [{name: visible_line(text) for name, text in row.items()} for row in rows]
    emit_table(rows, ("column", "kind", "unit", "values", "says"), as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, metavar="[COLUMN]...")
@_by_option
@click.option("--bins", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Of each histogram.")
@_statistic
@_noised
def describe(data: JointData, *, names: tuple[str, ...], by: str, bins: int, noise: str, delta: str) -> JointTable:
    """Counts, means, deviations, histograms, levels and correlations; of all columns if none is named."""
    return data.with_(noise=noise, delta=delta).describe(*names, by=by, bins=bins)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="COLUMN...")
@click.option("--at", "shares", default=",".join(QUARTILES), show_default=True, help="Which quantiles.")
@_statistic
def quantiles(data: JointData, *, names: tuple[str, ...], shares: str) -> JointTable:
    """Quantiles of numbers, as exact as the bounds' width over 16 million."""
    return data.quantile(*names, q=shares.split(","))


@click.command()
@click.argument("rows")
@click.argument("columns")
@click.option("--stratum", default="", metavar="CATEGORY", help="A table for each of its levels.")
@_statistic
@_noised
def crosstab(data: JointData, *, rows: str, columns: str, stratum: str, noise: str, delta: str) -> JointTable:
    """How often the levels of two categories meet, and whether they depend on each other."""
    return data.with_(noise=noise, delta=delta).crosstab(rows, columns, stratum)


@click.command()
@click.argument("time")
@click.argument("event")
@_by_option
@click.option("--until", default="", help="Last time of the grid  [default: the column's upper bound]")
@click.option("--step", default="1", show_default=True, help="Width of the grid, in the unit of the times.")
@_statistic
@_noised
def survival(
    data: JointData, *, time: str, event: str, by: str, until: str, step: str, noise: str, delta: str
) -> JointTable:
    """Kaplan-Meier curves of TIME to EVENT, a column of 0 and 1 or COLUMN=LEVEL."""
    return data.with_(noise=noise, delta=delta).survival(time, event, by, until, step)


@click.command()
@click.argument("time")
@click.argument("event")
@click.argument("terms", nargs=-1, required=True, metavar="COLUMN...")
@click.option("--stratum", default="", metavar="CATEGORY", help="Each of its levels has a baseline of its own.")
@click.option("--until", default="", help="Last time of the grid  [default: the column's upper bound]")
@click.option("--step", default="1", show_default=True, help="Width of the grid, in the unit of the times.")
@_statistic
def cox(
    data: JointData, *, time: str, event: str, terms: tuple[str, ...], stratum: str, until: str, step: str
) -> JointTable:
    """Hazard ratios of TIME to EVENT for each COLUMN: proportional hazards with Breslow's ties."""
    return data.cox(time, event, *terms, stratum=stratum, until=until, step=step)


@click.command()
@click.argument("outcome")
@click.argument("terms", nargs=-1, required=True, metavar="COLUMN...")
@_ridge_option
@_statistic
def linear(data: JointData, *, outcome: str, terms: tuple[str, ...], ridge: str) -> JointTable:
    """Linear regression of OUTCOME, a number, on each COLUMN."""
    return data.linear(outcome, *terms, ridge=ridge)


@click.command()
@click.argument("outcome")
@click.argument("terms", nargs=-1, required=True, metavar="COLUMN...")
@_ridge_option
@_statistic
def logistic(data: JointData, *, outcome: str, terms: tuple[str, ...], ridge: str) -> JointTable:
    """Logistic regression of OUTCOME, a column of 0 and 1 or COLUMN=LEVEL, on each COLUMN."""
    return data.logistic(outcome, *terms, ridge=ridge)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="COLUMN...")
@click.option(
    "--matrix",
    type=click.Choice(["correlation", "covariance"]),
    default="correlation",
    show_default=True,
    help="Whose eigenvectors; covariance keeps the columns' units.",
)
@_statistic
def pca(data: JointData, *, names: tuple[str, ...], matrix: str) -> JointTable:
    """Principal components of numbers."""
    return data.pca(*names, matrix=matrix)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="COLUMN...")
@click.option("--clusters", type=click.IntRange(min=2), required=True, help="How many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the first centers.")
@_statistic
def kmeans(data: JointData, *, names: tuple[str, ...], clusters: int, seed: int) -> JointTable:
    """Clusters of rows by their numbers."""
    return data.kmeans(*names, clusters=clusters, seed=seed)


def _values(column: JointColumn) -> str:
    """What a column may hold: levels, or a range."""
    return "|".join(column.levels) or (f"{column.low} to {column.high}" if column.low else "")


def _bound(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or ":" not in value:
        raise Malformed("option-form", f"expected --bounds COLUMN=LOW:HIGH such as age=0:120, got {text!r}")
    return name, value


for _option in reversed(_OPTIONS):
    columns = _option(columns)
