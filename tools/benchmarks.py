"""Make docs/benchmarks.md from benchmarks/results.json, and put new results there.

    python benchmarks/exchange.py | python tools/benchmarks.py --record "python benchmarks/exchange.py"

A benchmark prints one JSON object a line for each result; ``--record`` passes
the lines on, adds command, machine and date, and replaces results of the same name.

Each result is an object with ``name, value, unit, bar, holds, peer, limit,
command, machine, date`` and ``issue``, the number that groups and orders them.
``bar`` is what we promised, ``peer`` what comparable software does, ``limit``
what the machine itself could do at most.
"""

import json
import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from pages import ROOT, arguments, cell, settle

RESULTS: Final = ROOT / "benchmarks" / "results.json"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
FIELDS: Final = frozenset(
    {"issue", "name", "value", "unit", "bar", "holds", "peer", "limit", "command", "machine", "date"}
)

INTRODUCTION: Final = """# Benchmarks

What we promise, what was measured, what comparable software does, and what the machine itself could do
at most. Every number has the command that makes it again; `make bench` makes the quick ones.
This page is written by `tools/benchmarks.py` from `benchmarks/results.json`.
"""


def main() -> int:
    """Print the page, write it, check it, or record results from standard input."""
    if sys.argv[1:2] == ["--record"]:
        record(sys.stdin, sys.argv[2])
        return 0
    options = arguments("Make docs/benchmarks.md from benchmarks/results.json.")
    page = render(read(RESULTS))
    if not (options.write or options.check):
        print(page, end="")
        return 0
    return settle({PAGE: page}, "tools/benchmarks.py", write=options.write)


def record(lines: Iterable[str], command: str) -> None:
    """Pass lines on, and keep those that are results."""
    results = {result["name"]: result for result in read(RESULTS)}
    known = {"command": command, "machine": machine(), "date": datetime.now(UTC).date().isoformat()}
    for line in lines:
        print(line, end="", flush=True)
        if line.startswith("{"):
            result = {**json.loads(line), **known}
            results[result["name"]] = result
    ordered = sorted(results.values(), key=lambda result: (result["issue"], result["name"]))
    RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> str:
    """This machine in a few words: processor, cores, memory, Python."""
    model = "a processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}"


def read(path: Path) -> list[dict[str, Any]]:
    """The results, in their order; none if nothing was measured yet."""
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for result in results:
        if set(result) != FIELDS:
            wrong = sorted(set(result) ^ FIELDS)
            sys.exit(
                f"{path.name}: {result.get('name', '?')!r} needs exactly the fields {sorted(FIELDS)}; look at {wrong}"
            )
    return sorted(results, key=lambda result: (result["issue"], result["name"]))


def render(results: list[dict[str, Any]]) -> str:
    """A table of results, then how to make each again."""
    if not results:
        return f"{INTRODUCTION}\nNothing has been measured yet.\n"
    rows = [
        "| what | measured | promised | holds | comparable software | the machine's limit |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        holds = {True: "yes", False: "**no**", None: ""}.get(result["holds"], str(result["holds"]))
        shown = [result["name"], f"{number(result['value'])} {result['unit']}", *(result[key] for key in ("bar",))]
        shown += [holds, result["peer"], result["limit"]]
        rows.append("| " + " | ".join(cell(number(item)) for item in shown) + " |")
    return "\n".join([INTRODUCTION, *rows, "", "## To make them again", "", *again(results)])


def again(results: list[dict[str, Any]]) -> list[str]:
    """The commands, each with what it measures, where and when that was last done."""
    lines: list[str] = []
    key = ("command", "machine", "date")
    ordered = sorted(results, key=lambda result: tuple(str(result[item]) for item in key))
    for (command, machine, date), group in groupby(ordered, key=lambda result: tuple(result[item] for item in key)):
        lines += [
            "```",
            str(command),
            "```",
            f"{'; '.join(result['name'] for result in group)}. On {machine}, {date}.",
            "",
        ]
    return lines


def number(value: object) -> str:
    """A value for a person: thousands apart, four digits that matter, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
