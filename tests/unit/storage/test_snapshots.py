"""A start goes on from the snapshot of a state; whatever is wrong with one, the log is replayed from its first entry."""

import logging
import stat
import threading

import pytest

from serai.charter.constitution import genesis_of
from serai.kernel.ids import digest_of
from serai.ledger.merkle import leaf_hash, root_of
from serai.ledger.statements import ATTEST_EVERY
from serai.state import State, advance, digest_state, encode_state, fold, replay
from serai.storage import snapshots
from serai.storage.snapshots import SnapshotFile, SnapshotKeeper, rules_digest
from serai.testing.federation import Federation
from serai.testing.long_log import LongLog

SIZE = 300
LATER = 20


@pytest.fixture(scope="module")
def bloc(tmp_path_factory):
    made = Federation(
        tmp_path_factory.mktemp("bloc"), {name: [[0.0, 0], [1.0, 1]] for name in ("bern", "lima", "oslo")}
    )
    made.found()
    made.pass_time(1000)
    return made


@pytest.fixture(scope="module")
def entries(bloc):
    work = LongLog(bloc.state, bloc.log, bloc.signer)
    work.grow(ATTEST_EVERY + SIZE)
    return [*bloc.entries, *work.entries]


@pytest.fixture(scope="module")
def state(entries):
    return replay(entries[:SIZE])


@pytest.fixture
def file(tmp_path, bloc):
    return SnapshotFile(tmp_path / "state.snapshot", genesis_of(bloc.charter))


@pytest.fixture
def path(tmp_path, file, state):
    file.write(state)
    return tmp_path / "state.snapshot"


@pytest.fixture
def root_at(entries):
    return lambda size: root_of([leaf_hash(entry) for entry in entries[:size]])


def again(path, bloc):
    """As another process would open it."""
    return SnapshotFile(path, genesis_of(bloc.charter))


def with_body(path, change, **fields):
    """Write the snapshot again with another body and the header that fits it, but for some fields."""
    header, body = path.read_bytes().split(b"\n", 1)
    changed = change(body)
    text = header.decode().replace(digest_of(body), digest_of(changed))
    for name, (old, new) in fields.items():
        assert f'"{name}":{old}' in text
        text = text.replace(f'"{name}":{old}', f'"{name}":{new}')
    path.write_bytes(text.encode() + b"\n" + changed)


def test_what_is_read_is_the_state_that_was_written_and_goes_on_as_it_would(path, bloc, entries, state, root_at):
    found = again(path, bloc).read(SIZE + LATER, root_at)
    assert found == state
    later = entries[SIZE : SIZE + LATER]
    assert digest_state(fold(found, later)) == digest_state(replay(entries[: SIZE + LATER]))


def test_it_names_the_digest_that_members_compare(path, state):
    assert digest_state(state).encode() in path.read_bytes().split(b"\n", 1)[0]
    assert path.read_bytes().split(b"\n", 1)[1] == encode_state(state)


def test_it_is_a_private_file(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_without_one_the_replay_begins_at_the_first_entry_without_a_word(file, root_at, caplog):
    assert file.read(SIZE, root_at) == State()
    assert not caplog.records


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "its header cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "its body cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "without a body": lambda path: path.write_bytes(path.read_bytes().split(b"\n")[0]),
    "more after its body": lambda path: path.write_bytes(path.read_bytes() + b" "),
    "a byte flipped": lambda path: path.write_bytes(path.read_bytes()[:-900] + b"~" + path.read_bytes()[-899:]),
    "its header changed": lambda path: path.write_bytes(path.read_bytes().replace(b'"size":300', b'"size":299', 1)),
    "another format": lambda path: path.write_bytes(path.read_bytes().replace(b"snapshot 1", b"snapshot 2", 1)),
    "a field too many": lambda path: path.write_bytes(path.read_bytes().replace(b'{"format', b'{"a":1,"format', 1)),
    "zeroes": lambda path: path.write_bytes(bytes(5000)),
    "a text where a number is due": lambda path: with_body(path, lambda body: body.replace(b"[300,", b'["300",', 1)),
    "a float": lambda path: with_body(path, lambda body: body.replace(b"[300,", b"[300.0,", 1)),
    "a field less": lambda path: with_body(path, lambda body: body.replace(b"[300,", b"[", 1)),
    "no state": lambda path: with_body(path, lambda _: b"[]"),
    "no JSON": lambda path: with_body(path, lambda body: body[:-1]),
    "endless nesting": lambda path: with_body(path, lambda _: b"[" * 100_000),
    "the state of another size": lambda path: with_body(path, lambda body: body.replace(b"[300,", b"[301,", 1)),
    "the state of an empty log": lambda path: with_body(path, lambda _: encode_state(State())),
    "a size below zero": lambda path: with_body(path, lambda body: body, size=("300", "-300")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_one_that_is_damaged_is_not_used_and_one_line_says_why(path, bloc, root_at, caplog, damage):
    damage(path)
    assert again(path, bloc).read(SIZE + LATER, root_at) == State()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "replayed from its first entry" in record.message


def test_one_of_another_center_is_not_used(path, root_at, caplog):
    assert SnapshotFile(path, digest_of(b"another")).read(SIZE, root_at) == State()
    assert "of the center founded on" in caplog.text


def test_one_of_another_log_is_not_used(path, bloc, entries, caplog):
    others = [*entries[: SIZE - 1], entries[SIZE]]
    assert again(path, bloc).read(SIZE, lambda size: root_of([leaf_hash(entry) for entry in others[:size]])) == State()
    assert "does not begin with the 300 entries" in caplog.text


def test_one_of_a_longer_log_than_there_is_is_not_used(path, bloc, root_at, caplog):
    assert again(path, bloc).read(SIZE - 1, root_at) == State()
    assert "does not begin with the 300 entries" in caplog.text


def test_one_that_other_rules_made_is_not_used(path, bloc, root_at, caplog, monkeypatch):
    monkeypatch.setattr(snapshots, "rules_digest", lambda: digest_of(b"the next version"))
    assert again(path, bloc).read(SIZE, root_at) == State()
    assert "other rules made it" in caplog.text


def test_one_that_is_too_large_is_neither_written_nor_used(path, bloc, state, root_at, monkeypatch):
    body = len(path.read_bytes().split(b"\n", 1)[1])
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOT_BYTES", body)
    assert again(path, bloc).read(SIZE, root_at) == state
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOT_BYTES", body - 1)
    assert again(path, bloc).read(SIZE, root_at) == State()
    path.unlink()
    again(path, bloc).write(state)
    assert not path.exists()


def test_what_cannot_be_read_or_written_stops_nobody(tmp_path, bloc, state, root_at, caplog):
    (tmp_path / "folder").mkdir()
    file = again(tmp_path / "folder", bloc)
    assert file.read(SIZE, root_at) == State()
    keeper = SnapshotKeeper(file)
    keeper.close(state)
    assert "no snapshot of the first 300 entries was written" in caplog.text


def test_the_rules_are_told_apart_by_their_source(tmp_path, monkeypatch):
    package = tmp_path / "serai"
    (package / "kernel").mkdir(parents=True)
    (package / "cli").mkdir()
    (package / "state.py").write_text("one")
    (package / "kernel" / "ids.py").write_text("two")
    monkeypatch.setattr(snapshots.resources, "files", lambda _: package)
    found = [rules_digest.__wrapped__()]
    for name, text in (("cli/main.py", "x"), ("kernel/ids.py", "three"), ("kernel/more.py", ""), ("state.py", "four")):
        (package / name).write_text(text)
        found.append(rules_digest.__wrapped__())
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_without_their_source_nothing_is_written(tmp_path, file, state, monkeypatch):
    monkeypatch.setattr(snapshots.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(snapshots, "rules_digest", rules_digest.__wrapped__)
    file.write(state)
    assert list(tmp_path.iterdir()) == []


class Recording(SnapshotFile):
    """Remembers what was written, and holds a writer until it is let go."""

    def __init__(self, path, genesis):
        super().__init__(path, genesis)
        self.written = []
        self.free = threading.Event()

    def write(self, state):
        self.free.wait(10)
        self.written.append(state.size)
        self.size = state.size


@pytest.fixture
def recording(tmp_path, bloc):
    return Recording(tmp_path / "state.snapshot", genesis_of(bloc.charter))


def test_a_keeper_writes_once_the_log_has_grown_and_one_at_a_time(recording, entries):
    keeper = SnapshotKeeper(recording)
    small, large = replay(entries[: ATTEST_EVERY - 1]), replay(entries[:ATTEST_EVERY])
    keeper.offer(small)
    keeper.offer(large)
    keeper.offer(advance(large, entries[ATTEST_EVERY]))  # while the writer still writes
    recording.free.set()
    keeper.close(large)
    assert recording.written == [ATTEST_EVERY]


def test_a_keeper_writes_the_last_one_at_the_end_if_it_spares_the_next_start_anything(recording, entries, state):
    recording.free.set()
    keeper = SnapshotKeeper(recording)
    keeper.close(replay(entries[: ATTEST_EVERY // 4 - 1]))
    assert recording.written == []
    keeper.close(state)
    assert recording.written == [SIZE]


def test_a_keeper_writes_anew_where_a_successors_log_is_shorter(recording, state):
    recording.free.set()
    recording.size = SIZE + 1
    SnapshotKeeper(recording).close(state)
    assert recording.written == [SIZE]


def test_two_equal_states_have_one_snapshot(path, tmp_path, bloc, root_at):
    again(tmp_path / "other", bloc).write(again(path, bloc).read(SIZE, root_at))
    assert (tmp_path / "other").read_bytes() == path.read_bytes()
