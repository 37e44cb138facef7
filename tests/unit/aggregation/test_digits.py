"""Values that share ring elements: the same sums as values that do not, in fewer bytes."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.aggregation.codec import Block, Codec, Decoder, Encoder, check, decode, encode, is_wide_enough
from serai.aggregation.digits import Digits
from serai.aggregation.exchange import masked_chunks, read_total, sum_chunks
from serai.aggregation.masking import Mask
from serai.aggregation.ring import CHUNK_VALUES, Ring, chunk_count
from serai.errors import Malformed, Refused
from serai.kernel.canonical import canonical, parse
from serai.kernel.records import from_json, to_json


def packed(length, limit=1, members=4, bits=64):
    blocks = (Block(length=length, step=Fraction(1)),)
    return Codec(bits=bits, limit=limit, blocks=blocks, members=members)


def vectors_of(codec, members, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.integers(-codec.limit, codec.limit + 1, codec.length).astype(np.float32) for _ in range(members)]


@pytest.mark.parametrize(
    ("limit", "members", "bits", "digits"),
    [(1, 4, 64, 20), (7, 4, 64, 10), (1, 16, 64, 12), (1, 4, 32, 10), (1, 1, 64, 40), (2**53 - 1, 1, 64, 1)],
)
def test_as_many_digits_share_an_element_as_fit(limit, members, bits, digits):
    codec = packed(1000, limit, members, bits)
    assert codec.digits == digits
    radix = 2 * limit * members + 1
    assert radix**digits <= 2**bits < radix ** (digits + 1)
    assert codec.lanes == -(-1000 // digits)
    assert codec.upload_bytes == codec.lanes * bits // 8


def test_three_levels_of_four_members_cost_3_2_bits():
    assert packed(10**6).upload_bytes * 8 / 10**6 == 3.2


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 200),
    members=st.integers(1, 20),
    bits=st.sampled_from([16, 24, 31, 32, 40, 63, 64]),
    length=st.integers(1, 300),
    data=st.data(),
)
def test_the_sum_of_any_vectors_is_read_exactly(limit, members, bits, length, data):
    codec = packed(length, limit, members, bits)
    summed = data.draw(st.integers(1, members))
    corners = st.sampled_from([-limit, limit])
    values = data.draw(st.lists(corners | st.integers(-limit, limit), min_size=length, max_size=length))
    vectors = [np.array(values, np.float32), *vectors_of(codec, summed - 1)]
    total = codec.ring.zeros(codec.lanes)
    for vector in vectors:
        codec.ring.add(total, encode(codec, vector)[0])
    codec.ring.reduce(total)
    assert decode(codec, total).tolist() == np.sum(vectors, axis=0, dtype=np.float64).tolist()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("limit", "members"), [(1, 4), (7, 4), (127, 31), (2**40, 3)])
def test_a_sum_at_the_limits_never_carries_into_a_neighbour(sign, limit, members):
    codec = packed(45, limit, members)
    vector = np.full(45, sign * limit, np.float64)
    vector[::3] = 0
    total = codec.ring.zeros(codec.lanes)
    for _ in range(members):
        codec.ring.add(total, encode(codec, vector)[0])
    assert decode(codec, total).tolist() == (vector * members).tolist()


def test_values_pass_chunk_borders_and_blocks_in_planes():
    lengths, steps = (7, 20 * CHUNK_VALUES, 90_001), (Fraction(1, 2), Fraction(1, 10), Fraction(3))
    blocks = tuple(Block(length=n, step=s) for n, s in zip(lengths, steps, strict=True))
    codec = Codec(bits=64, limit=1, blocks=blocks, members=4)
    assert chunk_count(codec.lanes) == 2
    each = np.repeat([float(step) for step in steps], lengths)
    digits = vectors_of(codec, 1)[0]
    lanes, clipped = encode(codec, digits * each)
    assert clipped == 0
    assert np.array_equal(decode(codec, lanes), digits * each)
    # The layout of the second chunk, written out: digit k of element j is value k m + j.
    rest = digits[20 * CHUNK_VALUES :].astype(int)
    count = lanes.size - CHUNK_VALUES
    plain = [sum(int(q) * 9**k for k, q in enumerate(rest[j::count])) % 2**64 for j in range(count)]
    assert lanes[CHUNK_VALUES:].tolist() == plain


def test_values_beyond_the_limit_are_cut_and_what_is_not_finite_is_refused():
    codec = packed(50)
    encoder = Encoder(codec, np.array([3.0] * 5 + [0.4] * 45))
    assert decode(codec, encoder.chunk(0).copy()).tolist() == [1.0] * 5 + [0.0] * 45
    assert encoder.clipped == 5
    with pytest.raises(Refused) as caught:
        encode(codec, np.array([0.0] * 49 + [np.nan]))
    assert caught.value.code == "not-finite"


def test_masks_and_chunks_work_on_elements_and_know_no_digits():
    codec = packed(20 * CHUNK_VALUES + 12_345, limit=1, members=3)
    vectors = vectors_of(codec, 3)
    pair = [(0, 1), (0, 2), (1, 2)]
    seeds = {p: hashlib.sha256(bytes(p)).digest() for p in pair}
    own = [hashlib.sha256(bytes([9, i])).digest() for i in range(3)]
    uploads = []
    for i, vector in enumerate(vectors):
        masks = [Mask(own[i], 1), *(Mask(seeds[p], 1 if p[0] == i else -1) for p in pair if i in p)]
        uploads.append([bytes(chunk) for chunk in masked_chunks(codec, Encoder(codec, vector).chunk, masks)])
    assert sum(map(len, uploads[0])) == codec.upload_bytes
    masked = [bytes(chunk) for chunk in sum_chunks(codec, [upload.__getitem__ for upload in uploads])]
    total = np.empty(codec.length, np.float32)
    read_total(codec, masked.__getitem__, [Mask(seed, -1) for seed in own], total)
    assert np.array_equal(total, np.sum(vectors, axis=0))


def test_a_codec_says_for_how_many_members_it_has_room():
    codec = packed(10, limit=1, members=4)
    assert is_wide_enough(codec, 4)
    assert not is_wide_enough(codec, 5)
    check(codec, 3)
    with pytest.raises(Refused) as caught:
        check(codec, 5)
    assert caught.value.code == "ring-too-small"


@pytest.mark.parametrize(("limit", "members", "bits"), [(1, 0, 64), (1, -3, 64), (2**53 - 1, 2**40, 64), (1, 4, 3)])
def test_a_codec_in_which_not_one_value_fits_is_refused(limit, members, bits):
    with pytest.raises(Malformed) as caught:
        packed(10, limit, members, bits)
    assert caught.value.code == "codec-members"


def test_a_codec_without_digits_is_written_as_before_and_one_with_them_comes_back():
    plain = Codec(bits=16, limit=9, blocks=(Block(length=3, step=Fraction(1)),))
    assert "members" not in to_json(plain)
    codec = packed(100)
    assert from_json(Codec, parse(canonical(to_json(codec)))) == codec


def test_a_sum_of_the_wrong_size_is_refused():
    codec = packed(100)
    with pytest.raises(Malformed):
        decode(codec, codec.ring.zeros(100))
    with pytest.raises(Malformed):
        Decoder(codec, np.empty(100)).chunk(0, codec.ring.zeros(6))


def test_a_radix_too_large_for_the_ring_has_no_digits():
    assert Digits(Ring(8), 200).per_lane == 0
