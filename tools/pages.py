"""Write a generated page, or check that the committed one is current."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def settle(pages: Mapping[Path, str], tool: str, *, write: bool) -> int:
    """Write the pages that differ, or name them.

    Returns:
        The exit status: 1 if a page differs and was not written.

    """
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages[path], encoding="utf-8")
        print(f"{path.relative_to(ROOT)} {'written' if write else f'is not current; run: python {tool} --write'}")
    return 0 if write or not stale else 1


def arguments(purpose: str) -> argparse.Namespace:
    """The command line that every page maker shares: ``--write`` or ``--check``."""
    parser = argparse.ArgumentParser(description=purpose)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--write", action="store_true", help="write the page again")
    group.add_argument("--check", action="store_true", help="exit with 1 if the page is not current")
    return parser.parse_args()


def between(text: str, start: str, end: str, new: str) -> str:
    """Replace what stands between two marker lines."""
    if start not in text or end not in text:
        sys.exit(f"expected the lines {start!r} and {end!r}; put them where the generated part belongs")
    head, rest = text.split(start, 1)
    return f"{head}{start}\n{new}\n{end}{rest.split(end, 1)[1]}"


def cell(text: str) -> str:
    """Text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
