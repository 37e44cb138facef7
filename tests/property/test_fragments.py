"""Whatever the layout, every parameter travels exactly once a period, and a last round brings all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serai.training.fragments import Layout
from serai.training.lowcomm import LowComm, Schedule
from serai.training.methods import Context
from serai.training.outer import Averaging, Nesterov
from serai.training.quantiser import STEPS, Quantiser

shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


@st.composite
def layouts(draw):
    named = draw(st.dictionaries(st.sampled_from("abcdef"), shapes, min_size=1, max_size=6))
    return Layout(shapes=named, by_row=frozenset(draw(st.sets(st.sampled_from(sorted(named))))))


@st.composite
def methods(draw):
    layout = draw(layouts())
    levels = draw(st.sampled_from([1, 7, 31]))
    schedule = Schedule(
        fragments=draw(st.integers(1, min(layout.values, 9))),
        last=draw(st.sampled_from([None, Quantiser(levels=7, step=STEPS[7], feedback=False)])),
        rounds=100,
        plain=0,
    )
    optimizer = draw(st.sampled_from([Averaging(), Nesterov(lr=1.0, momentum=0.5)]))
    return LowComm(layout, Quantiser(levels=levels, step=STEPS[levels]), optimizer, 1.0, schedule)


def zeros(method):
    return {name: np.zeros(shape, np.float32) for name, shape in method.layout.shapes.items()}


def ones(method):
    return {name: np.ones(shape, np.float32) for name, shape in method.layout.shapes.items()}


def one_round(method, model, done):
    context = Context(round=done, seed=b"", member="a", done=done, rounds=method.schedule.rounds)
    vector = method.message(model, {name: model[name] - 2 for name in method.layout.shapes}, context)
    return vector, method.combine(model, vector.astype(np.float64), 1)


@given(methods())
def test_every_parameter_travels_once_a_period(method):
    model, moves = method.initial(zeros(method)), zeros(method)
    for done in range(method.schedule.fragments):
        vector, after = one_round(method, model, done)
        assert vector.size == method.length
        assert np.abs(vector).max() <= method.quantiser.levels
        for name in moves:
            moves[name] += after[name] != model[name]
        model = after
    assert all((moves[name] == 1).all() for name in moves)


@given(methods())
def test_fragments_differ_by_one_parameter_at_most(method):
    model, sizes = method.initial(zeros(method)), []
    for done in range(method.schedule.fragments):
        _, after = one_round(method, model, done)
        sizes.append(sum(int((after[name] != model[name]).sum()) for name in method.layout.shapes))
        model = after
    assert sum(sizes) == method.layout.values
    assert max(sizes) - min(sizes) <= 1


@given(methods())
def test_a_last_round_brings_every_parameter(method):
    model = {**method.initial(zeros(method)), "lowcomm/done": np.array([99])}
    vector, after = one_round(method, model, 99)
    assert vector.size == method.last_length
    moved = [(after[name] != model[name]).all() for name in method.layout.shapes]
    assert all(moved) or method.schedule.last is None


@given(methods(), st.integers(0, 8))
def test_what_is_carried_over_is_all_but_what_was_sent(method, done):
    model = {**method.initial(ones(method)), "lowcomm/done": np.array([done])}
    memory = {}
    context = Context(round=done, seed=b"", member="a", memory=memory, rounds=100)
    method.message(model, {name: model[name] - 2 for name in method.layout.shapes}, context)
    again = method.begin(model, context)
    carried = sum(int((again[name] == -1).sum()) for name in method.layout.shapes)
    fresh = sum(int((again[name] == 1).sum()) for name in method.layout.shapes)
    assert carried + fresh == method.layout.values
    assert abs(fresh - method.layout.values / method.schedule.fragments) < 1
