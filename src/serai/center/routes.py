"""The center's HTTP interface.

==============================  ======  =====================================================
GET  /health                    open    how far the log is
GET  /checkpoint                open    the latest signed note (c2sp.org/tlog-tiles)
GET  /tile/...                  open    Merkle tiles and entry bundles (c2sp.org/tlog-tiles)
GET  /news?size&witnessed       signed  what is new, waiting up to ``wait_ms`` for it
POST /entries                   signed  body: an entry; its index
POST /cosignatures              signed  a witness's cosignature of a head
GET  /blobs/{digest}            signed  a blob, or a range of it; HEAD asks whether it is there
PUT  /blobs/{digest}            signed  body: the blob; with ``Content-Range`` a piece of it
GET  /uploads/{digest}          signed  what is still to be sent of a blob that this sender began
==============================  ======  =====================================================

Signed means RFC 9421, see ``serai.transport.signatures``. Failures are problem
documents, see ``serai.transport.problems``.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import serai
from serai.center.authentication import SignedRequests, problem_response
from serai.center.bell import Bell
from serai.center.bodies import RequestBody
from serai.center.service import SUBMIT_TIMEOUT_S, CenterService, log_stalled
from serai.center.uploads import Intake, blob_too_large, parse_content_range, store_blob, store_piece
from serai.errors import Malformed, Missing, SeraiError
from serai.kernel.canonical import MAX_INT
from serai.kernel.ids import parse_digest, parse_member_id
from serai.storage.tile_files import CHECKPOINT, TileFiles
from serai.transport.port import MAX_WAIT_S, News
from serai.transport.signatures import RequestVerifier
from serai.transport.wire import CosignRequest, HealthReply, NewsReply, SubmitReply

OPEN_PATHS: Final = ("/health", "/checkpoint", "/tile/")
BLOBS: Final = "/blobs/"
THREADS: Final = 8  # for disk work: as many transfers as these progress at once, the others wait their turn
DROP_BYTES: Final = 2**33  # of a refused blob, read so that its sender, a member, gets to see the reason
DROP_S: Final = 30.0
PART_BYTES: Final = 2**22  # parts up to this size are read at once, in one hop to a thread
_PART: Final = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})")
_TILE: Final = re.compile(r"([0-9]{1,2}|entries)/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?")
_FOREVER: Final = {"cache-control": "public, max-age=604800, immutable"}

_Size = Annotated[int, Query(ge=0, le=MAX_INT)]
_WaitMs = Annotated[int, Query(ge=0, le=int(1000 * MAX_WAIT_S))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the routes work with.

    Attributes:
        service: the verbs.
        tiles: the published files of the log.
        intake: where pieces of long blobs go.
        max_blob_bytes: of one blob.
        now_s: Unix time in seconds, to tell old requests from fresh ones.

    """

    service: CenterService
    tiles: TileFiles
    intake: Intake
    max_blob_bytes: int
    now_s: Callable[[], float]


class BlobResponse(FileResponse):
    """A file or a part of it; whole files go from disk to socket without passing through Python."""

    chunk_size = 2**20  # of a part: each costs a hop to a thread and back


def create_app(desk: Desk) -> FastAPI:
    """The ASGI application; ``app.state.bell`` ends its long polls when the center stops."""
    app = FastAPI(title="serai center", version=serai.__version__, openapi_url=None, lifespan=_lifespan)
    app.state.desk = desk
    _add_log_routes(app, desk.service)
    _add_tile_routes(app, desk.tiles)
    _add_blob_routes(app, desk)
    _add_error_handlers(app)
    verifier = RequestVerifier(desk.service.keys, desk.now_s)
    app.add_middleware(SignedRequests, verifier=verifier, open_paths=OPEN_PATHS, blob_path=BLOBS)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: CenterService = app.state.desk.service
    app.state.bell = bell = Bell(service.news_sizes)
    service.log.subscribe(lambda: bell.ring(is_urgent=service.is_urgent()))
    with ThreadPoolExecutor(THREADS, "center-disk") as app.state.threads:
        yield


def _add_log_routes(app: FastAPI, service: CenterService) -> None:
    @app.get("/health", response_model=HealthReply)
    async def health() -> Response:
        said = service.health()
        return _json(HealthReply(origin=said.origin, size=said.size, witnessed=said.witnessed, software=said.software))

    @app.get("/news", response_model=NewsReply)
    async def news(request: Request, size: _Size, witnessed: _Size = 0, wait_ms: _WaitMs = 0) -> Response:
        loop, bell = asyncio.get_running_loop(), request.app.state.bell
        until = loop.time() + wait_ms / 1000
        while True:
            ring = bell.next_ring()
            left_s = until - loop.time()
            is_told = not bell.is_holding or size < bell.announced.size or witnessed < bell.announced.witnessed
            if (service.has_news(size, witnessed) and is_told) or left_s <= 0 or bell.is_closed:
                break
            await bell.wait(ring, left_s)
        found = await loop.run_in_executor(request.app.state.threads, service.read_news, size, witnessed)
        return _json(_news_reply(found))

    async def submit(request: Request) -> Response:
        index = asyncio.wrap_future(service.hand_in(await request.body()))
        try:
            return _json(SubmitReply(index=await asyncio.wait_for(index, SUBMIT_TIMEOUT_S)))
        except TimeoutError as error:
            raise log_stalled() from error

    app.add_route("/entries", submit, methods=["POST"])  # the busiest one, and there is nothing in it to be taken apart

    @app.post("/cosignatures", status_code=204)
    async def cosign(given: CosignRequest) -> Response:
        service.cosign(parse_member_id(given.member), given.line, given.size)
        return Response(status_code=204)


def _add_tile_routes(app: FastAPI, tiles: TileFiles) -> None:
    async def checkpoint(_: Request) -> Response:
        return _file(tiles.folder / CHECKPOINT, "text/plain; charset=utf-8", {"cache-control": "no-cache"})

    async def tile(request: Request) -> Response:
        path: str = request.path_params["path"]
        if not _TILE.fullmatch(path):
            raise Malformed("tile-path", f"expected a path as in c2sp.org/tlog-tiles, got {path[:80]!r}")
        return _file(tiles.folder / "tile" / path, "application/octet-stream", _FOREVER)

    app.add_route("/checkpoint", checkpoint, methods=["GET"])
    app.add_route("/tile/{path:path}", tile, methods=["GET"])


def _add_blob_routes(app: FastAPI, desk: Desk) -> None:
    blobs = desk.service.blobs

    async def get(request: Request) -> Response:
        digest = parse_digest(request.path_params["digest"])
        path = blobs.path(digest)
        if path is None:
            return Response(blobs.read_range(digest, 0, blobs.size(digest)), media_type="application/octet-stream")
        span = _part(request, size := blobs.size(digest))
        if span is None:
            return _file(path, "application/octet-stream", _FOREVER)
        loop, (first, length) = asyncio.get_running_loop(), span
        data = await loop.run_in_executor(request.app.state.threads, blobs.read_range, digest, first, length)
        headers = {**_FOREVER, "content-range": f"bytes {first}-{first + length - 1}/{size}"}
        return Response(data, 206, headers, "application/octet-stream")

    async def put(request: Request) -> Response:
        body = RequestBody(request.receive)
        try:
            digest, threads = parse_digest(request.path_params["digest"]), request.app.state.threads
            _check_length(request.headers.get("content-length", "0"), desk.max_blob_bytes)
            if (given := request.headers.get("content-range")) is not None:
                span, name = parse_content_range(given), (request.state.key, digest)
                _check_length(str(span.total), desk.max_blob_bytes)
                is_whole = await store_piece(body, name, span, desk.intake, threads)
                return Response(status_code=204 if is_whole else 202)
            await store_blob(body, digest, blobs, desk.max_blob_bytes, threads)
        except SeraiError:
            await body.drop(DROP_BYTES, DROP_S)
            raise
        return Response(status_code=204)

    async def status(request: Request) -> Response:
        digest = parse_digest(request.path_params["digest"])
        loop, owner = asyncio.get_running_loop(), request.state.key
        return _json(await loop.run_in_executor(request.app.state.threads, desk.intake.status, owner, digest))

    app.add_route("/blobs/{digest}", get, methods=["GET"])
    app.add_route("/blobs/{digest}", put, methods=["PUT"])
    app.add_route("/uploads/{digest}", status, methods=["GET"])


def _add_error_handlers(app: FastAPI) -> None:
    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, SeraiError)
        return problem_response(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem_response(Malformed("request-form", f"at {place}: {first['msg']}"))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = f"{request.method} {request.url.path}: {error.detail}; the center's routes are in its documentation"
        if error.status_code == 405:
            return problem_response(Malformed("method-not-allowed", said))
        if error.status_code == 404:
            return problem_response(Missing("route-missing", said))
        return problem_response(Malformed("request-form", said))

    app.add_exception_handler(SeraiError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unrouted)


def _news_reply(news: News) -> NewsReply:
    entries = tuple(entry.decode() for entry in news.entries)
    return NewsReply(first=news.first, entries=entries, checkpoint=news.checkpoint, witnessed=news.witnessed)


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


def _file(path: Path, media_type: str, headers: dict[str, str]) -> Response:
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise Missing("file-missing", f"{path.name} is not published here") from None
    return BlobResponse(path, media_type=media_type, headers=headers, stat_result=stat)


def _part(request: Request, size: int) -> tuple[int, int] | None:
    """Offset and length of the one small part that is asked for; None for anything else."""
    match = _PART.fullmatch(request.headers.get("range", "")) if request.method == "GET" else None
    if match is None:
        return None
    first, last = int(match[1]), min(int(match[2]), size - 1)
    return (first, last - first + 1) if first <= last <= first + PART_BYTES - 1 else None


def _check_length(content_length: str, max_bytes: int) -> None:
    if content_length.isdecimal() and int(content_length) > max_bytes:
        raise blob_too_large(int(content_length), max_bytes)
