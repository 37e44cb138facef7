"""Blobs that arrive in pieces: any order, any crash, each sender for itself, within bounds."""

import os
import random

import pytest

from serai.errors import Conflict, Malformed, Refused
from serai.kernel.ids import KeyId, digest_of
from serai.storage.partials import GRID_BYTES, KEEP_S, MAX_PIECE_BYTES, MAX_UPLOADS, PartialUploads, Span

OWNER = KeyId(digest_of(b"owner"))
OTHER = KeyId(digest_of(b"other"))
DATA = os.urandom(5 * GRID_BYTES + 1234)
NAME = digest_of(DATA)
MAX_BYTES = 64 * GRID_BYTES


class Clock:
    now_s = 1_790_000_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def partials(tmp_path, clock):
    return PartialUploads(tmp_path, MAX_BYTES, clock)


def pieces(length=GRID_BYTES, data=DATA):
    return [Span(first, min(length, len(data) - first), len(data)) for first in range(0, len(data), length)]


def put(upload, span, data=DATA):
    upload.write(span.first, data[span.first : span.first + span.length])
    upload.mark(span)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_come_to_the_whole(partials, seed):
    upload = partials.begin(OWNER, NAME, len(DATA))
    spans = pieces(random.Random(seed).choice([1, 2, 4]) * GRID_BYTES)
    random.Random(seed).shuffle(spans)
    for span in spans:
        assert upload.finish() is None
        put(upload, span)
    assert upload.missing == ()
    assert upload.finish() == NAME
    assert upload.path.read_bytes() == DATA


def test_only_one_finishes_it_and_nobody_writes_after(partials):
    upload = partials.begin(OWNER, NAME, len(DATA))
    straggler = partials.find(OWNER, NAME)
    for span in pieces():
        put(upload, span)
    assert upload.finish() == NAME
    assert upload.finish() is None
    with pytest.raises(Conflict, match="finished or replaced"):
        straggler.write(0, b"bent")
    with pytest.raises(Conflict):
        straggler.mark(pieces()[0])
    assert upload.path.read_bytes() == DATA


@pytest.mark.parametrize("kept", [[], [0], [3], [0, 1, 4], [5], [0, 1, 2, 3, 4, 5]])
def test_after_a_crash_it_goes_on_with_what_was_marked(tmp_path, partials, clock, kept):
    upload = partials.begin(OWNER, NAME, len(DATA))
    for number in kept:
        put(upload, pieces()[number])
    if 2 not in kept:
        upload.write(2 * GRID_BYTES, b"half of a piece")  # written and never marked
    upload = PartialUploads(tmp_path, MAX_BYTES, clock).find(OWNER, NAME)
    lacking = {
        number
        for first, length in upload.missing
        for number in range(first // GRID_BYTES, -(-(first + length) // GRID_BYTES))
    }
    assert lacking == set(range(6)) - set(kept)
    assert sum(length for _, length in upload.missing) == sum(pieces()[number].length for number in lacking)
    for number in sorted(lacking):
        put(upload, pieces()[number])
    assert upload.finish() == NAME


def test_marks_of_another_length_are_not_believed(tmp_path, partials, clock):
    upload = partials.begin(OWNER, NAME, len(DATA))
    put(upload, pieces()[0])
    marks = upload.path.with_name(f"{NAME}.marks")
    marks.write_bytes(b"\1" * 99)
    assert PartialUploads(tmp_path, MAX_BYTES, clock).find(OWNER, NAME).missing == ((0, len(DATA)),)


def test_bytes_of_another_digest_are_found(partials):
    upload = partials.begin(OWNER, NAME, len(DATA))
    for span in pieces():
        put(upload, span, DATA[:-1] + b"?")
    assert upload.finish() not in {None, NAME}


def test_what_was_marked_and_hashed_is_not_written_again(partials):
    upload = partials.begin(OWNER, NAME, len(DATA))
    for span in pieces():
        put(upload, span)
        upload.write(span.first, b"bent")
        upload.write(max(0, span.first - 2), b"bent")
    assert upload.finish() == NAME
    assert upload.path.read_bytes() == DATA


def test_each_sender_has_its_own(partials):
    put(partials.begin(OWNER, NAME, len(DATA)), pieces()[0])
    assert partials.find(OTHER, NAME) is None
    other = partials.begin(OTHER, NAME, len(DATA))
    assert other.missing == ((0, len(DATA)),)
    partials.end(OTHER, NAME)
    assert partials.find(OWNER, NAME).missing == ((GRID_BYTES, len(DATA) - GRID_BYTES),)


def test_an_upload_keeps_the_size_it_began_with(partials):
    partials.begin(OWNER, NAME, len(DATA))
    with pytest.raises(Conflict, match=f"begun with {len(DATA)} bytes") as caught:
        partials.begin(OWNER, NAME, len(DATA) + 1)
    assert caught.value.code == "upload-size"
    with pytest.raises(Refused, match="at most"):
        partials.begin(OWNER, digest_of(b"large"), MAX_BYTES + 1)


def begun(partials, number, total=GRID_BYTES + 1):
    upload = partials.begin(OWNER, digest_of(b"%d" % number), total)
    os.utime(upload.path, (number, partials._now_s() - 1000 + number))
    return upload


def test_of_too_many_the_oldest_is_forgotten(tmp_path, partials):
    uploads = [begun(partials, number) for number in range(MAX_UPLOADS + 1)]
    assert partials.find(OWNER, digest_of(b"0")) is None
    with pytest.raises(Conflict):
        uploads[0].write(0, b"x")
    assert partials.find(OWNER, digest_of(b"1")) is uploads[1]
    assert len(list(tmp_path.rglob("*.marks"))) == MAX_UPLOADS


def test_of_too_many_bytes_the_oldest_are_forgotten(partials):
    begun(partials, 0, MAX_BYTES // 2)
    begun(partials, 1, MAX_BYTES // 2)
    begun(partials, 2, MAX_BYTES // 2 + GRID_BYTES)
    found = [partials.find(OWNER, digest_of(b"%d" % number)) is not None for number in range(3)]
    assert found == [False, False, True]
    partials.begin(OTHER, NAME, MAX_BYTES)
    assert partials.find(OWNER, digest_of(b"2")) is not None, "another's upload takes no room of this one's"


def test_what_nobody_continues_is_swept(tmp_path, partials, clock):
    old, young = begun(partials, 0), begun(partials, 1)
    os.utime(young.path, (clock.now_s + KEEP_S, clock.now_s + KEEP_S))
    clock.now_s += KEEP_S + 10
    partials.begin(OTHER, NAME, len(DATA))
    assert not old.path.exists()
    assert young.path.exists()
    assert not list(tmp_path.rglob(f"{old.path.name}*"))


@pytest.mark.parametrize(
    ("first", "length", "total"),
    [
        (-GRID_BYTES, GRID_BYTES, len(DATA)),
        (0, 0, len(DATA)),
        (0, -5, len(DATA)),
        (0, 0, 0),
        (1, GRID_BYTES, len(DATA)),
        (0, GRID_BYTES - 1, len(DATA)),
        (5 * GRID_BYTES, 1235, len(DATA)),
        (0, MAX_PIECE_BYTES + GRID_BYTES, 2 * MAX_PIECE_BYTES),
        (6 * GRID_BYTES, 1, len(DATA)),
    ],
)
def test_a_piece_off_the_grid_or_beyond_the_blob_is_malformed(first, length, total):
    with pytest.raises(Malformed) as caught:
        Span(first, length, total)
    assert caught.value.code == "piece-range"
