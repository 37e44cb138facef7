"""Items worked on by several threads and given out in order: chunks of a vector, pieces of a blob.

AES, SHA-256 and numpy let go of the interpreter while they compute, so threads
are enough; so they are for requests, which wait. However many items, as many results are in
memory as there are threads, and one that is being given out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(threads: int, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of ``work`` on each item, in the items' order.

    Args:
        threads: how many work at once; 1 works in the caller's own.
        work: may be called from several threads at once.
        items: read in the caller's thread, one as each result is asked for.

    The first failure is raised once those under way have ended, and nothing more is begun.

    """
    if threads <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="in-order") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
