"""Lets through what a member's key signed; bounds headers and bodies before anything reads them."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serai.center.bodies import RequestBody
from serai.errors import Refused, SeraiError
from serai.kernel.envelope import MAX_ENTRY_BYTES
from serai.transport.problems import PROBLEM_TYPE, problem_of
from serai.transport.signatures import RequestHead, RequestVerifier, verify_content_digest

MAX_HEADER_BYTES: Final = 16 * 1024  # a signed request needs about 700
MAX_BODY_BYTES: Final = MAX_ENTRY_BYTES  # of everything but blobs, which are streamed
DROP_BYTES: Final = 2**20  # of a refused body that is read so that the sender gets to see the refusal
DROP_S: Final = 2.0  # for that, because whoever asks is unknown and may be there to hold a place

_LOG: Final = logging.getLogger("serai.center")


@dataclass(frozen=True, slots=True)
class SignedRequests:
    """ASGI middleware: verifies signatures of requests, except on open paths.

    Args:
        app: what requests go to, with the signing key's id in ``scope["state"]["key"]``.
        verifier: knows the members' keys.
        open_paths: beginnings of paths that anybody may GET: what is public.
        blob_path: beginning of paths whose body is named by its digest in the path
            and streamed by the route.

    """

    app: ASGIApp
    verifier: RequestVerifier
    open_paths: Collection[str]
    blob_path: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = RequestBody(receive)
        try:
            receive = await self._admit(scope, receive, body)
        except SeraiError as error:
            _LOG.info("%s %s refused: %s", scope["method"], scope["path"], error.message)
            await body.drop(DROP_BYTES, DROP_S)
            await problem_response(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, body: RequestBody) -> Receive:
        head = _head(scope)
        is_read = head.method in {"GET", "HEAD"}
        if is_read and head.path.startswith(tuple(self.open_paths)):
            return receive
        with_body = not is_read and not head.path.startswith(self.blob_path)
        scope.setdefault("state", {})["key"] = self.verifier.verify(head, with_body=with_body)
        if not with_body:
            return receive
        data = await body.read(MAX_BODY_BYTES)
        verify_content_digest(head, data)
        return body.replay(data)


def problem_response(error: SeraiError) -> Response:
    """The answer that tells a client of an error."""
    problem = problem_of(error)
    headers = {401: {"www-authenticate": "Signature"}, 503: {"retry-after": "5"}}.get(problem.status, {})
    return Response(problem.model_dump_json(), problem.status, headers, PROBLEM_TYPE)


def _head(scope: Scope) -> RequestHead:
    size = 0
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        size += len(raw_name) + len(raw_value)
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if size > MAX_HEADER_BYTES:
        raise Refused("headers-too-large", f"expected at most {MAX_HEADER_BYTES} bytes of headers, got {size}")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return RequestHead(
        method=scope["method"],
        path=path.decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )
