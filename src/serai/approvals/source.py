"""Two versions of a program's source side by side, as the lines run and not as they might read.

The program is a stranger's, so everything about it is bounded: how long a file
may be for its lines to be compared, and how many lines are given out. What is
left out is said to be. Characters that show nothing are escapes, and whatever
else makes code read otherwise than it runs is told beside it.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from serai.approvals.terms import Kind
from serai.kernel.visible import visible_code, visible_line

MAX_COMPARED: Final = 4000  # lines of a file; comparing takes up to the square of it
MAX_LINES: Final = 2000  # given out of one file
MAX_COLUMNS: Final = 400  # of one line
_NEARBY: Final = 3  # lines around a difference
_CODING: Final = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
_UTF8: Final = frozenset({b"utf-8", b"utf8", b"utf_8", b"u8"})
_SHOWN: Final = 5  # lines that a warning names


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a program that is not as it was.

    Attributes:
        name: the file or module.
        kind: added, removed or changed.
        lines: a unified diff; of a new file its lines, each after a ``+``.
        warnings: what makes it read otherwise than it runs.

    """

    name: str
    kind: Kind
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def compare_files(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[FileChange, ...]:
    """The files that differ, by name."""
    names = sorted(before.keys() | after.keys())
    return tuple(
        _compare(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def warnings_of(data: bytes) -> tuple[str, ...]:
    """What makes a file of source read otherwise than it runs."""
    return tuple(_warnings(data))


def _compare(name: str, before: bytes | None, after: bytes | None) -> FileChange:
    kind = Kind.ADDED if before is None else Kind.REMOVED if after is None else Kind.CHANGED
    warnings = () if after is None else warnings_of(after)
    return FileChange(visible_line(name), kind, _diff(before, after), warnings)


def _diff(before: bytes | None, after: bytes | None) -> tuple[str, ...]:
    old, new = _lines(before), _lines(after)
    if old is None or new is None:
        return ("not text in UTF-8; only its digest is compared",)
    if before is None:
        return _cut([f"+{line}" for line in new])
    if after is None:
        return _cut([f"-{line}" for line in old])
    if max(len(old), len(new)) > MAX_COMPARED:
        return (f"has more than {MAX_COMPARED} lines, which are not compared; look at the file itself",)
    found = list(difflib.unified_diff(old, new, "before", "now", n=_NEARBY, lineterm=""))
    return _cut(found)


def _lines(data: bytes | None) -> list[str] | None:
    """Lines as a reader of the terminal sees them; None of what is no text."""
    if data is None:
        return []
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    # Only at line feeds: at others Python's own splitlines would break a line that runs as one.
    return [_shortened(visible_code(line)) for line in text.removesuffix("\n").split("\n")]


def _shortened(line: str) -> str:
    left = len(line) - MAX_COLUMNS
    return line if left <= 0 else f"{line[:MAX_COLUMNS]} [and {left} characters more]"


def _cut(lines: list[str]) -> tuple[str, ...]:
    left = len(lines) - MAX_LINES
    return tuple(lines) if left <= 0 else (*lines[:MAX_LINES], f"[and {left} lines more, not shown]")


def _warnings(data: bytes) -> Iterator[str]:
    for line in data.split(b"\n", 2)[:2]:
        found = _CODING.match(line)
        if found and found[1].lower() not in _UTF8:
            yield f"is read by Python as {found[1].decode('ascii', 'replace')[:40]}, and shown here as UTF-8"
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        yield "is not text in UTF-8"
        return
    if hidden := [
        number for number, line in enumerate(lines, 1) if visible_code(line.rstrip("\r")) != line.rstrip("\r")
    ]:
        yield f"has characters that show nothing, here as escapes, in {_named(hidden)}"
    if strange := [number for number, line in enumerate(lines, 1) if _has_foreign_letters(line)]:
        yield f"has letters beyond ASCII, which may look like others, in {_named(strange)}"
    if long := [number for number, line in enumerate(lines, 1) if len(line) > MAX_COLUMNS]:
        yield f"has lines of more than {MAX_COLUMNS} characters, shown in part: {_named(long)}"


def _has_foreign_letters(line: str) -> bool:
    return not line.isascii() and any(not char.isascii() and unicodedata.category(char)[0] == "L" for char in line)


def _named(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{f' and {len(numbers) - _SHOWN} more' if len(numbers) > _SHOWN else ''}"
