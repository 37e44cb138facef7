"""``serai log bundle, take, exit, proof, policy, evidence, withheld, receipts``: the log by hand, and proof."""

import contextlib
import tempfile
import time
from pathlib import Path

import click

from serai.agent.bundles import Bundle, TileSource, publish, write_bundle
from serai.agent.handover import wanted_blobs
from serai.agent.mirror import Mirror
from serai.agent.receipts import MAX_EVIDENCE_BYTES, judge_offline, parse_evidence
from serai.agent.session import Session, open_mirror
from serai.agent.settings import load_settings
from serai.cli.leaving import policy as policy_text
from serai.cli.leaving import prove, write_exit
from serai.cli.output import count, emit, emit_table, home_option, json_option
from serai.cli.withholding import finding_value, told_finding, withheld_rows
from serai.client.voice import open_session
from serai.errors import Malformed, Missing, Unavailable
from serai.ledger.checkpoint import parse_checkpoint
from serai.ledger.note import parse_note
from serai.ledger.proof import parse_proof
from serai.ledger.trust_policy import MAX_POLICY_BYTES, parse_policy
from serai.storage.blobs import FileBlobs
from serai.storage.tile_files import TileFiles


def _mirror(session: Session) -> Mirror:
    """The zone's mirror, with the newest witnessed checkpoint if the center answers."""
    with contextlib.suppress(Unavailable):
        session.mirror.follow(session.center, session.mirror.view.witnessed_size, 0)
    return session.mirror


_out = click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to write it.")
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))


@click.command()
@home_option
@_out
@json_option
def bundle(home: Path, out: Path, *, as_json: bool) -> None:
    """Write the mirrored log, and the blobs that its runs need, into one file to carry."""
    session = open_session(home)
    mirror = _mirror(session)
    view = write_bundle(out, mirror, FileBlobs(home / "blobs"), wanted_blobs(mirror.view.state))
    text = f"{out} holds {count(view.size, 'entry', 'entries')}, {view.witnessed_size} of them witnessed."
    emit({"entries": view.size, "witnessed": view.witnessed_size}, text, as_json=as_json)


@click.command()
@home_option
@_file
@json_option
def take(home: Path, file: Path, *, as_json: bool) -> None:
    """Verify the bundle FILE and take what is new in it; an agent that runs goes on from there."""
    settings = load_settings(home)
    mirror = open_mirror(settings)
    before, blobs = mirror.view, FileBlobs(settings.home / "blobs")
    with Bundle(file) as found:
        source = TileSource(found.read)
        head = parse_checkpoint(parse_note(found.read("head").decode()).text)
        if head.origin == mirror.key_after(before.state).name:
            view = mirror.follow(source, before.witnessed_size, 0)
        else:
            view = mirror.succeed(source)
        wanted = wanted_blobs(view.state)
        taken = [blob for blob in found.blobs() if blob in wanted and not blobs.has(blob)]
        for blob in taken:
            found.copy_blob(blob, blobs)
    new = view.size - before.size
    text = (
        f"{count(new, 'new entry', 'new entries')} and {count(len(taken), 'blob')} taken; {view.size} entries are here."
    )
    emit({"new": new, "entries": view.size, "witnessed": view.witnessed_size, "blobs": taken}, text, as_json=as_json)


@click.command(name="exit")
@home_option
@_out
@json_option
def exit_(home: Path, out: Path, *, as_json: bool) -> None:
    """Write what this member said, with proof, and what binds it still, into a folder that anybody can check."""
    session = open_session(home)
    left = write_exit(out, _mirror(session), session.settings.member)
    text = (
        f"{out} holds {count(left.statements, 'statement')} with proof, under a witnessed log of {left.size} entries."
    )
    emit({"statements": left.statements, "entries": left.size}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("entry", type=click.IntRange(min=0))
@_out
@json_option
def proof(home: Path, entry: int, out: Path, *, as_json: bool) -> None:
    """Prove to somebody outside that ENTRY is in the log (c2sp.org/tlog-proof)."""
    mirror = _mirror(open_session(home))
    with tempfile.TemporaryDirectory() as folder:
        tiles = TileFiles(Path(folder))
        found = prove(publish(tiles, mirror), tiles, entry)
    out.write_text(found.encode(), encoding="utf-8")
    (out.with_suffix(".json")).write_bytes(mirror.entries(entry, entry + 1)[0])
    text = f"{out} proves the entry in {out.with_suffix('.json')} to whoever has `serai log policy`."
    emit({"entry": entry, "proof": str(out)}, text, as_json=as_json)


@click.command()
@_file
@click.option("--entry", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True, help="The entry.")
@click.option(
    "--policy", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True, help="Whom to believe."
)
@click.option("--max-age-s", type=click.IntRange(1), help="Count cosignatures of the last so many seconds only.")
@json_option
def verify(file: Path, entry: Path, policy: Path, max_age_s: int | None, *, as_json: bool) -> None:
    """Check the proof FILE of an entry against a policy, without a center or a zone."""
    found = parse_proof(_text(file))
    found.check(entry.read_bytes())
    checkpoint, times = parse_policy(_text(policy)).open(found.note, int(time.time()) - max_age_s if max_age_s else 0)
    text = (
        f"Entry {found.index} is in {checkpoint.origin}, of {checkpoint.size} entries, cosigned by {', '.join(times)}."
    )
    value = {"entry": found.index, "origin": checkpoint.origin, "size": checkpoint.size, "cosigned_s": times}
    emit(value, text, as_json=as_json)


@click.command()
@home_option
@click.option("--by-group", is_flag=True, help="Ask for a majority of each constituency as well.")
@json_option
def policy(home: Path, *, by_group: bool, as_json: bool) -> None:
    """Print the bloc's policy: its log, its witnesses, their quorum (c2sp.org/tlog-policy)."""
    session = open_session(home)
    state = _mirror(session).view.state
    if not state.charter.in_force:
        raise Missing("charter-unsigned", "no charter is in force yet; the founders sign it first")
    text = policy_text(state, session.mirror.key_after(state), session.address, by_group=by_group)
    emit({"policy": text}, text.rstrip("\n"), as_json=as_json)


@click.command()
@home_option
@json_option
def evidence(home: Path, *, as_json: bool) -> None:
    """Show why this zone halted: the signed checkpoints that disagree, for anybody to check."""
    settings = load_settings(home)
    found = open_mirror(settings).evidence
    if found is None:
        emit({"fork": None}, "No fork is known: every checkpoint that came fits this mirror.", as_json=as_json)
        return
    text = "\n".join([f"{found['reason']}.", *(f"\n{note.rstrip()}" for note in found["notes"])])
    emit({"fork": found}, text, as_json=as_json)


@click.command()
@home_option
@json_option
def withheld(home: Path, *, as_json: bool) -> None:
    """Show the statements that the center did not show, as this zone knows of them and as the log has receipts."""
    session = open_session(home)
    mirror = _mirror(session)
    rows = withheld_rows(home, mirror)
    emit_table(rows, ("statement", "author", "kind", "receipts", "answers", "so"), as_json=as_json)


@click.command()
@home_option
@_file
@json_option
def receipts(home: Path, file: Path, *, as_json: bool) -> None:
    """Check FILE, a withheld statement with its receipts, against this zone's mirror; asks nobody."""
    mirror = open_mirror(load_settings(home))
    with file.open("rb") as opened:
        evidence = parse_evidence(opened.read(MAX_EVIDENCE_BYTES + 1))
    found = judge_offline(evidence, mirror)
    emit(finding_value(found), told_finding(found), as_json=as_json)


def _text(path: Path) -> str:
    data = path.read_bytes()
    if len(data) > 2 * MAX_POLICY_BYTES:
        raise Malformed("file-too-large", f"{path} has {len(data)} bytes; it is some other file")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("file-encoding", f"{path}: expected UTF-8 text") from error
