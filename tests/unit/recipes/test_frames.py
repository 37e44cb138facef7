"""What an agent takes from a worker: final, of the stated sizes, and without a second copy."""

import mmap
import os

import numpy as np
import pytest

from serai.errors import Malformed
from serai.recipes.frames import Outbox, make_file, map_parts, seal, write_parts


def answer(*parts, capacity=4096):
    fd = make_file(capacity)
    return fd, write_parts(fd, [[part] for part in parts]), capacity


def test_a_part_is_viewed_whole_or_copied_by_stretches():
    outbox = Outbox(*answer(b"abc", bytes(range(100))))
    stretch = np.empty(7, np.uint8)
    outbox.read(1, 90, stretch)

    assert bytes(outbox.view(0)) == b"abc"
    assert bytes(outbox.view(1)) == bytes(range(100))
    assert outbox.view(1).readonly
    assert stretch.tolist() == list(range(90, 97))


def test_an_answer_can_be_changed_by_nobody():
    fd, sizes, capacity = answer(b"abc")
    Outbox(fd, sizes, capacity)

    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)


def test_an_answer_that_somebody_still_maps_for_writing_is_none():
    fd, sizes, capacity = answer(b"abc")
    held = mmap.mmap(fd, capacity)

    with pytest.raises(Malformed, match="final"):
        Outbox(fd, sizes, capacity)
    held.close()
    assert bytes(Outbox(fd, sizes, capacity).view(0)) == b"abc"


def test_a_worker_that_seals_its_answer_itself_gains_nothing():
    fd, sizes, capacity = answer(b"abc")
    seal(fd)

    assert bytes(Outbox(fd, sizes, capacity).view(0)) == b"abc"


@pytest.mark.parametrize("sizes", [None, [True], [-1], ["3"], [5000], [4096, 4096]])
def test_sizes_that_do_not_fit_the_file_are_refused(sizes):
    fd = make_file(4096)

    with pytest.raises(Malformed):
        Outbox(fd, sizes, 4096)


def test_what_a_worker_changes_in_its_parts_is_its_own():
    fd = make_file()
    sizes = write_parts(fd, [[b"first"], [], [b"second"]])
    seal(fd)
    first, nothing, second = map_parts(fd, sizes)
    second[0:1] = b"S"

    assert [bytes(part) for part in (first, nothing, second)] == [b"first", b"", b"Second"]
    assert [bytes(part) for part in map_parts(fd, sizes)] == [b"first", b"", b"second"]
