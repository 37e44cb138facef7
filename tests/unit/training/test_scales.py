"""Codecs are as fine as the ring allows, and row counts are exact in any ring."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.aggregation.codec import Block, Codec, check, decode, encode
from serai.errors import Refused
from serai.training.scales import ROW_DIGITS, limit_for, read_rows, step_for, write_rows


@given(st.integers(4, 64), st.integers(2, 7))
def test_the_limit_never_wraps_and_a_larger_one_would(bits, members):
    limit = limit_for(bits, members)
    check(Codec(bits=bits, limit=limit, blocks=(Block(length=1, step=Fraction(1)),)), members)
    assert limit == 2**52 or 2**bits < 2 * (limit + 1) * members + 1


def test_a_ring_without_room_for_one_step_is_refused():
    with pytest.raises(Refused):
        limit_for(4, 8)


@given(st.fractions(Fraction(1, 10**9), Fraction(10**9)), st.integers(1, 2**53))
def test_the_step_is_the_smallest_power_of_two_that_covers_the_reach(reach, limit):
    step = step_for(reach, limit)
    assert 1 in {step.numerator, step.denominator}
    assert (step.numerator * step.denominator).bit_count() == 1
    assert step / 2 * limit < reach <= step * limit


@given(st.lists(st.integers(1, 2**ROW_DIGITS - 1), min_size=2, max_size=7))
def test_row_counts_add_up_exactly_in_a_ring_of_four_bits(rows):
    codec = Codec(bits=4, limit=1, blocks=(Block(length=ROW_DIGITS, step=Fraction(1)),))
    total = codec.ring.zeros(ROW_DIGITS)
    for count in rows:
        digits = np.empty(ROW_DIGITS)
        write_rows(count, digits)
        codec.ring.add(total, encode(codec, digits)[0])
    codec.ring.reduce(total)
    assert read_rows(decode(codec, total)) == sum(rows)


@pytest.mark.parametrize("rows", [0, -1, 2**ROW_DIGITS])
def test_a_member_without_rows_cannot_weigh_in(rows):
    with pytest.raises(Refused):
        write_rows(rows, np.empty(ROW_DIGITS))
