"""``serai watch`` beside real processes: it follows a run to its end, and tells the same afterwards."""

import json
import subprocess
import sys

import numpy as np
import pytest

from serai.testing.processes import ProcessBloc

pytestmark = pytest.mark.slow  # real processes, seconds each

MEMBERS = ("bern", "lima")
ROUNDS = 3


def rows(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (40, 2))
    return np.column_stack((x, x[:, 0] > 0)).tolist()


def command(bloc, member, run, *options):
    home = ["--home", str(bloc.folder / member)]
    return [sys.executable, "-m", "serai", "watch", *home, run[:12], *options]


def watch(bloc, member, run, *options):
    done = subprocess.run(command(bloc, member, run, *options), capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def bloc(tmp_path_factory):
    tables = {member: rows(seed) for seed, member in enumerate(MEMBERS)}
    with ProcessBloc(tmp_path_factory.mktemp("bloc"), tables) as bloc:
        yield bloc


@pytest.fixture(scope="module")
def watched(bloc):
    """A run, and what a watcher that began before its first round was told."""
    run = bloc.train(bloc.agree(), "newton", ROUNDS, {"features": "2"})
    watcher = subprocess.Popen(command(bloc, "bern", run, "--json"), stdout=subprocess.PIPE, text=True)
    said, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 0
    return run, said


def test_every_fact_is_told_once_and_the_last_is_the_end(bloc, watched):
    run, said = watched
    facts = [json.loads(line) for line in said.splitlines()]
    kinds = [fact["fact"] for fact in facts]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "upload": ROUNDS * len(MEMBERS),
        "round": ROUNDS,
        "evaluation": len(MEMBERS),
        "end": 1,
    }
    assert {fact["run"] for fact in facts} == {run}
    assert facts[kinds.index("end")]["model"] == bloc.wait_for_model(run)
    uploads = [fact for fact in facts if fact["fact"] == "upload"]
    assert all(fact["sent_bytes"] == fact["figures"]["sent_bytes"] > 0 for fact in uploads)


def test_after_the_fact_another_member_is_told_the_same(bloc, watched):
    run, said = watched
    assert sorted(watch(bloc, "lima", run, "--json").splitlines()) == sorted(said.splitlines())


def test_people_see_a_row_for_each_member(bloc, watched):
    text = watch(bloc, "bern", watched[0], "--once")
    assert f"finished: {ROUNDS} of {ROUNDS} rounds finished" in text
    assert [line.split()[:2] for line in text.splitlines() if line.startswith(MEMBERS)] == [
        [member, str(ROUNDS)] for member in MEMBERS
    ]


def test_the_agent_has_left_a_report_and_the_verb_writes_the_same_at_any_time(bloc, watched, tmp_path):
    run, _ = watched
    made = tmp_path / "run.html"
    said = watch(bloc, "bern", run, "--html", str(made))
    assert said == f"Wrote the report of run {run[:12]} to {made}.\n"
    kept = (bloc.folder / "bern" / "reports" / f"{run}.html").read_text()
    assert "finished, 2 evaluations" in kept
    assert body(made.read_text()) == body(kept)


def body(html):
    """A page without what follows the log's own growth."""
    return [line for line in html.splitlines() if "root of" not in line and "As of entry" not in line]
