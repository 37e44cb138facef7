"""TOML files that a member writes by hand, as records: read strictly, and every problem says where it is."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

from serai.errors import Malformed, Misconfigured
from serai.kernel.records import from_json

T = TypeVar("T")

MAX_BYTES: Final = 1 << 20  # such a file is written by hand; a larger one is some other file
_PLACE: Final = re.compile(r"\b(\w+)\[(\d+)\]")
_KEY: Final = re.compile(r"'([^']{1,80})'")


def read_toml(cls: type[T], path: Path, hint: str) -> T:
    """Read a TOML file as a record of type ``cls``.

    Args:
        cls: a frozen dataclass; TOML's dates are given to it as text.
        path: the file.
        hint: what to do where it is missing.

    Raises:
        Misconfigured: the file is missing, too large, not TOML, or holds an unknown key
            or a value of the wrong type.

    """
    text = read_text(path, hint)
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise Misconfigured("settings-toml", f"{path} is not valid TOML: its values are nested too deeply") from None
    except ValueError as error:  # of TOML, or of a number with thousands of digits
        raise Misconfigured("settings-toml", f"{path} is not valid TOML: {error}") from error
    try:
        return from_json(cls, dates_as_text(values))
    except Malformed as error:
        place = error.message.replace(f"{cls.__name__}.", "").replace(cls.__name__, "the file")
        line = _line_of(text, error.message)
        raise Misconfigured("settings-value", f"{path}{f', line {line}' if line else ''}: {place}") from error


def read_text(path: Path, hint: str) -> str:
    """Read a text file of at most 1 MiB.

    Raises:
        Misconfigured: it is missing, unreadable, too large, or not UTF-8.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Misconfigured("settings-file-missing", f"expected a file at {path}; {hint}") from None
    except OSError as error:
        raise Misconfigured("settings-file-unreadable", f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise Misconfigured("settings-too-large", f"{path} has more than 1 MiB, the most that settings hold")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Misconfigured(
            "settings-encoding", f"{path}, line {line}: expected UTF-8 text; save the file as UTF-8"
        ) from error


def dates_as_text(value: Any) -> Any:
    """TOML has dates, records do not: spell them in ISO 8601."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: dates_as_text(item) for key, item in value.items()}
    return [dates_as_text(item) for item in value] if isinstance(value, list) else value


def find_lines(text: str, name: str) -> list[int]:
    """The lines that name some term."""
    wanted = re.compile(rf"""\bname["']?\s*=\s*["']{re.escape(name)}["']""")
    return [index for index, line in enumerate(text.splitlines(), 1) if wanted.search(line)]


def _line_of(text: str, message: str) -> int | None:
    """The line that an error speaks of: of the item of a list that it names, else of the key."""
    lines = text.splitlines()
    if place := _PLACE.search(message):
        name, number = place[1], int(place[2])
        heads = [index for index, line in enumerate(lines, 1) if re.match(rf"\s*\[\[([\w.]+\.)?{name}\]\]", line)]
        return heads[number] if number < len(heads) else None
    if key := _KEY.search(message):
        keys = [index for index, line in enumerate(lines, 1) if re.match(rf"\s*\[*{re.escape(key[1])}\b", line)]
        return keys[0] if keys else None
    return None
