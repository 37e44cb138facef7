"""A federation whose members speak to the center over HTTP, and are lied to on the center's side.

    with ServedFederation(folder, tables) as bloc:
        bloc.found()
        bloc.deceive("lima", see_through(Garbling))  # now the center garbles what it sends to lima

The application, its server, the signed requests and the members' client are the
real ones, on a socket of the loopback. Each member is served by a face of the
center of its own: told apart by the key that signed the request, as a center that
tells members different things would. What the center heard from each is kept.
"""

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from serai.agent.app import Follower
from serai.agent.runner import Runner
from serai.center.app import claim_port, http_server, loop_factory, until_it_answers
from serai.center.routes import Desk, create_app
from serai.center.service import NewsSizes
from serai.center.settings import CenterSettings
from serai.center.uploads import Intake
from serai.errors import SeraiError
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role, key_id
from serai.storage.blobs import FileBlobs
from serai.storage.partials import PartialUploads
from serai.storage.tile_files import TileFiles
from serai.testing.federation import ORIGIN, Federation, Member, Rows
from serai.transport.client import HttpCenter
from serai.transport.connection import Dialing
from serai.transport.port import Center, Health, News

MAX_BLOB_BYTES: Final = 2**26
_KEY: Final = re.compile(rb'keyid="([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as the center received it."""

    method: str
    path: str
    body: bytes


class ServedFederation(Federation):
    """A bloc with a network between the members and the center.

    Args:
        folder: where center and members keep their files.
        tables: each member's rows.
        preset: the articles of the charter.

    Attributes:
        heard: what the center received from each member, in order.
        url: where it answers.

    """

    def __init__(self, folder: Path, tables: Mapping[str, Rows], preset: str = "consensus") -> None:
        self._faces = {MemberId(name): _Face(self, folder / "shown" / name) for name in tables}
        self.heard: dict[MemberId, list[Heard]] = {name: [] for name in self._faces}
        self._spool = folder / "spool"
        self.url = ""
        self._made: list[Member] = []
        super().__init__(folder, tables, preset)
        self._door = _Door(self._apps(), self.heard, self._keys_of())
        self.url = self._door.url
        for name in self.members:
            self.restart(name)

    def __enter__(self) -> Self:
        """Use as ``with ServedFederation(...) as bloc``."""
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close the server, and every file and connection: many blocs follow each other in one process of tests."""
        self._door.close()
        for member in self._made:
            if isinstance(member.zone.center, HttpCenter):
                member.zone.center.close()
            member.zone.journal.close()
            member.zone.mirror.close()
        self.center_parts.store.close()

    def address(self, member: str) -> str:
        """Where a member dials the center."""
        del member
        return self.url

    def client(self, member: str) -> HttpCenter:
        """The center as a member's programs dial it."""
        return HttpCenter(self.address(member), self.signer(member, Role.ZONE), MemberId(member), Dialing(backoff_s=()))

    def _build_member(self, name: MemberId) -> Member:
        member = super()._build_member(name)
        if self.url:  # the keys of all must be known before anybody is served
            self._faces[name].center = member.zone.center
            zone = replace(member.zone, center=self.client(name))
            member = Member(zone, Follower(zone), Runner(zone))
        self._made.append(member)
        return member

    def _apps(self) -> dict[MemberId, FastAPI]:
        return {
            name: create_app(
                Desk(
                    service=face,  # type: ignore[arg-type]  # what the routes use of a service, and no more
                    tiles=TileFiles(self.folder / "center" / "public"),
                    intake=Intake(face.blobs, PartialUploads(self._spool / name, MAX_BLOB_BYTES, time.time)),
                    max_blob_bytes=MAX_BLOB_BYTES,
                    now_s=time.time,
                )
            )
            for name, face in self._faces.items()
        }

    def _keys_of(self) -> dict[KeyId, MemberId]:
        return {key_id(self.signer(name, Role.ZONE).public): name for name in self._faces}


class _Face:
    """What ``serai.center.routes`` asks of a service, answered by a center that may lie."""

    def __init__(self, bloc: Federation, folder: Path) -> None:
        self._bloc = bloc
        self.center: Center
        self.log = self  # whose subscribers are told nothing: members of a federation do not wait
        self.blobs: Any = _FaceBlobs(self, bloc, folder)

    def keys(self, key: KeyId) -> bytes | None:
        return self._bloc.center_parts.replay.find_key(key)

    def subscribe(self, _told: object) -> None:
        pass

    def news_sizes(self) -> NewsSizes:
        return NewsSizes(0, 0)

    def is_urgent(self) -> bool:
        return False

    def has_news(self, _size: int, _witnessed: int) -> bool:
        return True

    def read_news(self, size: int, witnessed: int) -> News:
        return self.center.news(size, witnessed, 0)

    def hand_in(self, entry: bytes) -> Future[int]:
        index: Future[int] = Future()
        try:
            index.set_result(self.center.submit(entry))
        except SeraiError as error:
            index.set_exception(error)
        return index

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        self.center.cosign(member, line, size)

    def health(self) -> Health:
        return self.center.health()


class _FaceBlobs:
    """The center's blobs, read through the center that may lie."""

    def __init__(self, face: _Face, bloc: Federation, folder: Path) -> None:
        self._face = face
        self._bloc = bloc
        self._folder = folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    @property
    def _blobs(self) -> FileBlobs:
        return self._bloc.center_parts.blobs

    def read_range(self, digest: Digest, offset: int, length: int) -> bytes:
        return self._face.center.read_blob(digest, offset, length)

    def path(self, digest: Digest) -> Path:
        """A file with what this member is shown under a digest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / digest
        path.write_bytes(self.read_range(digest, 0, self._blobs.size(digest)))
        return path


class _Door:
    """One server for all members: each request goes to the application of whose key signed it."""

    def __init__(
        self, apps: Mapping[MemberId, FastAPI], heard: Mapping[MemberId, list[Heard]], names: Mapping[KeyId, MemberId]
    ) -> None:
        self._apps, self._heard, self._names = apps, heard, names
        self._ready = threading.Event()
        self.url = ""
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._thread.start()
        if not self._ready.wait(30) or not self.url:
            raise RuntimeError("the server of this federation did not start")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        header = dict(scope["headers"]).get(b"signature-input", b"")
        found = _KEY.search(header)
        name = self._names.get(KeyId(found[1].decode())) if found else None
        member = name or next(iter(self._apps))
        await self._apps[member](scope, self._listening(member, scope, receive), send)

    def _listening(self, member: MemberId, scope: Scope, receive: Receive) -> Receive:
        """Note each request with all of its body that came."""
        heard, place = self._heard[member], len(self._heard[member])
        heard.append(Heard(scope["method"], scope["path"], b""))

        async def listen() -> Message:
            message = await receive()
            heard[place] = replace(heard[place], body=heard[place].body + message.get("body", b""))
            return message

        return listen

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            for app in self._apps.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        port = claim_port("127.0.0.1", 0)
        server = http_server(self, CenterSettings(folder=Path(), origin=ORIGIN), port)
        serving = asyncio.create_task(server.serve())
        await until_it_answers("127.0.0.1", port, serving)
        self.url = f"http://127.0.0.1:{port}"
        self._ready.set()
        await self._stop.wait()
        server.stop()  # type: ignore[no-untyped-call]  # granian annotates only some methods
        await serving

    def close(self) -> None:
        """Answer no more."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
