"""``serai center``: found a center and run it."""

from pathlib import Path
from typing import Final

import click

from serai.center.main import start as start_center
from serai.charter.presets import PRESETS
from serai.cli.charters import DEFAULT_COOLING_MS, NewCenter, found_center
from serai.cli.founding import read_members
from serai.cli.output import count, emit, json_option
from serai.cli.simulations import parse_weights
from serai.kernel.keys import Suite

_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SERAI_CENTER",
    required=True,
    help="The center's folder; or set SERAI_CENTER.",
)
_PORT: Final = 8787


@click.command()
@_home
@click.option("--name", required=True, help="What people call the center.")
@click.option("--origin", required=True, help="The log's name, such as center.example/serai; it never changes.")
@click.option(
    "--member",
    "members",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A founder's member.json; repeatable.",
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="consensus",
    show_default=True,
    help="The articles to start from.",
)
@click.option("--window", type=click.IntRange(min=1), help="Seconds for every ballot, for exercises.")
@click.option("--weight", "weights", multiple=True, metavar="TABLE:MEMBER=N", help="A voting weight; repeatable.")
@click.option("--faulty", type=click.IntRange(min=0), help="Faulty witnesses to bear  [default: as many as possible]")
@click.option(
    "--suite",
    "suites",
    type=click.Choice([suite.value for suite in Suite]),
    multiple=True,
    default=[Suite.ED25519.value],
    show_default=True,
    help="What members' keys may be; repeatable.",
)
@click.option("--cooling", type=click.IntRange(min=0), help="Seconds in which old root keys may object to a recovery.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=_PORT, show_default=True, help="Port; 0 picks one.")
@json_option
def init(
    *,
    home: Path,
    name: str,
    origin: str,
    members: tuple[Path, ...],
    preset: str,
    window: int | None,
    weights: tuple[str, ...],
    faulty: int | None,
    suites: tuple[str, ...],
    cooling: int | None,
    host: str,
    port: int,
    as_json: bool,
) -> None:
    """Make the center's key, its settings, and the charter for the founders to sign."""
    founded = found_center(
        home,
        NewCenter(
            name=name,
            origin=origin,
            members=read_members(members),
            host=host,
            port=port,
            preset=preset,
            window_s=window,
            weights=parse_weights(weights),
            faulty=faulty,
            suites=tuple(Suite(suite) for suite in suites),
            cooling_ms=DEFAULT_COOLING_MS if cooling is None else cooling * 1000,
        ),
    )
    text = (
        f"The charter of {name} lies in {founded.path}, with {count(len(members), 'founder')}.\n"
        f"Its digest is {founded.genesis}.\n"
        f"Start the center, give every founder the charter, and let each run `serai zone join`."
    )
    emit({"charter": str(founded.path), "genesis": founded.genesis}, text, as_json=as_json)


@click.command()
@_home
@click.option("--host", help="Address to listen on  [default: as center.toml says]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 picks one  [default: as center.toml says]")
def start(home: Path, host: str | None, port: int | None) -> None:
    """Run the center until it is told to stop; it writes `ready URL` once it answers."""
    start_center(home, host, port)
