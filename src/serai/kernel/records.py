"""Frozen dataclasses to canonical JSON and back, by their annotations.

Every statement is a frozen dataclass; this module is the only reader and
writer of their JSON. Unknown and missing fields are refused: a field that a
reader does not know could change what a statement means.

Supported annotations: ``str int bool``, ``Digest``/``MemberId``/``KeyId``,
``Fraction`` (as ``[num, den]`` in lowest terms), ``bytes`` (as lower-case hex),
``StrEnum``, nested frozen dataclasses, ``tuple[X, ...]``, ``dict[str, X]`` or
``Mapping[str, X]``, and ``X | None``; a union of plain types (``str | int |
tuple[str, ...]``) is read by the type of the value.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

from serai.errors import Malformed
from serai.kernel.canonical import Json
from serai.kernel.ids import Digest, KeyId, MemberId, parse_digest, parse_member_id

T = TypeVar("T")

_READERS: dict[object, Callable[[str], str]] = {
    Digest: parse_digest,
    KeyId: parse_digest,
    MemberId: parse_member_id,
}


def to_json(value: object) -> Json:
    """Turn a record (or a value a record may hold) into plain JSON values.

    Raises:
        Malformed: the value holds a type that records do not support.

    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_json(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) is not None
        }
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    raise Malformed("record-type", f"a record cannot hold {type(value).__name__}")


def from_json(cls: type[T], value: Json, where: str = "") -> T:
    """Read a record of type ``cls`` from plain JSON values.

    Raises:
        Malformed: a field is unknown, missing, or not of its declared type; the
            message names the path to it.

    """
    if not isinstance(value, Mapping):
        raise Malformed("record-form", f"expected an object at {where or cls.__name__}, got {type(value).__name__}")
    fields = _fields(cls)  # type: ignore[arg-type]  # types are hashable; mypy sees type[T] as not
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise Malformed(
            "record-unknown-field", f"{where or cls.__name__} has no field {unknown[0]!r}; known: {', '.join(fields)}"
        )
    given: dict[str, Any] = {}
    for name, (annotation, required) in fields.items():
        path = f"{where}.{name}" if where else f"{cls.__name__}.{name}"
        if name in value:
            given[name] = _read(annotation, value[name], path)
        elif required:
            raise Malformed("record-missing-field", f"{path} is required")
    try:
        return cls(**given)
    except ValueError as error:
        raise Malformed("record-value", f"{where or cls.__name__}: {error}") from error


@functools.cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: (
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
    }


def _read(annotation: Any, value: Json, path: str) -> object:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(annotation), value, path)
    if origin is tuple:
        return _read_tuple(typing.get_args(annotation)[0], value, path)
    if origin is not None and issubclass(origin, Mapping):
        return _read_mapping(typing.get_args(annotation)[1], value, path)
    if reader := _READERS.get(annotation):
        return reader(_expect(value, str, path))
    if annotation is Fraction:
        return _read_fraction(value, path)
    if annotation is bytes:
        return _read_hex(_expect(value, str, path), path)
    if annotation in (str, bool, int):
        return _expect(value, annotation, path)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _read_enum(annotation, _expect(value, str, path), path)
    return from_json(annotation, value, path)


def _expect(value: Json, kind: type[T], path: str) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Malformed("record-field-type", f"expected {kind.__name__} at {path}, got {type(value).__name__}")
    return value


def _read_enum(annotation: type[StrEnum], value: str, path: str) -> StrEnum:
    try:
        return annotation(value)
    except ValueError:
        known = ", ".join(item.value for item in annotation)
        raise Malformed("record-enum", f"expected one of {known} at {path}, got {value!r}") from None


def _read_hex(value: str, path: str) -> bytes:
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if data.hex() != value:
        raise Malformed("record-hex", f"expected lower-case hex at {path}, got {value[:80]!r}")
    return data


def _read_fraction(value: Json, path: str) -> Fraction:
    match value:
        case [bool(), _] | [_, bool()]:
            pass
        case [int(num), int(den)] if den > 0 and Fraction(num, den).denominator == den:
            return Fraction(num, den)
    raise Malformed("record-fraction", f"expected [num, den] in lowest terms with den > 0 at {path}, got {value!r}")


def _read_tuple(annotation: Any, value: Json, path: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Malformed("record-field-type", f"expected a list at {path}, got {type(value).__name__}")
    return tuple(_read(annotation, item, f"{path}[{index}]") for index, item in enumerate(value))


def _read_mapping(annotation: Any, value: Json, path: str) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise Malformed("record-field-type", f"expected an object at {path}, got {type(value).__name__}")
    return {key: _read(annotation, item, f"{path}.{key}") for key, item in value.items()}


def _read_union(options: tuple[Any, ...], value: Json, path: str) -> object:
    if value is None and type(None) in options:
        return None
    errors: list[str] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _read(option, value, path)
        except Malformed as error:
            errors.append(error.message)
    raise Malformed("record-union", "; or ".join(errors))
