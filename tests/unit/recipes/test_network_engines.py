"""The engines of the network on tables: each takes the same steps, and keeps the same memory, as the others."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from serai.errors import Missing
from serai.recipes.engines.adapter import read_all, write_all
from serai.recipes.engines.network import Network, NumpyNetwork, gradients_of
from serai.recipes.equipment import EngineName, Equipment, Precision
from serai.recipes.registry import build, code_digest, source_of
from serai.training.methods import Context, Data
from serai.training.tensors import digest_model

NETWORK = Network(features=3, hidden=8)
DECAY = 0.05


def plain_numpy():
    return NumpyNetwork(NETWORK, DECAY)


def by_torch():
    pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'serai[torch]'")
    from serai.recipes.engines.device import choose_compute  # noqa: PLC0415  # needs the extra
    from serai.recipes.engines.network_torch import TorchNetwork  # noqa: PLC0415  # as above

    return TorchNetwork(NETWORK, DECAY, choose_compute(Equipment(device="cpu")))


def by_sklearn():
    pytest.importorskip("sklearn", reason="scikit-learn is an extra: pip install 'serai[sklearn]'")
    from serai.recipes.engines.network_sklearn import SklearnGradients  # noqa: PLC0415  # needs the extra

    return NumpyNetwork(NETWORK, DECAY, SklearnGradients(NETWORK))


OTHERS = pytest.mark.parametrize("other", [by_torch, by_sklearn])


def start():
    generator = np.random.default_rng(1)
    return {name: generator.normal(0, 0.5, shape).astype(np.float32) for name, shape in NETWORK.shapes.items()}


def batches(count=6, size=10, seed=2):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        x = generator.normal(size=(size, 3)).astype(np.float32)
        yield x, (x[:, 0] > 0).astype(np.float32)


def steps(engine, model, memory, seed=2, size=10):
    write_all(engine, model)
    loss = engine.inner_steps(batches(6, size, seed), [0.02] * 6, memory)
    return read_all(engine), loss


def close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert theirs[name].dtype == ours[name].dtype
        np.testing.assert_allclose(theirs[name], ours[name], rtol=2e-4, atol=2e-6, err_msg=name)


def test_the_gradients_are_those_of_the_loss():
    model, rows = start(), next(batches())
    _, gradients = gradients_of(model, rows)
    for name, gradient in gradients.items():
        change = np.zeros_like(model[name])
        change.flat[0] = 1e-2
        up, down = (gradients_of({**model, name: model[name] + sign * change}, rows)[0] for sign in (1, -1))
        assert gradient.flat[0] == pytest.approx((up - down) / 2e-2, abs=2e-3), name


def test_a_model_that_diverged_has_a_loss_that_is_no_number_and_no_warning():
    x, _ = next(batches())
    loss, _ = gradients_of({**start(), "out_bias": np.array([np.inf], np.float32)}, (x, np.ones(len(x), np.float32)))
    assert np.isnan(loss)


@OTHERS
@pytest.mark.parametrize("size", [10, 300])
def test_every_engine_takes_the_same_steps_and_keeps_the_same_memory(other, size):
    memories = {}, {}
    ours, our_loss = steps(plain_numpy(), start(), memories[0], size=size)
    theirs, their_loss = steps(other(), start(), memories[1], size=size)
    close(ours, theirs)
    close(*memories)
    assert their_loss == pytest.approx(our_loss, rel=1e-4)
    assert max(np.abs(ours[name] - start()[name]).max() for name in ours) > 0.05


@OTHERS
def test_a_member_may_change_its_engine_between_rounds(other):
    memories = {}, {}
    ours, _ = steps(plain_numpy(), start(), memories[0])
    theirs, _ = steps(other(), start(), memories[1])
    ours, _ = steps(plain_numpy(), ours, memories[0], seed=3)
    theirs, _ = steps(plain_numpy(), theirs, memories[1], seed=3)
    close(ours, theirs)
    assert int(memories[1]["inner/step"][0]) == 12


def test_scikit_learn_takes_a_batch_whose_labels_are_all_alike():
    x = np.ones((4, 3), np.float32)
    for label in (0, 1):
        rows = x, np.full(4, label, np.float32)
        engines = plain_numpy(), by_sklearn()
        for engine in engines:
            write_all(engine, start())
            engine.inner_steps([rows], [0.1], {})
        close(*(read_all(engine) for engine in engines))


@pytest.mark.parametrize(
    ("equipment", "engine"),
    [
        (Equipment(), EngineName.NUMPY),
        (Equipment(device="cpu"), EngineName.NUMPY),
        (Equipment(device="xpu:1"), EngineName.TORCH),
        (Equipment(engine=EngineName.SKLEARN, device="xpu"), EngineName.SKLEARN),
    ],
)
def test_a_zone_that_names_a_device_means_pytorch_unless_it_says_otherwise(equipment, engine):
    assert equipment.table_engine is engine


@pytest.mark.parametrize("engine", [EngineName.TORCH, EngineName.SKLEARN])
def test_an_engine_that_is_not_installed_is_missed_before_any_round(engine, monkeypatch):
    package = {"torch": "torch", "sklearn": "sklearn"}[engine.value]
    monkeypatch.setitem(sys.modules, package, None)  # what the import system makes of a missing package
    with pytest.raises(Missing, match=rf"pip install 'serai\[{engine.value}\]'"):
        build("mlp", {"features": "3", "rounds": "1"}, {}, Equipment(engine=engine))


@pytest.mark.parametrize("other", ["torch", "sklearn"])
def test_what_a_zone_trains_with_changes_neither_start_nor_sum_nor_code(other):
    if find_spec(other) is None:
        pytest.skip(f"{other} is an extra")
    params = {"features": "3", "rounds": "2", "steps": "5", "hidden": "8"}
    plain = build("mlp", params, {})
    own = build("mlp", params, {}, Equipment(engine=EngineName(other), device="cpu", precision=Precision.FLOAT32))
    assert digest_model(own.initial()) == digest_model(plain.initial())
    x, y = next(batches(1, 40))
    rows = Data(x=x.astype(float), y=y.astype(float), test_x=x.astype(float), test_y=y, names=("a", "b", "c"))
    vectors = [
        recipe.contribute(plain.initial(), rows, Context(round=0, seed=b"s", member="bern")) for recipe in (plain, own)
    ]
    assert np.mean(vectors[0] == vectors[1]) > 0.95, "but for digits at the edge between two"
    total = vectors[1].astype(np.float64)
    assert digest_model(own.combine(own.initial(), total, 1)) == digest_model(plain.combine(plain.initial(), total, 1))


@pytest.mark.parametrize("module", ["network", "network_torch", "network_sklearn", "local_optimizer", "device"])
def test_the_code_digest_covers_every_engine_whichever_a_zone_has(module):
    def changed(name):
        return source_of(name) + b"\n# changed\n" * (name == f"serai.recipes.engines.{module}")

    assert code_digest("mlp", changed) != code_digest("mlp")


@pytest.mark.parametrize(
    "bent", [{"device": "cuda; rm"}, {"device": ""}, {"device": "/dev/nvidia0"}, {"models": {"../up": "/x"}}]
)
def test_equipment_that_names_nothing_is_refused(bent):
    with pytest.raises(ValueError, match=r"must be auto|a model's name"):
        Equipment(**bent)


def test_a_worker_sees_only_the_base_model_that_its_plan_names():
    equipment = Equipment(models={"small": "/models/small", "large": "/models/large"})
    assert equipment.only_for({"base": "small"}).models == {"small": "/models/small"}
    assert equipment.only_for({}).models == {}
