"""``serai run, release``: plan a run, release what it made."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Final

import click

from serai.agent.session import Session
from serai.cli.output import count, emit, home_option, json_option, short
from serai.cli.releasing import ReleaseWish, release_model
from serai.client.find import find_id
from serai.client.inputs import put_input, read_input, text_model
from serai.client.planning import Wish, make_plan, open_recipe, plan_run
from serai.client.rehearsal import rehearse
from serai.client.voice import open_session
from serai.errors import Malformed
from serai.kernel.ids import MemberId, parse_digest
from serai.recipes.archive import pack_folder
from serai.recipes.registry import RECIPES
from serai.reports.plots import format_bytes

_SHARE: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@click.command()
@home_option
@click.option("--agreement", required=True, help="The agreement that permits it.")
@click.option("--recipe", type=click.Choice(sorted(RECIPES)), help="A program that comes with serai.")
@click.option("--recipe-folder", type=FOLDER, help="Or one's own: a folder with recipe.py.")
@click.option("--rounds", required=True, type=click.IntRange(min=1), help="How many sums.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A setting of the recipe; repeatable.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=DIGEST", help="A model to start from; repeatable.")
@click.option("--offer", "offers", multiple=True, help="Use this offer; repeatable  [default: every one granted]")
@click.option("--minimum", type=click.IntRange(min=2), help="Fewest members in a sum  [default: as the terms demand]")
@click.option(
    "--threshold", type=click.IntRange(min=2), help="So many release for a lost member  [default: nobody can]"
)
@click.option("--purpose", default="", help="Purpose code  [default: the agreement's, if it names one]")
@click.option("--title", default="", help="One line for people  [default: the recipe's name]")
@click.option(
    "--round-seconds", type=click.IntRange(min=1), default=60, show_default=True, help="A round waits so long."
)
@click.option(
    "--least-seconds", type=click.IntRange(min=1), help="Or less, down to this, where members are usually quicker."
)
@click.option(
    "--steps", metavar="LEAST..MOST", help="Local steps by each member's pace and link  [default: as the params say]"
)
@click.option(
    "--exchange-share",
    metavar="SHARE",
    default="0.1",
    show_default=True,
    help="With --steps: the exchange takes at most so much of a round; 0.3 where members train ahead.",
)
@click.option(
    "--guard", metavar="SHARE", default="0", help="A member objects to a sum that raises its held-back loss so much."
)
@click.option("--dry-run", is_flag=True, help="Try it here over mock rows of every offer, and say nothing.")
@json_option
def run(
    *,
    home: Path,
    agreement: str,
    recipe: str | None,
    recipe_folder: Path | None,
    rounds: int,
    params: tuple[str, ...],
    inputs: tuple[str, ...],
    offers: tuple[str, ...],
    minimum: int | None,
    threshold: int | None,
    purpose: str,
    title: str,
    round_seconds: int,
    least_seconds: int | None,
    steps: str | None,
    exchange_share: str,
    guard: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Plan a run. It commands nobody: each zone checks it and joins, or declines with its reason."""
    if (recipe is None) == (recipe_folder is None):
        raise Malformed("option-form", "expected either --recipe or --recipe-folder")
    session = open_session(home)
    state = session.state()
    wish = Wish(
        agreement=find_id(state.charter.agreements, agreement, "agreement"),
        recipe=recipe or "",
        archive=None if recipe_folder is None else pack_folder(recipe_folder),
        rounds=rounds,
        title=title,
        purpose=purpose,
        params=dict(read_pair(text) for text in params),
        inputs={name: parse_digest(value) for name, value in (read_pair(text) for text in inputs)},
        offers=tuple(find_id(state.zones.offers, offer, "offer") for offer in offers),
        minimum=minimum or 0,
        threshold=threshold or 0,
        round_s=round_seconds,
        least_s=least_seconds or 0,
        steps=None if steps is None else _range(steps),
        exchange_share=_share("--exchange-share", exchange_share),
        guard=_share("--guard", guard),
    )
    if dry_run:
        _rehearse(session, wish, as_json=as_json)
        return
    said = plan_run(session, wish)
    plan = said.state.runs.plans[said.id].plan
    text = (
        f"Planned, entry {said.index}, run {short(said.id)}: {count(len(plan.offers), 'member')} invited, "
        f"{count(plan.rounds, 'round')} of {count(plan.length, 'value')}, sums of at least {plan.minimum}."
    )
    emit({"run": said.id, "entry": said.index, "invited": sorted(plan.offers)}, text, as_json=as_json)


@click.command("input")
@home_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--text", "is_text", is_flag=True, help="Public texts, joined to one array; otherwise one model.")
@json_option
def input_(home: Path, files: tuple[Path, ...], *, is_text: bool, as_json: bool) -> None:
    """Bring a public model or texts to the center, for plans to name with ``--input``; everybody can read it."""
    model = text_model(files) if is_text else read_input(files)
    digest, size_bytes = put_input(open_session(home), model)
    text = f"{digest}\n{format_bytes(size_bytes)}. Name it in a plan: --input NAME=DIGEST"
    emit({"digest": digest, "size_bytes": size_bytes}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("run")
@click.option("--title", default="", help="One line for people  [default: the run's title]")
@click.option("--license", "license_", default="Apache-2.0", show_default=True, help="SPDX expression.")
@click.option("--text", default="", help="A paragraph for the model's card.")
@json_option
def release(home: Path, run: str, title: str, license_: str, text: str, *, as_json: bool) -> None:
    """Release the model that RUN agreed on, with every member's evaluation."""
    session = open_session(home)
    id_ = find_id(session.state().runs.plans, run, "run")
    done = release_model(session, ReleaseWish(run=id_, title=title, license=license_, text=text))
    said = f"Released, entry {done.said.index}: model {done.model}, {format_bytes(done.size_bytes)}."
    value = {"release": done.said.id, "entry": done.said.index, "model": done.model, "size_bytes": done.size_bytes}
    emit(value, said, as_json=as_json)


def _rehearse(session: Session, wish: Wish, *, as_json: bool) -> None:
    state = session.state()
    with open_recipe(session, wish) as (recipe, code):
        plan = make_plan(state, wish, recipe, code)
        offers = {MemberId(member): state.zones.offers[id_].body for member, id_ in plan.offers.items()}
        shown = rehearse(plan, recipe, offers)
    text = (
        f"Nothing was said. {count(len(offers), 'member')} with mock rows, {count(plan.rounds, 'round')} of "
        f"{count(shown.length, 'value')}: {format_bytes(max(shown.upload_bytes))} from each member in a round; "
        f"a contribution takes {shown.slowest_s:.3f} s here, all {sum(shown.round_s):.3f} s."
    )
    if shown.clipped:
        text += f"\n{count(shown.clipped, 'value')} were beyond what the codec can send, and were cut."
    counts = {member: dict(counts) for member, counts in shown.counts.items()}
    value = {
        "members": sorted(offers),
        "rounds": plan.rounds,
        "length": shown.length,
        "upload_bytes": list(shown.upload_bytes),
        "round_s": list(shown.round_s),
        "slowest_s": shown.slowest_s,
        "clipped": shown.clipped,
        "counts": counts,
    }
    emit(value, text, as_json=as_json)


def _range(text: str) -> tuple[int, int]:
    least, dots, most = text.partition("..")
    if not (dots and least.isdecimal() and most.isdecimal()):
        raise Malformed("option-form", f"expected --steps LEAST..MOST such as 20..200, got {text!r}")
    return int(least), int(most)


def _share(option: str, text: str) -> Fraction:
    if not _SHARE.fullmatch(text):
        raise Malformed("option-form", f"expected {option} as a share such as 0.1, got {text!r}")
    return Fraction(text)


def read_pair(text: str) -> tuple[str, str]:
    """A setting as people type it.

    Raises:
        Malformed: it is not ``NAME=VALUE``.

    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Malformed("option-form", f"expected NAME=VALUE, got {text!r}")
    return name, value
