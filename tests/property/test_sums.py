"""Laws of secure sums: masks cancel, nothing wraps, packing loses nothing."""

import hashlib
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.aggregation.codec import Block, Codec, Encoder, decode
from serai.aggregation.exchange import digested_chunks, masked_chunks, read_total, sum_chunks, unmask_chunks
from serai.aggregation.masking import Mask, Release, Roster, leftover_masks, pair_seed
from serai.aggregation.pipeline import in_order
from serai.aggregation.ring import CHUNK_VALUES, Ring

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=2, max_size=7, unique=True)


class Toy:
    """A key agreement that is commutative and needs no curve: public and private are one number."""

    def __init__(self, name):
        self.public = hashlib.sha256(name.encode()).digest()

    def exchange(self, public):
        return hashlib.sha256(b"".join(sorted((self.public, public)))).digest()


@st.composite
def rings_and_values(draw):
    bits = draw(st.integers(2, 64))
    values = draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=200))
    return Ring(bits), np.array(values, np.uint64).astype(Ring(bits).dtype)


@st.composite
def sums(draw):
    """Members with integer vectors, a tight ring, and who of them drops out."""
    names = draw(NAMES)
    limit = draw(st.integers(1, 2**40))
    bits = (2 * limit * len(names)).bit_length()
    length = draw(st.integers(1, 40))
    vectors = {name: draw(st.lists(st.integers(-limit, limit), min_size=length, max_size=length)) for name in names}
    dropped = draw(st.sets(st.sampled_from(names), max_size=len(names) - 2))
    codec = Codec(bits=bits, limit=limit, blocks=(Block(length=length, step=Fraction(1)),))
    return codec, vectors, dropped


def run_round(codec, vectors, dropped, salts):
    """One round; ``salts`` gives the salt that each member was shown."""
    keys = {name: Toy(name) for name in vectors}
    public = {name: key.public for name, key in keys.items()}
    rosters = {name: Roster(me=name, keys=public, salt=salts[name]) for name in vectors}
    seeds = {name: hashlib.sha256(b"self" + name.encode()).digest() for name in vectors}
    uploads = {}
    for name in vectors.keys() - dropped:
        encoder = Encoder(codec, np.array(vectors[name], np.float64))
        masks = rosters[name].masks(keys[name], seeds[name])
        uploads[name] = b"".join(bytes(chunk) for chunk in masked_chunks(codec, encoder.chunk, masks))
    masked = b"".join(bytes(c) for c in sum_chunks(codec, [lambda _, blob=blob: blob for blob in uploads.values()]))
    releases = {name: Release(seeds[name], rosters[name].pair_seeds(keys[name], dropped)) for name in uploads}
    return np.concatenate([lanes.copy() for lanes in unmask_chunks(codec, lambda _: masked, leftover_masks(releases))])


@given(sums(), st.binary(min_size=32, max_size=32))
def test_masks_cancel_for_any_roster_and_any_drop_outs(case, salt):
    codec, vectors, dropped = case
    total = run_round(codec, vectors, dropped, dict.fromkeys(vectors, salt))
    expected = [sum(column) for column in zip(*(vectors[n] for n in vectors.keys() - dropped), strict=True)]
    assert [int(value) for value in codec.ring.signed(total)] == expected
    assert decode(codec, total).tolist() == [float(value) for value in expected]


@given(sums().filter(lambda case: case[0].bits * case[0].length >= 80), st.binary(min_size=32, max_size=32), st.data())
def test_one_member_with_another_salt_spoils_the_sum(case, salt, data):
    codec, vectors, _ = case
    salts = dict.fromkeys(vectors, salt)
    odd = data.draw(st.sampled_from(sorted(vectors)))
    honest = run_round(codec, vectors, set(), salts)
    spoiled = run_round(codec, vectors, set(), salts | {odd: hashlib.sha256(salt).digest()})
    assert not np.array_equal(honest, spoiled)


@given(rings_and_values())
def test_packing_and_unpacking_give_the_values_back(case):
    ring, values = case
    packed = ring.pack(values)
    assert len(packed) == ring.packed_bytes(values.size)
    assert np.array_equal(ring.unpack(packed, values.size), values)


@given(rings_and_values(), rings_and_values())
def test_adding_and_subtracting_is_arithmetic_modulo_the_ring(first, second):
    ring, values = first
    other = np.resize(second[1].astype(ring.dtype), values.size)
    lanes = values.copy()
    ring.add(lanes, other)
    ring.reduce(lanes)
    assert [int(v) for v in lanes] == [(int(a) + int(b)) % 2**ring.bits for a, b in zip(values, other, strict=True)]
    ring.subtract(lanes, other)
    ring.reduce(lanes)
    assert np.array_equal(lanes, values)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.fractions(Fraction(1, 1000), 100, max_denominator=1000),
)
def test_what_is_decoded_is_within_half_a_step(values, step):
    codec = Codec(bits=64, limit=2**40, blocks=(Block(length=len(values), step=step),))
    vector = np.array(values)
    encoder = Encoder(codec, vector)
    error = np.abs(decode(codec, encoder.chunk(0)) - vector)
    assert error.max() <= float(step) / 2 * (1 + 1e-6) + 1e-9
    assert encoder.clipped == 0


@given(
    st.binary(min_size=32, max_size=32).filter(any),
    st.binary(min_size=32, max_size=32),
    st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=2, max_size=2, unique=True),
)
@settings(max_examples=30)
def test_the_order_of_a_pair_never_matters(shared, salt, pair):
    assert pair_seed(shared, salt, *pair) == pair_seed(shared, salt, *reversed(pair))
    assert Mask(pair_seed(shared, salt, *pair), 1).seed != shared


@given(st.integers(1, 5), st.lists(st.integers(), max_size=30))
@settings(max_examples=30)
def test_threads_keep_the_order(threads, items):
    assert list(in_order(threads, lambda item: item * 2, items)) == [item * 2 for item in items]


@given(
    st.sampled_from([5, 12, 16, 32]), st.integers(2, 4), st.sampled_from([None, 3]), st.integers(1, 3 * CHUNK_VALUES)
)
@settings(max_examples=12, deadline=None)
def test_several_threads_give_the_bytes_of_one(bits, threads, members, length):
    blocks = (Block(length=length, step=Fraction(1, 3)),)
    codec = Codec(bits=bits, limit=2 if bits == 5 else 7, blocks=blocks, members=members)
    vector = np.random.default_rng(length).standard_normal(length, dtype=np.float32)
    masks = [Mask(hashlib.sha256(bytes([number])).digest(), 1 - 2 * (number % 2)) for number in range(3)]
    one, many = Encoder(codec, vector), Encoder(codec, vector)
    upload = [bytes(chunk) for chunk in masked_chunks(codec, one.chunk, masks)]
    digested = [(bytes(chunk), digest) for chunk, digest in digested_chunks(codec, many.chunk, masks, threads)]
    assert digested == [(chunk, hashlib.sha256(chunk).digest()) for chunk in upload]
    assert many.clipped == one.clipped
    summed = [[bytes(chunk) for chunk in sum_chunks(codec, [upload.__getitem__] * 2, n)] for n in (1, threads)]
    assert summed[0] == summed[1]
    totals = np.empty(length), np.empty(length)
    digests = {
        read_total(codec, upload.__getitem__, masks, out, n) for out, n in zip(totals, (1, threads), strict=True)
    }
    assert len(digests) == 1
    assert np.array_equal(*totals)
