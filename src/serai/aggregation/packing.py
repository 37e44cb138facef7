"""Bit packing: values of any width, side by side, without a gap.

The smallest group of values that fills whole 64-bit words has 64/gcd(64, bits)
values. A vector is cut into such groups; value number i of every group goes
through the same shift, so one numpy operation serves all groups at once. Groups
are transposed first: what is shifted together then lies together.
"""

from math import gcd
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_WORD: Final = 64
_BLOCK: Final = 2**17  # values worked on at a time: 512 KiB of words, within a second-level cache


def pack_bits(lanes: npt.NDArray[np.unsignedinteger[Any]], bits: int) -> npt.NDArray[np.uint8]:
    """Write the low ``bits`` bits of each lane into one bit string.

    Returns:
        ``(ceil(len * bits / 8),) uint8``, least significant bit first.

    """
    group, group_words = _group(bits)
    groups = -(-lanes.size // group)
    size = (lanes.size * bits + 7) // 8
    if lanes.size != groups * group:
        lanes = np.concatenate((lanes, np.zeros(groups * group - lanes.size, lanes.dtype)))
    out = np.empty(groups * group_words * 8, np.uint8)
    words = out.view("<u8").reshape(groups, group_words)
    rows = lanes.reshape(groups, group)
    step = _BLOCK // group
    for first in range(0, groups, step):
        _pack_groups(rows[first : first + step], words[first : first + step], bits)
    return out[:size]


def unpack_bits(
    data: bytes | memoryview, bits: int, count: int, dtype: np.dtype[np.unsignedinteger[Any]]
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Read ``count`` values of ``bits`` bits from a bit string into lanes of ``dtype``."""
    group, group_words = _group(bits)
    groups = -(-count // group)
    raw = np.frombuffer(data, np.uint8)
    if raw.size != groups * group_words * 8:
        raw = np.concatenate((raw, np.zeros(groups * group_words * 8 - raw.size, np.uint8)))
    words = raw.view("<u8").reshape(groups, group_words)
    lanes = np.empty(groups * group, dtype)
    rows = lanes.reshape(groups, group)
    step = _BLOCK // group
    for first in range(0, groups, step):
        _unpack_groups(words[first : first + step], rows[first : first + step], bits)
    return lanes[:count]


def _group(bits: int) -> tuple[int, int]:
    """Values in a group and words they fill."""
    common = gcd(_WORD, bits)
    return _WORD // common, bits // common


def _pack_groups(
    rows: npt.NDArray[np.unsignedinteger[Any]], words: npt.NDArray[np.unsignedinteger[Any]], bits: int
) -> None:
    values = rows.T.astype(np.uint64, order="C")
    values &= np.uint64((1 << bits) - 1)
    packed = np.zeros(words.T.shape, np.uint64)
    scratch = np.empty(values.shape[1], np.uint64)
    for index, column in enumerate(values):
        word, shift = divmod(index * bits, _WORD)
        if shift + bits > _WORD:
            np.right_shift(column, np.uint64(_WORD - shift), out=scratch)
            packed[word + 1] |= scratch
        np.left_shift(column, np.uint64(shift), out=scratch)
        packed[word] |= scratch
    words[:] = packed.T


def _unpack_groups(
    words: npt.NDArray[np.unsignedinteger[Any]], rows: npt.NDArray[np.unsignedinteger[Any]], bits: int
) -> None:
    packed = words.T.astype(np.uint64, order="C")
    values = np.empty(rows.shape[::-1], np.uint64)
    scratch = np.empty(rows.shape[0], np.uint64)
    for index, column in enumerate(values):
        word, shift = divmod(index * bits, _WORD)
        np.right_shift(packed[word], np.uint64(shift), out=column)
        if shift + bits > _WORD:
            np.left_shift(packed[word + 1], np.uint64(_WORD - shift), out=scratch)
            np.bitwise_or(column, scratch, out=column)
    values &= np.uint64((1 << bits) - 1)
    rows[:] = values.T
