"""local_sgd with clip and noise: what it refuses, what it says of itself, and that it is DP-SGD."""

from fractions import Fraction

import numpy as np
import pytest

from serai.errors import Malformed, Refused
from serai.kernel.ids import MemberId
from serai.recipes.local_sgd import InnerSgd, LogisticModel, shuffled
from serai.recipes.registry import build
from serai.training.local_steps import Drift
from serai.training.methods import Context, Data
from serai.training.privacy import Mechanism, PrivateRecipe, RowNoise

PARAMS = {"features": "2", "batch": "8", "steps": "20", "clip": "1", "noise": "1.5", "delta": "1e-5"}


def rows(n=50, scale=1.0):
    generator = np.random.default_rng(3)
    x = generator.normal(size=(n, 2)) * scale
    y = (x @ [2.0, -1.0] > 0).astype(np.float64)
    return Data(x=x, y=y, test_x=x, test_y=y, names=("a", "b"))


def at(number=0, secret=b"s" * 32):
    return Context(round=number, seed=bytes(32), member=MemberId("bern"), secret=secret)


def test_a_private_recipe_says_what_its_rounds_cost():
    recipe = build("local_sgd", PARAMS, {})
    assert isinstance(recipe, PrivateRecipe)
    expected = Mechanism(noise=Fraction(3, 2), rate=Fraction(8, 50), steps=20, delta=Fraction(1, 10**5))
    assert recipe.mechanism(50) == expected
    assert recipe.mechanism(4).rate == 1


def test_without_noise_nothing_bounds_the_cost():
    assert build("local_sgd", {"features": "2"}, {}).mechanism(50) is None
    assert build("local_sgd", {"features": "2", "clip": "1"}, {}).mechanism(50) is None


def test_a_private_recipe_declares_no_exact_counts():
    assert build("local_sgd", PARAMS, {}).outputs == ("model",)
    assert build("local_sgd", {"features": "2"}, {}).outputs == ("model", "metrics")


def test_noise_without_a_clip_is_refused():
    with pytest.raises(Malformed, match="clip"):
        build("local_sgd", {"features": "2", "noise": "1"}, {})


def test_noise_without_a_secret_is_refused():
    recipe = build("local_sgd", PARAMS, {})
    with pytest.raises(Refused, match="secret"):
        recipe.contribute(recipe.initial(), rows(), at(secret=b""))


def test_a_step_repeated_after_a_crash_gives_the_same_bits_and_another_round_does_not():
    recipe = build("local_sgd", PARAMS, {})
    first, again, later = (
        recipe.contribute(recipe.initial(), rows(), at(number, secret))
        for number, secret in ((0, b"a" * 32), (0, b"a" * 32), (1, b"b" * 32))
    )
    np.testing.assert_array_equal(first, again)
    assert (first[:3] != later[:3]).all()


def moved(data, noise, clip=Fraction(1), steps=1):
    """Where steps over all rows lead from zero, at learning rate 1."""
    inner = InnerSgd(lr=1.0, batch=len(data.x), steps=steps)
    model = LogisticModel(2, inner, shuffled, RowNoise(clip=clip, noise=noise, batch=len(data.x)))
    model.inner_steps(data, at(), Drift())
    return np.concatenate((model.read("bias"), model.read("weight")))


def test_without_noise_a_step_is_the_mean_of_the_cut_gradients():
    data = rows()
    gradients = (0.5 - data.y)[:, None] * np.concatenate((np.ones((50, 1)), data.x), axis=1)
    norms = np.linalg.norm(gradients, axis=1)
    assert (norms > 0.6).sum() > 5
    cut = gradients * np.minimum(1, 0.6 / norms)[:, None]
    np.testing.assert_allclose(moved(data, Fraction(0), Fraction(3, 5)), -cut.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_one_row_however_wild_moves_a_step_by_no_more_than_the_clip():
    data = rows()
    wild = Data(x=data.x.copy(), y=data.y, test_x=data.x, test_y=data.y, names=data.names)
    wild.x[7] = 1e6
    for noise in (Fraction(0), Fraction(2)):
        # The noise is the same in both, so the difference is the row's.
        assert np.linalg.norm(moved(data, noise) - moved(wild, noise)) <= 2 / 50 * (1 + 1e-5)


def test_a_private_run_still_learns():
    recipe = build("local_sgd", {**PARAMS, "noise": "1", "lr": "0.2", "steps": "60"}, {})
    model, data = recipe.initial(), rows(400)
    for number in range(3):
        secret = bytes([number]) * 32
        model = recipe.combine(model, recipe.contribute(model, data, at(number, secret)).astype(np.float64), 1)
    assert recipe.evaluate(model, data)["correct"] / 400 > 0.9
