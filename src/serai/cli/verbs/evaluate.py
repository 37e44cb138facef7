"""``serai evaluate, evaluations, leaderboard``: have models scored where the data are, and see how they do for each member."""

from pathlib import Path
from typing import Final

import click

from serai.analytics.leaderboard import rank
from serai.cli.output import count, emit, emit_table, home_option, json_option, short
from serai.cli.quality import (
    SHOWN,
    calibration_lines,
    fetch_totals,
    look_notes,
    look_rows,
    look_value,
    standing_row,
    standing_value,
    totals_words,
)
from serai.cli.verbs.train import FOLDER, read_pair
from serai.client.evaluating import EvaluationWish, find_model, plan_evaluation
from serai.client.find import find_id
from serai.client.voice import open_session
from serai.errors import Malformed, Missing
from serai.kernel.ids import parse_digest
from serai.recipes.archive import pack_folder
from serai.recipes.registry import RECIPES
from serai.reports.evaluations import entries_of, looks_at
from serai.zones.facts import COMPARED

COLUMNS: Final = ("member", "part", "rows", *SHOWN)


@click.command()
@home_option
@click.argument("model")
@click.option("--agreement", required=True, help="The agreement that permits it.")
@click.option(
    "--recipe", type=click.Choice(sorted(RECIPES)), help="The program that scores  [default: the one that made MODEL]"
)
@click.option("--recipe-folder", type=FOLDER, help="Or one's own: a folder with recipe.py.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A setting of the program; repeatable.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=DIGEST", help="A further model it needs; repeatable.")
@click.option("--offer", "offers", multiple=True, help="Use this offer; repeatable  [default: every one granted]")
@click.option("--minimum", type=click.IntRange(min=2), help="Fewest members in the sum  [default: as the terms demand]")
@click.option("--purpose", default="", help="Purpose code  [default: the agreement's, if it names one]")
@click.option("--title", default="", help="One line for people.")
@click.option(
    "--round-seconds", type=click.IntRange(min=1), default=60, show_default=True, help="Members have so long."
)
@click.option("--sum-only", is_flag=True, help="No member shows its own counts: only the sum of all is told.")
@json_option
def evaluate(
    *,
    home: Path,
    model: str,
    agreement: str,
    recipe: str | None,
    recipe_folder: Path | None,
    params: tuple[str, ...],
    inputs: tuple[str, ...],
    offers: tuple[str, ...],
    minimum: int | None,
    purpose: str,
    title: str,
    round_seconds: int,
    sum_only: bool,
    as_json: bool,
) -> None:
    """Ask members to score MODEL on their own rows. It commands nobody, and nothing is trained."""
    if recipe is not None and recipe_folder is not None:
        raise Malformed("option-form", "expected either --recipe or --recipe-folder")
    session = open_session(home)
    state = session.state()
    wish = EvaluationWish(
        model=find_model(state, model),
        agreement=find_id(state.charter.agreements, agreement, "agreement"),
        recipe=recipe or "",
        archive=None if recipe_folder is None else pack_folder(recipe_folder),
        params=dict(read_pair(text) for text in params),
        inputs={name: parse_digest(value) for name, value in (read_pair(text) for text in inputs)},
        offers=tuple(find_id(state.zones.offers, offer, "offer") for offer in offers),
        minimum=minimum or 0,
        purpose=purpose,
        title=title,
        round_s=round_seconds,
        shows_members=not sum_only,
    )
    said = plan_evaluation(session, wish)
    plan = said.state.runs.plans[said.id].plan
    text = (
        f"Planned, entry {said.index}, run {short(said.id)}: {count(len(plan.offers), 'member')} asked to evaluate model "
        f"{short(wish.model)} by {plan.recipe}. serai evaluations {short(wish.model)} shows what comes of it."
    )
    value = {"run": said.id, "entry": said.index, "model": wish.model, "invited": sorted(plan.offers)}
    emit(value, text, as_json=as_json)


@click.command()
@home_option
@click.argument("model")
@click.option("--bins", is_flag=True, help="Show each member's calibration bins as well.")
@json_option
def evaluations(*, home: Path, model: str, bins: bool, as_json: bool) -> None:
    """Show how MODEL did wherever it was evaluated: each member's metrics, and who is missing for what reason."""
    session = open_session(home)
    state = session.state()
    digest = find_model(state, model)
    looks = looks_at(state, digest)
    if not looks:
        raise Missing("model-unevaluated", f"no run evaluated model {short(digest)}; ask with `serai evaluate`")
    found = [(look, fetch_totals(session, look)) for look in looks]
    if as_json:
        emit([look_value(look, sums) for look, sums in found], "", as_json=True)
        return
    for look, sums in found:
        what = "trained it" if look.has_trained else "looked at it"
        click.echo(f"Run {short(look.run)} {what}, entry {look.at.index}: {look.title}, by {look.recipe}")
        emit_table(look_rows(look), COLUMNS, as_json=False)
        for line in (*(calibration_lines(look) if bins else ()), *look_notes(look)):
            click.echo(line)
        if sums is not None:
            click.echo(totals_words(sums, look))


@click.command()
@home_option
@click.option("--purpose", default="", help="Only models evaluated for this purpose, or one below it.")
@click.option("--metric", type=click.Choice(COMPARED), default="auc", show_default=True, help="By which metric.")
@json_option
def leaderboard(*, home: Path, purpose: str, metric: str, as_json: bool) -> None:
    """Show models beside each other, member by member, ranked by the member for whom each does worst."""
    standings = rank(entries_of(open_session(home).state(), purpose), metric)
    members = sorted({member for standing in standings for member in standing.asked})
    if as_json:
        emit([standing_value(standing) for standing in standings], "", as_json=True)
        return
    rows = [standing_row(standing, members) for standing in standings]
    emit_table(rows, ("rank", "model", "title", *members, "worst", "mean"), as_json=False)
