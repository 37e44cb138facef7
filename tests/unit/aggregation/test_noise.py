"""Integer noise: the exact distribution, the norm kept, shares that add up, room in the ring."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.aggregation.codec import Block, Codec, decode, encode
from serai.aggregation.noise import (
    SecretStream,
    SumNoise,
    add_noise,
    check_noise,
    clip_norm,
    discrete_gaussian,
    spread_of_sum,
)
from serai.errors import Malformed, Refused
from serai.kernel.canonical import canonical
from serai.kernel.records import from_json, to_json

NOISE = SumNoise(norm=100, variance=Fraction(400))


def codec(limit=2**20, length=4, bits=32, members=None):
    return Codec(bits=bits, limit=limit, blocks=(Block(length=length, step=Fraction(1)),), members=members)


def stream(name=b"x"):
    return SecretStream(name * 32, b"test")


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(2), Fraction(37, 5)])
def test_each_value_comes_as_often_as_the_discrete_gaussian_says(variance):
    bits, draws = stream(), 20_000
    counts = Counter(discrete_gaussian(variance, bits) for _ in range(draws))
    weights = {x: math.exp(-(x**2) / (2 * float(variance))) for x in range(-30, 31)}
    total = sum(weights.values())
    chi_square, cells = 0.0, 0
    for x, weight in weights.items():
        expected = draws * weight / total
        if expected >= 10:
            chi_square += (counts[x] - expected) ** 2 / expected
            cells += 1
    assert chi_square < cells + 4 * math.sqrt(2 * cells)
    assert max(map(abs, counts)) < 30


def test_noise_uses_nothing_but_the_bits_it_is_given():
    assert [discrete_gaussian(Fraction(9), stream()) for _ in range(3)] == [
        discrete_gaussian(Fraction(9), stream())
    ] * 3
    first, second = stream(b"a"), stream(b"b")
    assert [discrete_gaussian(Fraction(99), first) for _ in range(8)] != [
        discrete_gaussian(Fraction(99), second) for _ in range(8)
    ]


def test_streams_of_one_secret_for_two_purposes_have_nothing_in_common():
    assert SecretStream(b"s" * 32, b"rows").read(64) != SecretStream(b"s" * 32, b"sums").read(64)


def test_a_stream_read_in_pieces_is_the_same_stream():
    pieces = stream()
    assert b"".join(pieces.read(count) for count in (1, 7, 20_000, 3)) == stream().read(20_011)


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=30), st.integers(1, 2**21))
def test_integers_are_shortened_to_the_norm_and_never_turned_or_lengthened(values, norm):
    cut = np.array(values, np.int64)
    clip_norm(cut, norm)
    assert sum(int(v) ** 2 for v in cut) <= norm**2
    assert all(
        abs(int(after)) <= abs(before) and int(after) * before >= 0 for before, after in zip(values, cut, strict=True)
    )
    if sum(v**2 for v in values) <= norm**2:
        assert cut.tolist() == values


def test_the_noise_left_without_the_colluders_shares_is_what_was_asked_for():
    noise = SumNoise(norm=1, variance=Fraction(100), colluders=2)
    assert noise.share(5) * (5 - 2) == 100


def test_a_noisy_sum_is_the_sum_and_noise_of_the_variance_of_all_shares():
    plan = codec(length=2_000)
    values = np.arange(2_000, dtype=np.float64) % 3 - 1
    total = plan.ring.zeros(plan.lanes)
    for member in range(4):
        lanes, _ = encode(plan, values)
        add_noise(lanes, NOISE, 4, plan.limit, stream(bytes([member])))
        plan.ring.add(total, lanes)
    plan.ring.reduce(total)
    difference = decode(plan, total) - 4 * values
    # Three of the four shares make up the variance; the fourth comes on top.
    assert difference.var() == pytest.approx(400 * 4 / 3, rel=0.12)
    assert abs(difference.mean()) < 3


def test_no_noisy_value_leaves_the_codecs_limit():
    plan = codec(limit=NOISE.reach(2))
    for name in range(20):
        lanes, _ = encode(plan, np.full(4, 50.0))
        add_noise(lanes, NOISE, 2, plan.limit, stream(bytes([name])))
        assert np.abs(plan.ring.signed(lanes)).max() <= plan.limit


def test_a_codec_without_room_for_norm_and_noise_is_refused():
    check_noise(codec(limit=NOISE.reach(3)), NOISE, 3)
    with pytest.raises(Refused, match="need a limit"):
        check_noise(codec(limit=NOISE.reach(3) - 1), NOISE, 3)


def test_a_long_vector_and_shared_lanes_are_refused():
    with pytest.raises(Refused, match="at most 65536"):
        check_noise(codec(length=2**16 + 1), NOISE, 3)
    with pytest.raises(Refused, match="shared ring elements"):
        check_noise(codec(limit=1_000, members=3), NOISE, 3)


def test_colluders_cannot_be_everybody():
    with pytest.raises(Refused, match="raise the minimum"):
        check_noise(codec(), SumNoise(norm=1, variance=Fraction(1), colluders=3), 3)


@pytest.mark.parametrize(
    "bent", [{"norm": 0}, {"variance": Fraction(0)}, {"colluders": 0}, {"delta": Fraction(0)}, {"delta": Fraction(1)}]
)
def test_numbers_out_of_range_are_refused(bent):
    with pytest.raises(Malformed):
        SumNoise(**{"norm": 1, "variance": Fraction(1), **bent})


def test_noise_travels_as_canonical_json():
    assert from_json(SumNoise, to_json(NOISE)) == NOISE
    assert canonical(to_json(NOISE)).startswith(b'{"colluders":1,"delta":[1,1000000]')


def test_a_sum_of_wide_discrete_gaussians_is_nearly_one_and_of_narrow_ones_is_not():
    assert spread_of_sum(NOISE, 4, 100) < Fraction(1, 10**100)
    assert spread_of_sum(SumNoise(norm=1, variance=Fraction(1, 2)), 4, 100) > 1
