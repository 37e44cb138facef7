"""PyTorch on any device: the choice, and every engine on an accelerator that is no maker's and lacks float64."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import serai
from serai.errors import Missing
from serai.recipes.equipment import Equipment, Precision

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'serai[torch]'")
device = pytest.importorskip("serai.recipes.engines.device")

FAKE = Path(__file__).with_name("fake_accelerator.py")


@pytest.fixture(scope="module")
def fake():
    """What came of training on the fake accelerator."""
    cases = ["private"] if find_spec("opacus") else []
    command = [sys.executable, "-W", "ignore", str(FAKE), *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_an_accelerator_of_any_maker_is_found_with_its_name_and_precision(fake):
    assert fake["auto"] == ["fake", "torch.bfloat16", "Nobody's fake"]
    assert fake["plain"] == ["fake"]


@pytest.mark.parametrize("case", ["network", "transformer", "muon", "private"])
def test_every_engine_trains_there_as_on_the_cpu(fake, case):
    if case not in fake:
        pytest.skip("Opacus is an extra: pip install 'serai[torch,privacy]'")
    for part, expected in fake[case]["cpu"].items():
        near = 2e-2 if case == "muon" else 1e-4  # Muon multiplies in bfloat16
        assert fake[case]["fake"][part] == pytest.approx(expected, rel=near), part
    assert all(distance > 0 for distance in fake[case]["fake"]["moved"].values())


def test_products_in_bfloat16_leave_parameters_and_moments_float32(fake):
    fast, exact = fake["fast"]["losses"], fake["transformer"]["cpu"]["losses"]
    assert fast != exact
    assert fast == pytest.approx(exact, rel=0.05)
    assert fast[1] < fast[0]


def test_a_step_is_timed_when_the_device_is_done_with_it(fake):
    name, dtype, step_us, synchronized = fake["time"]
    assert (name, dtype, synchronized) == ("Nobody's fake", "float32", 2)
    assert step_us > 0


def test_without_an_accelerator_the_cpu_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert device.choose_compute(Equipment()) == device.Compute(torch.device("cpu"), torch.float32)


def test_a_driver_that_fails_when_asked_is_no_accelerator(monkeypatch):
    def fail():
        raise RuntimeError("driver too old")

    monkeypatch.setattr(torch.accelerator, "is_available", fail)
    assert device.find_accelerator() is None


@pytest.mark.parametrize("name", ["xpu", "npu", "quantum"])
def test_a_named_device_that_is_not_here_is_never_replaced_by_the_cpu(monkeypatch, name):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(Missing, match="this PyTorch has cpu alone"):
        device.choose_compute(Equipment(device=name))


def test_a_device_without_bfloat16_computes_in_float32_and_says_so_if_told_otherwise(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    assert device.choose_compute(Equipment()).dtype == torch.float32
    with pytest.raises(Missing, match="no bfloat16"):
        device.choose_compute(Equipment(precision=Precision.BFLOAT16))


def test_the_cpu_computes_in_bfloat16_if_told_to():
    compute = device.choose_compute(Equipment(device="cpu", precision=Precision.BFLOAT16))
    with compute.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16


@pytest.mark.parametrize("word", ["torch.cuda", ".cuda(", "triton", "pin_memory", "torch.float64", "torch.distributed"])
def test_no_source_names_what_only_some_devices_have(word):
    root = Path(serai.__file__).parent
    assert [path.name for path in root.rglob("*.py") if word in path.read_text(encoding="utf-8")] == []


def test_the_network_trains_on_the_accelerator_of_this_machine():
    if device.find_accelerator() is None:
        pytest.skip("this machine has no accelerator that its PyTorch knows")
    from serai.recipes.engines.adapter import read_all, write_all  # noqa: PLC0415  # needs the extra
    from serai.recipes.engines.network import Network, NumpyNetwork  # noqa: PLC0415  # as above
    from serai.recipes.engines.network_torch import TorchNetwork  # noqa: PLC0415  # as above

    sizes, generator = Network(features=3, hidden=8), np.random.default_rng(1)
    start = {name: generator.normal(0, 0.5, shape).astype(np.float32) for name, shape in sizes.shapes.items()}
    rows = [(generator.normal(size=(10, 3)).astype(np.float32), np.arange(10, dtype=np.float32) % 2) for _ in range(6)]
    compute = device.choose_compute(Equipment(precision=Precision.FLOAT32))
    found = []
    for engine in (NumpyNetwork(sizes, 0.1), TorchNetwork(sizes, 0.1, compute)):
        write_all(engine, start)
        engine.inner_steps(rows, [0.02] * 6, {})
        found.append(read_all(engine))
    for name in start:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-2, atol=1e-4)
