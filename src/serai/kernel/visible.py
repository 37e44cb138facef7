"""Text from others, fit to be shown: what would hide it, reorder it or move a cursor stands there as an escape.

Bidirectional controls let a line of code read otherwise than it runs (Trojan
Source, CVE-2021-42574), and invisible characters let two names look alike. Which
characters those are follows from their Unicode general category.
"""

import unicodedata
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK: Final = frozenset({"Zs"})
_KEPT_IN_CODE: Final = frozenset("\n\t ")
_KEPT_IN_TEXT: Final = frozenset("\n\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}")


def visible_code(text: str) -> str:
    """Source code as it runs: whatever shows nothing is an escape, apart from line breaks, tabs and spaces."""
    return "".join(char if char in _KEPT_IN_CODE else _shown(char, _HIDDEN | _BLANK) for char in text)


def visible_text(text: str) -> str:
    """Words in any language: the joiners that Persian, Hindi and emoji are written with stay, and so do blanks."""
    return "".join(char if char in _KEPT_IN_TEXT else _shown(char, _HIDDEN) for char in text)


def visible_line(text: str) -> str:
    """The same for what has to stay on one line."""
    return visible_text(text).replace("\n", "\\n")


def _shown(char: str, hidden: frozenset[str]) -> str:
    if unicodedata.category(char) not in hidden:
        return char
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
