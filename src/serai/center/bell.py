"""Wakes waiting coroutines from the sequencer's thread, so that a long poll needs no polling."""

import asyncio
import contextlib


class Bell:
    """Everyone who waits hears the next ring. Made and waited for on one event loop; rung from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[None] = self._loop.create_future()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether waiting is over because the center stops."""
        return self._closed

    def ring(self) -> None:
        """Wake everyone who waits; safe to call from any thread, and after the loop has ended."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Wake everyone and let nobody wait again; called on the loop."""
        self._closed = True
        self._wake()

    def next_ring(self) -> asyncio.Future[None]:
        """What the next ring completes.

        Take it *before* checking for what the ring announces, or a ring between
        check and wait goes unheard.
        """
        return self._next

    async def wait(self, ring: asyncio.Future[None], timeout_s: float) -> None:
        """Wait for a ring, or until the time is over, or the center stops."""
        if not self._closed:
            await asyncio.wait([ring], timeout=timeout_s)

    def _wake(self) -> None:
        rung, self._next = self._next, self._loop.create_future()
        rung.set_result(None)
