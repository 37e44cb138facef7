"""Nodes of JSON-LD, as this room makes them, in Turtle (https://www.w3.org/TR/turtle/).

Only what is made here has to be written: prefixed names and IRIs, text with a
language or a type, whole numbers, lists, and nodes within nodes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from serai.kernel.canonical import Json

_INDENT: Final = "    "
_LOCAL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ESCAPED: Final = re.compile(r'[\x00-\x1f\x7f"\\]')
_UNFIT: Final = re.compile(r'[\x00-\x20<>"{}|^`\\]')
_SHORT: Final[Mapping[str, str]] = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def write_turtle(prefixes: Mapping[str, str], nodes: Sequence[Mapping[str, Json]]) -> str:
    """Nodes with names of their own, as a Turtle document.

    Args:
        prefixes: what their names are shortened by.
        nodes: each with ``@id``; IRIs in them hold no character that Turtle forbids in one.

    """
    heads = [f"@prefix {name}: <{iri}> .\n" for name, iri in sorted(prefixes.items())]
    bodies = [f"\n{_iri(str(item['@id']), prefixes)}\n{_properties(item, prefixes, 1)} .\n" for item in nodes]
    return "".join(heads + bodies)


def _properties(item: Mapping[str, Json], prefixes: Mapping[str, str], depth: int) -> str:
    lines = (
        f"{_INDENT * depth}{verb} {', '.join(objects)}"
        for verb, objects in _statements(item, prefixes, depth)
        if objects
    )
    return " ;\n".join(lines)


def _statements(item: Mapping[str, Json], prefixes: Mapping[str, str], depth: int) -> Iterator[tuple[str, list[str]]]:
    for name, value in item.items():
        if name == "@type":
            yield "a", [_iri(str(kind), prefixes) for kind in _many(value)]
        elif name != "@id":
            yield _iri(name, prefixes), [_object(one, prefixes, depth) for one in _many(value)]


def _object(value: Json, prefixes: Mapping[str, str], depth: int) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    assert isinstance(value, Mapping)
    if "@value" in value:
        tail = f"@{value['@language']}" if "@language" in value else f"^^{_iri(str(value['@type']), prefixes)}"
        return _quoted(str(value["@value"])) + tail
    if "@list" in value:
        return f"( {' '.join(_object(one, prefixes, depth) for one in _many(value['@list']))} )"
    if set(value) == {"@id"}:
        return _iri(str(value["@id"]), prefixes)
    assert "@id" not in value, "a node with a name stands on its own"
    return f"[\n{_properties(value, prefixes, depth + 1)}\n{_INDENT * depth}]"


def _iri(name: str, prefixes: Mapping[str, str]) -> str:
    prefix, colon, local = name.partition(":")
    if colon and prefix in prefixes and _LOCAL.fullmatch(local):
        return name
    assert not _UNFIT.search(name), f"an IRI cannot hold all of {name[:80]!r}"
    return f"<{name}>"


def _quoted(text: str) -> str:
    return '"' + _ESCAPED.sub(lambda found: _SHORT.get(found[0], f"\\u{ord(found[0]):04X}"), text) + '"'


def _many(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
