"""``serai recipe``: pack one's own recipe, and let somebody's run at home."""

from pathlib import Path

import click

from serai.cli.output import count, emit, home_option, json_option
from serai.cli.voice import open_session, say
from serai.kernel.ids import digest_of, parse_digest
from serai.kernel.keys import Role
from serai.recipes.archive import pack_folder, unpack
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
@json_option
def approve(home: Path, code: str, comment: str, *, as_json: bool) -> None:
    """Let the recipe with digest CODE run in this zone, as its steward, where the plan's other terms hold."""
    said = say(open_session(home), Approval(subject=parse_digest(code), comment=comment), Role.STEWARD)
    emit({"approval": said.id, "entry": said.index, "code": code}, f"Approved, entry {said.index}.", as_json=as_json)
