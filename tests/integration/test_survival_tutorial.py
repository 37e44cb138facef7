"""The tutorial's commands, as they stand on its page, come to a survival curve that equals the pooled one."""

import contextlib
import csv
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "survival-tutorial.md"
BLOCK = re.compile(r"^(`{3,})sh\n(.*?)^\1$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    pids = tmp_path / "pids"
    for pid in pids.read_text().split() if pids.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)


def script(port):
    """The page's blocks in order, with a free port in place of the usual one."""
    blocks = [block for _, block in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    text = "set -eu\n" + "\n".join(blocks)
    start = "serai center start --home center"
    assert text.count(start) == 1
    return text.replace(start, f"{start} --port {port}").replace("8787", str(port))


@pytest.mark.slow
def test_the_commands_of_the_page_come_to_the_curve_of_all_rows_together(folder):
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    environment = {**os.environ, "SERAI": str(ROOT)}
    done = subprocess.run(  # noqa: PLW1510 - the status is looked at below
        ["bash", "-c", script(port)], cwd=folder, env=environment, text=True, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    pooled = re.search(r"pooled rows: 299 patients, share alive after 241 days: ([\d.]+)", done.stdout)
    assert pooled is not None
    with (folder / "joint" / "survival.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert f"{float(rows[-1]['survival']):.6f}" == pooled[1]
    assert "True" in done.stdout  # the second time, the answer came from the log
    assert "<polygon" in (folder / "survival.svg").read_text()
    page = (folder / "survival.html").read_text()
    assert "Hospital hill, Hospital north, Hospital river" in page
