"""Memory that this process has let go of, given back to the system."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any


def trim_heap() -> None:
    """Give back what lies free within the heap, where the C library can do that (glibc).

    It keeps the place of arrays below 32 MiB for later ones; after a model has
    been replaced that is as much as the model, held for nothing while a worker trains.
    """
    if (trim := _malloc_trim()) is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], Any] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
