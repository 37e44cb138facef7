"""``serai data``: look at one's own data, see whether everybody's fit together, make mock rows."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np

from serai.agent.settings import load_settings
from serai.agent.summary import ColumnSummary, summarise
from serai.agent.vault import Vault
from serai.cli.output import count, emit, emit_table, home_option, json_option, printable
from serai.client.find import find_id
from serai.client.mock import mock_table, write_mock, zone_table
from serai.client.planning import Wish, choose_offers
from serai.client.voice import open_session
from serai.errors import Malformed
from serai.kernel.ids import MemberId
from serai.kernel.records import to_json
from serai.zones.schemas import Difference, find_differences

_SHOWN_LEVELS = 8


@click.command()
@home_option
@click.argument("dataset")
@json_option
def show(home: Path, dataset: str, *, as_json: bool) -> None:
    """Read DATASET as an offer would, and show what it holds. Nothing leaves this machine."""
    found = summarise(Vault(load_settings(home)), dataset)
    if as_json:
        columns = [{name: getattr(one, name) for name in ColumnSummary.__dataclass_fields__} for one in found.columns]
        emit({"rows": found.rows, "subjects": found.subjects, "columns": columns}, "", as_json=True)
        return
    about = "" if found.subjects is None else f", about {count(found.subjects, 'subject')}"
    click.echo(f"{count(found.rows, 'row')}{about}")
    rows = [
        {"column": one.name, "kind": one.kind, "unit": one.unit, "missing": one.missing, "values": _values(one)}
        for one in found.columns
    ]
    if rows:
        emit_table(rows, ("column", "kind", "unit", "missing", "values"), as_json=False)


@click.command()
@home_option
@click.option("--agreement", required=True, metavar="ID", help="The agreement to which the offers are granted.")
@click.option("--columns", default="", help="Look at these only, with commas between them  [default: all]")
@click.option("--offer", "offers", multiple=True, help="Use this offer; repeatable  [default: every one granted]")
@json_option
def match(*, home: Path, agreement: str, columns: str, offers: tuple[str, ...], as_json: bool) -> None:
    """Say in what the offered columns differ between members; the exit status is 1 if they do."""
    state = open_session(home).state()
    wish = Wish(
        agreement=find_id(state.charter.agreements, agreement, "agreement"),
        offers=tuple(find_id(state.zones.offers, offer, "offer") for offer in offers),
        rounds=1,
    )
    chosen = choose_offers(state, wish)
    described = {MemberId(member): state.zones.offers[id_].body.columns for member, id_ in chosen.items()}
    wanted = tuple(name.strip() for name in columns.split(",") if name.strip())
    found = find_differences(described, wanted)
    told = [{"column": one.column, "aspect": one.aspect, "said": to_json(one.said)} for one in found]
    emit({"members": sorted(chosen), "differences": told}, "\n".join(_report(found, len(chosen))), as_json=as_json)
    sys.exit(1 if found else 0)


@click.command()
@home_option
@click.argument("offer")
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=1000, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="What they are drawn from.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A file: .csv, or .parquet."
)
@json_option
def mock(*, home: Path, offer: str, rows: int, seed: int, out: Path, as_json: bool) -> None:
    """Write mock rows of the schema of OFFER, and print the table of zone.toml that reads them."""
    state = open_session(home).state()
    body = state.zones.offers[find_id(state.zones.offers, offer, "offer")].body
    if not body.columns:
        raise Malformed("offer-columns", "the offer describes no columns; a text has none")
    table = mock_table(body.columns, rows, np.random.Generator(np.random.PCG64(seed)))
    write_mock(table, body.columns, out)
    toml = zone_table(body.columns, body.title, out)
    emit({"file": str(out), "rows": rows, "zone_toml": toml, "columns": to_json(body.columns)}, toml, as_json=as_json)


def _values(one: ColumnSummary) -> str:
    if one.kind == "category":
        shown = [f"{printable(level)}: {number}" for level, number in list(one.counts.items())[:_SHOWN_LEVELS]]
        more = len(one.counts) - len(shown)
        return ", ".join(shown) + (f" and {count(more, 'level')} more" if more else "")
    if one.least is None:
        return "none"
    outside = f"; {one.outside} outside the public bounds" if one.outside else ""
    return f"{one.least:g} to {one.greatest:g}{outside}"


def _report(found: Iterable[Difference], members: int) -> list[str]:
    lines = []
    for one in found:
        by_text: dict[str, list[str]] = {}
        for member, text in one.said.items():
            by_text.setdefault(text, []).append(member)
        said = "; ".join(f"{printable(text)} at {', '.join(names)}" for text, names in by_text.items())
        lines.append(f"{printable(one.column)}, {one.aspect}: {said}")
    return lines or [f"The columns of {count(members, 'member')} fit."]
