"""Models as named arrays, with one byte form each: canonical safetensors, written here, read defensively.

The format is that of github.com/huggingface/safetensors: eight bytes of header
length, a JSON header, then the arrays. A model has exactly one encoding here
(widest dtype first, then names in order, no metadata, header filled with spaces
to eight bytes), which is also what the ``safetensors`` library itself writes.
So a digest names a model and not one of its spellings.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed
from serai.kernel.ids import Digest

Tensor: TypeAlias = npt.NDArray[Any]
Model: TypeAlias = Mapping[str, Tensor]
"""Arrays by name; names use ``/`` or ``.`` to group."""

MAX_HEADER_BYTES: Final = 16 * 2**20  # 100,000 tensors with long names; json.loads of more would stall an agent
MAX_DIMENSIONS: Final = 8
MAX_NAME_CHARS: Final = 512

# Narrowest first: the library's own order, from its Dtype enum. Arrays are written widest first, so each stays aligned.
_DTYPES: Final = {
    "U8": "|u1",
    "I8": "|i1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8",
}
_RANKS: Final = {name: rank for rank, name in enumerate(_DTYPES)}
_NAMES: Final = {np.dtype(code): name for name, code in _DTYPES.items()}


def write_model(model: Model) -> Iterator[memoryview]:
    """Yield the bytes of a model: the header, then each array without copying it.

    Raises:
        Malformed: an array has a dtype that safetensors cannot hold here, or too many dimensions.

    """
    order = _in_order(model)
    yield memoryview(_header({name: (_dtype_name(name, model[name]), model[name].shape) for name in order}))
    for name in order:
        yield _bytes_of(model[name])


def model_bytes(model: Model) -> bytes:
    """A whole model in one byte string; for models that are small beside memory."""
    return b"".join(write_model(model))


def digest_model(model: Model) -> Digest:
    """SHA-256 of a model's bytes: its name in plans, rounds and releases."""
    hasher = hashlib.sha256()
    for part in write_model(model):
        hasher.update(part)
    return Digest(hasher.hexdigest())


def read_model(data: bytes | memoryview, *, writable: bool = False) -> Model:
    """Read a model; its arrays are views of ``data``, read-only unless ``writable``.

    Nothing in the header is trusted: every size is checked against the bytes
    that are there before any array is made, and only the canonical encoding is
    accepted, so ``digest_model(read_model(data))`` is the digest of ``data``.

    Raises:
        Malformed: not safetensors, truncated, oversized, or not canonical.

    """
    view = memoryview(data).cast("B")
    if not writable:
        view = view.toreadonly()
    if len(view) < 8:
        raise Malformed("model-truncated", f"expected a model of at least 8 bytes, got {len(view)}")
    (size,) = struct.unpack("<Q", view[:8])
    if size > MAX_HEADER_BYTES or 8 + size > len(view):
        raise Malformed(
            "model-header", f"expected a header of at most {min(MAX_HEADER_BYTES, len(view) - 8)} bytes, got {size}"
        )
    entries = _parse_header(bytes(view[8 : 8 + size]))
    if _header(entries) != view[: 8 + size]:
        raise Malformed(
            "model-not-canonical",
            "expected safetensors with sorted tensors, no metadata and no gaps; load it and write it again",
        )
    return _views(entries, view[8 + size :])


def slices(model: Model, names: tuple[str, ...]) -> Iterator[tuple[str, slice]]:
    """Where each named array lies when they are laid end to end in the order of ``names``."""
    start = 0
    for name in names:
        yield name, slice(start, start + model[name].size)
        start += model[name].size


def _in_order(model: Model) -> list[str]:
    return sorted(model, key=lambda name: (-_RANKS[_dtype_name(name, model[name])], name))


def _dtype_name(name: str, tensor: Tensor) -> str:
    found = _NAMES.get(tensor.dtype.newbyteorder("<"))
    if found is None or tensor.ndim > MAX_DIMENSIONS or not 0 < len(name) <= MAX_NAME_CHARS or name == "__metadata__":
        raise Malformed(
            "model-tensor",
            f"expected a named array of {', '.join(_DTYPES)} with at most {MAX_DIMENSIONS} dimensions, "
            f"got {name[:80]!r}: {tensor.dtype}, {tensor.ndim} dimensions",
        )
    return found


def _bytes_of(tensor: Tensor) -> memoryview:
    little = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _header(entries: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """The header for arrays in this order, each right after the one before it."""
    described: dict[str, Any] = {}
    start = 0
    for name, (dtype, shape) in entries.items():
        end = start + prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
        described[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _parse_header(text: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("model-header", f"expected a JSON header: {error}") from error
    if not isinstance(described, dict):
        raise Malformed("model-header", "expected the header to be a JSON object")
    entries = {name: _parse_entry(name, entry) for name, entry in described.items()}
    if list(entries) != sorted(entries, key=lambda name: (-_RANKS[entries[name][0]], name)):
        raise Malformed("model-not-canonical", "expected tensors by falling dtype width, then by name; write it again")
    return entries


def _parse_entry(name: str, entry: object) -> tuple[str, tuple[int, ...]]:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(), int()], **more} if (
            not more and dtype in _DTYPES and len(shape) <= MAX_DIMENSIONS
        ):
            if all(type(size) is int and 0 <= size < 2**48 for size in shape) and 0 < len(name) <= MAX_NAME_CHARS:
                return dtype, tuple(shape)
    raise Malformed("model-tensor", f"expected dtype, shape and data_offsets of a known form at {name[:80]!r}")


def _views(entries: Mapping[str, tuple[str, tuple[int, ...]]], data: memoryview) -> Model:
    total = sum(prod(shape) * np.dtype(_DTYPES[dtype]).itemsize for dtype, shape in entries.values())
    if total != len(data):
        raise Malformed("model-truncated", f"the header describes {total} bytes of arrays, {len(data)} came")
    model: dict[str, Tensor] = {}
    start = 0
    for name, (dtype, shape) in entries.items():
        count = prod(shape)
        model[name] = np.frombuffer(data, dtype=_DTYPES[dtype], count=count, offset=start).reshape(shape)
        start += model[name].nbytes
    return model
