"""Wakes waiting coroutines from the sequencer's thread, so that a long poll needs no polling.

Each ring costs the center about a millisecond for everybody who waits, and each
of them more. So a ring that nobody is in a hurry for, such as one upload of
many, is held back for as long as waking everybody would take anyway, or until most
of those who were woken last are back, and one wake announces all that came in the
meantime. So on a busy machine there are fewer wakes, not longer queues. Who asks
meanwhile waits like the others. Where few wait nothing is held back.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Generic, TypeVar

FREE: Final = 8  # so many who wait are woken at once, whatever for
DELAY_S: Final = 0.004  # for each further one: what an answer costs the center and its reader
MAX_DELAY_S: Final = 0.25
MAX_HOLD_S: Final = 1.0  # however many are still on their way back
_MOST: Final = 0.75


T = TypeVar("T")


class Bell(Generic[T]):
    """Everyone who waits hears the next ring. Made and waited for on one event loop; rung from any thread.

    Args:
        read: what there is to announce, asked at each wake; quick.

    Attributes:
        announced: what there was at the last wake.

    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self.announced = read()
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[None] = self._loop.create_future()
        self._held: asyncio.TimerHandle | None = None
        self._held_since_s = 0.0
        self._waiting = 0
        self._woken = 0  # how many heard the last ring: those who are on their way back count as waiting
        self._closed = False

    @property
    def is_holding(self) -> bool:
        """Whether a ring is held back: what there is beyond the last wake is to be announced soon."""
        return self._held is not None

    @property
    def is_closed(self) -> bool:
        """Whether waiting is over because the center stops."""
        return self._closed

    def ring(self, *, is_urgent: bool = True) -> None:
        """Wake everyone who waits; safe to call from any thread, and after the loop has ended.

        Args:
            is_urgent: at once, however many they are.

        """
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake if is_urgent else self._hold)

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
        if self._closed:
            return
        self._waiting += 1
        try:
            await asyncio.wait([ring], timeout=timeout_s)
        finally:
            self._waiting -= 1

    def _hold(self) -> None:
        delay_s = min(MAX_DELAY_S, DELAY_S * (max(self._waiting, self._woken) - FREE))
        if delay_s <= 0:
            self._wake()
        elif self._held is None:
            self._held_since_s = self._loop.time()
            self._held = self._loop.call_later(delay_s, self._wake_most, delay_s)

    def _wake_most(self, delay_s: float) -> None:
        is_crowd_back = self._waiting >= _MOST * self._woken
        if is_crowd_back or self._loop.time() >= self._held_since_s + MAX_HOLD_S - delay_s:
            self._wake()
        else:
            self._held = self._loop.call_later(delay_s, self._wake_most, delay_s)

    def _wake(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._held = None
        self._woken = self._waiting
        self.announced = self._read()
        rung, self._next = self._next, self._loop.create_future()
        rung.set_result(None)
