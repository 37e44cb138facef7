"""Builds a center from its folder and runs it until it is told to stop.

Order of life: the sequencer starts (and proves what is stored), then the
background parts, then the server. The end goes backwards: long polls are sent
home, requests under way get their answers, background parts stop, the sequencer
writes what waits, the database closes. A kill at any moment loses nothing that
was answered: see the crash order in ``serai.center.sequencer``.
"""

import asyncio
import errno
import importlib.util
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.types import ASGIApp

from serai.center.routes import Desk, create_app
from serai.center.sequencer import Sequencer
from serai.center.service import CenterService
from serai.center.settings import CenterSettings
from serai.center.uploads import Intake
from serai.errors import Misconfigured, Unavailable
from serai.kernel.envelope import Envelope
from serai.kernel.ids import KeyId
from serai.kernel.keys import Role, Signer
from serai.ledger.checkpoint import LogSigner
from serai.ledger.policy import Witnesses
from serai.storage.blobs import FileBlobs
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore
from serai.storage.partials import PartialUploads
from serai.storage.tile_files import TileFiles

READ_BUFFER_BYTES: Final = 8192 + 4096 * 100  # what a connection hands over at once; the server's own default
HEADER_TIMEOUT_MS: Final = 10_000  # to send a request's headers; who is slower holds a connection for nothing
START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 10.0  # for requests under way; senders of cut-off uploads send again
_LOG: Final = logging.getLogger("serai.center")


class Members(Protocol):
    """What the center has to know of members: their keys, as the log now says. Used from several threads."""

    def admit(self, envelope: Envelope) -> None:
        """Raise a SeraiError to keep an entry out; must verify the envelope's signature."""

    def witnesses(self) -> Witnesses:
        """Whose cosignatures count now."""

    def find_key(self, key: KeyId) -> bytes | None:
        """The raw public key of an id, if a member holds it now."""


class BackgroundPart(Protocol):
    """Something that works beside the server while the center runs, in a thread of its own."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """End; returns when it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterParts:
    """What a center is made of."""

    settings: CenterSettings
    operator: Signer
    store: LogStore
    tiles: TileFiles
    sequencer: Sequencer
    blobs: FileBlobs
    service: CenterService

    def close(self) -> None:
        """Write what waits and close the database."""
        self.sequencer.close()
        self.store.close()


Background = Callable[[CenterParts], Sequence[BackgroundPart]]


def build(settings: CenterSettings, members: Members) -> CenterParts:
    """Open or make what lies in the center's folder; nothing runs yet.

    Raises:
        Missing: the folder has no operator key.
        Misconfigured: the folder belongs to another log or key, or others can read the keys.
        Corrupt: what is stored is not what was signed.
        Unavailable: the disk is full.

    """
    operator = Keyring(settings.keys).signer(Role.OPERATOR)
    store = LogStore(settings.database)
    tiles = TileFiles(settings.public)
    log = LogSigner(settings.origin, operator)
    sequencer = Sequencer(store, tiles, log, members.admit, members.witnesses)
    blobs = FileBlobs(settings.blobs, sync=settings.sync_blobs)
    if left := blobs.sweep():
        _LOG.info("removed %d unfinished uploads of an earlier run", left)
    return CenterParts(
        settings=settings,
        operator=operator,
        store=store,
        tiles=tiles,
        sequencer=sequencer,
        blobs=blobs,
        service=CenterService(sequencer, blobs, members.find_key),
    )


def run(settings: CenterSettings, members: Members, background: Background) -> None:
    """Run a center in this process until SIGTERM or SIGINT; called on the main thread.

    Writes ``ready <url>`` to standard output once it answers, and its log to
    standard error.

    Raises:
        Misconfigured: the address is taken or unusable, or see ``build``.

    """
    logging.basicConfig(
        stream=sys.stderr, level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(settings, members, background))


async def _run(settings: CenterSettings, members: Members, background: Background) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts = build(settings, members)
    await serve(parts, background(parts), stop, lambda url: print(f"ready {url}", flush=True))  # noqa: T201


async def serve(
    parts: CenterParts, background: Sequence[BackgroundPart], stop: asyncio.Event, ready: Callable[[str], None]
) -> None:
    """Run the parts of a center until ``stop`` is set, then close them.

    Args:
        parts: from ``build``.
        background: started before the server and stopped after it, last one first.
        stop: ends it.
        ready: called with the URL once the center answers.

    Raises:
        Misconfigured: the address is taken or unusable.
        Unavailable: the server ended by itself.

    """
    started: list[BackgroundPart] = []
    try:
        port = claim_port(parts.settings.host, parts.settings.port)
        parts.sequencer.start()
        for part in background:
            part.start()
            started.append(part)
        await _serve_http(parts, port, stop, ready)
    finally:
        for part in reversed(started):
            await asyncio.to_thread(part.stop)
        await asyncio.to_thread(parts.close)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: uvloop where it is installed, for it passes bodies on faster."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def claim_port(host: str, port: int) -> int:
    """Check that an address can be listened on; the port, picked if it was 0.

    Raises:
        Misconfigured: it cannot, and why.

    """
    try:
        # The server shares its ports (SO_REUSEPORT): without this check a second center
        # would start, and each would get half of the requests.
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            return int(trial.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Misconfigured(
                "port-in-use",
                f"another program listens at {host} port {port}; stop it, or set another port in center.toml",
            ) from error
        raise Misconfigured(
            "address-unusable", f"cannot listen at {host} port {port}: {error}; set host and port in center.toml"
        ) from error


async def _serve_http(parts: CenterParts, port: int, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
    settings = parts.settings
    app = create_app(
        Desk(
            service=parts.service,
            tiles=parts.tiles,
            intake=Intake(
                parts.blobs,
                PartialUploads(settings.partials, settings.max_blob_bytes, time.time, parts.blobs.take_spare),
            ),
            max_blob_bytes=settings.max_blob_bytes,
            now_s=time.time,
        )
    )
    server = http_server(app, settings, port)
    serving = asyncio.create_task(server.serve(), name="http")
    try:
        await until_it_answers(settings.host, port, serving)
        ready(f"http://[{settings.host}]:{port}" if ":" in settings.host else f"http://{settings.host}:{port}")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if serving.done():
            raise Unavailable("server-ended", "the HTTP server ended by itself; its log says why")
    finally:
        if not serving.done():
            app.state.bell.close()
            server.stop()  # type: ignore[no-untyped-call]  # granian annotates only some methods
            await _end(serving)


def http_server(app: ASGIApp, settings: CenterSettings, port: int) -> Server:
    """A server of an application at a center's address; ``serve`` runs it on the present event loop."""
    level = LogLevels.info if settings.log_level == "debug" else LogLevels.error
    return Server(
        app,
        address=settings.host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=settings.max_requests,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=READ_BUFFER_BYTES),
        log_level=level,
        # Without handlers of its own, which would write to standard output.
        log_dictconfig={"loggers": {"_granian": {}, "granian.access": {}}},
    )


async def until_it_answers(host: str, port: int, serving: asyncio.Task[None]) -> None:
    """Wait until a server that was started can be connected to.

    Raises:
        Unavailable: it ended, or took too long.

    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not serving.done() and time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise Unavailable("server-not-started", f"the HTTP server does not answer at {host} port {port}; its log says why")


async def _end(serving: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait({serving}, timeout=STOP_TIMEOUT_S)
    if not done:
        _LOG.warning("requests still under way after %g s are cut off", STOP_TIMEOUT_S)
        serving.cancel()
