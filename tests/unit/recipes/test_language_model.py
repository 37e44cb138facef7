"""The language model: small enough for a second, the same contract as at any size."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice, pairwise

import numpy as np
import pytest

from serai.aggregation.codec import decode, encode
from serai.errors import Malformed, Missing, Refused
from serai.recipes.equipment import Equipment
from serai.recipes.language_model import LanguageModel
from serai.recipes.low_communication import Pace
from serai.recipes.registry import code_digest, source_of
from serai.recipes.transformer_shape import Shape, shapes_of, start_of
from serai.training.methods import Context, Data, Sent
from serai.training.offsets import Offsets
from serai.training.tensors import digest_model, model_bytes, read_model

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed: pip install 'serai[torch]'"
)

PARAMS = {
    "width": "16",
    "heads": "2",
    "layers": "1",
    "context": "16",
    "batch": "4",
    "steps": "8",
    "rounds": "6",
    "lr": "0.01",
    "warm_steps": "4",
}


@pytest.fixture(autouse=True)
def one_thread():
    if find_spec("torch") is not None:
        pytest.importorskip("torch").set_num_threads(1)


def text_of(words, seed=0, size=4000):
    generator = np.random.default_rng(seed)
    return np.frombuffer(b" ".join(generator.choice(words, size))[:size], np.uint8)


def data_of(words, seed=0):
    text, none, label = text_of(words, seed), np.zeros((3, 0)), np.zeros(3)
    return Data(x=none, y=label, test_x=none, test_y=label, names=(), text=text[:3000], test_text=text[3000:])


DATA = [data_of([b"red", b"green", b"blue"], 1), data_of([b"uno", b"dos", b"tres"], 2)]


def context_of(number, member="a", memory=None):
    return Context(
        round=number, seed=bytes([number]) + member.encode(), member=member, memory={} if memory is None else memory
    )


def test_listing_the_recipes_does_not_load_pytorch():
    script = (
        "import sys, serai.recipes.registry as r; r.code_digest('language_model'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_pytorch_the_recipe_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # what the import system makes of a missing package
    with pytest.raises(Missing) as caught:
        LanguageModel(PARAMS, {})
    assert caught.value.code == "recipe-extra"
    assert "pip install 'serai[torch]'" in caught.value.message


def test_the_code_digest_covers_the_transformer_though_it_is_loaded_late():
    def changed(module):
        return source_of(module) + (b"\n# changed\n" if module == "serai.recipes.transformer" else b"")

    assert code_digest("language_model") != code_digest("language_model", changed)


def test_every_start_is_the_same_and_small():
    shape = Shape(width=32, layers=2, heads=4, context=8)
    start = start_of(shape, 7)
    assert {name: tensor.shape for name, tensor in start.items()} == shapes_of(shape)
    assert digest_model(start) == digest_model(start_of(shape, 7))
    assert digest_model(start) != digest_model(start_of(shape, 8))
    assert np.std(start["embedding"]) == pytest.approx(0.02, rel=0.05)
    assert np.all(start["norm"] == 1)


def test_the_rate_rises_then_falls_over_the_whole_run_not_over_a_round():
    pace = Pace(lr=1.0, steps=10, warm=5, rounds=4)
    rates = [rate for number in range(4) for rate in pace.rates(number)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(later <= earlier for earlier, later in pairwise(rates[5:]))
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert pace.rates(9) == pytest.approx([0.1] * 10)


def train_together(**params):
    """The model after six rounds of two members, as good as known vectors and masks would make it."""
    recipe = LanguageModel(PARAMS | params, {})
    model, memories, sent = recipe.initial(), [{}, {}], None
    for number in range(6):
        is_last, vectors = number == 5, []
        codec = (recipe.last_codec(2) if is_last else None) or recipe.codec(2)
        for member, data in enumerate(DATA):
            at = context_of(number, str(member), memories[member])
            at = replace(at, done=number, rounds=6, sent=sent)
            vectors.append(recipe.contribute(model, data, at))
            if not is_last:
                following = context_of(number + 1, str(member), memories[member])
                recipe.train_ahead(model, data, replace(following, done=number + 1, rounds=6))
        total, sent = codec.ring.zeros(codec.lanes), Sent(summed=True)
        for vector in vectors:
            codec.ring.add(total, encode(codec, vector)[0])
        model = recipe.combine(model, decode(codec, total, np.float32), 2)
    return recipe, model, at.figures


@needs_torch
@pytest.mark.parametrize(
    "params", [{}, {"inner": "muon"}, {"ahead": "4"}, {"fragments": "3", "ahead": "8", "last_levels": "7"}]
)
def test_members_of_one_language_each_learn_both(params):
    recipe, model, figures = train_together(**params)
    for data in DATA:
        old, new = recipe.evaluate(recipe.initial(), data), recipe.evaluate(model, data)
        assert old["predicted"] == new["predicted"] == 992
        assert new["n"] == 3
        assert new["micronats"] < 0.75 * old["micronats"]
    assert figures["steps"] == 8
    assert 0.5e6 < figures["micronats"] < 4e6


@needs_torch
def test_what_a_transformer_learns_ahead_would_be_lost_if_it_were_overwritten(monkeypatch):
    losses = {}
    for name in ("carried", "overwritten"):
        if name == "overwritten":
            monkeypatch.setattr(Offsets, "merged", lambda *_: None)
        recipe, model, _ = train_together(ahead="6")
        losses[name] = sum(recipe.evaluate(model, data)["micronats"] for data in DATA)
    assert losses["carried"] < 0.92 * losses["overwritten"]


@needs_torch
def test_training_ahead_repeated_after_a_crash_gives_the_same_bytes():
    recipe, memory = LanguageModel(PARAMS | {"ahead": "5", "fragments": "2"}, {}), {}
    model, results = recipe.initial(), []
    recipe.contribute(model, DATA[0], replace(context_of(0, memory=memory), rounds=6))
    kept = model_bytes(memory)
    for _ in range(2):
        mine = dict(read_model(kept))
        recipe.train_ahead(model, DATA[0], replace(context_of(1, memory=mine), done=1, rounds=6))
        vector = recipe.contribute(model, DATA[0], replace(context_of(1, memory=mine), done=1, rounds=6))
        results.append(vector.tobytes() + model_bytes(mine))
    assert results[0] == results[1]
    assert int(mine["inner/step"][0]) == 16


@needs_torch
def test_a_fresh_model_is_as_good_as_guessing():
    counts = LanguageModel(PARAMS, {}).evaluate(LanguageModel(PARAMS, {}).initial(), DATA[0])
    assert counts["micronats"] / 1e6 / counts["predicted"] == pytest.approx(np.log(256), abs=0.05)


@needs_torch
@pytest.mark.parametrize("inner", ["adamw", "muon"])
def test_a_step_repeated_after_a_crash_gives_the_same_digits(inner):
    recipe = LanguageModel(PARAMS | {"inner": inner}, {})
    model, memory = recipe.initial(), {}
    recipe.contribute(model, DATA[0], context_of(0, memory=memory))
    kept = model_bytes(memory)
    once, again = dict(read_model(kept)), dict(read_model(kept))
    first = recipe.contribute(model, DATA[0], context_of(1, memory=once))
    second = recipe.contribute(model, DATA[0], context_of(1, memory=again))
    assert np.array_equal(first, second)
    assert digest_model(once) == digest_model(again)
    assert int(once["inner/step"][0]) == 16, "the optimizer goes on, it does not begin again"


@needs_torch
def test_public_text_is_mixed_into_every_batch():
    public = {"anchor": {"text": text_of([b"zebra"], size=500)}}
    drawn = LanguageModel(PARAMS | {"anchor_fraction": "0.25"}, public)
    batches = list(islice(drawn._batches(DATA[0], context_of(0)), 8))
    assert len(batches) == 8
    for batch in batches:
        assert batch.shape == (4, 17)
        assert [b"zeb" in bytes(row) or b"ebra" in bytes(row) for row in batch] == [False, False, False, True]


@needs_torch
def test_it_starts_from_a_public_base():
    base = LanguageModel(PARAMS | {"seed": "5"}, {}).initial()
    started = LanguageModel(PARAMS, {"start": base}).initial()
    assert np.array_equal(started["embedding"], base["embedding"])


@needs_torch
@pytest.mark.parametrize(
    ("params", "inputs"),
    [
        ({"anchor_fraction": "0.5"}, {}),
        ({"anchor_fraction": "0.5"}, {"anchor": {"text": np.zeros(5, np.uint8)}}),
        ({"anchor_fraction": "0.5"}, {"anchor": {"text": np.zeros(500, np.float32)}}),
        ({}, {"start": {"embedding": np.zeros((256, 8), np.float32)}}),
        ({"heads": "3"}, {}),
        ({"anchor_fraction": "1.5"}, {}),
        ({"widht": "8"}, {}),
        ({"inner": "sgd"}, {}),
    ],
)
def test_settings_and_inputs_that_do_not_fit_are_refused(params, inputs):
    with pytest.raises(Malformed):
        LanguageModel(PARAMS | params, inputs)


@needs_torch
def test_a_member_with_too_little_text_is_refused():
    recipe = LanguageModel(PARAMS, {})
    none, label = np.zeros((1, 0)), np.zeros(1)
    short = Data(x=none, y=label, test_x=none, test_y=label, names=(), text=np.zeros(16, np.uint8))
    with pytest.raises(Refused) as caught:
        recipe.contribute(recipe.initial(), short, context_of(0))
    assert caught.value.code == "text-too-short"


@needs_torch
def test_every_byte_after_the_first_is_predicted_once():
    shape = Shape(width=16, layers=1, heads=2, context=16)
    recipe = LanguageModel(PARAMS, {}).equipped(Equipment(device="cpu"))
    engine = recipe._engine(start_of(shape, 1))
    text = np.frombuffer(bytes(range(65, 65 + 17)), np.uint8)
    nats, count = engine.nats([text[None, :]])
    alone = [engine.nats([text[None, : end + 1]])[0] - engine.nats([text[None, :end]])[0] for end in range(2, 17)]
    first = engine.nats([text[None, :2]])[0]
    assert count == 16
    assert nats == pytest.approx(first + sum(alone), rel=1e-5), "no byte sees the ones after it"
