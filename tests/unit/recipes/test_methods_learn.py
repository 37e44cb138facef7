"""Each recipe computes what its name says: moments, Newton steps, SGD steps, corrections, the probe's constant."""

import numpy as np
import pytest

from serai.errors import Malformed, Refused
from serai.kernel.ids import MemberId
from serai.recipes.local_sgd import InnerSgd, LocalSgd, LogisticModel, shuffled
from serai.recipes.probe import Probe, member_constant
from serai.recipes.registry import build
from serai.training.control_variates import corrections, remember
from serai.training.local_steps import Drift
from serai.training.methods import Context, Data, Scored, classification_counts
from serai.training.scales import ROW_DIGITS

BERN, CUSCO = MemberId("bern"), MemberId("cusco")


def rows(seed=0, n=60, tilt=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = (x @ [2.0 * tilt, -1.0] + 0.5 + rng.logistic(size=n) > 0).astype(np.float64)
    return Data(x=x, y=y, test_x=x, test_y=y, names=("a", "b"))


def at(number, member=BERN, memory=None):
    return Context(round=number, seed=bytes([number]) * 32, member=member, memory={} if memory is None else memory)


def sum_up(recipe, model, data, number, memories):
    return sum(
        recipe.contribute(model, one, at(number, member, memories[member])).astype(np.float64)
        for member, one in data.items()
    )


def run(recipe, data, rounds):
    memories = {member: {} for member in data}
    model = recipe.initial()
    for number in range(rounds):
        model = recipe.combine(model, sum_up(recipe, model, data, number, memories), len(data))
    return model


def test_a_feature_that_never_varies_is_left_where_it_is():
    moments = build("moments", {"features": "2"}, {})
    data = rows()
    data.x[:, 1] = 1e6
    model = moments.combine(moments.initial(), moments.contribute({}, data, at(0)), 1)
    assert model["std"][1] == 1.0
    assert model["mean"][1] == 1e6


def test_moments_of_nothing_are_refused():
    moments = build("moments", {"features": "2"}, {})
    with pytest.raises(Refused):
        moments.combine(moments.initial(), np.zeros(moments.length), 2)


def test_newton_over_members_finds_the_maximum_likelihood_of_all_rows():
    newton = build("newton", {"features": "2", "ridge": "0", "damping": "1"}, {})
    model = run(newton, {BERN: rows(1), CUSCO: rows(2, tilt=-0.5)}, rounds=12)
    x = np.concatenate((rows(1).x, rows(2, tilt=-0.5).x))
    y = np.concatenate((rows(1).y, rows(2, tilt=-0.5).y))
    p = 1 / (1 + np.exp(-(x @ model["weight"] + model["bias"])))
    np.testing.assert_allclose(x.T @ (y - p), 0, atol=1e-10)
    np.testing.assert_allclose((y - p).sum(), 0, atol=1e-10)


def test_newton_says_what_to_do_when_a_feature_repeats_another():
    newton = build("newton", {"features": "2", "ridge": "0"}, {})
    data = rows()
    data.x[:, 1] = data.x[:, 0]
    with pytest.raises(Refused, match="ridge"):
        newton.combine(newton.initial(), newton.contribute(newton.initial(), data, at(0)), 1)


def test_one_local_step_over_all_rows_is_one_gradient_step():
    data = rows(n=32)
    recipe = LocalSgd({"features": "2", "lr": "0.5", "batch": "32", "steps": "1"}, {})
    model = run(recipe, {BERN: data}, rounds=1)
    error = 0.5 - data.y
    np.testing.assert_allclose(model["weight"], -0.5 * (error @ data.x) / 32, rtol=1e-5)
    np.testing.assert_allclose(model["bias"], [-0.5 * error.mean()], rtol=1e-5)


def test_each_members_pull_is_in_proportion_to_its_rows():
    small, large = rows(1, n=10), rows(2, n=90)
    recipe = LocalSgd({"features": "2", "lr": "0.5", "batch": "100", "steps": "3"}, {})
    alone = [run(recipe, {BERN: data}, rounds=1)["weight"].astype(np.float64) for data in (small, large)]
    together = run(recipe, {BERN: small, CUSCO: large}, rounds=1)
    np.testing.assert_allclose(together["weight"], 0.1 * alone[0] + 0.9 * alone[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("outer", "outer_lr"),
    [
        ("fedavg", "1"),
        ("fedprox", "1"),
        ("scaffold", "1"),
        ("nesterov", "0.7"),
        ("fedadam", "0.1"),
        ("fedyogi", "0.1"),
        ("fedadagrad", "1"),
    ],
)
def test_every_outer_optimizer_learns(outer, outer_lr):
    params = {"features": "2", "lr": "0.1", "batch": "8", "steps": "20", "outer": outer, "outer_lr": outer_lr}
    recipe = LocalSgd(params, {})
    data = {BERN: rows(1), CUSCO: rows(2)}
    model = run(recipe, data, rounds=10)
    right = [recipe.evaluate(model, one)["correct"] for one in data.values()]
    assert sum(right) >= 0.75 * 120


def test_the_proximal_term_keeps_local_models_nearer_to_the_global_one():
    def moved(mu):
        recipe = LocalSgd({"features": "2", "lr": "0.1", "steps": "200", "outer": "fedprox", "mu": mu}, {})
        return np.abs(run(recipe, {BERN: rows()}, rounds=1)["weight"]).sum()

    assert moved("10") < moved("1") < moved("0")


def test_scaffold_ends_nearer_to_the_joint_optimum_when_members_differ():
    data = {BERN: rows(1, n=100, tilt=1.5), CUSCO: rows(2, n=100, tilt=-1.0)}
    optimum = run(build("newton", {"features": "2", "ridge": "0", "damping": "1"}, {}), data, rounds=15)

    def distance(outer):
        params = {"features": "2", "lr": "0.5", "batch": "128", "steps": "50", "outer": outer}
        model = run(LocalSgd(params, {}), data, rounds=40)
        return np.abs(model["weight"] - optimum["weight"]).max()

    assert distance("scaffold") < 0.1 * distance("fedavg")


def test_corrections_of_all_members_cancel_in_the_mean():
    recipe = LocalSgd({"features": "2", "lr": "0.1", "steps": "30", "outer": "scaffold"}, {})
    data = {BERN: rows(1, n=50), CUSCO: rows(2, n=50, tilt=-1)}
    memories = {member: {} for member in data}
    model = recipe.initial()
    for number in range(3):
        model = recipe.combine(model, sum_up(recipe, model, data, number, memories), 2)
    found = [corrections(memories[member], model, 3, 0.1 * 30) for member in data]
    assert np.abs(found[0]["weight"]).max() > 0.01
    np.testing.assert_allclose(found[0]["weight"] + found[1]["weight"], 0, atol=1e-5)


def test_a_member_that_missed_a_round_starts_again_without_a_correction():
    memory = {}
    remember(memory, {"w": np.ones(2, np.float32)}, {}, 4)
    assert set(corrections(memory, {"w": np.zeros(2, np.float32)}, 5, 1.0)) == {"w"}
    assert corrections(memory, {"w": np.zeros(2, np.float32)}, 6, 1.0) == {}
    assert corrections({}, {"w": np.zeros(2, np.float32)}, 0, 1.0) == {}


def test_a_correction_in_the_direction_of_the_gradient_stops_the_steps():
    data = rows(n=16)
    model = LogisticModel(2, InnerSgd(lr=0.1, batch=16, steps=5), shuffled)
    error = 0.5 - data.y
    against = {
        "weight": (-(error @ data.x) / 16).astype(np.float32),
        "bias": np.array([-error.mean()], np.float32),
    }
    assert model.inner_steps(data, at(0), Drift(corrections=against)) == 16
    np.testing.assert_allclose(model.read("weight"), 0, atol=1e-6)


def test_every_row_is_used_once_before_any_is_used_twice():
    inner = InnerSgd(lr=0.1, batch=4, steps=6)
    batches = list(shuffled(10, inner, at(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(np.concatenate(epoch)) == list(range(10))


def test_the_order_of_rows_follows_from_the_seed_alone():
    inner = InnerSgd(lr=0.1, batch=4, steps=6)
    first, again, other = (np.concatenate(list(shuffled(10, inner, at(n)))) for n in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_run_goes_on_from_the_model_it_is_given():
    start = {"weight": np.array([1.0, 2.0], np.float32), "bias": np.array([3.0], np.float32)}
    recipe = LocalSgd({"features": "2"}, {"start": start})
    np.testing.assert_array_equal(recipe.initial()["weight"], [1.0, 2.0])
    with pytest.raises(Malformed):
        LocalSgd({"features": "3"}, {"start": start})


def test_huge_features_saturate_the_classifier_without_a_warning():
    data = rows()
    data.x[:] *= 1e6
    for name in ("newton", "local_sgd"):
        recipe = build(name, {"features": "2"}, {})
        model = {**recipe.initial(), "weight": recipe.initial()["weight"] + 1}
        assert np.isfinite(recipe.contribute(model, data, at(0))).all()


def test_a_member_without_rows_is_refused_before_it_weighs_in():
    recipe = LocalSgd({"features": "2"}, {})
    empty = Data(x=np.zeros((0, 2)), y=np.zeros(0), test_x=np.zeros((0, 2)), test_y=np.zeros(0), names=("a", "b"))
    with pytest.raises(Refused, match="rows"):
        recipe.contribute(recipe.initial(), empty, at(0))


def test_the_row_count_travels_beside_the_pseudo_gradient():
    recipe = LocalSgd({"features": "2"}, {})
    vector = recipe.contribute(recipe.initial(), rows(n=5), at(0))
    assert vector[-ROW_DIGITS:].tolist() == [1, 0, 1] + [0] * 37


def test_the_probe_grows_by_the_mean_of_its_members_constants():
    probe = Probe({"size": "1003", "tensors": "7", "bits": "8"}, {})
    data = {MemberId(name): rows() for name in ("ararat", "bern", "cusco", "dakar")}
    model = run(probe, data, rounds=2)
    mean = sum(member_constant(member) for member in data) / 4
    assert len(model) == 7
    assert sum(tensor.size for tensor in model.values()) == 1003
    assert all((tensor == np.float32(2 * mean)).all() for tensor in model.values())
    assert len({member_constant(member) for member in data}) > 1


def test_the_confusion_matrix_counts_each_case():
    counts = classification_counts(np.array([1, 1, 0, 0, 1], bool), np.array([1.0, 0.0, 1.0, 0.0, 1.0]))
    assert counts == {"n": 5, "correct": 3, "tp": 2, "fp": 1, "tn": 1, "fn": 1}


@pytest.mark.parametrize("name", ["newton", "local_sgd"])
def test_scores_are_probabilities_that_say_yes_where_the_evaluation_does(name):
    recipe = build(name, {"features": "2"}, {})
    model, test = run(recipe, {BERN: rows(1), CUSCO: rows(2)}, 2), rows(3, 500)
    assert isinstance(recipe, Scored)
    scores = recipe.scores(model, test.test_x)
    assert (scores.dtype, scores.shape) == (np.float64, (500,))
    assert 0 <= scores.min() < 0.5 < scores.max() <= 1
    assert classification_counts(scores > 0.5, test.test_y) == recipe.evaluate(model, test)
    assert np.mean((scores > 0.5) == test.test_y) > 0.7
