"""Print how long the modules and functions are: the report that asks to look again."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from pages import ROOT

LOOK_AGAIN_MODULE_LINES: Final = 400
LOOK_AGAIN_FUNCTION_LINES: Final = 40


def main() -> int:
    """Print each room's lines, then what is worth a second look."""
    paths = sorted((ROOT / "src" / "serai").rglob("*.py"))
    rooms: dict[str, list[Path]] = {}
    for path in paths:
        rooms.setdefault(path.relative_to(ROOT / "src" / "serai").parts[0], []).append(path)
    for room, held in rooms.items():
        print(f"{room:<16} {len(held):>3} modules {sum(lines(path) for path in held):>6} lines")
    lengths = [length for path in paths for _, length in functions(path)]
    print(f"all: {sum(map(lines, paths))} lines; median module {median(map(lines, paths)):.0f}, ", end="")
    print(f"median function {median(lengths):.0f}, longest {max(lengths)}")
    for path in paths:
        if lines(path) > LOOK_AGAIN_MODULE_LINES:
            print(f"look again: {path.relative_to(ROOT)} has {lines(path)} lines")
        for name, length in functions(path):
            if length > LOOK_AGAIN_FUNCTION_LINES:
                print(f"look again: {path.relative_to(ROOT)} {name} has {length} lines")
    return 0


def lines(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each function, docstring included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
