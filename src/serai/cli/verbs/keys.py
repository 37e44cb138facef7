"""``serai keys``: make, replace and revoke keys, and sign what only a root key may say."""

from pathlib import Path

import click

from serai.agent.session import Session, read_charter
from serai.charter.keys import RecoveryStage
from serai.charter.statements import CharterAdopt, KeyRevoke, MemberAccede, MemberWithdraw, RecoveryObject
from serai.cli import keys
from serai.cli.output import count, emit, emit_table, home_option, json_option, short
from serai.client.find import find_id
from serai.client.voice import open_session
from serai.errors import Malformed
from serai.kernel.extras import ExtraSignature
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role, Suite, key_id
from serai.kernel.statement import Body
from serai.storage.keyring import Keyring
from serai.storage.request_files import read_request, write_request
from serai.storage.tokens import make_token_key

_keys_option = click.option(
    "--keys",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder with the keys; on a zone's machine, keys in its home.",
)
_out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to write the requests; the current folder if not given.",
)
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@click.argument("role", type=click.Choice([role.value for role in Role if role is not Role.OPERATOR]))
@_keys_option
@click.option(
    "--suite",
    type=click.Choice([suite.value for suite in Suite]),
    default=Suite.ED25519.value,
    help="What the charter takes.",
)
@click.option("--module", help="The PKCS #11 library of a hardware token, to make the key in it.")
@click.option("--token", help="The label of that token.")
@click.option(
    "--pin-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with its user PIN, for the owner alone.",
)
@json_option
def new(
    *, role: str, folder: Path, suite: str, module: str | None, token: str | None, pin_file: Path | None, as_json: bool
) -> None:
    """Make a key for ROLE: the first one in the folder, or the next one beside the one in use."""
    if role == Role.WITNESS and suite != Suite.ED25519:
        raise Malformed("witness-suite", f"a witness key is {Suite.ED25519}: cosignatures have no other form")
    keyring = Keyring.create(folder, ())
    if module and token and pin_file:
        pin = pin_file.read_text(encoding="utf-8").strip()
        made = make_token_key(module, token, pin_file.resolve(), pin, f"serai-{role}")
        public = keyring.prepare_in_token(Role(role), made, Suite(suite)).public
    elif module or token or pin_file:
        raise Malformed("token-options", "a key in a token takes --module, --token and --pin-file, all three")
    elif Role(role) in keyring.roles:
        public = keyring.prepare(Role(role), Suite(suite)).public
    else:
        public = Keyring.create(folder, [Role(role)], Suite(suite)).signer(Role(role)).public
    emit(
        {"role": role, "public": public.hex(), "key": key_id(public)},
        f"The {role} key is made. Its public key is\n{public.hex()}\nwith key id {key_id(public)}.",
        as_json=as_json,
    )


@click.group()
def request() -> None:
    """Write what only a root key may say, as files to sign with `serai keys sign`."""


@request.command()
@home_option
@click.option("--root", "roots", multiple=True, help="A next root key, as hex; repeatable: all of them, or none.")
@click.option("--root-threshold", type=click.IntRange(min=1), help="How many root keys must say the same from then on.")
@_out_option
@json_option
def rotate(home: Path, roots: tuple[str, ...], root_threshold: int | None, out: Path, *, as_json: bool) -> None:
    """Ask for the member's next set of keys: every next key that lies in its home."""
    session = open_session(home)
    member = MemberId(session.settings.member)
    publics = keys.parse_keys(roots)
    _ask(session, keys.next_keys(session.state(), session.keys, member, publics, root_threshold), out, as_json=as_json)


@request.command()
@home_option
@click.argument("key")
@click.option("--from-index", type=click.IntRange(min=0), required=True, help="The first log entry that is disputed.")
@click.option("--reason", required=True, help="Why, for the record.")
@_out_option
@json_option
def revoke(home: Path, key: str, from_index: int, reason: str, out: Path, *, as_json: bool) -> None:
    """Ask that the member's KEY end at once, because somebody else may have it."""
    session = open_session(home)
    known = session.state().charter.keys
    id_ = KeyId(find_id([Digest(id_) for id_ in known], key, "key"))
    _ask(session, KeyRevoke(key=id_, from_index=from_index, reason=reason), out, as_json=as_json)


@request.command(name="object")
@home_option
@click.argument("proposal")
@click.option("--reason", required=True, help="Why, for the record.")
@_out_option
@json_option
def object_(home: Path, proposal: str, reason: str, out: Path, *, as_json: bool) -> None:
    """Ask to stop PROPOSAL, by which the others give this member new keys."""
    session = open_session(home)
    id_ = find_id(session.state().charter.recoveries, proposal, "recovery")
    _ask(session, RecoveryObject(proposal=id_, reason=reason), out, as_json=as_json)


@request.command()
@home_option
@_out_option
@json_option
def adopt(home: Path, out: Path, *, as_json: bool) -> None:
    """Ask for the member's signature under the founding charter that its zone has pinned."""
    session = open_session(home)
    _ask(session, CharterAdopt(charter=read_charter(session.settings)), out, as_json=as_json)


@request.command()
@home_option
@click.argument("proposal")
@_out_option
@json_option
def accede(home: Path, proposal: str, out: Path, *, as_json: bool) -> None:
    """Ask to accept the charter as it stands, invited by PROPOSAL."""
    session = open_session(home)
    id_ = find_id(session.state().charter.proposals, proposal, "proposal")
    _ask(session, MemberAccede(accession=id_), out, as_json=as_json)


@request.command()
@home_option
@click.option("--reason", required=True, help="Why, for the record.")
@_out_option
@json_option
def leave(home: Path, reason: str, out: Path, *, as_json: bool) -> None:
    """Ask to leave the center."""
    _ask(open_session(home), MemberWithdraw(reason=reason), out, as_json=as_json)


@click.command()
@_file
@_keys_option
@click.option("--yes", is_flag=True, help="Sign without asking; what is signed is shown all the same.")
@json_option
def sign(file: Path, folder: Path, *, yes: bool, as_json: bool) -> None:
    """Show the request in FILE and sign it, into the same file; needs no network."""
    envelope = read_request(file)
    click.echo("\n".join(keys.describe(envelope)), err=True)
    if not yes:
        click.confirm("Sign this?", abort=True, err=True)
    signed = keys.sign_request_file(file, Keyring(folder))
    emit(
        {"statement": signed.id, "key": signed.signer, "file": str(file)},
        f"Signed. Bring {file} back and hand it in with: serai keys submit {file}",
        as_json=as_json,
    )


@click.command()
@_file
@home_option
@json_option
def submit(file: Path, home: Path, *, as_json: bool) -> None:
    """Hand in the signed request in FILE."""
    done = keys.submit_request(open_session(home), file)
    text = f"Said, entry {done.index}: "
    if done.is_effective:
        text += "it has taken effect."
    else:
        text += f"{count(done.said, 'root key')} said so; it takes effect when enough have."
    if done.changed:
        text += f" New keys are in use here: {', '.join(done.changed)}."
    value = {"entry": done.index, "effective": done.is_effective, "said": done.said, "changed": list(done.changed)}
    emit(value, text, as_json=as_json)


@click.command()
@_file
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def message(file: Path, out: Path) -> None:
    """Write to OUT the very bytes that the request in FILE has signed, for another program to sign."""
    out.write_bytes(read_request(file).message)
    click.echo(f"Sign {out} and attach the signature with: serai keys attach {file} SUITE:KEY SIGNATURE")


@click.command()
@_file
@click.argument("key")
@click.argument("signature", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def attach(file: Path, key: str, signature: Path) -> None:
    """Add to the request in FILE a further signature: KEY as suite:name, and the file SIGNATURE."""
    envelope = read_request(file)
    extended = envelope.with_extra(ExtraSignature(key, signature.read_bytes()))
    write_request(file, extended, keys.describe(envelope))
    click.echo(f"{file} carries {count(len(extended.extras), 'further signature')}.")


@click.command(name="list")
@home_option
@json_option
def list_(home: Path, *, as_json: bool) -> None:
    """List every member's keys, those that have ended included."""
    rows = [
        {**row, "key": row["key"] if as_json else short(row["key"])}
        for row in keys.key_rows(open_session(home).state())
    ]
    emit_table(rows, ("member", "role", "key", "suite", "since", "until", "standing"), as_json=as_json)


@click.command()
@home_option
@json_option
def disputed(home: Path, *, as_json: bool) -> None:
    """List what was said with keys that are revoked from before then, and recoveries that old keys may stop."""
    session = open_session(home)
    state = session.state()
    rows = list(keys.disputed_rows(session, state))
    if not as_json:
        for found in state.charter.recoveries.values():
            if found.stage is RecoveryStage.COOLING:
                emit(
                    None,
                    f"{found.body.member} gets new keys at log time {found.ends_ms} by {short(found.proposal)}.",
                    as_json=False,
                )
        rows = [{**row, "key": short(row["key"])} for row in rows]
    emit_table(rows, ("entry", "key", "text"), as_json=as_json)


@click.command()
@home_option
@click.argument("index", type=click.IntRange(min=0))
@json_option
def check(home: Path, index: int, *, as_json: bool) -> None:
    """Show every signature of the entry at INDEX, and whether it holds as far as this machine can tell."""
    session = open_session(home)
    rows = list(keys.signature_rows(session, session.state(), index))
    emit_table(rows, ("key", "suite", "holds"), as_json=as_json)


def _ask(session: Session, body: Body, out: Path, *, as_json: bool) -> None:
    state, member = session.state(), MemberId(session.settings.member)
    paths = keys.write_requests(out, body, keys.signers_of(state, member, body))
    names = "\n".join(f"  {path}" for path in paths)
    text = f"Written, one for each root key that may say it:\n{names}\nSign as many as the threshold asks, with: serai keys sign"
    emit({"requests": [str(path) for path in paths]}, text, as_json=as_json)
