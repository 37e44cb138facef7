"""Keep docs/errors.md: every error code that the source can raise, with its meaning.

The codes are found in the source itself, by looking for calls of the eight
families with a literal code. Texts that a person wrote in the page are kept; a
code that is new there starts with the message of its first use.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pages import ROOT, arguments, cell, settle

SOURCE: Final = ROOT / "src" / "serai"
PAGE: Final = ROOT / "docs" / "errors.md"
_ROW: Final = re.compile(r"^\| `([^`]+)` \| (.*) \| [^|]* \|$")

INTRODUCTION: Final = """# Errors

Every exception belongs to one of eight families, named by whose move is next, and carries a stable
`code`. Over HTTP the same code is the last part of a problem document's `type` (RFC 9457). A rule that
says no to a statement is no exception: it is a verdict, and names its article.

The codes and places below are kept by `tools/errors.py`; the explanations are written by hand (a new
code starts with its own message, where … stands for a value).
"""


@dataclass(slots=True)
class Code:
    """One code of one family: where it is raised, and the message of its first use."""

    message: str
    places: set[str] = field(default_factory=set)


def main() -> int:
    """Print the codes, write the page, or check it."""
    options = arguments("Keep docs/errors.md current.")
    known = dict(explanations(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else {}
    page = render(found(), known)
    if not (options.write or options.check):
        print(page, end="")
        return 0
    return settle({PAGE: page}, "tools/errors.py", write=options.write)


def families() -> dict[str, str]:
    """The eight families and whose move each leaves, from the docstring of ``serai.errors``."""
    docstring = ast.get_docstring(ast.parse((SOURCE / "errors.py").read_text(encoding="utf-8"))) or ""
    return dict(re.findall(r"^[├└]── (\w+) +(.+)$", docstring, re.MULTILINE))


def found() -> dict[str, dict[str, Code]]:
    """Family to code to where it is raised."""
    codes: dict[str, dict[str, Code]] = defaultdict(dict)
    names = set(families())
    for path in sorted(SOURCE.rglob("*.py")):
        for family, code, message in raised(ast.parse(path.read_text(encoding="utf-8")), names):
            place = path.relative_to(SOURCE).with_suffix("").as_posix()
            codes[family].setdefault(code, Code(message)).places.add(place)
    return codes


def raised(tree: ast.Module, names: set[str]) -> Iterator[tuple[str, str, str]]:
    """Family, code and message of each call that names a family and a literal code."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        family = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = list(node.args) + [item.value for item in node.keywords if item.arg == "code"]
        if family in names and given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            yield family, given[0].value, text_of(given[1]) if len(given) > 1 else ""


def text_of(node: ast.expr) -> str:
    """A message as written, with … for each value put into it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


def explanations(page: str) -> Iterator[tuple[tuple[str, str], str]]:
    """(Family, code) and the explanation that the page gives."""
    family = ""
    for text in page.splitlines():
        if text.startswith("## "):
            family = text[3:]
        elif row := _ROW.match(text):
            yield (family, row[1]), row[2]


def render(codes: dict[str, dict[str, Code]], known: dict[tuple[str, str], str]) -> str:
    """The page: a table for each family that has codes."""
    parts = [INTRODUCTION]
    for family, move in families().items():
        if family not in codes:
            continue
        rows = [
            f"| `{name}` | {known.get((family, name)) or cell(code.message)} | {', '.join(sorted(code.places))} |"
            for name, code in sorted(codes[family].items())
        ]
        parts.append(
            "\n".join(
                [
                    f"## {family}",
                    "",
                    f"Next move: {move}.",
                    "",
                    "| code | meaning | raised in |",
                    "| --- | --- | --- |",
                    *rows,
                    "",
                ]
            )
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
