"""What becomes of a member's offset and residual when its vector was summed, was not, or came too late."""

import numpy as np
import pytest

from serai.training.fragments import Layout
from serai.training.lowcomm import LowComm, Schedule
from serai.training.methods import Context, Sent
from serai.training.outer import Averaging
from serai.training.quantiser import STEPS, Quantiser
from serai.training.tensors import model_bytes, read_model

LAYOUT = Layout(shapes={"w": (40,)})
METHOD = LowComm(LAYOUT, Quantiser(levels=1, step=STEPS[1]), Averaging(), 0.01, Schedule(fragments=2))
START = METHOD.initial({"w": np.zeros(40, np.float32)})


def moved(start, seed):
    return {"w": (start["w"] + 0.01 * np.random.default_rng(seed).standard_normal(40)).astype(np.float32)}


def at(memory, sent=None, **fields):
    return Context(round=0, seed=b"", member="a", memory=memory, sent=sent, **fields)


def contributed(rounds=1):
    """A memory after some summed rounds, as a zone hands it in: read-only arrays; the model; where the member stood."""
    memory, model = {}, START
    for number in range(rounds):
        context = at(memory, Sent(summed=True))
        local = moved(METHOD.begin(model, context), number)
        before = model
        model = METHOD.combine(model, METHOD.message(model, local, context), 1)
    return dict(read_model(model_bytes(memory))), before, model, local


def test_of_a_summed_vector_its_fragment_is_taken_off_and_the_rest_stays():
    memory, before, _, local = contributed()
    offset = METHOD.begin(before, at(memory, Sent(summed=True)))["w"]
    assert not offset[:20].any()
    assert np.array_equal(offset[20:], local["w"][20:])


def test_of_a_vector_that_was_not_summed_nothing_is_lost():
    memory, before, _, local = contributed()
    assert np.array_equal(METHOD.begin(before, at(memory, Sent(summed=False)))["w"], local["w"])


@pytest.mark.parametrize("response", [0.0, 0.25, 1.0])
def test_progress_since_sending_is_carried_over_in_full_from_wherever_it_began(response):
    memory, before, _, local = contributed()
    memory["lowcomm/response"] = np.array([response])
    context = at(memory)
    start = METHOD.begin_ahead(before, context)
    np.testing.assert_allclose(start["w"][:20], response * local["w"][:20], atol=1e-9)
    assert np.array_equal(start["w"][20:], local["w"][20:]), "what was not sent is nobody's guess"
    further = moved(start, 9)
    METHOD.keep_ahead(before, further, context, 3, 0.5)
    progress = further["w"] - start["w"]
    summed = METHOD.begin(before, at(memory, Sent(summed=True)))["w"]
    np.testing.assert_allclose(summed[:20], progress[:20], atol=1e-8)
    np.testing.assert_allclose(summed[20:], further["w"][20:], atol=1e-8)
    lost = METHOD.begin(before, at(memory, Sent(summed=False)))["w"]
    np.testing.assert_allclose(lost, local["w"] + progress, atol=1e-8)


def test_the_response_is_how_far_the_global_model_followed():
    memory, before, model, local = contributed()
    METHOD.keep_ahead(before, moved(METHOD.begin_ahead(before, at(memory)), 9), at(memory), 3, 0.5)
    for followed, expected in ((0.3, 0.3), (1.7, 1.0), (-0.4, 0.0)):
        after = {**model, "w": np.where(np.arange(40) < 20, followed * local["w"], 0).astype(np.float32)}
        mine = dict(memory)
        METHOD.message(after, local, at(mine, Sent(summed=True)))
        assert float(mine["lowcomm/response"][0]) == pytest.approx(expected, abs=1e-6)
    for sent in (Sent(summed=False), Sent(summed=True, missed=1)):
        mine = dict(memory)
        METHOD.message(model, local, at(mine, sent))
        assert float(mine["lowcomm/response"][0]) == 0.5, "it cannot be told, and stays"


@pytest.mark.parametrize("missed", [1, 2, 3])
@pytest.mark.parametrize("summed", [True, False])
def test_a_late_offset_shrinks_with_each_round_that_was_missed(missed, summed):
    memory, before, model, _ = contributed()
    on_time = METHOD.begin(before, at(memory, Sent(summed=summed)))["w"]
    late = METHOD.begin(model, at(memory, Sent(summed=summed, missed=missed)))["w"]
    np.testing.assert_allclose(late - model["w"], 0.6**missed * on_time, atol=1e-8)


def test_whoever_missed_more_than_three_rounds_adopts_the_global_model_and_forgets():
    memory, _, model, _ = contributed(4)
    context = at(memory, Sent(summed=False, missed=4))
    assert np.array_equal(METHOD.begin(model, context)["w"], model["w"])
    METHOD.message(model, moved(model, 1), context)
    assert "lowcomm/residual" not in memory


def test_the_residual_rolls_back_with_a_vector_that_was_not_summed():
    memory, before, model, _ = contributed(3)
    rolled, kept = dict(memory), dict(memory)
    METHOD.message(before, moved(before, 5), at(rolled, Sent(summed=False)))
    assert np.array_equal(rolled["lowcomm/residual"], memory["lowcomm/residual"])
    METHOD.message(model, moved(model, 5), at(kept, Sent(summed=True)))
    assert not np.array_equal(kept["lowcomm/residual"][:20], memory["lowcomm/residual"][:20])
    assert np.array_equal(kept["lowcomm/residual"][20:], memory["lowcomm/residual"][20:]), "another fragment's stays"


def test_what_was_not_summed_arrives_with_the_next_vector():
    # Two attempts at one round, of which the first failed: the second brings both rounds' steps, and each once.
    quantiser = Quantiser(levels=127, step=STEPS[127])
    method = LowComm(LAYOUT, quantiser, Averaging(), 0.01)
    model, memory = method.initial({"w": np.zeros(40, np.float32)}), {}
    first = moved(method.begin(model, at(memory)), 1)
    method.message(model, first, at(memory))
    again = at(memory, Sent(summed=False))
    second = moved(method.begin(model, again), 2)
    vector = method.message(model, second, again)
    after = method.combine(model, vector, 1)
    np.testing.assert_allclose(after["w"], second["w"], atol=0.01 * STEPS[127])
    assert np.abs(second["w"] - first["w"]).max() > 0.01


def test_a_vector_of_which_nothing_is_known_counts_as_summed():
    memory, before, _, _ = contributed()
    unknown = METHOD.begin(before, at(memory))["w"]
    assert np.array_equal(unknown, METHOD.begin(before, at(memory, Sent(summed=True)))["w"])


def test_a_step_repeated_from_the_same_memory_gives_the_same_bytes():
    memory, before, model, local = contributed(3)
    results = []
    for _ in range(2):
        mine = dict(memory)
        METHOD.keep_ahead(before, moved(local, 7), at(mine), 2, 0.25)
        context = at(mine, Sent(summed=True))
        vector = METHOD.message(model, moved(METHOD.begin(model, context), 8), context)
        results.append(vector.tobytes() + model_bytes(mine))
    assert results[0] == results[1]
    assert memory.keys() == contributed(3)[0].keys(), "the memory that was kept is as it was"


def test_a_member_that_lost_its_memory_begins_from_the_global_model():
    _, _, model, _ = contributed(2)
    assert np.array_equal(METHOD.begin(model, at({}, Sent(summed=True)))["w"], model["w"])
    assert np.array_equal(METHOD.begin_ahead(model, at({}))["w"], model["w"])
