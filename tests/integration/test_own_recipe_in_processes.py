"""`serai recipe` and `serai run --recipe-folder` over real processes; a worker never outlives its agent."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from serai.agent.sandbox import find_fence
from serai.agent.settings import Limits
from serai.aggregation.state import current_round
from serai.testing.processes import ProcessBloc

pytestmark = pytest.mark.slow  # real processes, seconds each

SOURCE = """
from fractions import Fraction
import time
import numpy as np
from serai.aggregation.codec import Block, Codec


class Recipe:
    name, outputs, length = "mean", ("aggregate",), 2

    def __init__(self, params, inputs):
        self.sleep_s = float(params.get("sleep_s", "0"))

    def codec(self, members):
        return Codec(bits=64, limit=2**50, blocks=(Block(length=2, step=Fraction(1, 2**20)),))

    def initial(self):
        return {"mean": np.zeros(1)}

    def contribute(self, model, data, context):
        time.sleep(self.sleep_s)
        return np.array([len(data.x), data.x[:, 0].sum()])

    def combine(self, model, total, members):
        return {"mean": total[1:] / total[:1]}

    def evaluate(self, model, data):
        return {"n": len(data.test_y)}
"""


@pytest.fixture(scope="module", autouse=True)
def _sandbox():
    fence = find_fence(Path("/nowhere"), Limits())
    if not fence.is_whole:
        pytest.skip(f"no whole sandbox here: {fence.lacking[0]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mean")
    (path / "recipe.py").write_text(SOURCE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bloc(tmp_path_factory):
    generator = np.random.default_rng(5)
    tables = {
        name: [[*map(float, generator.normal(size=2)), float(index % 2)] for index in range(40)]
        for name in ("bern", "lima")
    }
    with ProcessBloc(tmp_path_factory.mktemp("bloc"), tables) as made:
        yield made


def serai(*arguments, fails=False):
    done = subprocess.run(
        [sys.executable, "-m", "serai", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else json.loads(done.stdout)


def run(bloc, agreement, folder, *more):
    options = ["--home", bloc.folder / "bern", "--agreement", agreement, "--recipe-folder", folder, "--rounds", 1]
    return serai("run", *options, "--purpose", "research", "--json", *more)["run"]


def workers(pid):
    """Process ids below a process, however deep."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    children = {}
    for child, parent in zip(found[::2], found[1::2], strict=True):
        children.setdefault(int(parent), []).append(int(child))
    below = list(children.get(pid, []))
    for this in below:
        below.extend(children.get(this, []))
    return below


def is_running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_own_recipe_is_packed_approved_and_run_and_without_approval_it_is_declined(bloc, folder):
    code = serai("recipe", "pack", folder, "--json")["code"]
    agreement = bloc.agree()
    refused = run(bloc, agreement, folder)
    state = bloc.wait_until(lambda state: len(state.runs.plans[refused].declines) == 2)
    assert "steward has not approved it" in state.runs.plans[refused].declines["lima"][0].text

    for name in bloc.members:
        serai("recipe", "approve", "--home", bloc.folder / name, code, "--json")
    run_id = run(bloc, agreement, folder)
    bloc.wait_for_model(run_id)
    assert bloc.state().runs.plans[run_id].plan.code == code

    # The agent that is killed at work takes its worker with it, and goes on when it is back.
    slow = run(bloc, agreement, folder, "--param", "sleep_s=3")
    bloc.wait_until(lambda state: current_round(state.rounds, slow) is not None)
    deadline = time.monotonic() + 20
    while not (below := workers(bloc.pid("lima"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert below
    bloc.kill("lima")
    deadline = time.monotonic() + 5
    while any(map(is_running, below)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, below))
    bloc.start("lima")
    bloc.wait_for_model(slow)


def test_a_recipe_with_a_taken_name_or_none_at_all_is_not_planned(bloc, tmp_path):
    agreement = bloc.agree()
    options = ["--home", bloc.folder / "bern", "--agreement", agreement, "--rounds", 1, "--purpose", "x"]
    (tmp_path / "recipe.py").write_text(SOURCE.replace('"mean", (', '"newton", ('), encoding="utf-8")

    assert "comes with serai" in serai("run", *options, "--recipe-folder", tmp_path, fails=True)
    assert "either --recipe or" in serai("run", *options, fails=True)
    (tmp_path / "recipe.py").write_text("raise ValueError('unready')", encoding="utf-8")
    assert "ValueError: unready" in serai("run", *options, "--recipe-folder", tmp_path, fails=True)
