"""Outer optimizers take the published steps, and the same bits wherever they run."""

import numpy as np
import pytest

from serai.training.outer import Adaptive, Averaging, Nesterov, SecondMoment, outer_step, with_outer_state
from serai.training.tensors import digest_model

GRADIENTS = ({"w": np.array([1.0, -2.0])}, {"w": np.array([0.5, 0.25])}, {"w": np.array([0.0, 4.0])})


def walk(optimizer, dtype=np.float64):
    model = with_outer_state(optimizer, {"w": np.array([1.0, 1.0], dtype)})
    for gradient in GRADIENTS:
        model = outer_step(optimizer, model, gradient)
    return model


def test_averaging_at_rate_one_lands_on_the_mean_of_the_local_models():
    np.testing.assert_array_equal(walk(Averaging())["w"], [1.0 - 1.5, 1.0 - 2.25])


def test_nesterov_without_momentum_is_averaging():
    np.testing.assert_array_equal(walk(Nesterov(lr=0.5, momentum=0.0))["w"], walk(Averaging(lr=0.5))["w"])


def test_nesterov_looks_ahead_along_its_momentum():
    model = walk(Nesterov(lr=1.0, momentum=0.5))
    m1 = GRADIENTS[0]["w"]
    m2 = 0.5 * m1 + GRADIENTS[1]["w"]
    m3 = 0.5 * m2 + GRADIENTS[2]["w"]
    steps = sum(g["w"] + 0.5 * m for g, m in zip(GRADIENTS, (m1, m2, m3), strict=True))
    np.testing.assert_allclose(model["w"], 1.0 - steps, rtol=1e-15)
    np.testing.assert_allclose(model["outer/m/w"], m3, rtol=1e-15)


@pytest.mark.parametrize(
    ("second", "moments"),
    [
        (SecondMoment.ADAGRAD, [1.25, 4.0625 + 16]),
        (SecondMoment.ADAM, [0.001 * (0.999**2 + 0.999 * 0.25), 0.001 * (4 * 0.999**2 + 0.0625 * 0.999 + 16)]),
        (SecondMoment.YOGI, [0.001 + 0.001 * 0.25, 0.004 + 0.001 * 0.0625 + 0.001 * 16]),
    ],
)
def test_the_second_moments_are_those_of_the_paper(second, moments):
    np.testing.assert_allclose(walk(Adaptive(second=second))["outer/v/w"], moments, rtol=1e-12)


def test_an_adaptive_step_has_the_size_of_the_learning_rate_whatever_the_gradient():
    optimizer = Adaptive(second=SecondMoment.ADAGRAD, lr=0.5, beta1=0.0, tau=1e-12)
    for scale in (1e-3, 1.0, 1e3):
        model = with_outer_state(optimizer, {"w": np.zeros(2)})
        after = outer_step(optimizer, model, {"w": np.array([scale, -scale])})
        np.testing.assert_allclose(after["w"], [-0.5, 0.5], rtol=1e-8)


def test_a_zero_gradient_at_the_start_moves_nothing_and_makes_no_nan():
    for second in SecondMoment:
        optimizer = Adaptive(second=second)
        model = with_outer_state(optimizer, {"w": np.ones(3, np.float32)})
        np.testing.assert_array_equal(outer_step(optimizer, model, {"w": np.zeros(3)})["w"], model["w"])


def test_parameters_keep_their_dtype_and_state_stays_in_float64():
    model = walk(Adaptive(second=SecondMoment.YOGI), np.float32)
    assert model["w"].dtype == np.float32
    assert model["outer/m/w"].dtype == model["outer/v/w"].dtype == np.float64


def test_arrays_without_a_gradient_stay_as_they_are():
    model = {"w": np.ones(2), "input/mean": np.array([3.0])}
    assert outer_step(Averaging(), model, {"w": np.ones(2)})["input/mean"] is model["input/mean"]


def test_splitting_a_model_changes_no_bit():
    rng = np.random.default_rng(1)
    whole = rng.normal(size=10)
    for optimizer in (Nesterov(), Adaptive(second=SecondMoment.ADAM)):
        one, two = (
            with_outer_state(optimizer, {"w": np.zeros(10)}),
            with_outer_state(optimizer, {"a": np.zeros(3), "b": np.zeros(7)}),
        )
        for step in range(4):
            g = whole * (step - 1.5)
            one, two = outer_step(optimizer, one, {"w": g}), outer_step(optimizer, two, {"a": g[:3], "b": g[3:]})
        np.testing.assert_array_equal(one["w"], np.concatenate((two["a"], two["b"])))


def test_each_optimizer_still_gives_the_bits_it_gave_when_it_was_written():
    bits = {
        name: digest_model(walk(optimizer, np.float32))[:16]
        for name, optimizer in {
            "averaging": Averaging(lr=0.3),
            "nesterov": Nesterov(),
            **{second.value: Adaptive(second=second) for second in SecondMoment},
        }.items()
    }
    assert bits == {
        "averaging": "0689941c06e3ece6",
        "nesterov": "3f53cf315377c833",
        "fedadagrad": "251a37aa511340e2",
        "fedadam": "3b4979e28c415d3c",
        "fedyogi": "c42a170c2f16b876",
    }


def test_whole_arrays_step_to_the_bits_that_single_numbers_step_to():
    rng = np.random.default_rng(5)
    for optimizer in (Averaging(lr=0.3), Nesterov(), *(Adaptive(second=second) for second in SecondMoment)):
        model = with_outer_state(optimizer, {"w": np.zeros(33)})
        alone = [with_outer_state(optimizer, {"w": np.zeros(1)}) for _ in range(33)]
        for _ in range(3):
            g = rng.normal(size=33)
            model = outer_step(optimizer, model, {"w": g})
            alone = [outer_step(optimizer, one, {"w": g[i : i + 1]}) for i, one in enumerate(alone)]
        np.testing.assert_array_equal(model["w"], np.concatenate([one["w"] for one in alone]))
