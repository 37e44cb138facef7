"""``serai zone``: make a zone, join a center, run, offer and grant data, and stop at once."""

from pathlib import Path

import click

from serai.agent.app import run as run_agent
from serai.agent.settings import load_settings
from serai.cli import datasets
from serai.cli.founding import MEMBER_FILE, NewMember, init_zone, join_center
from serai.cli.keys import parse_keys
from serai.cli.output import emit, home_option, json_option, short
from serai.client.find import find_id
from serai.client.voice import open_session
from serai.kernel.keys import Suite


@click.command()
@home_option
@click.option("--member", required=True, help="The member's short name in the charter, such as bern.")
@click.option("--name", required=True, help="The member's full name, in its own script.")
@click.option("--jurisdiction", required=True, help="Whose law the zone is under, such as CH.")
@click.option("--group", "groups", multiple=True, help="A constituency that votes may count apart; repeatable.")
@click.option(
    "--suite",
    type=click.Choice([suite.value for suite in Suite]),
    default=Suite.ED25519.value,
    help="What the charter will take.",
)
@click.option("--root", "roots", multiple=True, help="A root key that lies elsewhere, as hex; repeatable.")
@click.option("--root-threshold", type=click.IntRange(min=1), default=1, help="How many root keys must say the same.")
@json_option
def init(
    *,
    home: Path,
    member: str,
    name: str,
    jurisdiction: str,
    groups: tuple[str, ...],
    suite: str,
    roots: tuple[str, ...],
    root_threshold: int,
    as_json: bool,
) -> None:
    """Make a zone's keys, its settings, and the record that it shows the others."""
    asked = NewMember(
        id=member,
        name=name,
        jurisdiction=jurisdiction,
        groups=groups,
        suite=Suite(suite),
        roots=parse_keys(roots),
        root_threshold=root_threshold,
    )
    record = init_zone(home, asked)
    path = home / MEMBER_FILE
    where = "the root keys lie where you made them" if roots else "keep the root key offline once the charter is signed"
    text = f"{record.name} has its keys in {home / 'keys'}: {where}.\nGive {path} to whoever founds the center."
    emit({"member": record.id, "record": str(path), "settings": str(home / "zone.toml")}, text, as_json=as_json)


@click.command()
@home_option
@click.option("--charter", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The charter to sign.")
@click.option("--center", required=True, help="Where the center answers, such as http://127.0.0.1:8470.")
@json_option
def join(home: Path, charter: Path, center: str, *, as_json: bool) -> None:
    """Check the charter, pin it, and sign it with the member's root key."""
    joined = join_center(home, charter, center)
    done = (
        "pinned; its signature: serai keys request adopt" if joined.index is None else f"signed, entry {joined.index}"
    )
    text = (
        f"The charter of {joined.charter.name} is {done}.\n"
        f"Its digest is {joined.genesis}: compare it with the other founders by another way."
    )
    emit({"genesis": joined.genesis, "entry": joined.index}, text, as_json=as_json)


@click.command()
@home_option
def start(home: Path) -> None:
    """Run the zone's agent: mirror, witness, guard and trainer, until it is told to stop."""
    run_agent(load_settings(home))


@click.command()
@home_option
@click.argument("dataset")
@json_option
def offer(home: Path, dataset: str, *, as_json: bool) -> None:
    """Describe DATASET of zone.toml to the other members, without showing it."""
    session = open_session(home)
    said = datasets.offer(session, dataset)
    text = f"{dataset} is offered, entry {said.index}, offer {short(said.id)}. Nobody can use it before you grant it."
    emit({"offer": said.id, "entry": said.index}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("offer")
@click.argument("agreement")
@click.option("--term", "terms", multiple=True, metavar="NAME=VALUE", help="A further limit; repeatable.")
@json_option
def grant(home: Path, offer: str, agreement: str, terms: tuple[str, ...], *, as_json: bool) -> None:
    """Let runs under AGREEMENT use the dataset of OFFER."""
    session = open_session(home)
    state = session.state()
    said = datasets.grant(
        session,
        find_id(state.zones.offers, offer, "offer"),
        find_id(state.charter.agreements, agreement, "agreement"),
        terms,
    )
    emit(
        {"grant": said.id, "entry": said.index},
        f"Granted, entry {said.index}, grant {short(said.id)}.",
        as_json=as_json,
    )


@click.command()
@home_option
@click.argument("statement")
@json_option
def withdraw(home: Path, statement: str, *, as_json: bool) -> None:
    """Take back an offer or a grant; its use ends at once."""
    said = datasets.withdraw(open_session(home), statement)
    emit({"entry": said.index}, f"Taken back, entry {said.index}. No run may use it from there on.", as_json=as_json)


@click.command()
@home_option
@json_option
def stop(home: Path, *, as_json: bool) -> None:
    """Pull the kill switch: the zone runs nothing until `serai zone resume`."""
    settings = load_settings(home)
    settings.stop_file.touch()
    emit({"stopped": True}, f"{settings.member} runs nothing while {settings.stop_file} exists.", as_json=as_json)


@click.command()
@home_option
@json_option
def resume(home: Path, *, as_json: bool) -> None:
    """Release the kill switch."""
    settings = load_settings(home)
    settings.stop_file.unlink(missing_ok=True)
    emit({"stopped": False}, f"{settings.member} takes part again.", as_json=as_json)
