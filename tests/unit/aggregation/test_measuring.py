"""What is measured about a vector is what the codec makes of it, however it is cut into stretches."""

from fractions import Fraction

import numpy as np
import pytest

from serai.aggregation.codec import Block, Codec, encode
from serai.aggregation.measuring import Measuring, distinct_cells
from serai.errors import Refused

CODEC = Codec(
    bits=64,
    limit=2**20,
    blocks=(Block(length=70_000, step=Fraction(1, 1024)), Block(length=30_000, step=Fraction(1, 16))),
)
NONE = np.empty(0)


def measured(vector, cells=NONE, codec=CODEC, stretch=30_000):
    measuring = Measuring(codec, cells)
    for start in range(0, len(vector), stretch):
        measuring.add(vector[start : start + stretch])
    return measuring.facts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integers_are_those_that_the_codec_sends(dtype):
    vector = np.random.default_rng(1).normal(0, 400, 100_000).astype(dtype)
    vector[:100] = 0
    lanes, clipped = encode(CODEC, vector)
    integers = CODEC.ring.signed(lanes)
    facts = measured(vector)
    assert (facts.values, facts.limit, facts.clipped) == (100_000, 2**20, clipped)
    assert facts.clipped > 0
    assert facts.zeros == np.count_nonzero(integers == 0)
    assert facts.bits == sum(int(value).bit_length() for value in np.abs(integers))
    assert measured(vector, stretch=999) == facts


def test_text_in_the_low_bits_of_numbers_is_less_even_than_numbers():
    generator = np.random.default_rng(2)
    vector = np.rint(generator.normal(0, 100, 100_000) * 1024) / 1024
    text = np.frombuffer((b"Anna Rossi, born 1961-05-04, heart failure; " * 2_000)[:70_000], np.uint8)
    hidden = vector.copy()
    hidden[:70_000] = (np.floor(hidden[:70_000] * 1024 / 256) * 256 + text) / 1024
    assert measured(vector).low_bits > 7_900
    assert measured(hidden).low_bits < measured(vector).low_bits - 500
    assert abs(measured(hidden).bits - measured(vector).bits) < 0.01 * measured(vector).bits, "it looks as large"


def test_cells_of_rows_are_found_where_they_stand_in_a_vector():
    generator = np.random.default_rng(3)
    rows = np.round(generator.normal(50, 9, (1_000, 4)), 1)
    rows[:, 0] = 1.0  # anybody's number
    for dtype in (np.float32, np.float64):
        vector = generator.normal(0, 1, 100_000).astype(dtype)
        vector[5_000:9_000] = rows.reshape(-1)
        cells = distinct_cells([rows], vector.dtype)
        assert measured(vector, cells).known == 3_000
        assert measured(np.where(vector == 1.0, 0, vector), NONE).known == 0


def test_of_very_many_cells_some_are_kept():
    rows = np.arange(2.0, 2.0 + 2**18)
    cells = distinct_cells([rows], rows.dtype)
    assert 2**15 < cells.size <= 2**16


def test_a_vector_of_zeros_is_measured_too():
    facts = measured(np.zeros(100_000))
    assert (facts.zeros, facts.bits, facts.low_bits) == (100_000, 0, 0)


def test_what_is_no_number_is_refused():
    with pytest.raises(Refused) as caught:
        measured(np.full(100_000, np.nan))
    assert caught.value.code == "not-finite"
