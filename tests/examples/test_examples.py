"""Every example runs as a newcomer runs it, and ends in its proof."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
LONG = {"07", "09", "10"}  # processes of their own, or a language model: ten seconds and more
MAX_LINES = 80
MEMORY = Path("/dev/shm")  # what the examples prove does not hang on the disk, and its syncs take most of their time


@pytest.mark.parametrize(
    "script",
    [pytest.param(script, marks=[pytest.mark.slow] if script.name[:2] in LONG else []) for script in SCRIPTS],
    ids=lambda script: script.stem,
)
def test_the_example_runs_without_a_warning_and_ends_in_its_proof(script, tmp_path):
    if "import torch" in script.read_text(encoding="utf-8") and find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install 'serai[torch]'")
    folder = str(MEMORY if MEMORY.is_dir() else tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": folder},
        timeout=180,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith("proved: "), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_examples_are_numbered_without_a_gap_and_short():
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))
    assert {
        script.name: lines
        for script in SCRIPTS
        if (lines := len(script.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    } == {}


def test_the_list_of_examples_is_complete_and_its_links_lead_somewhere():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d\d)\]\(([^)]+)\)", page, re.MULTILINE)

    assert rows == [(script.name[:2], script.name) for script in SCRIPTS]
    for target in re.findall(r"\]\(([^)]+)\)", page):
        assert (EXAMPLES / target).exists(), target
