"""Private steps: rows drawn by their odds, gradients cut, noise of the right size, all of it from a secret."""

from fractions import Fraction

import numpy as np
import pytest

from serai.aggregation.noise import SecretStream
from serai.errors import Malformed, Refused
from serai.kernel.ids import MemberId
from serai.training.methods import Context
from serai.training.privacy import PrivateSteps, RowNoise, normals

SETTINGS = RowNoise(clip=Fraction(1, 2), noise=Fraction(3), batch=10)


def at(secret=b"s" * 32, round_number=0):
    return Context(round=round_number, seed=bytes(32), member=MemberId("bern"), secret=secret)


def test_each_row_is_drawn_by_its_odds_and_by_itself():
    batches = list(PrivateSteps(SETTINGS, 40, at()).batches(8_000))
    drawn = np.zeros((8_000, 40), bool)
    for step, rows in enumerate(batches):
        drawn[step, rows] = True
    assert np.abs(drawn.mean(axis=0) - 0.25).max() < 0.02
    sizes = drawn.sum(axis=1)
    assert sizes.var() == pytest.approx(40 * 0.25 * 0.75, rel=0.06)  # binomial: not a fixed number of rows


def test_a_batch_as_large_as_the_data_draws_every_row():
    (rows,) = PrivateSteps(SETTINGS, 7, at()).batches(1)
    assert rows.tolist() == list(range(7))
    assert SETTINGS.rate(7) == 1
    assert SETTINGS.expected(7) == 7


def test_no_cut_gradient_is_longer_than_the_clip_and_short_ones_stay_whole():
    norms = np.array([0.0, 0.1, 0.4999, 0.5, 0.7, 1e30], np.float32)
    cut = norms * PrivateSteps(SETTINGS, 40, at()).factors(norms)
    assert (cut <= 0.5).all()
    np.testing.assert_allclose(cut, [0, 0.1, 0.4999, 0.5, 0.5, 0.5], rtol=1e-5)


def test_noise_has_the_deviation_of_clip_times_noise():
    noise = PrivateSteps(SETTINGS, 40, at()).noise(200_000)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1.5, rel=0.01)


def test_normal_numbers_are_normal():
    numbers = np.sort(normals(SecretStream(b"n" * 32, b"test"), 1_000_001))
    assert len(numbers) == 1_000_001
    # Quantiles of the standard normal distribution.
    for share, value in ((0.0227501, -2), (0.1586553, -1), (0.5, 0), (0.8413447, 1), (0.9772499, 2), (0.9986501, 3)):
        assert numbers[int(share * 1_000_001)] == pytest.approx(value, abs=0.04)


def test_the_same_secret_gives_the_same_rows_and_noise_and_another_gives_others():
    def once(secret):
        steps = PrivateSteps(SETTINGS, 40, at(secret))
        return [rows.tolist() for rows in steps.batches(5)], steps.noise(3).tolist()

    assert once(b"a" * 32) == once(b"a" * 32)
    (rows, noise), (other_rows, other_noise) = once(b"a" * 32), once(b"b" * 32)
    assert rows != other_rows
    assert noise != other_noise


def test_a_public_seed_is_no_secret():
    with pytest.raises(Refused, match="secret"):
        PrivateSteps(SETTINGS, 40, Context(round=0, seed=b"p" * 32, member=MemberId("bern")))


def test_a_short_secret_is_refused():
    with pytest.raises(Malformed, match="32 bytes"):
        SecretStream(b"short", b"test")


def test_a_context_does_not_print_its_secret():
    assert "sss" not in repr(at())


def test_no_rows_are_refused():
    with pytest.raises(Refused, match="no rows"):
        PrivateSteps(SETTINGS, 0, at())
