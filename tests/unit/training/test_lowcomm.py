"""Digits of an update on a public scale: what is lost, what is kept, and what everybody computes from the sum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.aggregation.codec import decode, encode
from serai.errors import Refused
from serai.training.lowcomm import (
    GAIN,
    SCALE,
    STEPS,
    Layout,
    LowComm,
    Quantiser,
    effective_step,
    lost_energy,
    octaves_of,
    rms_of,
)
from serai.training.outer import Averaging, Nesterov
from serai.training.tensors import digest_model

SHAPES = {"embedding": (6, 5), "matrix": (40, 30), "norm": (12,)}
LAYOUT = Layout(shapes=SHAPES, by_row=frozenset({"embedding"}))


def method(levels=1, optimizer=None, first=0.01, *, feedback=True):
    quantiser = Quantiser(levels=levels, step=STEPS[levels], feedback=feedback)
    return LowComm(LAYOUT, quantiser, optimizer or Averaging(), first)


def parameters(value=0.0):
    return {name: np.full(shape, value, np.float32) for name, shape in SHAPES.items()}


def moved(model, generator, size=0.01):
    """A local model: each parameter of the global one moved by normal noise."""
    return {
        name: (model[name] - size * generator.standard_normal(shape)).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def summed(lowcomm, vectors):
    codec = lowcomm.codec(len(vectors))
    total = codec.ring.zeros(codec.lanes)
    for vector in vectors:
        codec.ring.add(total, encode(codec, vector)[0])
    return decode(codec, total, np.float32)


def scale_of(model, block):
    return float(rms_of(model[SCALE])[block])


def test_a_layout_gives_each_embedding_row_a_scale_of_its_own():
    assert LAYOUT.names == ("embedding", "matrix", "norm")
    assert LAYOUT.block_lengths == (5,) * 6 + (1200, 12)
    assert LAYOUT.values == 1242


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


def test_what_rounding_lost_is_sent_later():
    # A constant update: with feedback the sum of what was sent follows the sum of what was meant.
    lowcomm, memory = method(), {}
    model = lowcomm.initial(parameters())
    generator = np.random.default_rng(3)
    update = generator.standard_normal(1200).astype(np.float32) * 0.01
    sent = np.zeros(1200)
    for rounds in range(1, 41):
        local = {**parameters(), "matrix": -update.reshape(40, 30)}
        before = model
        vector = lowcomm.message({**model, **parameters()}, local, memory)
        model = lowcomm.combine(model, summed(lowcomm, [vector]), 1)
        sent += (before["matrix"] - model["matrix"]).reshape(-1)
        kept = float(np.sqrt(np.mean((sent - rounds * update) ** 2)))
        assert kept < 0.04, "the residual stays bounded"
    assert np.corrcoef(sent, update)[0, 1] > 0.998


def test_without_feedback_a_member_keeps_nothing():
    memory = {}
    lowcomm = method(feedback=False)
    model = lowcomm.initial(parameters())
    lowcomm.message(model, moved(model, np.random.default_rng(0)), memory)
    assert memory == {}


def test_the_scale_comes_to_the_size_of_the_updates_from_far_off_either_side():
    generator = np.random.default_rng(5)
    for first in (1e-5, 10.0):
        lowcomm = method(first=first)
        model = lowcomm.initial(parameters())
        memories = [{} for _ in range(4)]
        for _ in range(45):
            at = {**model, **parameters()}
            vectors = [lowcomm.message(at, moved(at, generator), memory) for memory in memories]
            model = lowcomm.combine(model, summed(lowcomm, vectors), 4)
        # The message is the update and what rounding lost, a fifth of its energy: sqrt(1.24) of the update.
        assert scale_of(model, 6) == pytest.approx(0.011, rel=0.15)


def test_members_that_never_see_a_row_leave_its_scale_to_the_one_that_does():
    generator = np.random.default_rng(6)
    lowcomm, model = method(), method().initial(parameters())
    memories = [{} for _ in range(4)]
    for _ in range(60):
        at = {**model, **parameters()}
        locals_ = [moved(at, generator) for _ in range(4)]
        for local in locals_[1:]:
            local["embedding"][2] = at["embedding"][2]
        vectors = [lowcomm.message(at, local, memory) for local, memory in zip(locals_, memories, strict=True)]
        model = lowcomm.combine(model, summed(lowcomm, vectors), 4)
    assert 0.002 < scale_of(model, 2) < 0.02


@pytest.mark.parametrize("levels", sorted(STEPS))
def test_the_report_of_a_block_moves_its_scale_by_the_mean(levels):
    lowcomm = method(levels, first=0.01)
    model = lowcomm.initial(parameters())
    locals_ = []
    for factor in (1, 2, 4):
        local = parameters()
        local["norm"] = np.full(12, 0.01 * factor, np.float32)
        locals_.append(local)
    vectors = [lowcomm.message(model, local, {}) for local in locals_]
    after = lowcomm.combine(model, summed(lowcomm, vectors), 3)
    assert int(after[SCALE][-1]) - int(model[SCALE][-1]) == 16  # one octave: the mean of 0, 1 and 2
    assert int(after[SCALE][0]) - int(model[SCALE][0]) == -8  # nobody moved it: half an octave down, no more


def test_an_update_of_many_levels_arrives_as_it_was_meant():
    lowcomm = method(127)
    model = lowcomm.initial(parameters(1.0))
    generator = np.random.default_rng(8)
    locals_ = [moved(model, generator) for _ in range(3)]
    after = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, local, {}) for local in locals_]), 3)
    for name in SHAPES:
        mean = np.mean([local[name] for local in locals_], axis=0)
        assert np.abs(after[name] - mean).max() < 0.01 * STEPS[127]


def test_a_round_gives_the_same_bits_in_whatever_precision_the_sum_was_read():
    lowcomm = method(optimizer=Nesterov(lr=1.0, momentum=0.5))
    model = lowcomm.initial(parameters())
    generator = np.random.default_rng(9)
    total = summed(lowcomm, [lowcomm.message(model, moved(model, generator), {}) for _ in range(4)])
    once = lowcomm.combine(model, total, 4)
    again = lowcomm.combine(model, total.astype(np.float64), 4)
    assert digest_model(once) == digest_model(again)


def test_steady_updates_suspend_momentum_and_the_effective_step_says_so():
    lowcomm = method(7, optimizer=Nesterov(lr=1.0, momentum=0.5))
    model = lowcomm.initial(parameters())
    generator = np.random.default_rng(10)
    local = moved(model, generator)
    gains = []
    for _ in range(2):
        at = {**model, **parameters()}
        vectors = [lowcomm.message(at, local, {})] * 2
        model = lowcomm.combine(model, summed(lowcomm, vectors), 2)
        gains.append(model[GAIN].tolist())
    assert gains[0] == [0.0, 1.5]
    assert gains[1][0] > 0.95
    assert gains[1][1] == 1.0


def test_unlike_updates_have_a_correlation_near_zero():
    lowcomm = method(7)
    model = lowcomm.initial(parameters())
    generator = np.random.default_rng(11)
    for _ in range(2):
        model = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, moved(model, generator), {})] * 2), 2)
    assert abs(float(model[GAIN][0])) < 0.1


def test_the_effective_step_grows_with_momentum_and_steadiness():
    assert effective_step(Averaging(lr=0.7), 0.9) == 0.7
    assert effective_step(Nesterov(lr=0.7, momentum=0.9), 0.25) == pytest.approx(0.7 * (1 + 0.9 / (1 - 0.225)))
    assert effective_step(Nesterov(lr=0.7, momentum=0.9), 0.9) == pytest.approx(4.0, abs=0.02)


def test_a_residual_that_a_bad_scale_piled_up_is_cut():
    lowcomm = method(first=1e-9)
    model = lowcomm.initial(parameters())
    generator, memory = np.random.default_rng(12), {}
    for _ in range(30):
        lowcomm.message(model, moved(model, generator, 0.01), memory)  # rounds that failed: the scale stays
    kept = memory["lowcomm/residual"]
    assert float(np.sqrt(np.mean(kept**2))) < 0.05


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_local_model_that_diverged_is_refused_before_anything_is_kept(bad):
    lowcomm, memory = method(), {}
    model = lowcomm.initial(parameters())
    local = parameters()
    local["norm"][3] = bad
    with pytest.raises(Refused) as caught:
        lowcomm.message(model, local, memory)
    assert caught.value.code == "not-finite"
    assert memory == {}


@given(st.floats(2.0**-60, 2.0**60))
def test_octaves_are_the_nearest_sixteenth(value):
    exact = 16 * math.log2(value)
    assert abs(int(octaves_of(np.array([value]))[0]) - exact) <= 0.5 + 1e-9


def test_octaves_and_their_powers_are_inverse_and_bounded():
    octaves = np.arange(-1088, 1089)
    assert np.array_equal(octaves_of(rms_of(octaves)), octaves)
    assert octaves_of(np.array([0.0, 1e-300, 1e300])).tolist() == [-1088, -1088, 1088]
    assert rms_of(np.array([16, 0, -32])).tolist() == [2.0, 1.0, 0.25]


@pytest.mark.parametrize(("levels", "digits"), [(1, 4), (2, 3), (7, 2), (127, 1)])
def test_reports_add_few_digits(levels, digits):
    assert method(levels).length == 1242 + 8 * digits
