"""The import contracts of pyproject.toml hold, and would notice if they did not."""

import subprocess
import sys
import tomllib
from pathlib import Path

from serai.storage.snapshots import RULES

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(folder):
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_snapshot_is_told_apart_by_all_rooms_that_do_no_io():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = (contract["source_modules"] for contract in contracts if contract["name"].startswith("The pure rooms"))
    assert [f"serai.{name.removesuffix('.py')}" for name in RULES] == pure


def test_imports_point_inward():
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr
