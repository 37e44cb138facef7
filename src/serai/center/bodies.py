"""Request bodies as they arrive: streamed, read whole within a limit, or dropped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Message, Receive

from serai.errors import Malformed, Refused

SILENCE_S: Final = 30.0  # a sender that pauses for longer is taken for gone


class RequestBody:
    """The body of one request, read once.

    Args:
        receive: the request's ASGI channel, of which nothing has been read.

    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as the server hands them over, at most about 400 KB each under granian.

        Raises:
            Malformed: the sender left before the end, or stood still.

        """
        while not self._is_over:
            try:
                async with asyncio.timeout(SILENCE_S):
                    message = await self._receive()
            except TimeoutError:
                raise Malformed(
                    "body-stalled", f"nothing of the body came for {SILENCE_S:g} s; send the whole body again"
                ) from None
            if message["type"] == "http.disconnect":
                self._is_over = True
                raise Malformed("body-truncated", "the connection ended before the body did; send the whole body again")
            self._is_over = not message.get("more_body", False)
            yield message.get("body", b"")

    async def read(self, max_bytes: int) -> bytes:
        """The whole body.

        Raises:
            Malformed: the sender left before the end, or stood still.
            Refused: it is longer than ``max_bytes``.

        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > max_bytes:
                raise Refused(
                    "body-too-large", f"expected a body of at most {max_bytes} bytes; put long texts in a blob"
                )
        return bytes(body)

    async def drop(self, max_bytes: int, within_s: float) -> None:
        """Read what is left and forget it, within bounds.

        A server that answers and closes while the sender still sends makes the
        sender's system throw the answer away, and with it the reason.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while max_bytes > 0 and not self._is_over:
                    message = await self._receive()
                    self._is_over = not message.get("more_body", False)
                    max_bytes -= len(message.get("body", b""))

    def replay(self, body: bytes) -> Receive:
        """A channel for the application, on which ``body`` arrives in one message."""
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return pending.pop() if pending else await self._receive()

        return receive
