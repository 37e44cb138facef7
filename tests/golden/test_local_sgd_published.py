"""Local SGD through masked sums gives FLamby's published Fed-Heart-Disease figures.

Published: FLamby (arXiv:2210.04620), results computed from the repository's
own ``flamby/results/results_benchmark_fed_heart_disease/heart_seed{42..46}.csv``:
mean and standard deviation over five seeds of accuracy on the pooled test set
(rows scaled by all hospitals' training rows) and of the mean over hospitals
(rows scaled by their hospital). Settings: ``config_heart_disease.json``.
The split's arrays hold each seed's initial model and the rows of every batch.
"""

import sys

import numpy as np
import pytest

from serai.recipes.local_sgd import LocalSgd

SEEDS = range(42, 47)
ROUNDS = 15
SETTINGS = {"features": "13", "batch": "4", "steps": "100"}
ADAPTIVE = {"outer_lr": "0.01", "tau": "1e-8"}
METHODS = {
    "fedavg": ({"lr": "0.001"}, (0.7480, 0.0240), (0.6850, 0.0253)),
    "fedprox": ({"lr": "0.001", "mu": "0.01"}, (0.7480, 0.0240), (0.6850, 0.0253)),
    "scaffold": ({"lr": "0.001"}, (0.7480, 0.0240), (0.6840, 0.0250)),
    "fedadam": ({"lr": "0.01", **ADAPTIVE}, (0.7787, 0.0130), (0.7255, 0.0124)),
    "fedyogi": ({"lr": "0.003162", **ADAPTIVE}, (0.7787, 0.0137), (0.7314, 0.0112)),
    "fedadagrad": (
        {"lr": "0.003162", **ADAPTIVE, "outer_lr": "0.316228"},
        (0.7787, 0.0137),
        (0.7314, 0.0112),
    ),
}


def recorded(orders):
    """The rows FLamby's loaders drew: one iterator a hospital, running on from round to round."""

    def order(rows, inner, context):
        drawn = orders[context.member]
        batches = -(-rows // inner.batch)
        for update in range(context.round * inner.steps, (context.round + 1) * inner.steps):
            epoch, batch = divmod(update, batches)
            start = epoch * rows + batch * inner.batch
            yield drawn[start : min(start + inner.batch, (epoch + 1) * rows)]

    return order


def train(heart, seed, params):
    orders = {member: heart.arrays[f"order_{seed}_{member}"] for member in heart.data}
    recipe = LocalSgd(params, {"start": heart.start(seed)}, recorded(orders))
    return recipe, heart.train(recipe, ROUNDS)


def summary(values):
    return round(float(np.mean(values)), 4), round(float(np.std(values)), 4)


@pytest.mark.parametrize("method", METHODS)
def test_a_masked_run_reproduces_the_published_accuracy(heart, pooled_test, method):
    own, published_pooled, published_mean = METHODS[method]
    x, y = pooled_test
    pooled, mean = [], []
    for seed in SEEDS:
        recipe, model = train(heart, seed, {**SETTINGS, **own, "outer": method})
        counts = [recipe.evaluate(model, data) for data in heart.data.values()]
        mean.append(np.mean([count["correct"] / count["n"] for count in counts]))
        pooled.append(np.mean((x @ model["weight"] + model["bias"] > 0) == (y > 0)))
    sys.stdout.write(
        f"{method:10} pooled test: published {published_pooled}, here {summary(pooled)}; "
        f"mean over hospitals: published {published_mean}, here {summary(mean)}\n"
    )
    assert summary(pooled) == published_pooled
    assert summary(mean) == published_mean


def test_the_final_models_of_fedavg_are_those_of_pytorch(heart):
    for seed in SEEDS:
        _, model = train(heart, seed, {**SETTINGS, "lr": "0.001", "outer": "fedavg"})
        np.testing.assert_allclose(model["weight"], heart.arrays[f"fedavg_{seed}_weight"][0], atol=3e-7)
        np.testing.assert_allclose(model["bias"], heart.arrays[f"fedavg_{seed}_bias"], atol=3e-7)


def test_sixteen_bit_rings_give_the_same_published_accuracy(heart):
    params = {**SETTINGS, "lr": "0.001", "outer": "fedavg", "bits": "16", "range": "64"}
    for seed in SEEDS:
        recipe, narrow = train(heart, seed, params)
        _, wide = train(heart, seed, {**SETTINGS, "lr": "0.001", "outer": "fedavg"})
        assert [recipe.evaluate(narrow, data) for data in heart.data.values()] == [
            recipe.evaluate(wide, data) for data in heart.data.values()
        ]
