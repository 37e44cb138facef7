import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from serai.aggregation.audit import recompute_chunk, verify_round
from serai.aggregation.codec import decode, encode
from serai.aggregation.exchange import ChunkDigests, digest_chunk_list, sum_chunks
from serai.aggregation.ring import CHUNK_VALUES, chunk_bytes
from serai.errors import Malformed, Unverified
from serai.kernel.ids import digest_of


def plain_sum(world, members):
    total = world.codec.ring.zeros(world.length)
    for member in members:
        world.codec.ring.add(total, encode(world.codec, world.vector(member))[0])
    world.codec.ring.reduce(total)
    return total


def released(make_world, drop=(), **settings):
    world = make_world(**settings)
    world.open()
    world.upload(*(member for member in world.job.keys if member not in drop))
    world.time_ms += 1000
    world.close()
    world.release()
    return world


def bend(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("drop", [(), ("bern",), ("aarau",), ("davos",)])
@pytest.mark.parametrize(("bits", "length"), [(12, 5), (12, CHUNK_VALUES + 9), (16, CHUNK_VALUES + 9), (64, 100)])
def test_the_sum_of_masked_uploads_is_the_sum_of_the_vectors(make_world, bits, length, drop):
    world = released(make_world, drop, bits=bits, length=length)
    expected = plain_sum(world, world.current.summed)
    digest, out = world.total()
    assert np.array_equal(out, decode(world.codec, expected))
    assert digest == digest_of(world.codec.ring.pack(expected))
    for member in sorted(world.current.summed):
        assert world.say(world.result_body(total=digest), member) == ""
    verify_round(world.codec, world.current, world.read)


def test_an_upload_looks_like_noise(make_world):
    world = make_world(bits=16, length=100_000)
    world.open()
    world.upload()
    for upload in world.current.uploads.values():
        lanes = np.frombuffer(world.blobs[upload.body.blob], np.uint16)
        assert abs(lanes.mean() / 2**16 - 0.5) < 0.01
        assert abs(np.bitwise_count(lanes).mean() - 8) < 0.05


def test_the_masked_sum_stays_noise_while_one_release_lacks(make_world):
    world = make_world(bits=16, length=50_000)
    world.open()
    world.upload()
    world.close()
    world.release("aarau", "bern", "chur")
    _, out = world.total()
    assert np.abs(out - decode(world.codec, plain_sum(world, world.job.keys))).mean() > 50


def test_a_member_that_was_shown_another_round_turns_the_sum_to_noise(make_world, digest):
    world = make_world(bits=16, length=50_000)
    world.open()
    world.upload("aarau", "bern", "chur")
    assert world.say(world.upload_body("davos", salt=digest("another leaf")), "davos") == ""
    world.close()
    world.release()
    _, out = world.total()
    integers = np.rint(out * 100)
    assert abs(integers.mean()) < 1000
    assert np.abs(integers).mean() > 15_000, "uniform over 16 bits has a mean magnitude of 16384"


def test_the_audit_finds_a_bent_upload(make_world):
    world = released(make_world)
    blob = world.current.closed.body.uploads["bern"]
    world.blobs[blob] = bend(world.blobs[blob], 3)
    with pytest.raises(Unverified, match="upload of bern"):
        verify_round(world.codec, world.current, world.read)


def test_the_audit_finds_a_chunk_list_that_does_not_fit_its_upload(make_world, digest):
    world = make_world()
    world.open()
    world.upload("aarau", "bern", "chur")
    assert world.say(replace(world.upload_body("davos"), chunks=digest("other chunks")), "davos") == ""
    world.close()
    world.release()
    with pytest.raises(Unverified, match="chunk list of davos"):
        verify_round(world.codec, world.current, world.read)


def test_the_audit_finds_a_false_masked_sum(make_world, digest):
    world = make_world()
    world.open()
    world.upload()
    assert world.say(world.close_body(masked_sum=digest("false"))) == ""
    world.release()
    with pytest.raises(Unverified, match="masked sum"):
        verify_round(world.codec, world.current, world.read)


def test_the_audit_names_who_stated_a_false_total(make_world, digest):
    world = released(make_world)
    true, _ = world.total()
    for member in ("aarau", "bern", "chur"):
        assert world.say(world.result_body(total=true), member) == ""
    assert world.say(world.result_body(total=digest("false")), "davos") == ""
    with pytest.raises(Unverified, match="total of davos"):
        verify_round(world.codec, world.current, world.read)


def test_a_round_is_not_audited_before_everybody_released(make_world):
    world = make_world()
    world.open()
    world.upload()
    with pytest.raises(Unverified) as caught:
        verify_round(world.codec, world.current, world.read)
    assert caught.value.code == "sum-unreadable"
    world.close()
    world.release("aarau", "bern", "chur")
    with pytest.raises(Unverified, match="davos"):
        verify_round(world.codec, world.current, world.read)


@pytest.mark.parametrize("bits", [12, 16])
def test_any_chunk_can_be_recomputed_alone(make_world, bits):
    world = released(make_world, ("chur",), bits=bits, length=2 * CHUNK_VALUES + 7)
    packed = world.codec.ring.pack(plain_sum(world, world.current.summed))
    size = chunk_bytes(bits)
    for number in (2, 0, 1):
        chunk = recompute_chunk(world.codec, world.current, number, world.chunk_lists, world.read)
        assert chunk == packed[number * size : (number + 1) * size]


def test_a_bent_chunk_or_a_false_chunk_list_is_found_at_once(make_world):
    world = released(make_world, bits=16, length=CHUNK_VALUES + 7)
    blob = world.current.closed.body.uploads["bern"]
    whole = world.blobs[blob]
    world.blobs[blob] = bend(whole, len(whole) - 1)
    recompute_chunk(world.codec, world.current, 0, world.chunk_lists, world.read)
    with pytest.raises(Unverified, match="chunk 1 of bern"):
        recompute_chunk(world.codec, world.current, 1, world.chunk_lists, world.read)
    world.blobs[blob] = whole
    lists = {**world.chunk_lists, "bern": world.chunk_lists["chur"]}
    with pytest.raises(Unverified, match="chunk list of bern"):
        recompute_chunk(world.codec, world.current, 0, lists, world.read)


def test_a_member_that_commits_to_too_few_chunks_is_named(make_world):
    world = make_world()
    world.open()
    world.upload("aarau", "bern", "chur")
    assert world.say(replace(world.upload_body("davos"), chunks=digest_chunk_list([])), "davos") == ""
    world.close()
    world.release()
    with pytest.raises(Unverified, match="davos committed to 0 chunks of 1"):
        recompute_chunk(world.codec, world.current, 0, {**world.chunk_lists, "davos": []}, world.read)


def test_an_upload_of_another_size_is_not_summed(world):
    with pytest.raises(Malformed):
        list(sum_chunks(world.codec, [lambda _: bytes(20), lambda _: bytes(19)]))


def test_a_chunk_of_a_sum_stays_valid_after_the_next_one(make_world):
    world = make_world(length=CHUNK_VALUES + 1)
    chunks = list(sum_chunks(world.codec, [lambda number: bytes([number + 1]) * (2 * (CHUNK_VALUES, 1)[number])]))
    assert bytes(chunks[0][:2]) == b"\x01\x01"
    assert bytes(chunks[1]) == b"\x02\x02"


def test_blob_digests_are_plain_sha256():
    digests = ChunkDigests()
    digests.add(b"ab")
    digests.add(memoryview(b"c"))
    assert digests.blob == digest_of(b"abc")
    assert digests.chunk_list == digest_of(bytes.fromhex(digest_of(b"ab") + digest_of(b"c")))
    assert digests.size_bytes == 3


def peak_of_sum(make_world, chunks, members):
    codec = make_world(length=chunks * CHUNK_VALUES).codec
    blob = bytes(chunk_bytes(codec.bits))
    tracemalloc.start()
    for _ in sum_chunks(codec, [lambda _: blob] * members):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_of_a_sum_depends_neither_on_its_length_nor_on_the_members(make_world):
    small, large = peak_of_sum(make_world, 2, 2), peak_of_sum(make_world, 20, 40)
    assert large < small + 100_000
    assert large < 4 * chunk_bytes(16)
