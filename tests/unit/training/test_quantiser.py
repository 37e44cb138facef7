"""Digits on a public scale: what rounding loses, and scales that are the same bits everywhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.errors import Refused
from serai.training.quantiser import STEPS, Blocks, Quantiser, lost_energy, octaves_of, rms_of


@pytest.mark.parametrize("levels", sorted(STEPS))
def test_the_default_steps_lose_least_of_a_normal_distribution(levels):
    step = STEPS[levels]
    least = lost_energy(levels, step)
    assert least <= min(lost_energy(levels, step * 0.99), lost_energy(levels, step * 1.01)) + 1e-6
    x = np.random.default_rng(0).standard_normal(400_000)
    rounded = np.clip(np.rint(x / step), -levels, levels) * step
    assert np.mean((rounded - x) ** 2) == pytest.approx(least, rel=0.03)


def test_three_levels_lose_a_fifth_and_fifteen_an_eightieth():
    assert lost_energy(1, STEPS[1]) == pytest.approx(0.190, abs=0.001)
    assert lost_energy(7, STEPS[7]) == pytest.approx(0.0129, abs=0.0001)


@pytest.mark.parametrize(("levels", "step"), [(1, 0.1), (1, 6.0), (7, 0.01), (127, 0.0005)])
def test_feedback_is_refused_where_the_quantiser_loses_too_much(levels, step):
    assert lost_energy(levels, step) > 0.7
    Quantiser(levels=levels, step=step, feedback=False)
    with pytest.raises(Refused) as caught:
        Quantiser(levels=levels, step=step)
    assert caught.value.code == "feedback-diverges"
    assert "turn feedback off" in caught.value.message


@given(st.floats(2.0**-60, 2.0**60))
def test_octaves_are_the_nearest_sixteenth(value):
    exact = 16 * math.log2(value)
    assert abs(int(octaves_of(np.array([value]))[0]) - exact) <= 0.5 + 1e-9


def test_octaves_and_their_powers_are_inverse_and_bounded():
    octaves = np.arange(-1088, 1089)
    assert np.array_equal(octaves_of(rms_of(octaves)), octaves)
    assert octaves_of(np.array([0.0, 1e-300, 1e300])).tolist() == [-1088, -1088, 1088]
    assert rms_of(np.array([16, 0, -32])).tolist() == [2.0, 1.0, 0.25]


def test_digits_and_what_they_leave_make_up_the_update():
    quantiser, blocks = Quantiser(levels=2, step=1.0), Blocks.of(np.array([3, 2]))
    scale, update = np.array([0, 16], np.int32), np.array([0.4, 1.6, -9.0, 2.0, -1.5], np.float32)
    residual = np.array([0.25, 0, 0, 0, 0], np.float32)
    digits = quantiser.encode(update, residual, scale, blocks)
    assert digits.values.tolist() == [1, 2, -2, 1, -1]
    assert digits.rest.tolist() == pytest.approx([-0.35, -0.4, -7.0, 0.0, 0.5], abs=1e-6)
    assert digits.clipped == 1
    assert digits.off.tolist() == [
        38,
        -3,
    ]  # root mean squares of 5.29 and 1.77, in sixteenths of an octave over 1 and 2
    assert quantiser.encode(update, None, scale, blocks).values.tolist() == [0, 2, -2, 1, -1]


@pytest.mark.parametrize("levels", sorted(STEPS))
def test_reports_of_many_members_are_read_from_the_sum_of_their_digits(levels):
    quantiser, generator = Quantiser(levels=levels, step=STEPS[levels]), np.random.default_rng(1)
    reports = generator.integers(-8, 41, (9, 20))
    digits = [quantiser.report(report) for report in reports]
    assert all(np.abs(some).max() <= levels for some in digits)
    assert np.array_equal(quantiser.read_reports(np.sum(digits, axis=0).astype(np.int64)), reports.sum(axis=0))
