"""``serai recipe``: pack one's own recipe, let somebody's run at home, name a base model, take adapters out."""

from pathlib import Path

import click

from serai.cli import reviews
from serai.cli.output import count, emit, home_option, json_option
from serai.cli.releasing import write_adapters
from serai.client.approving import keep, review_program
from serai.client.voice import open_session, say
from serai.kernel.ids import digest_of, parse_digest
from serai.kernel.keys import Role
from serai.recipes.archive import pack_folder, unpack
from serai.recipes.base_model import open_base_model
from serai.zones.statements import Approval


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the archive here, for `tar tf`.")
@json_option
def pack(folder: Path, out: Path | None, *, as_json: bool) -> None:
    """Print the digest that a `code` term or an approval must name for FOLDER's recipe to run."""
    archive = pack_folder(folder)
    if out is not None:
        out.write_bytes(archive)
    code, files = digest_of(archive), sorted(unpack(archive))
    text = f"{code}\n{count(len(files), 'file')}, {count(len(archive), 'byte')}: {', '.join(files)}"
    emit({"code": code, "files": files, "size_bytes": len(archive)}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("code")
@click.option("--comment", default="", help="For the record, such as who read the source.")
@click.option("--yes", is_flag=True, help="Neither show nor ask, as where no terminal is.")
@json_option
def approve(home: Path, code: str, comment: str, *, yes: bool, as_json: bool) -> None:
    """Let the recipe with digest CODE run in this zone, as its steward, where the plan's other terms hold.

    At a terminal the last run that names it is shown first, as `serai review` does.
    """
    session, subject = open_session(home), parse_digest(code)
    state = session.state()
    looked = review_program(session, subject)
    is_shown = looked is not None and reviews.consent(state, looked, asks=not (yes or as_json))
    said = say(session, Approval(subject=subject, comment=comment), Role.STEWARD)
    if looked is not None:
        keep(session.settings.home, looked, said.index, shown=is_shown)
    emit({"approval": said.id, "entry": said.index, "code": code}, f"Approved, entry {said.index}.", as_json=as_json)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
def base(folder: Path, *, as_json: bool) -> None:
    """Print what a plan's base_digest must be for the base model in FOLDER, and which layers can have adapters."""
    found = open_base_model(folder)
    layers = sorted({name.rpartition(".")[2] for name in found.matrices()})
    text = f"{found.digest}\n{count(len(found.files), 'file')}; layers: {', '.join(layers)}"
    emit({"digest": found.digest, "files": found.files, "layers": layers}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("run")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
@json_option
def adapters(home: Path, run: str, out: Path, *, as_json: bool) -> None:
    """Write the adapters that RUN of the recipe lora trained as a folder that the library peft takes up."""
    model = write_adapters(open_session(home), run, out)
    emit({"model": model, "folder": str(out)}, f"The adapters of model {model} are in {out}.", as_json=as_json)
