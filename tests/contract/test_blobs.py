"""One suite for every blob store."""

import contextlib
import errno
import os
import stat
import threading

import pytest

from serai.errors import Malformed, Missing, Unavailable, Unverified
from serai.kernel.ids import digest_of
from serai.storage.blobs import FileBlobs, MemoryBlobs
from serai.storage.disk import no_room_explained

DATA = bytes(range(256)) * 1000
NAME = digest_of(DATA)


@pytest.fixture(params=["files", "synced files", "memory"])
def store(request, tmp_path):
    match request.param:
        case "files":
            return FileBlobs(tmp_path / "blobs")
        case "synced files":
            return FileBlobs(tmp_path / "blobs", sync=True)
        case "memory":
            return MemoryBlobs()


def put(store, data):
    with store.writer() as writer:
        writer.write(data)
        return writer.commit()


def test_what_was_written_in_parts_is_read_back_whole(store):
    with store.writer() as writer:
        for start in range(0, len(DATA), 1000):
            writer.write(memoryview(DATA)[start : start + 1000])
        assert writer.commit(NAME) == NAME
    with store.open(NAME) as file:
        assert file.read() == DATA
    assert store.has(NAME)
    assert store.size(NAME) == len(DATA)


def test_an_empty_blob_is_a_blob(store):
    assert put(store, b"") == digest_of(b"")
    assert store.size(digest_of(b"")) == 0
    assert store.read_range(digest_of(b""), 0, 10) == b""


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (255, 4000), (255_999, 1), (255_990, 100), (300_000, 5), (7, 0)]
)
def test_a_range_is_the_same_slice_of_the_bytes(store, offset, length):
    put(store, DATA)
    assert store.read_range(NAME, offset, length) == DATA[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -5)])
def test_a_negative_range_is_malformed(store, offset, length):
    put(store, DATA)
    with pytest.raises(Malformed, match="at least 0"):
        store.read_range(NAME, offset, length)


def test_a_wrong_digest_keeps_nothing(store):
    with store.writer() as writer:
        writer.write(DATA[:-1])
        with pytest.raises(Unverified, match="expected bytes with digest"):
            writer.commit(NAME)
    assert not store.has(NAME)
    assert not store.has(digest_of(DATA[:-1]))


def test_a_blob_is_not_there_before_its_commit(store):
    with store.writer() as writer:
        writer.write(DATA)
        assert not store.has(NAME)
    assert not store.has(NAME)


def test_writing_a_blob_again_changes_nothing(store):
    assert put(store, DATA) == put(store, DATA)
    assert store.read_range(NAME, 0, len(DATA)) == DATA


def test_a_deleted_blob_is_gone_and_deleting_again_is_fine(store):
    put(store, DATA)
    store.delete(NAME)
    store.delete(NAME)
    assert not store.has(NAME)


@pytest.mark.parametrize("verb", ["open", "size", "path", "read"])
def test_a_blob_that_is_not_here_is_missing(store, verb):
    verbs = {"open": store.open, "size": store.size, "path": store.path, "read": lambda d: store.read_range(d, 0, 1)}
    with pytest.raises(Missing, match="there is no blob"):
        verbs[verb](NAME)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63])
def test_a_name_that_is_no_digest_never_reaches_the_disk(store, name):
    for verb in (store.open, store.size, store.path, store.has, store.delete):
        with pytest.raises(Malformed, match="64 lower-case hex"):
            verb(name)


def test_many_writers_of_one_blob_all_succeed(store):
    results = []

    def write():
        results.append(put(store, DATA))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [NAME] * 8
    assert store.read_range(NAME, 0, len(DATA)) == DATA


def test_a_blob_sent_again_repairs_the_file_that_a_crash_bent(tmp_path):
    store = FileBlobs(tmp_path)
    put(store, DATA)
    store.path(NAME).write_bytes(b"\0" * len(DATA))
    put(store, DATA)
    assert store.read_range(NAME, 0, len(DATA)) == DATA


def test_files_are_private_and_nothing_is_left_beside_them(tmp_path):
    store = FileBlobs(tmp_path / "blobs")
    put(store, DATA)
    with store.writer() as writer:
        writer.write(b"never finished")
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert files == [store.path(NAME)]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    for folder in (tmp_path / "blobs", files[0].parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_sweeping_removes_what_a_killed_writer_left_and_no_blob(tmp_path):
    store = FileBlobs(tmp_path)
    put(store, DATA)
    left = store.writer()
    left.write(b"the process died here")
    assert FileBlobs(tmp_path).sweep() == 1
    assert store.has(NAME)
    left.abort()


def test_a_full_disk_is_unavailable_and_says_what_to_do(tmp_path):
    # /dev/full is a device on which every write fails for want of room.
    writer = FileBlobs(tmp_path).writer()
    os.dup2(full := os.open("/dev/full", os.O_WRONLY), writer._fd)
    with pytest.raises(Unavailable, match="free some or move the folder") as caught:
        writer.write(DATA)
    assert caught.value.code == "disk-full"
    writer.abort()
    os.close(full)


def test_other_disk_errors_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(OSError, match="broken") as caught, no_room_explained(tmp_path):
        raise OSError(errno.EIO, "broken")
    assert caught.value.errno == errno.EIO


def test_aborting_twice_or_after_the_commit_is_harmless(store):
    writer = store.writer()
    writer.write(DATA)
    writer.commit(NAME)
    writer.abort()
    writer.abort()
    assert store.has(NAME)
    with contextlib.closing(store.open(NAME)) as file:
        assert file.read(3) == DATA[:3]


LONG = DATA * 5  # a spare is kept of a blob of a MiB or more


def stored(store):
    """The files that a store of files has, finished or not."""
    return sorted(path for path in store.path(NAME).parents[1].rglob("*") if path.is_file())


def test_a_recycled_blob_is_gone_and_another_takes_its_room(store):
    put(store, DATA)
    put(store, LONG)
    store.recycle(digest_of(LONG))
    assert not store.has(digest_of(LONG))
    with pytest.raises(Missing):
        store.open(digest_of(LONG))
    other = LONG[::-1]
    with store.writer(len(other)) as writer:
        writer.write(other)
        assert writer.commit() == digest_of(other)
    with store.open(digest_of(other)) as file:
        assert file.read() == other
    store.recycle(digest_of(other))
    store.recycle(digest_of(other))
    store.drop_spares()
    assert store.has(NAME)


@pytest.mark.parametrize("came", [LONG[:-1], LONG + b"x", b""])
def test_a_blob_that_is_shorter_or_longer_than_its_writer_said_is_whole_all_the_same(store, came):
    put(store, LONG)
    store.recycle(digest_of(LONG))
    with store.writer(len(LONG)) as writer:
        writer.write(came)
        writer.commit()
    assert store.read_range(digest_of(came), 0, 2 * len(LONG)) == came


def test_a_spare_file_is_written_over_and_dropped_when_asked(tmp_path):
    store = FileBlobs(tmp_path / "blobs")
    put(store, DATA)
    put(store, LONG)
    before = store.path(digest_of(LONG)).stat().st_ino
    store.recycle(digest_of(LONG))
    with store.writer(len(LONG) + 1) as writer, contextlib.suppress(Unverified):
        writer.write(LONG[::-1])  # no spare has that size
        writer.commit(NAME)
    with store.writer(len(LONG)) as writer:
        writer.write(LONG[::-1])
        assert store.path(writer.commit()).stat().st_ino == before
    store.recycle(digest_of(LONG[::-1]))
    assert len(stored(store)) == 2
    store.drop_spares()
    assert stored(store) == [store.path(NAME)]


def test_a_spare_that_was_being_written_over_leaves_nothing_when_that_ends_early(tmp_path):
    store = FileBlobs(tmp_path / "blobs")
    put(store, DATA)
    put(store, LONG)
    store.recycle(digest_of(LONG))
    with store.writer(len(LONG)) as writer:
        writer.write(LONG[:1000])
    assert stored(store) == [store.path(NAME)]


def test_few_spares_are_kept_none_of_them_small_and_none_through_a_restart(tmp_path):
    store = FileBlobs(tmp_path / "blobs")
    put(store, DATA)
    for number in range(80):
        store.recycle(put(store, LONG + bytes([number])))
        store.recycle(put(store, DATA + bytes([number])))
    assert len(stored(store)) == 65
    again = FileBlobs(tmp_path / "blobs")
    assert again.sweep() == 64
    assert stored(again) == [again.path(NAME)]
