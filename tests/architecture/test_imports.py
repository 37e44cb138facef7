"""The import contracts of pyproject.toml hold, and would notice if they did not."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(folder):
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_imports_point_inward():
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr
