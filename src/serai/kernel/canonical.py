"""Canonical JSON: one value, one byte string.

A subset of RFC 8785 for which the standard library suffices: objects, arrays,
strings, integers, booleans and null; ASCII keys, NFC strings, no floats, no
duplicate keys, bounded depth. ``parse`` accepts only the canonical bytes of a
value, so equal values have equal digests and nobody can send one value in two
disguises.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from serai.errors import Malformed

Json: TypeAlias = bool | int | str | Sequence["Json"] | Mapping[str, "Json"] | None

MAX_DEPTH: Final = 16  # deeper nesting has no use here and costs a parser its stack
MAX_INT: Final = 2**53 - 1  # what every JSON reader holds exactly (RFC 8785 3.2.2.3)
_LONG_NUMBER: Final = re.compile(rb"[0-9]{16}")  # as long as 2^53; digits of a digest may look the same


def canonical(value: Json) -> bytes:
    """Encode a value in its only byte form.

    Raises:
        Malformed: the value holds a float, a non-ASCII key, a string that is not
            NFC, an integer beyond 2^53-1, or nests deeper than 16.

    """
    _check(value, 0)
    return _ENCODER.encode(value).encode()


def parse(data: bytes, max_bytes: int = 65_535) -> Json:
    """Decode canonical bytes; any other spelling of the same value is refused.

    Raises:
        Malformed: not JSON, not canonical, or longer than ``max_bytes``.

    """
    value = decode(data, max_bytes)
    if not _is_canonical(value, data):
        raise Malformed(
            "json-not-canonical",
            "expected canonical JSON (sorted keys, no spaces, shortest escapes); encode it again",
        )
    return value


def decode(data: bytes, max_bytes: int) -> Json:
    """Decode bytes that ``canonical`` is known to have made, as a digest of them shows; ``parse`` takes no such word.

    Raises:
        Malformed: not JSON, with a float or a duplicate key, or longer than ``max_bytes``.

    """
    if len(data) > max_bytes:
        raise Malformed(
            "json-too-large",
            f"expected at most {max_bytes} bytes of JSON, got {len(data)}; put long texts in a blob",
        )
    try:
        value: Json = _DECODER.decode(data.decode())
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed("json-invalid", f"expected canonical JSON: {error}") from error
    return value


def _is_canonical(value: Json, data: bytes) -> bool:
    if data.isascii() and data.count(b"{") + data.count(b"[") <= MAX_DEPTH and not _LONG_NUMBER.search(data):
        # Of ASCII text that is written the same again only depth and large numbers are left to check: this is
        # what most statements are, and looking at each value takes longer than all the rest.
        return _ENCODER.encode(value) == data.decode()
    return canonical(value) == data


def _no_float(token: str) -> Json:
    raise Malformed("json-float", f"floats are not allowed in statements, got {token}; use integers or [num, den]")


def _no_duplicates(pairs: list[tuple[str, Json]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Malformed("json-duplicate-key", "an object names the same key twice; keep one")
    return result


def _check(value: Json, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed("json-too-deep", f"expected nesting of at most {MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise Malformed("json-integer-range", f"expected |n| <= 2^53-1, got {value}; send it as a string")
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise Malformed("json-key", f"expected ASCII keys, got {key!r}")
            _check(item, depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in value:
            _check(item, depth + 1)
    else:
        raise Malformed("json-type", f"expected a JSON value without floats, got {type(value).__name__}")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("json-surrogate", "a string holds a lone surrogate, which has no UTF-8 form") from error
    if not unicodedata.is_normalized("NFC", text):
        raise Malformed("json-not-nfc", "expected strings in Unicode NFC; normalise before signing")


# Made once: to make them takes as long as to read a short statement.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_DECODER: Final = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_no_duplicates)
