"""Write docs/reference: every statement that can be said, and every command of the command line."""

import dataclasses
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from typing import Any, Final

import click

from pages import ROOT, arguments, cell, settle
from serai.kernel.statement import Body

SOURCE: Final = ROOT / "src" / "serai"
FOLDER: Final = ROOT / "docs" / "reference"
WIDTH: Final = 100
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*(?:\n {6,}.*)*)", re.MULTILINE)

STATEMENTS: Final = """# Statements

Everything that can be said in the log, by its kind. How a statement is built and signed:
[spec/statements.md](../spec/statements.md). This page is written by `tools/reference.py` from the source.
"""

COMMANDS: Final = """# Commands

The help of every command. This page is written by `tools/reference.py` from the source.
"""


def main() -> int:
    """Print the pages, write them, or check them."""
    options = arguments("Write docs/reference from the source.")
    pages = {FOLDER / "statements.md": statements_page(), FOLDER / "commands.md": commands_page()}
    if not (options.write or options.check):
        print("\n".join(pages.values()), end="")
        return 0
    return settle(pages, "tools/reference.py", write=options.write)


def statements_page() -> str:
    """Every kind of statement, room by room: who may say it, and its fields."""
    parts = [STATEMENTS]
    seen: set[type] = set()
    for module in sorted(SOURCE.glob("*/statements.py")):
        room = module.parent.name
        parts.append(f"## {room}\n")
        bodies: tuple[type[Body], ...] = importlib.import_module(f"serai.{room}.statements").STATEMENTS
        for body in bodies:
            who = ", ".join(sorted(role.value for role in body.ROLES))
            parts.append(f"### `{body.KIND}`\n\n{summary(body)}\n\nSaid with the key of: {who}.\n\n{fields(body)}")
        parts += [f"### {held.__name__}\n\n{summary(held)}\n\n{fields(held)}" for held in records(bodies, seen)]
    return "\n".join(parts)


def records(bodies: tuple[type, ...], seen: set[type]) -> Iterator[type]:
    """The records that statements hold, each once."""
    for body in bodies:
        for hint in typing.get_type_hints(body).values():
            for held in dataclasses_in(hint):
                if held not in seen:
                    seen.add(held)
                    yield held
                    yield from records((held,), seen)


def dataclasses_in(hint: Any) -> Iterator[type]:
    """The dataclasses named anywhere in an annotation."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for item in typing.get_args(hint):
        yield from dataclasses_in(item)


def summary(cls: type) -> str:
    """What a class says of itself, before the sections of its docstring."""
    text = inspect.getdoc(cls) or ""
    return re.split(r"\n+(?:Attributes|Args|Raises):\n", text)[0]


def fields(cls: type) -> str:
    """The fields of a record as a table, with the meanings that its docstring gives."""
    section = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2]
    meanings = {name: cell(text) for name, text in _ATTRIBUTE.findall(section)}
    hints = typing.get_type_hints(cls)
    rows = [
        f"| `{item.name}` | {cell(spelled(hints[item.name]))} | {meanings.get(item.name, '')} |"
        for item in dataclasses.fields(cls)
    ]
    return "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows, ""]) if rows else "No fields.\n"


def spelled(hint: Any) -> str:
    """A type as a reader knows it."""
    if hint is type(None):
        return "absent"
    name = getattr(hint, "__name__", str(hint))
    inside = [spelled(item) for item in typing.get_args(hint) if item is not Ellipsis]
    origin = typing.get_origin(hint)
    if origin is tuple:
        return f"list of {inside[0]}"
    if inside and origin is not None and isinstance(origin, type) and name in {"Mapping", "dict", "Map"}:
        return f"{inside[0]} to {inside[1]}"
    return " or ".join(inside) if inside else {"bytes": "bytes as hex"}.get(name, name)


def commands_page() -> str:
    """The help of every command, as a person sees it."""
    command: click.Command = importlib.import_module("serai.cli.main").main
    root = click.Context(command, info_name="serai", terminal_width=WIDTH, **command.context_settings)
    parts = [f"## {context.command_path}\n\n```\n{context.get_help()}\n```\n" for context in commands(root)]
    return "\n".join([COMMANDS, *parts])


def commands(context: click.Context) -> Iterator[click.Context]:
    """A command and all below it, in the order in which its group lists them."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            if command := context.command.get_command(context, name):
                yield from commands(click.Context(command, parent=context, info_name=name, **command.context_settings))


if __name__ == "__main__":
    sys.exit(main())
