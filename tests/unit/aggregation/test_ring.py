import numpy as np
import pytest

from serai.aggregation.ring import CHUNK_VALUES, Ring, chunk_bytes, chunk_count, chunk_values
from serai.errors import Malformed

WIDTHS = range(2, 65)


def values_of(ring, count, seed=0):
    full = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    return (full & np.uint64((1 << ring.bits) - 1)).astype(ring.dtype)


def packed_slowly(values, bits):
    number = sum(int(value) << (index * bits) for index, value in enumerate(values))
    return number.to_bytes((len(values) * bits + 7) // 8, "little")


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_vector_is_one_bit_string_least_significant_bit_first(bits):
    ring = Ring(bits)
    for count in (1, 7, 64, 129):
        values = values_of(ring, count)
        packed = ring.pack(values)
        assert bytes(packed) == packed_slowly(values, bits)
        assert np.array_equal(ring.unpack(packed, count), values)


@pytest.mark.parametrize("bits", [5, 12, 17, 33, 63])
def test_a_whole_chunk_and_a_last_chunk_survive_packing(bits):
    ring = Ring(bits)
    for count in (CHUNK_VALUES, CHUNK_VALUES - 3):
        values = values_of(ring, count)
        packed = ring.pack(values)
        assert len(packed) == ring.packed_bytes(count)
        assert np.array_equal(ring.unpack(packed, count), values)


@pytest.mark.parametrize("bits", WIDTHS)
def test_packed_chunks_joined_are_the_packed_vector(bits):
    ring = Ring(bits)
    assert chunk_bytes(bits) == ring.packed_bytes(CHUNK_VALUES)
    assert chunk_bytes(bits) * 8 == CHUNK_VALUES * bits


@pytest.mark.parametrize("bits", WIDTHS)
def test_packing_reduces_lanes_that_have_wrapped(bits):
    ring = Ring(bits)
    lanes = ring.zeros(3)
    ring.subtract(lanes, np.array([1, 2, 0], ring.dtype))
    modulus = 1 << bits
    assert bytes(ring.pack(lanes)) == packed_slowly([modulus - 1, modulus - 2, 0], bits)
    ring.reduce(lanes)
    assert [int(lane) for lane in lanes] == [modulus - 1, modulus - 2, 0]


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_upper_half_of_a_ring_reads_as_negative(bits):
    ring = Ring(bits)
    half = 1 << (bits - 1)
    lanes = np.array([0, 1, half - 1, half, 2 * half - 1], ring.dtype)
    assert [int(value) for value in ring.signed(lanes)] == [0, 1, half - 1, -half, -1]


def test_lanes_are_the_next_machine_width():
    assert [Ring(bits).lane_bits for bits in (2, 8, 9, 16, 17, 32, 33, 64)] == [8, 8, 16, 16, 32, 32, 64, 64]
    assert Ring(20).dtype.str == "<u4"


def test_full_lanes_travel_without_a_copy():
    ring = Ring(16)
    lanes = ring.zeros(4)
    packed = ring.pack(lanes)
    lanes[0] = 0x1234
    assert bytes(packed[:2]) == b"\x34\x12"


def test_bytes_that_fill_the_end_cannot_spoil_a_vector():
    ring = Ring(3)
    packed = bytearray(ring.pack(np.array([7, 1, 2], ring.dtype)))
    packed[-1] |= 0b1111_1110
    assert [int(value) for value in ring.unpack(bytes(packed), 3)] == [7, 1, 2]


@pytest.mark.parametrize("bits", [1, 0, -3, 65])
def test_a_ring_has_2_to_64_bits(bits):
    with pytest.raises(Malformed) as caught:
        Ring(bits)
    assert caught.value.code == "ring-bits"


@pytest.mark.parametrize("bits", [7, 8])
def test_a_vector_of_another_size_is_malformed(bits):
    for size in (6, 8):
        with pytest.raises(Malformed) as caught:
            Ring(bits).unpack(bytes(size + (bits == 8)), 8)
        assert caught.value.code == "vector-size"


def test_chunks_cover_a_vector_once():
    length = 2 * CHUNK_VALUES + 5
    assert [chunk_values(length, number) for number in range(chunk_count(length))] == [CHUNK_VALUES, CHUNK_VALUES, 5]
    assert chunk_count(CHUNK_VALUES) == 1
    for number in (-1, 3):
        with pytest.raises(Malformed):
            chunk_values(length, number)
