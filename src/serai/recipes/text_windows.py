"""Sequences out of a text, of bytes or of tokens: drawn at random to train on, or each place once to evaluate."""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from serai.errors import Refused

Integer = TypeVar("Integer", bound=np.integer[Any])

_EVALUATED_AT_ONCE: Final = 64  # sequences


def draw(text: npt.NDArray[Integer], count: int, context: int, generator: np.random.Generator) -> npt.NDArray[Integer]:
    """``count`` sequences of ``context`` places and the one after them, from anywhere in a text.

    Raises:
        Refused: the text is too short for one.

    """
    if count == 0:
        return np.zeros((0, context + 1), text.dtype)
    if len(text) <= context:
        raise Refused(
            "text-too-short", f"expected more than {context} bytes or tokens to train on, got {len(text)}; add text"
        )
    windows = np.lib.stride_tricks.sliding_window_view(text, context + 1)
    return windows[generator.integers(0, len(windows), count)]


def cut(text: npt.NDArray[Integer], context: int) -> Iterator[npt.NDArray[Integer]]:
    """A text in batches of sequences that predict each of its places once, but the first and a last rest."""
    count = max(0, (len(text) - 1) // context)
    starts = np.arange(count) * context
    for first in range(0, count, _EVALUATED_AT_ONCE):
        some = starts[first : first + _EVALUATED_AT_ONCE]
        yield np.lib.stride_tricks.sliding_window_view(text, context + 1)[some]
