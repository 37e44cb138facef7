"""The published files follow the store, whatever was there before."""

import pytest

from serai.errors import Missing, Unavailable
from serai.storage.tile_files import TileFiles

ENTRIES = [b"entry %d" % index for index in range(70_000)]


def read(start, end):
    assert end <= len(ENTRIES)
    return ENTRIES[start:end]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sizes", [(1,), (255, 256), (1, 256, 257), (300, 512, 513, 5000), (5000, 70_000)])
def test_growing_step_by_step_ends_in_the_files_of_one_step(tmp_path, sizes):
    stepwise, once = TileFiles(tmp_path / "stepwise"), TileFiles(tmp_path / "once")
    for size in sizes:
        stepwise.publish(read, size, f"size {size}")
    once.publish(read, sizes[-1], f"size {sizes[-1]}")

    grown, fresh = content(tmp_path / "stepwise"), content(tmp_path / "once")
    assert {path: grown[path] for path in fresh} == fresh
    assert {path for path in grown if path not in fresh} == {
        path for path in grown if ".p/" in path and path not in fresh
    }
    assert stepwise.size == sizes[-1]


def test_partial_tiles_go_when_the_full_one_is_there(tmp_path):
    files = TileFiles(tmp_path)
    for size in (1, 100, 255):
        files.publish(read, size, "")
    assert sorted(path.name for path in (tmp_path / "tile/0/000.p").iterdir()) == ["1", "100", "255"]

    files.publish(read, 257, "")
    assert not (tmp_path / "tile/0/000.p").exists()
    assert not (tmp_path / "tile/entries/000.p").exists()
    assert (tmp_path / "tile/0/001.p/1").exists()


def test_a_start_repairs_bent_missing_and_half_written_files(tmp_path):
    TileFiles(tmp_path).publish(read, 600, "note")
    good = content(tmp_path)
    (tmp_path / "tile/0/000").write_bytes(b"bent")
    (tmp_path / "tile/entries/001").unlink()
    (tmp_path / "tile/entries/002.p/88").write_bytes(b"")
    (tmp_path / "checkpoint").write_text("older")
    (tmp_path / "checkpoint.new").write_text("half")

    TileFiles(tmp_path).publish(read, 600, "note")

    assert content(tmp_path) == good


def test_files_that_are_right_already_are_left_alone(tmp_path):
    TileFiles(tmp_path).publish(read, 600, "note")
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}

    TileFiles(tmp_path).publish(read, 600, "note")

    assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == before


def test_a_file_that_is_not_published_is_missing(tmp_path):
    files = TileFiles(tmp_path)
    files.publish(read, 1, "note")

    assert files.read("checkpoint") == b"note"
    with pytest.raises(Missing, match="tile/0/001"):
        files.read("tile/0/001")


def test_a_folder_that_cannot_be_written_is_unavailable_and_caught_up_later(tmp_path):
    files = TileFiles(tmp_path / "www")
    files.publish(read, 10, "ten")
    (tmp_path / "www/tile/1").write_text("in the way")

    with pytest.raises(Unavailable, match="cannot be written"):
        files.publish(read, 300, "three hundred")
    assert files.read("checkpoint") == b"ten"

    (tmp_path / "www/tile/1").unlink()
    files.publish(read, 300, "three hundred")
    TileFiles(tmp_path / "fresh").publish(read, 300, "three hundred")
    fresh = content(tmp_path / "fresh")
    assert {path: data for path, data in content(tmp_path / "www").items() if path in fresh} == fresh


@pytest.mark.parametrize(
    ("size", "shown"), [(300, 1), (300, 255), (300, 256), (600, 300), (70_000, 65_537), (70_000, 66_000)]
)
def test_a_smaller_checkpoint_is_shown_with_the_tiles_that_end_there(tmp_path, size, shown):
    files, exact = TileFiles(tmp_path / "files"), TileFiles(tmp_path / "exact")
    files.publish(read, size, f"size {size}")
    files.show(shown, f"size {shown}")
    exact.publish(read, shown, f"size {shown}")
    found = content(tmp_path / "files")
    expected = content(tmp_path / "exact")
    assert {path: found.get(path) for path in expected} == expected
