"""Pause Python's search for cyclic garbage while many values are made that form no cycles."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Let nobody look for cycles in the meantime.

    A state is millions of frozen values, and looking through them again and
    again takes several times as long as making them. Memory is given back as
    always, by counting references.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
