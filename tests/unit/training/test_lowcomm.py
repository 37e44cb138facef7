"""Digits of an update on a public scale: what is lost, what is kept, and what everybody computes from the sum."""

import math

import numpy as np
import pytest

from serai.aggregation.codec import decode, encode
from serai.errors import Refused
from serai.training.fragments import Layout
from serai.training.lowcomm import DONE, GAIN, SCALE, LowComm, Schedule, effective_step
from serai.training.methods import Context, Sent
from serai.training.outer import Averaging, Nesterov
from serai.training.quantiser import STEPS, Quantiser, lost_energy, rms_of
from serai.training.tensors import digest_model

SHAPES = {"embedding": (6, 5), "matrix": (40, 30), "norm": (12,)}
LAYOUT = Layout(shapes=SHAPES, by_row=frozenset({"embedding"}))


def method(levels=1, optimizer=None, first=0.01, *, feedback=True, **schedule):
    quantiser = Quantiser(levels=levels, step=STEPS[levels], feedback=feedback)
    return LowComm(LAYOUT, quantiser, optimizer or Averaging(), first, Schedule(**{"plain": 0} | schedule))


def at(memory=None, **fields):
    return Context(round=0, seed=b"", member="a", memory={} if memory is None else memory, **fields)


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
        vector = lowcomm.message({**model, **parameters()}, local, at(memory))
        model = lowcomm.combine(model, summed(lowcomm, [vector]), 1)
        sent += (before["matrix"] - model["matrix"]).reshape(-1)
        kept = float(np.sqrt(np.mean((sent - rounds * update) ** 2)))
        assert kept < 0.04, "the residual stays bounded"
    assert np.corrcoef(sent, update)[0, 1] > 0.998


def test_without_feedback_a_member_keeps_no_residual():
    memory = {}
    lowcomm, generator = method(feedback=False), np.random.default_rng(0)
    model = lowcomm.initial(parameters())
    for _ in range(3):
        lowcomm.message(model, moved(model, generator), at(memory))
    assert "lowcomm/offset" in memory
    assert "lowcomm/residual" not in memory


def test_the_scale_comes_to_the_size_of_the_updates_from_far_off_either_side():
    generator = np.random.default_rng(5)
    for first in (1e-5, 10.0):
        lowcomm = method(first=first)
        model = lowcomm.initial(parameters())
        memories = [{} for _ in range(4)]
        for _ in range(45):
            start = {**model, **parameters()}
            vectors = [lowcomm.message(start, moved(start, generator), at(memory)) for memory in memories]
            model = lowcomm.combine(model, summed(lowcomm, vectors), 4)
        # The message is the update and what rounding lost, a fifth of its energy: sqrt(1.24) of the update.
        assert scale_of(model, 6) == pytest.approx(0.011, rel=0.15)


def test_members_that_never_see_a_row_leave_its_scale_to_the_one_that_does():
    generator = np.random.default_rng(6)
    lowcomm, model = method(), method().initial(parameters())
    memories = [{} for _ in range(4)]
    for _ in range(60):
        start = {**model, **parameters()}
        locals_ = [moved(start, generator) for _ in range(4)]
        for local in locals_[1:]:
            local["embedding"][2] = start["embedding"][2]
        vectors = [lowcomm.message(start, local, at(memory)) for local, memory in zip(locals_, memories, strict=True)]
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
    vectors = [lowcomm.message(model, local, at()) for local in locals_]
    after = lowcomm.combine(model, summed(lowcomm, vectors), 3)
    assert int(after[SCALE][-1]) - int(model[SCALE][-1]) == 16  # one octave: the mean of 0, 1 and 2
    assert int(after[SCALE][0]) - int(model[SCALE][0]) == -8  # nobody moved it: half an octave down, no more


def test_an_update_of_many_levels_arrives_as_it_was_meant():
    lowcomm = method(127)
    model = lowcomm.initial(parameters(1.0))
    generator = np.random.default_rng(8)
    locals_ = [moved(model, generator) for _ in range(3)]
    after = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, local, at()) for local in locals_]), 3)
    for name in SHAPES:
        mean = np.mean([local[name] for local in locals_], axis=0)
        assert np.abs(after[name] - mean).max() < 0.01 * STEPS[127]


def test_a_round_gives_the_same_bits_in_whatever_precision_the_sum_was_read():
    lowcomm = method(optimizer=Nesterov(lr=1.0, momentum=0.5))
    model = lowcomm.initial(parameters())
    generator = np.random.default_rng(9)
    total = summed(lowcomm, [lowcomm.message(model, moved(model, generator), at()) for _ in range(4)])
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
        start = {**model, **parameters()}
        vectors = [lowcomm.message(start, local, at())] * 2
        model = lowcomm.combine(model, summed(lowcomm, vectors), 2)
        gains.append(model[GAIN][0].tolist())
    assert gains[0] == [0.0, 1.5]
    assert gains[1][0] > 0.95
    assert gains[1][1] == 1.0


def test_unlike_updates_have_a_correlation_near_zero():
    lowcomm = method(7)
    model = lowcomm.initial(parameters())
    generator = np.random.default_rng(11)
    for _ in range(2):
        model = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, moved(model, generator), at())] * 2), 2)
    assert abs(float(model[GAIN][0, 0])) < 0.1


def test_the_effective_step_grows_with_momentum_and_steadiness():
    assert effective_step(Averaging(lr=0.7), 0.9) == 0.7
    assert effective_step(Nesterov(lr=0.7, momentum=0.9), 0.25) == pytest.approx(0.7 * (1 + 0.9 / (1 - 0.225)))
    assert effective_step(Nesterov(lr=0.7, momentum=0.9), 0.9) == pytest.approx(4.0, abs=0.02)


def test_a_residual_that_a_bad_scale_piled_up_is_cut():
    lowcomm = method(first=1e-9)
    model = lowcomm.initial(parameters())
    generator, memory = np.random.default_rng(12), {}
    for _ in range(30):
        lowcomm.message(model, moved(model, generator, 0.01), at(memory))  # rounds that failed: the scale stays
    kept = memory["lowcomm/residual"]
    assert 0 < float(np.sqrt(np.mean(kept**2))) < 0.05


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_local_model_that_diverged_is_refused_before_anything_is_kept(bad):
    lowcomm, memory = method(), {}
    model = lowcomm.initial(parameters())
    local = parameters()
    local["norm"][3] = bad
    with pytest.raises(Refused) as caught:
        lowcomm.message(model, local, at(memory))
    assert caught.value.code == "not-finite"
    assert memory == {}


@pytest.mark.parametrize(("levels", "digits"), [(1, 4), (2, 3), (7, 2), (127, 1)])
def test_reports_add_few_digits(levels, digits):
    assert method(levels).length == 1242 + 8 * digits


class Plain:
    """One fragment, every vector summed, momentum from the start: the arithmetic of a round written out in a line each."""

    def __init__(self, levels, mu):
        self.levels, self.mu, self.step = levels, mu, STEPS[levels]
        self.rest, self.m = {}, {name: np.zeros(shape) for name, shape in SHAPES.items()}

    def blocks(self, tensors):
        flat = np.concatenate([tensors[name].reshape(-1) for name in LAYOUT.names])
        return np.split(flat, np.cumsum(LAYOUT.block_lengths)[:-1])

    def digits(self, member, model, local):
        found = []
        rests = self.rest.setdefault(member, [np.zeros(size, np.float32) for size in LAYOUT.block_lengths])
        pairs = zip(self.blocks(model), self.blocks(local), rms_of(model[SCALE]) * self.step, strict=True)
        for block, (start, end, step) in enumerate(pairs):
            update = start - end + rests[block]
            digit = np.clip(np.rint(update / np.float32(step)), -self.levels, self.levels)
            rests[block] = update - digit * np.float32(step)
            found.append(digit)
        return found

    def stepped(self, model, digits):
        steps = rms_of(model[SCALE]) * self.step
        means = [sum(block) * step / len(block) for block, step in zip(zip(*digits, strict=True), steps, strict=True)]
        flat, after, start = np.concatenate(means), {}, 0
        for name in LAYOUT.names:
            g = flat[start : start + model[name].size].reshape(SHAPES[name])
            start += model[name].size
            self.m[name] = self.m[name] * self.mu + g
            after[name] = (model[name] - (g + self.m[name] * self.mu)).astype(np.float32)
        return after


@pytest.mark.parametrize("levels", [1, 7])
def test_one_fragment_whose_vectors_are_all_summed_is_the_plain_method_to_the_bit(levels):
    lowcomm, plain = method(levels, Nesterov(lr=1.0, momentum=0.5)), Plain(levels, 0.5)
    model, memories = lowcomm.initial(parameters()), {name: {} for name in "abc"}
    generator = np.random.default_rng(20)
    for _ in range(6):
        vectors, expected = [], []
        for name, memory in memories.items():
            context = at(memory, sent=Sent(summed=True))
            start = lowcomm.begin(model, context)
            assert all(np.array_equal(start[key], model[key]) for key in SHAPES), "nothing is carried over"
            local = moved(start, generator)
            expected.append(plain.digits(name, model, local))
            vectors.append(lowcomm.message(model, local, context))
            assert np.array_equal(vectors[-1][: LAYOUT.values], np.concatenate(expected[-1]))
        after = plain.stepped(model, expected)
        model = lowcomm.combine(model, summed(lowcomm, vectors), 3)
        assert all(np.array_equal(model[key], after[key]) for key in SHAPES)
        assert model[GAIN][0, 0] < 0.7, "momentum did not rest"


def test_with_one_fragment_and_nothing_ahead_a_member_keeps_two_vectors():
    lowcomm, memory, generator = method(), {}, np.random.default_rng(21)
    model = lowcomm.initial(parameters())
    for _ in range(3):
        lowcomm.message(model, moved(model, generator), at(memory))
    vectors = [name for name, kept in memory.items() if kept.size == LAYOUT.values]
    assert sorted(vectors) == ["lowcomm/offset", "lowcomm/residual"]
    assert sum(kept.nbytes for kept in memory.values()) < 2 * 4 * LAYOUT.values + 100


def test_a_fragment_is_of_the_same_size_as_the_others_to_one_parameter():
    for fragments in (1, 2, 3, 7):
        lowcomm = method(7, fragments=fragments)
        most = -(-LAYOUT.values // fragments)
        # A block's report takes two digits; a cut adds a block.
        assert most < lowcomm.length <= most + 2 * (8 + 1)


def test_what_waits_for_its_turn_arrives_whole_then():
    lowcomm, memory = method(127, fragments=3), {}
    model = lowcomm.initial(parameters())
    local = moved(model, np.random.default_rng(22))
    for _ in range(3):
        context = at(memory, sent=Sent(summed=True))
        start = lowcomm.begin(model, context)
        for name in SHAPES:
            np.testing.assert_allclose(start[name], local[name] if memory else 0, atol=0.01 * STEPS[127])
        model = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, local, context)]), 1)
    for name in SHAPES:
        np.testing.assert_allclose(model[name], local[name], atol=0.01 * STEPS[127])
    assert model[DONE].tolist() == [3]


def test_scales_and_gains_follow_each_fragment_by_itself():
    lowcomm = method(7, fragments=2)
    model, generator = lowcomm.initial(parameters()), np.random.default_rng(23)
    before = model[SCALE]
    model = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, moved(model, generator, 0.08), at())]), 1)
    changed = (model[SCALE] != before).nonzero()[0].tolist()
    assert changed == list(range(7)), "six rows of the embedding and the first part of the matrix"
    assert (model[GAIN] != 0).any(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("fragments", [1, 2])
def test_momentum_rests_in_the_first_rounds_of_each_fragment(fragments):
    lowcomm = method(7, Nesterov(lr=1.0, momentum=0.5), plain=2, fragments=fragments)
    model, generator, gains = lowcomm.initial(parameters()), np.random.default_rng(24), []
    for number in range(3 * fragments):
        model = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, moved(model, generator), at())]), 1)
        gains.append(float(model[GAIN][number % fragments, 1]))
    assert gains[: 2 * fragments] == [1.0] * 2 * fragments
    assert all(gain > 1.3 for gain in gains[2 * fragments :])


@pytest.mark.parametrize("fragments", [1, 2])
def test_the_last_round_brings_every_parameter_as_finely_as_it_says(fragments):
    errors = {}
    for levels in (31, None):
        last = None if levels is None else Quantiser(levels=levels, step=STEPS[levels], feedback=False)
        lowcomm = method(1, fragments=fragments, last=last, rounds=5, feedback=False)
        model, memory, generator = lowcomm.initial(parameters()), {}, np.random.default_rng(25)
        for number in range(5):
            context = at(memory, done=number, rounds=5, sent=Sent(summed=True) if memory else None)
            local = moved(lowcomm.begin(model, context), generator)
            vector = lowcomm.message(model, local, context)
            codec = (number == 4 and lowcomm.last_codec(1)) or lowcomm.codec(1)
            assert vector.size == codec.length
            total = codec.ring.zeros(codec.lanes)
            codec.ring.add(total, encode(codec, vector)[0])
            model = lowcomm.combine(model, decode(codec, total, np.float32), 1)
        lost = np.concatenate([(model[name] - local[name]).reshape(-1) for name in SHAPES])
        errors[levels] = float(np.sqrt(np.mean(lost**2)))
    # Two rounds' updates of 0.01 each may have waited; the scale is that of the last turn.
    assert errors[31] < 1.5 * math.sqrt(2) * 0.01 * math.sqrt(lost_energy(31, STEPS[31]))
    assert errors[None] > 0.4 * 0.01


def test_a_plan_of_other_rounds_than_the_recipe_is_refused_before_its_last_form_is_mistaken():
    lowcomm = method(1, last=Quantiser(levels=7, step=STEPS[7], feedback=False), rounds=3)
    model = lowcomm.initial(parameters())
    with pytest.raises(Refused) as caught:
        lowcomm.message(model, parameters(), at(done=0, rounds=1))
    assert caught.value.code == "rounds-differ"


def test_unequal_shares_give_the_exactly_weighted_mean():
    # Steps are powers of two and updates multiples of them, so that nothing is rounded anywhere.
    quantiser = Quantiser(levels=127, step=2.0**-6)
    lowcomm = LowComm(LAYOUT, quantiser, Averaging(), 1.0)
    model, generator = lowcomm.initial(parameters()), np.random.default_rng(26)
    shares, locals_ = (0.5, 1.0, 1.5), []
    for _ in shares:
        whole = {name: generator.integers(-40, 41, shape) * 2 for name, shape in SHAPES.items()}
        locals_.append({name: (values * 2.0**-6).astype(np.float32) for name, values in whole.items()})
    vectors = [lowcomm.message(model, local, at(share=share)) for share, local in zip(shares, locals_, strict=True)]
    after = lowcomm.combine(model, summed(lowcomm, vectors), sum(shares))
    for name in SHAPES:
        weighted = sum(share * local[name].astype(np.float64) for share, local in zip(shares, locals_, strict=True))
        assert np.array_equal(after[name], (weighted / 3).astype(np.float32))
    # One is missing: the others' mean by their own weights.
    after = lowcomm.combine(model, summed(lowcomm, vectors[1:]), 2.5)
    for name in SHAPES:
        weighted = locals_[1][name].astype(np.float64) + 1.5 * locals_[2][name]
        assert np.array_equal(after[name], (weighted / 2.5).astype(np.float32))


def test_a_whole_number_of_members_gives_the_same_bits_as_an_integer():
    lowcomm, generator = method(7), np.random.default_rng(27)
    model = lowcomm.initial(parameters())
    total = summed(lowcomm, [lowcomm.message(model, moved(model, generator), at()) for _ in range(3)])
    assert digest_model(lowcomm.combine(model, total, 3)) == digest_model(lowcomm.combine(model, total, 3.0))


def test_figures_say_what_rounding_and_momentum_did():
    lowcomm, generator, memory = method(1, Nesterov(lr=1.0, momentum=0.5)), np.random.default_rng(28), {}
    model = lowcomm.initial(parameters())
    first = at(memory)
    model = lowcomm.combine(model, summed(lowcomm, [lowcomm.message(model, moved(model, generator), first)]), 1)
    assert first.figures["residual_permille"] == pytest.approx(1000 * math.sqrt(lost_energy(1, STEPS[1])), rel=0.05)
    # Beyond a step and a half of normal updates whose step is 1.22 of their root mean square.
    assert first.figures["clipped_ppm"] == pytest.approx(10**6 * math.erfc(1.5 * 1.224 / math.sqrt(2)), rel=0.2)
    assert set(first.figures) == {"residual_permille", "clipped_ppm"}, "no sum yet, so no correlation"
    second = at(memory)
    lowcomm.message(model, moved(model, generator), second)
    assert second.figures["gain_permille"] == 1500
    assert second.figures["rho_permille"] == 0
