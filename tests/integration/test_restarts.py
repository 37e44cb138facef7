"""Center and agents that start from a snapshot go on as if they had replayed the log from its first entry."""

import signal
import stat
import subprocess
import sys
import time

import pytest

from serai.agent.session import MIRROR_FILE
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.ledger.statements import ATTEST_EVERY
from serai.state import digest_state, replay
from serai.storage.log import LogStore
from serai.storage.snapshots import SNAPSHOT_FILE, SnapshotFile
from serai.testing.long_log import lengthen
from serai.testing.processes import ProcessBloc
from serai.zones.statements import Approval

pytestmark = pytest.mark.slow  # real processes, seconds each

MEMBERS = ("bern", "lima", "oslo")
IGNORED = "replayed from its first entry"


@pytest.fixture(scope="module")
def bloc(tmp_path_factory):
    """A bloc whose log is long enough for a snapshot; only the center and the first member's agent run."""
    folder = tmp_path_factory.mktemp("bloc")
    with ProcessBloc(folder, {name: [[float(n), n % 2] for n in range(8)] for name in MEMBERS}) as made:
        made.wait_until(lambda state: state.time_ms > 0)
        for name in (*MEMBERS, "center"):
            made.end(name)
        lengthen(folder, MEMBERS, ATTEST_EVERY + 100)
        for name in ("center", "bern"):
            made.start(name)
        yield made


def snapshot(bloc, name):
    return bloc.folder / name / SNAPSHOT_FILE


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path} was written"
        time.sleep(0.05)


def restart(bloc):
    """End both and start them again; what they say meanwhile."""
    before = {name: len(bloc.said(name)) for name in ("center", "bern")}
    for name in ("bern", "center"):
        assert bloc.end(name) == 0
    for name in before:
        bloc.start(name)
    return {name: bloc.said(name)[length:] for name, length in before.items()}


def check_goes_on(bloc, comment):
    """A statement takes its effect, and center, agent and a replay from nothing find one state."""
    bloc.forget_sessions()
    bloc.say("bern", Approval(subject=digest_of(comment.encode()), comment=comment), Role.STEWARD)
    state = bloc.state()
    bloc.wait_until(lambda _: LogStore(bloc.folder / "bern" / MIRROR_FILE).size >= state.size)
    entries = bloc.session("bern").entries(0, state.size)
    assert digest_state(replay(entries)) == digest_state(state)
    assert digest_of(comment.encode()) in state.zones.approvals


def test_both_write_one_and_go_on_from_it(bloc):
    wait_for(snapshot(bloc, "bern"))  # as soon as the agent runs; the center writes one at the end, at the latest
    said = restart(bloc)
    for name in said:
        assert stat.S_IMODE(snapshot(bloc, name).stat().st_mode) == 0o600
        assert IGNORED not in said[name]
    check_goes_on(bloc, "after a restart")
    assert "ALARM" not in bloc.said("bern")


def test_one_that_is_damaged_is_replaced(bloc):
    for name in ("center", "bern"):
        wait_for(snapshot(bloc, name))
        data = bytearray(snapshot(bloc, name).read_bytes())
        data[len(data) // 2] ^= 1
        bloc.end(name)
        snapshot(bloc, name).write_bytes(data)
    for name in ("center", "bern"):
        bloc.start(name)
        assert IGNORED in bloc.said(name)
    check_goes_on(bloc, "after damage")
    said = restart(bloc)
    assert all(IGNORED not in words for words in said.values())
    check_goes_on(bloc, "after that")


def test_what_a_kill_left_of_one_is_overwritten(bloc):
    for name in ("center", "bern"):
        wait_for(snapshot(bloc, name))
        bloc.kill(name)
        whole = snapshot(bloc, name).read_bytes()
        snapshot(bloc, name).with_name(f"{SNAPSHOT_FILE}.new").write_bytes(whole[: len(whole) // 2])
    before = {name: bloc.said(name) for name in ("center", "bern")}
    for name in before:
        bloc.start(name)
        assert IGNORED not in bloc.said(name)[len(before[name]) :]
    check_goes_on(bloc, "after a kill")


WRITER = """
import itertools, pathlib, sys
from serai.state import replay
from serai.storage.log import LogStore
from serai.storage.snapshots import SnapshotFile
store, path, genesis, sizes = LogStore(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
states = [replay(store.read(0, int(size))) for size in sizes]
for state in itertools.cycle(states):
    SnapshotFile(path, genesis).write(state)
    print(state.size, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_one_or_the_new_one(bloc, tmp_path):
    mirror = bloc.folder / "bern" / MIRROR_FILE
    store = LogStore(mirror)
    states = {size: replay(store.read(0, size)) for size in (400, 401)}
    genesis = states[400].charter.genesis
    path = tmp_path / "state.snapshot"
    command = [sys.executable, "-c", WRITER, str(mirror), str(path), genesis, *map(str, states)]
    for number in range(6):
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert writer.stdout.readline()
        time.sleep(0.003 * number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        roots = {size: state.frontier.root() for size, state in states.items()}
        found = SnapshotFile(path, genesis).read(store.size, roots.__getitem__)
        assert found == states[found.size]
