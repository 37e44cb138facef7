"""Memory that is let go of goes back to the system, so that an idle agent holds its model and no more."""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = (
    2**22 + 2**12
)  # a tensor of a large model, or more; chunks of vectors and pieces of blobs are below
_KEPT_BYTES: Final = 2**24


def bound_heap() -> None:
    """Give large blocks a place outside the heap, where the C library can do that (glibc); called once, at start.

    Left to itself it learns to keep the place of blocks of up to 32 MiB, and
    twice that at the heap's end: after a model was replaced that is as much as
    the model, held for nothing while a worker trains.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
