"""The log in SQLite: nothing is lost, doubled, or readable by others."""

import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from serai.errors import Conflict, Corrupt, Missing, Unavailable
from serai.kernel.ids import digest_of
from serai.storage.log import LogStore, StoredEntry


def stored(*texts):
    return [StoredEntry(digest_of(text), text) for text in texts]


@pytest.fixture
def store(tmp_path):
    store = LogStore(tmp_path / "center" / "log.sqlite")
    yield store
    store.close()


def test_entries_are_read_back_in_order_after_reopening(store, tmp_path):
    assert store.append(stored(b"a", b"b")) == (0, 1)
    assert store.append(stored(b"c")) == (2,)
    store.close()

    again = LogStore(tmp_path / "center" / "log.sqlite")
    assert again.size == 3
    assert again.read(0, 3) == [b"a", b"b", b"c"]
    assert again.read(1, 2) == [b"b"]
    assert again.read(2, 2) == []
    again.close()


def test_a_statement_is_stored_once_and_keeps_its_index(store):
    assert store.append(stored(b"a", b"b", b"a")) == (0, 1, 0)
    assert store.append(stored(b"c", b"b")) == (2, 1)
    assert store.append([StoredEntry(digest_of(b"a"), b"another spelling")]) == (0,)
    assert store.read(0, 3) == [b"a", b"b", b"c"]
    assert store.find(digest_of(b"b")) == 1
    assert store.find(digest_of(b"never said")) is None


def test_a_mirror_keeps_repeated_entries_as_the_log_has_them(store):
    store.mirror(0, stored(b"a", b"b", b"a"), {"checkpoint": b"three"})

    assert store.read(0, 3) == [b"a", b"b", b"a"]
    assert store.find(digest_of(b"a")) == 0
    assert store.get("checkpoint") == b"three"


def test_a_mirror_takes_entries_only_where_it_ends(store):
    store.mirror(0, stored(b"a"))

    for start in (0, 2):
        with pytest.raises(Conflict, match="expected entries from index 1"):
            store.mirror(start, stored(b"b"), {"checkpoint": b"wrong"})
    assert store.size == 1
    assert store.get("checkpoint") is None


def test_values_are_replaced_and_read_back(store):
    assert store.get("checkpoint") is None
    store.put("checkpoint", b"one")
    store.append(stored(b"a"), {"checkpoint": b"two", "other": b"\x00\xff"})

    assert store.get("checkpoint") == b"two"
    assert store.get("other") == b"\x00\xff"


def test_entries_beyond_the_end_are_missing(store):
    store.append(stored(b"a"))

    with pytest.raises(Missing, match="expected entries 0 to 2"):
        store.read(0, 2)


def test_more_statements_than_one_query_binds_are_found(store):
    entries = stored(*(b"%d" % index for index in range(25_000)))

    assert store.append(entries) == tuple(range(25_000))
    assert store.append(entries[::-1]) == tuple(range(25_000))[::-1]


def test_the_files_are_private_to_the_user(store, tmp_path):
    store.append(stored(b"a"))

    assert stat.S_IMODE((tmp_path / "center").stat().st_mode) == 0o700
    files = sorted((tmp_path / "center").iterdir())
    assert [file.name for file in files] == ["log.sqlite", "log.sqlite-shm", "log.sqlite-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_commits_wait_for_the_disk(store):
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_process_killed_right_after_a_commit_has_lost_nothing(tmp_path):
    script = (
        "import os, signal, sys, pathlib\n"
        "from serai.kernel.ids import digest_of\n"
        "from serai.storage.log import LogStore, StoredEntry\n"
        "store = LogStore(pathlib.Path(sys.argv[1]))\n"
        "store.append([StoredEntry(digest_of(b'a'), b'a')], {'checkpoint': b'one'})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "log.sqlite")], check=False, timeout=60)

    assert done.returncode == -9
    store = LogStore(tmp_path / "log.sqlite")
    assert store.read(0, 1) == [b"a"]
    assert store.get("checkpoint") == b"one"
    store.close()


def test_of_two_processes_that_write_at_once_one_is_told(store, tmp_path):
    other = LogStore(tmp_path / "center" / "log.sqlite")
    barrier = threading.Barrier(2)
    told = []

    def write(target, prefix):
        barrier.wait()
        for number in range(50):
            try:
                target.append(stored(b"%s %d" % (prefix, number)))
            except (Conflict, Unavailable) as error:
                told.append(error.code)

    threads = [threading.Thread(target=write, args=pair) for pair in ((store, b"one"), (other, b"two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert store.size + len(told) == 100
    assert len(set(store.read(0, store.size))) == store.size
    assert set(told) <= {"log-moved", "log-busy"}


def test_a_file_that_is_no_database_is_called_corrupt(tmp_path):
    (tmp_path / "log.sqlite").write_bytes(b"not a database, but longer than a header " * 40)

    with pytest.raises(Corrupt):
        LogStore(tmp_path / "log.sqlite")


def test_a_damaged_page_is_called_corrupt(store, tmp_path):
    store.append(stored(*(bytes([index]) * 4000 for index in range(50))))
    store.close()
    path = tmp_path / "center" / "log.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)

    damaged = LogStore(path)
    with pytest.raises(Corrupt, match="restore it from a mirror"):
        damaged.read(0, 50)
    damaged.close()


def test_a_full_disk_is_unavailable_and_stores_nothing(store):
    store.append(stored(b"a"))
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with pytest.raises(Unavailable, match="free some space"):
        store.append(stored(bytes(60_000)), {"checkpoint": b"two"})
    assert store.size == 1
    assert store.get("checkpoint") is None


def test_foreign_tools_can_read_the_table(store, tmp_path):
    store.append(stored(b"a"))
    connection = sqlite3.connect(tmp_path / "center" / "log.sqlite")
    rows = connection.execute("SELECT position, id, entry FROM entries").fetchall()
    connection.close()

    assert rows == [(0, digest_of(b"a"), b"a")]


def test_a_mirror_gives_up_the_end_of_its_log_for_another_all_at_once(store):
    store.mirror(0, stored(b"a", b"b", b"c"), {"checkpoint": b"three"})

    store.replace(1, stored(b"x", b"y", b"z"), {"checkpoint": b"four"})
    assert store.read(0, store.size) == [b"a", b"x", b"y", b"z"]
    assert store.find(digest_of(b"b")) is None
    assert store.get("checkpoint") == b"four"

    with pytest.raises(Conflict, match="expected entries from index 4"):
        store.replace(5, stored(b"too late"), {"checkpoint": b"never"})
    assert (store.size, store.get("checkpoint")) == (4, b"four")
