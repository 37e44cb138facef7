"""Values of a state as plain JSON and back, by their annotations: the form over which members compare digests.

Shorter than the JSON of records, and never signed. A dataclass is the list of
its fields; a map the list of its pairs and a set the list of its items, in the
order of their canonical bytes; a fraction two numbers, an enum its value, bytes
lower-case hex. What is read must have just that form: a number where text is
due, a field too many or a key twice is refused.
"""

import dataclasses
import functools
import operator
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from fractions import Fraction
from json.encoder import encode_basestring
from typing import Any, Final, TypeVar

from immutables import Map

from serai.errors import Malformed
from serai.kernel.canonical import MAX_INT, Json, canonical
from serai.kernel.ids import Digest, KeyId, MemberId, parse_digest, parse_member_id

T = TypeVar("T")
Read = Callable[[Any], Any]

_NAMES: Final[Mapping[object, Callable[[str], str]]] = {
    Digest: parse_digest,
    KeyId: parse_digest,
    MemberId: parse_member_id,
}


def to_plain(value: Any) -> Json:
    """Turn a value of a state into plain JSON values."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    if fields := _values(kind):  # type: ignore[arg-type]  # types are hashable; mypy sees type[T] as not
        return [to_plain(item) for item in fields(value)]
    if isinstance(value, Mapping):
        pairs = sorted(value.items(), key=lambda pair: _order(pair[0]))
        return [[to_plain(key), to_plain(item)] for key, item in pairs]
    if isinstance(value, frozenset):
        return sorted((to_plain(item) for item in value), key=_order)
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, Enum):
        return str(value.value)
    assert isinstance(value, bytes), f"state holds a {kind.__name__}"
    return value.hex()


@functools.cache
def _values(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """What gives the values of a dataclass, in the order of its fields; None for any other type."""
    if not dataclasses.is_dataclass(kind):
        return None
    names = [item.name for item in dataclasses.fields(kind)]
    if len(names) < 2:
        return lambda value: tuple(getattr(value, name) for name in names)
    return operator.attrgetter(*names)


def _order(key: Any) -> str:
    """The canonical form of a key: text has the order of its UTF-8."""
    kind = type(key)
    if kind is str:
        return encode_basestring(key)
    return str(key) if kind is int else canonical(to_plain(key)).decode()


def from_plain(cls: type[T], value: Json) -> T:
    """Read a value of type ``cls`` from plain JSON values.

    Raises:
        Malformed: the value has another form.
        TypeError: an annotation on the way is of no kind that is known here.

    """
    read = Reader().of(cls)
    try:
        found: T = read(value)
    except RecursionError as error:
        raise Malformed("plain-form", f"expected a {cls.__name__}, got something that nests deeper") from error
    return found


class Reader:
    """Reads values by their annotations; equal texts become one object, so that a state that was read is smaller."""

    def __init__(self) -> None:
        self._readers: dict[Any, Read] = {}
        self._texts: dict[Any, dict[str, str]] = {}

    def of(self, annotation: Any) -> Read:
        """What reads a value of a type.

        Raises:
            TypeError: of no kind that is known here.

        """

        def read(value: Any) -> Any:
            return self._readers[annotation](value)

        if annotation not in self._readers:
            self._readers[annotation] = read  # a type may hold itself, and asks for this while it is being made
            self._readers[annotation] = self._made(annotation)
        return self._readers[annotation]

    def _made(self, annotation: Any) -> Read:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments)
        if origin is tuple:
            return self._tuple(arguments)
        if origin is frozenset:
            return self._set(self.of(arguments[0]))
        if origin is Map or origin in (dict, Mapping):
            return self._mapping(Map if origin is Map else dict, *map(self.of, arguments))
        if annotation is str or annotation in _NAMES:
            return self._text(annotation)
        if annotation in _SCALARS:
            return _SCALARS[annotation]
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return _enum(annotation)
        if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            return self._dataclass(annotation)
        raise TypeError(f"a state cannot hold {annotation}; serai.kernel.plain has what it may hold")

    def _text(self, annotation: Any) -> Read:
        check = _NAMES.get(annotation, str)
        known = self._texts.setdefault(annotation, {})

        def read(value: Any) -> str:
            if type(value) is not str:
                raise _unexpected("text", value)
            found = known.get(value)
            if found is None:
                found = known[value] = check(value)
            return found

        return read

    def _dataclass(self, cls: type) -> Read:
        hints = typing.get_type_hints(cls)
        names = [item.name for item in dataclasses.fields(cls)]
        readers = [self.of(hints[name]) for name in names]

        def read(value: Any) -> Any:
            if type(value) is not list or len(value) != len(names):
                raise _unexpected(f"the {len(names)} fields of {cls.__name__}", value)
            given = {name: read(item) for name, read, item in zip(names, readers, value, strict=True)}
            try:
                return cls(**given)
            except ValueError as error:
                raise Malformed("plain-value", f"{cls.__name__}: {error}") from error

        return read

    def _mapping(self, cls: Any, key: Read, item: Read) -> Read:
        def read(value: Any) -> Any:
            found = {}
            for pair in _list(value):
                if len(_list(pair)) != 2:
                    raise _unexpected("a key and a value", pair)
                found[key(pair[0])] = item(pair[1])
            if len(found) != len(value):
                raise Malformed("plain-form", "a map has one key twice")
            return cls(found)

        return read

    def _set(self, item: Read) -> Read:
        def read(value: Any) -> frozenset[Any]:
            found = frozenset(map(item, _list(value)))
            if len(found) != len(value):
                raise Malformed("plain-form", "a set has one item twice")
            return found

        return read

    def _tuple(self, arguments: tuple[Any, ...]) -> Read:
        if arguments[1:] == (...,):
            each = self.of(arguments[0])
            return lambda value: tuple(map(each, _list(value)))
        readers = [self.of(argument) for argument in arguments]

        def read(value: Any) -> tuple[Any, ...]:
            if len(_list(value)) != len(readers):
                raise _unexpected(f"{len(readers)} items", value)
            return tuple(read(item) for read, item in zip(readers, value, strict=True))

        return read

    def _union(self, arguments: tuple[Any, ...]) -> Read:
        options = {_form(argument): self.of(argument) for argument in arguments}
        if len(options) < len(arguments) or (list in options and any(isinstance(form, tuple) for form in options)):
            raise TypeError(f"values of {arguments} cannot be told apart by their plain form")

        def read(value: Any) -> Any:
            option = options.get((list, len(value)) if type(value) is list else type(value)) or options.get(type(value))
            if option is None:
                raise _unexpected(" or ".join(str(argument) for argument in arguments), value)
            return option(value)

        return read


def _form(annotation: Any) -> Any:
    """By what a value of a type is known among others: the type of its plain form, of a dataclass with its length."""
    if annotation in (type(None), bool, int):
        return annotation
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return list, len(dataclasses.fields(annotation))
    is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
    return str if annotation in (str, bytes) or annotation in _NAMES or is_enum else list


def _enum(cls: type[Enum]) -> Read:
    members = {str(member.value): member for member in cls}

    def read(value: Any) -> Enum:
        if type(value) is not str or value not in members:
            raise _unexpected(f"one of {', '.join(members)}", value)
        return members[value]

    return read


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _unexpected("a list", value)
    return value


def _none(value: Any) -> None:
    if value is not None:
        raise _unexpected("null", value)


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _unexpected("true or false", value)
    return value


def _int(value: Any) -> int:
    if type(value) is not int or not -MAX_INT <= value <= MAX_INT:
        raise _unexpected("an integer of 53 bits", value)
    return value


def _fraction(value: Any) -> Fraction:
    match value:
        case [int(num), int(den)] if type(num) is int and type(den) is int and den > 0:
            fraction = Fraction(num, den)
            if fraction.denominator == den:
                return fraction
    raise _unexpected("[num, den] in lowest terms", value)


def _bytes(value: Any) -> bytes:
    try:
        data = bytes.fromhex(value)
    except (TypeError, ValueError):
        data = b""
    if data.hex() != value:
        raise _unexpected("lower-case hex", value)
    return data


def _unexpected(expected: str, value: object) -> Malformed:
    return Malformed("plain-form", f"expected {expected}, got {str(value)[:80]!r}")


_SCALARS: Final[Mapping[Any, Read]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    Fraction: _fraction,
    bytes: _bytes,
}
