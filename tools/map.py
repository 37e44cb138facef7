"""Print the rooms and their modules, in the words of their own docstrings."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pages import ROOT, arguments, between, settle

SOURCE: Final = ROOT / "src" / "serai"
START: Final = "<!-- map: written by tools/map.py -->"
END: Final = "<!-- end of map -->"
WIDTH: Final = 24


def main() -> int:
    """Print the map, write it into ARCHITECTURE.md, or check it there."""
    options = arguments("Print the rooms, from their docstrings.")
    lines = "\n".join(map_lines())
    page = ROOT / "ARCHITECTURE.md"
    if not (options.write or options.check):
        print(lines)
        return 0
    return settle(
        {page: between(page.read_text(encoding="utf-8"), START, END, f"```\n{lines}\n```")},
        "tools/map.py",
        write=options.write,
    )


def map_lines() -> Iterator[str]:
    """One line for each room and module, inner rooms first."""
    yield line("src/serai/", SOURCE / "__init__.py")
    for name in rooms():
        room = SOURCE / name
        if not room.is_dir():
            yield line(f"  {name}.py", room.with_suffix(".py"))
            continue
        yield line(f"  {name}/", room / "__init__.py")
        for module in sorted(room.rglob("*.py")):
            if module.name != "__init__.py":
                yield line(f"    {module.relative_to(room)}", module)


def rooms() -> list[str]:
    """The rooms that exist, in import order: a room stands after everything it may import."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(item["layers"] for item in config["tool"]["importlinter"]["contracts"] if item["type"] == "layers")
    names = [name.strip() for layer in reversed(layers) for name in layer.split("|")]
    return [name for name in names if (SOURCE / name / "__init__.py").exists() or (SOURCE / f"{name}.py").exists()]


def line(label: str, path: Path) -> str:
    """A name and its purpose."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        sys.exit(f"{path.relative_to(ROOT)} has no docstring; its first line is its line in the map")
    return f"{label:<{WIDTH}} {docstring.splitlines()[0]}"


if __name__ == "__main__":
    sys.exit(main())
