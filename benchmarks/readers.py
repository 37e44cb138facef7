"""Memory and time that a zone needs to read ten million rows and hand them to a recipe.

Usage: python benchmarks/readers.py [--rows 10000000] [--format csv] [--folder /tmp] [--results]

One zone reads a table of four numbers and two categories from a file, as it does
for a run, and a recipe in its sandboxed worker adds up every column: once as
statistics ask for columns, and once as training asks for rows of six features
and a label, a third of them held back. Three processes have a part in it: the agent, the child that reads what a library in
C++ has to read, and the worker. Their memory is looked at every 20 ms: of each
what it alone holds (anonymous pages and its share of mapped files), and once,
whoever maps it, the files in memory through which columns pass. The most that
all of it together was at any moment is the figure.

Rows are made from a seed. The files lie in a temporary folder and are removed.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serai.agent.programs import Programs, Source
from serai.agent.settings import ForeignCode, Limits, SandboxSettings, load_settings
from serai.agent.vault import Vault
from serai.kernel.ids import MemberId
from serai.recipes.archive import pack
from serai.training.methods import Context

PROMISED_BYTES = 10**9
SAMPLE_S = 0.02
PIECE = 250_000
ZONE = """\
member = "bern"
jurisdiction = "CH"
[datasets.rows]
title = "Made up"
path = "rows.{suffix}"
[datasets.rows.fields]
age = {{kind = "number", unit = "a"}}
weight = {{kind = "number", unit = "kg", factor = "0.45359237"}}
pressure = {{kind = "number", unit = "mmHg"}}
days = {{kind = "number", unit = "d"}}
sex = {{kind = "category", levels = ["female", "male"], codes = {{W = "female", M = "male"}}}}
site = {{kind = "category", levels = ["a", "b", "c", "d"]}}
[datasets.train]
title = "Made up, to train on"
path = "rows.{suffix}"
label = {{column = "site", equals = "a"}}
features = [
    {{name = "age", column = "age", kind = "number"}},
    {{name = "weight", column = "weight", kind = "number"}},
    {{name = "pressure", column = "pressure", kind = "number"}},
    {{name = "days", column = "days", kind = "number"}},
    {{name = "woman", column = "sex", equals = "W"}},
    {{name = "man", column = "sex", equals = "M"}},
]
"""
COLUMNS = ("age", "weight", "pressure", "days", "sex", "site")
RECIPE = b"""
from fractions import Fraction
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    name, outputs, length = "column_sums", ("aggregate",), 6
    columns = ("age", "weight", "pressure", "days", "sex", "site")
    def __init__(self, params, inputs): pass
    def codec(self, members): return Codec(bits=64, limit=10**12, blocks=(Block(length=6, step=Fraction(1)),))
    def initial(self): return {}
    def contribute(self, model, data, context):
        arrays = [*data.table.numbers.values(), *data.table.categories.values()] or [
            rows[:, place] for place in range(6) for rows in (data.x, data.test_x)
        ]
        found = [
            sum(float(np.nansum(a[at : at + 100_000], dtype=float)) for at in range(0, len(a), 100_000)) for a in arrays
        ]
        return np.array(found).reshape(6, -1).sum(1)
    def combine(self, model, total, members): return model
    def evaluate(self, model, data): return {"n": 0}
"""


def pieces(rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Columns of made-up rows, some at a time."""
    random = np.random.Generator(np.random.PCG64(7))
    for start in range(0, rows, PIECE):
        n = min(PIECE, rows - start)
        yield {
            "age": random.integers(18, 95, n),
            "weight": np.round(random.normal(160, 30, n), 1),
            "pressure": random.integers(80, 200, n),
            "days": random.integers(0, 4000, n),
            "sex": np.array(["W", "M", "female", "male"])[random.integers(0, 4, n)],
            "site": np.array(["a", "b", "c", "d"])[random.integers(0, 4, n)],
        }


def write_csv(path: Path, rows: int) -> None:
    """The rows as text."""
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(COLUMNS) + "\n")
        for piece in pieces(rows):
            columns = (map(str, piece[name].tolist()) for name in COLUMNS)
            file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))


def write_parquet(path: Path, rows: int) -> None:
    """The rows as Parquet, in row groups of a million."""
    import pyarrow as pa  # noqa: PLC0415  # an extra
    import pyarrow.parquet as pq  # noqa: PLC0415  # an extra

    writer = None
    for piece in pieces(rows):
        table = pa.table({name: pa.array(piece[name]) for name in COLUMNS})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=10**6)
    if writer is not None:
        writer.close()


def be_agent(home: Path, dataset: str) -> None:
    """Read, hand over, compute; print what it took."""
    began = time.perf_counter()
    data = Vault(load_settings(home)).load(dataset, COLUMNS if dataset == "rows" else ())
    read_s = time.perf_counter() - began
    sandbox = SandboxSettings(foreign=ForeignCode.LIMITED, limits=Limits())
    program = Programs(sandbox, home).open(Source(recipe="", params={}, inputs={}, archive=pack({"recipe.py": RECIPE})))
    try:
        context = Context(round=0, seed=bytes(32), member=MemberId("bern"))
        total = program.recipe.contribute({}, data, context)[0:6]
    finally:
        program.close()
    told = {
        "rows": len(data.x) + len(data.test_x),
        "read_s": read_s,
        "sums": [float(value) for value in total],
    }
    print(json.dumps(told))


@dataclass
class Peaks:
    """The most bytes that each process, the files in memory, and all together were at any moment."""

    apart: dict[str, int] = field(default_factory=dict)
    together: int = 0

    def look(self, root: int) -> None:
        """Take one more sample of a process and its descendants."""
        now: dict[str, int] = {}
        files: dict[int, int] = {}
        for pid in descendants(root):
            with contextlib.suppress(OSError, ValueError):
                role = role_of(pid, root)
                now[role] = now.get(role, 0) + own_bytes(pid)
                files.update(memory_files(pid))
        now["files in memory"] = sum(files.values())
        for role, size in now.items():
            self.apart[role] = max(size, self.apart.get(role, 0))
        self.together = max(self.together, sum(now.values()))


def descendants(root: int) -> list[int]:
    """A process and all that it started."""
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
            found.extend(map(int, children.split()))
    return found


def role_of(pid: int, root: int) -> str:
    """What a process is there for; the fence around a worker counts as the worker."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    if pid == root:
        return "agent"
    return "child that reads" if b"readers.child" in command else "worker"


def own_bytes(pid: int) -> int:
    """Anonymous pages and the share of mapped files that a process has to itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
    return 1024 * (sizes["Pss_Anon:"] + sizes["Pss_File:"])


def memory_files(pid: int) -> dict[int, int]:
    """Files in memory that a process has open: bytes that they take, by inode."""
    sizes = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(link.readlink()).startswith("/memfd:"):
                status = link.stat()
                sizes[status.st_ino] = 512 * status.st_blocks
    return sizes


def measure(home: Path, dataset: str, rows: int) -> tuple[dict, Peaks]:
    """Let an agent read a file, and watch."""
    peaks = Peaks()
    command = [sys.executable, __file__, "--agent", str(home), "--dataset", dataset]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while agent.poll() is None:
        peaks.look(agent.pid)
        time.sleep(SAMPLE_S)
    assert agent.stdout is not None
    told = json.loads(agent.stdout.read())
    assert told["rows"] == rows
    expected = sum(float(piece["days"].sum()) for piece in pieces(rows))
    assert told["sums"][3] == expected, "every row was read"
    return told, peaks


def report(kind: str, dataset: str, told: dict, peaks: Peaks, *, results: bool) -> None:
    """Print what it took; as JSON lines too, where results are wanted."""
    rows, use = told["rows"], {"rows": "columns of all rows", "train": "rows to train on"}[dataset]
    shown = ", ".join(f"{role} {size / 1e6:.0f} MB" for role, size in sorted(peaks.apart.items()))
    print(f"{kind}, {use}: {rows} read in {told['read_s']:.1f} s")
    print(f"  {peaks.together / 1e6:.0f} MB together at most; {shown}")
    if not results:
        return
    holds = peaks.together <= PROMISED_BYTES
    bar = {"bar": "<= 1000", "holds": holds} if rows == 10**7 else {"bar": "", "holds": None}
    shared = {"issue": 5, "peer": "", "limit": ""}
    name = f"memory to read {rows / 1e6:g} million rows from {kind} and hand them to a recipe, {use}"
    print(json.dumps({**shared, "name": name, "value": round(peaks.together / 1e6), "unit": "MB", **bar}))
    name, speed = f"rows read from {kind} by one zone, {use}", round(rows / told["read_s"])
    print(json.dumps({**shared, "name": name, "value": speed, "unit": "rows/s", "bar": "", "holds": None}))


def main() -> None:
    """Measure each format, and print what it took."""
    options = argparse.ArgumentParser(description="What it takes a zone to read ten million rows.")
    options.add_argument("--rows", type=int, default=10**7)
    options.add_argument("--format", choices=["csv", "parquet"], action="append", help="repeatable; both if left out")
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options.add_argument("--results", action="store_true", help="print results as JSON lines")
    options.add_argument("--agent", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--dataset", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.agent:
        be_agent(given.agent, given.dataset)
        return
    for kind in given.format or ["csv", "parquet"]:
        with tempfile.TemporaryDirectory(dir=given.folder) as place:
            home = Path(place)
            (home / "zone.toml").write_text(ZONE.format(suffix=kind), encoding="utf-8")
            {"csv": write_csv, "parquet": write_parquet}[kind](home / f"rows.{kind}", given.rows)
            for dataset in ("rows", "train"):
                report(kind, dataset, *measure(home, dataset, given.rows), results=given.results)


if __name__ == "__main__":
    main()
