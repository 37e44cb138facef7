import hashlib
from fractions import Fraction

import numpy as np
import pytest

from serai.aggregation.codec import Block, Codec, Decoder, Encoder, check, decode, encode, is_wide_enough
from serai.aggregation.ring import CHUNK_VALUES
from serai.errors import Malformed, Refused
from serai.kernel.canonical import canonical, parse
from serai.kernel.records import from_json, to_json


def codec_of(length, step=Fraction(1, 100), bits=16, limit=1000):
    return Codec(bits=bits, limit=limit, blocks=(Block(length=length, step=step),))


def signed(codec, lanes):
    return [int(value) for value in codec.ring.signed(lanes)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_go_to_the_nearest_multiple_of_the_step(dtype):
    codec = codec_of(6, step=Fraction(1, 4))
    lanes, clipped = encode(codec, np.array([0, 0.25, -0.3, 0.99, -5, 0.12], dtype))
    assert signed(codec, lanes) == [0, 1, -1, 4, -20, 0]
    assert clipped == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_beyond_the_limit_are_cut_and_counted(dtype):
    codec = codec_of(5, step=Fraction(1), limit=3)
    lanes, clipped = encode(codec, np.array([3, 3.4, 3.6, -1e30, 2], dtype))
    assert signed(codec, lanes) == [3, 3, 3, -3, 2]
    assert clipped == 2


def test_a_quotient_too_large_for_float32_is_cut_like_any_other():
    codec = codec_of(2, step=Fraction(1, 2**40), limit=7)
    lanes, clipped = encode(codec, np.array([3e38, -3e38], np.float32))
    assert signed(codec, lanes) == [7, -7]
    assert clipped == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_finite_number_is_refused(dtype, bad):
    vector = np.zeros(CHUNK_VALUES + 10, dtype)
    vector[CHUNK_VALUES + 3] = bad
    with pytest.raises(Refused) as caught:
        encode(codec_of(vector.size), vector)
    assert caught.value.code == "not-finite"


def test_each_block_has_its_own_step_across_chunks():
    lengths = (5, CHUNK_VALUES - 3, 70_000, 1, 9)
    steps = (Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(7), Fraction(1, 10))
    codec = Codec(
        bits=20, limit=2**18, blocks=tuple(Block(length=n, step=s) for n, s in zip(lengths, steps, strict=True))
    )
    vector = np.random.default_rng(1).standard_normal(codec.length) * 50
    each = np.repeat([float(step) for step in steps], lengths)
    lanes, clipped = encode(codec, vector)
    assert clipped == 0
    assert np.array_equal(codec.ring.signed(lanes), np.rint(vector / each).astype(np.int32))
    assert np.array_equal(decode(codec, lanes), np.rint(vector / each) * each)
    assert np.abs(decode(codec, lanes) - vector).max() <= max(each) / 2


@pytest.mark.parametrize("bits", [2, 5, 8, 9, 16, 21, 32, 40])
def test_a_sum_at_the_limits_of_a_tight_ring_does_not_wrap(bits):
    members = 1 if bits == 2 else 3
    limit = ((1 << (bits - 1)) - 1) // members
    codec = Codec(bits=bits, limit=limit, blocks=(Block(length=2, step=Fraction(1)),))
    check(codec, members)
    total = codec.ring.zeros(2)
    for _ in range(members):
        codec.ring.add(total, encode(codec, np.array([limit, -limit], np.float64))[0])
    assert decode(codec, total).tolist() == [members * limit, -members * limit]


@pytest.mark.parametrize("bits", [2, 8, 13, 64])
def test_a_ring_that_could_wrap_is_refused(bits):
    largest = min(((1 << bits) - 1) // 2, 2**53 - 1)
    members = ((1 << bits) - 1) // (2 * largest)
    codec = codec_of(1, bits=bits, limit=largest)
    assert is_wide_enough(codec, members)
    with pytest.raises(Refused) as caught:
        check(codec, members + 1)
    assert caught.value.code == "ring-too-small"


def test_64_bit_rings_hold_integers_exactly():
    codec = codec_of(3, step=Fraction(1), bits=64, limit=2**53 - 1)
    exact = np.array([2**53 - 1, -(2**53 - 1), 2**52 + 1], np.float64)
    lanes, _ = encode(codec, exact)
    assert signed(codec, lanes) == [2**53 - 1, -(2**53 - 1), 2**52 + 1]
    assert np.array_equal(decode(codec, lanes), exact)


def test_float32_is_the_float64_value_rounded_once():
    codec = codec_of(1000, step=Fraction(1, 3), bits=32, limit=2**30)
    lanes = np.random.default_rng(2).integers(0, 2**32, 1000, dtype=np.uint32)
    assert np.array_equal(decode(codec, lanes, np.float32), decode(codec, lanes).astype(np.float32))


def test_decoding_gives_these_very_bits():
    codec = Codec(
        bits=12, limit=500, blocks=(Block(length=2048, step=Fraction(1, 3)), Block(length=2048, step=Fraction(7, 1000)))
    )
    total = decode(codec, np.arange(4096, dtype=np.uint16))
    plain = [index * (1 / 3) for index in range(2048)] + [index * (7 / 1000) for index in range(-2048, 0)]
    assert total.tolist() == plain
    digest = hashlib.sha256(total.astype("<f8").tobytes()).hexdigest()
    assert digest == "a8beafb06eb13a6372ec74ff4c47396cc485f3d5ce8028cd525187708917aa83"


def test_an_encoder_quantises_chunks_in_any_order():
    codec = codec_of(2 * CHUNK_VALUES + 11)
    vector = np.random.default_rng(3).standard_normal(codec.length, dtype=np.float32)
    whole, _ = encode(codec, vector)
    encoder = Encoder(codec, vector)
    for number in (2, 0, 1):
        start = number * CHUNK_VALUES
        assert np.array_equal(encoder.chunk(number), whole[start : start + CHUNK_VALUES])


@pytest.mark.parametrize(
    "vector", [np.zeros(4), np.zeros((1, 5)), np.zeros(5, np.int64), np.zeros(5, np.float16), np.zeros(5, ">f4")]
)
def test_a_vector_of_another_form_is_malformed(vector):
    with pytest.raises(Malformed) as caught:
        Encoder(codec_of(5), vector)
    assert caught.value.code == "vector-form"


def test_a_sum_of_another_length_is_malformed():
    codec = codec_of(5)
    with pytest.raises(Malformed):
        decode(codec, codec.ring.zeros(6))
    with pytest.raises(Malformed):
        Decoder(codec, np.empty(5)).chunk(0, codec.ring.zeros(4))


@pytest.mark.parametrize(
    "fields",
    [
        {"bits": 1},
        {"bits": 65},
        {"limit": 0},
        {"limit": 2**53},
        {"blocks": ()},
    ],
)
def test_a_codec_out_of_range_is_malformed(fields):
    good = {"bits": 16, "limit": 100, "blocks": (Block(length=1, step=Fraction(1)),)}
    Codec(**good)
    with pytest.raises(Malformed):
        Codec(**(good | fields))


@pytest.mark.parametrize(("length", "step"), [(0, Fraction(1)), (1, Fraction(0)), (1, Fraction(-1, 2))])
def test_a_block_without_length_or_step_is_malformed(length, step):
    with pytest.raises(Malformed):
        Block(length=length, step=step)


def test_a_codec_travels_in_a_statement():
    codec = Codec(bits=24, limit=9, blocks=(Block(length=3, step=Fraction(1, 3)), Block(length=1, step=Fraction(2))))
    assert from_json(Codec, parse(canonical(to_json(codec)))) == codec
    assert codec.length == 4
    assert codec.upload_bytes == 12
