"""``serai center adopt, zone appoint, zone follow``: another center takes the log over, whatever became of the old one."""

import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import urllib3
from urllib3.exceptions import HTTPError

from serai.agent.mirror import Heir, name_heir
from serai.agent.session import MIRROR_FILE
from serai.agent.settings import load_settings
from serai.center.main import start as start_center
from serai.charter.statements import OperatorAppoint
from serai.cli.adopting import (
    APPOINTMENT_FILE,
    MAX_SURPLUS_BYTES,
    SURPLUS,
    NewAddress,
    begin,
    open_center,
    read_appointment,
    show_appointment,
    surplus_of,
)
from serai.cli.adopting import (
    appoint as sign_appointment,
)
from serai.cli.output import emit, home_option, json_option
from serai.errors import Malformed, Missing, Refused, Unavailable
from serai.kernel.canonical import canonical
from serai.kernel.envelope import MAX_ENTRY_BYTES
from serai.kernel.records import to_json
from serai.storage.log import LogStore
from serai.transport.published import TIMEOUT_S, PublicFiles
from serai.transport.serving import SmallServer

_PORT: Final = 8787
_POLL_S: Final = 0.5  # between looks at the folder for signatures that people put there


@click.command()
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), required=True, help="The new center's folder, empty."
)
@click.option(
    "--zone",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SERAI_HOME",
    required=True,
    help="This member's zone.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=_PORT, show_default=True, help="Port to listen on.")
@click.option("--url", help="Where members will find it  [default: http://HOST:PORT]")
@click.option("--origin", default="", help="The new log's own name  [default: the first one's, and a number]")
def adopt(*, home: Path, zone: Path, host: str, port: int, url: str | None, origin: str) -> None:
    """Raise a center from this member's mirror, gather the others' signatures, and run it.

    Members sign with `serai zone appoint`, over the network or by files put into the folder `signatures`.
    Stopped before there are enough, the same command goes on from there.
    """
    where = NewAddress(host=host, port=port, url=url or f"http://{host}:{port}", origin=origin)
    adoption = begin(home, zone, where)
    click.echo(show_appointment(adoption.body), err=True)
    click.echo(f"appointment {where.url}/{APPOINTMENT_FILE}")
    with SmallServer(host, port, adoption.handle, MAX_SURPLUS_BYTES):
        while not adoption.is_complete:
            time.sleep(_POLL_S)
            adoption.take_files()
        open_center(adoption)
    start_center(home)


@click.command()
@home_option
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the signature to a file instead.")
@json_option
def appoint(home: Path, source: str, out: Path | None, *, as_json: bool) -> None:
    """Sign that the center at SOURCE, an address or its appointment.json, takes the log over.

    From then on this zone follows no other center. It refuses where the appointment leaves out anything
    that this member's mirror holds.
    """
    if urlsplit(source).scheme in {"http", "https"} and out is None:
        body, said = _sign_until_open(home, source.rstrip("/"))
    elif out is not None:
        body = read_appointment(Path(source).read_bytes()[:MAX_ENTRY_BYTES])
        out.write_bytes(sign_appointment(home, body, None))
        said = f"The signature lies in {out}: put it into the folder `signatures` of the new center."
    else:
        raise Malformed("appointment-out", "where to? give --out for a file, or the address of the new center")
    emit({"size": body.size, "url": body.url}, f"{show_appointment(body)}\n{said}", as_json=as_json)


def _sign_until_open(home: Path, url: str) -> tuple[OperatorAppoint, str]:
    """Sign what the center at an address shows, again where it begins again with a longer log, until it opens."""
    signed, said = None, ""
    public = PublicFiles(url)
    while True:
        try:
            body = read_appointment(public.read(APPOINTMENT_FILE))
        except (Missing, Unavailable):
            if signed is None:
                raise
            return signed, f"The center has {said} signatures, and opens."
        if body.url.rstrip("/") != url:
            raise Refused("appointment-elsewhere", f"{url} shows the appointment of a center at {body.url}; ask there")
        if body != signed:
            said = _sign_once(home, url, body) or said
            signed = body if said else None
        time.sleep(_POLL_S)


def _sign_once(home: Path, url: str, body: OperatorAppoint) -> str:
    """Send a signature, or what the appointment leaves out; the answer, "" where it has to be asked for anew."""
    try:
        try:
            return _post(f"{url}/signatures", sign_appointment(home, body, PublicFiles(url)))
        except Refused as error:
            if error.code != SURPLUS:
                raise
        _post(f"{url}/surplus", canonical(to_json(surplus_of(home, body))))
    except Refused:
        if read_appointment(PublicFiles(url).read(APPOINTMENT_FILE)) == body:
            raise
    return ""  # it begins again, with this member's surplus or somebody else's


@click.command()
@home_option
@click.argument("url")
@json_option
def follow(home: Path, url: str, *, as_json: bool) -> None:
    """Follow the center at URL as soon as it shows that members have appointed it; until then, the present one."""
    settings = load_settings(home)
    name_heir(LogStore(settings.home / MIRROR_FILE), Heir(url=url.rstrip("/"), is_appointed=False))
    emit({"url": url}, f"{settings.member} follows {url} once it shows its appointment.", as_json=as_json)


def _post(url: str, entry: bytes) -> str:
    pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT_S)
    try:
        answer = pool.request("POST", url, body=entry, preload_content=False)
        said = answer.read(4096).decode(errors="replace").strip()
    except HTTPError as error:
        raise Unavailable("center-unreachable", f"nobody answers at {url}: {error}") from error
    if answer.status != 200:
        raise Refused("signature-refused", f"{url} answers {answer.status}: {said}")
    return said
