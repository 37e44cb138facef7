"""Pieces of a blob over several connections at once, for links on which one of them cannot keep a pipe full."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

LONG_RTT_S: Final = 0.02  # below it one connection fills any link that members have
_DEFAULT_FLOWS: Final = 4
_BYTES_A_FLOW: Final = 8 * 2**20  # a flow with less to carry is over before its window has opened

T = TypeVar("T")
R = TypeVar("R")


def is_long(rtt_s: float) -> bool:
    """Whether a link with that round trip wants several connections."""
    return rtt_s >= LONG_RTT_S


def choose_flows(size_bytes: int, rtt_s: float) -> int:
    """How many connections a blob of some size is worth on a link with that round trip."""
    return max(1, min(_DEFAULT_FLOWS, size_bytes // _BYTES_A_FLOW)) if is_long(rtt_s) else 1


def in_flows(work: Callable[[T], R], items: Iterable[T], flows: int) -> Iterator[R]:
    """What ``work`` makes of each item, in order, with up to ``flows`` of them under way.

    Holds at most one result more than that. The first failure is raised once those
    under way have ended, and nothing more is begun.
    """
    if flows == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(flows, "flow")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > flows:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
