"""What a member's link to the center can carry, learnt from the transfers that pass anyway."""

import threading
from typing import Final

from serai.transport.port import LinkMeasured

LEAST_BYTES: Final = 2**18  # a shorter transfer is over before a link shows what it carries
_SHORTEST_S: Final = 1e-6


class LinkMeter:
    """Rates of recent transfers, the newest counting most, and the smallest round trip. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rtt_s: float | None = None
        self._up = (0.0, 0.0)  # bytes and seconds, older ones halved at each new one
        self._down = (0.0, 0.0)

    def answered(self, seconds: float) -> None:
        """A request was answered so long after it began; none is answered within less than a round trip."""
        with self._lock:
            self._rtt_s = seconds if self._rtt_s is None else min(self._rtt_s, seconds)

    def sent(self, size_bytes: int, seconds: float) -> None:
        """So much was sent, and its receipt answered, within that time."""
        if size_bytes >= LEAST_BYTES:
            with self._lock:
                # The answer's own way is no part of the sending.
                self._up = _with(self._up, size_bytes, seconds - (self._rtt_s or 0.0))

    def received(self, size_bytes: int, seconds: float) -> None:
        """So much came within that time, counted from the first byte."""
        if size_bytes >= LEAST_BYTES:
            with self._lock:
                self._down = _with(self._down, size_bytes, seconds)

    def measured(self) -> LinkMeasured | None:
        """What is known; None before the first answer."""
        with self._lock:
            if self._rtt_s is None:
                return None
            return LinkMeasured(up_bytes_s=_rate(self._up), down_bytes_s=_rate(self._down), rtt_s=self._rtt_s)


def _with(before: tuple[float, float], size_bytes: int, seconds: float) -> tuple[float, float]:
    return before[0] / 2 + size_bytes, before[1] / 2 + max(seconds, _SHORTEST_S)


def _rate(transfers: tuple[float, float]) -> float | None:
    return transfers[0] / transfers[1] if transfers[1] else None
