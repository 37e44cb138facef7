"""An accelerator that nobody makes, for PyTorch: named ``fake``, computed on the CPU, without float64.

Run as a program, in a process of its own (PyTorch takes one such device for good), it lets every engine
train there and prints what came of it as JSON. A path that assumes some maker's device,
mixes devices or needs float64 there ends in an error.
"""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
CPU = torch.device("cpu")


class OnFake(torch.Tensor):
    """A tensor on the device; its values are a tensor on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw):
        if raw.dtype == torch.float64:
            raise TypeError("the fake accelerator has no float64")
        form = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, raw.size(), device="fake:0", **form)
        made.raw = raw
        return made

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return run(op, *args, **(kwargs or {}))


def run(op, *args, **kwargs):
    """Compute an operation of the device on the CPU; what was given and comes back is the same tensor."""
    if op is aten._to_copy.default:
        device = torch.device(kwargs.pop("device", None) or args[0].device)
        copied = aten._to_copy.default(getattr(args[0], "raw", args[0]), **kwargs)
        return OnFake(copied) if device.type == "fake" else copied
    tensors = [item for item in (*args, *kwargs.values()) if isinstance(item, torch.Tensor) and item.ndim]
    if op is not aten.copy_.default and {item.device.type for item in tensors} > {"fake"}:
        raise RuntimeError(f"{op} was given tensors on the CPU and on the device")
    given = {}

    def on_cpu(item):
        if isinstance(item, OnFake):
            given[id(item.raw)] = item
            return item.raw
        return CPU if isinstance(item, torch.device) else item

    arguments, named = tree_map(on_cpu, (args, kwargs))
    found = op(*arguments, **named)
    if op is aten.copy_.default and not isinstance(args[0], OnFake):
        return args[0]

    def on_device(item):
        if isinstance(item, torch.Tensor):
            return given[id(item)] if id(item) in given else OnFake(item)
        return item

    return tree_map(on_device, found)


def linear(x, weight, bias=None):
    """A matrix product under autocast: in bfloat16."""
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
    with torch._C._ExcludeDispatchKeyGuard(key):
        return torch.nn.functional.linear(x.bfloat16(), weight.bfloat16(), bias)


class Module:
    """What a maker's part of PyTorch answers."""

    synchronized = 0

    def is_initialized(self):
        return True

    def is_available(self):
        return True

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass

    def get_device_name(self, device):
        return f"Nobody's {device.type}"

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def is_bf16_supported(self):
        return True

    def synchronize(self):
        Module.synchronized += 1


def network(compute):
    from serai.recipes.engines.network import Network  # noqa: PLC0415  # after the device is known
    from serai.recipes.engines.network_torch import TorchNetwork  # noqa: PLC0415  # as above

    generator = np.random.default_rng(1)
    sizes = Network(features=3, hidden=8)
    start = {name: generator.normal(0, 0.5, shape).astype(np.float32) for name, shape in sizes.shapes.items()}
    rows = [(generator.normal(size=(10, 3)).astype(np.float32), np.arange(10, dtype=np.float32) % 2) for _ in range(6)]
    return trained(TorchNetwork(sizes, 0.1, compute), start, rows)


def transformer(compute, *, muon=False):
    from serai.recipes.engines.local_optimizer import Inner  # noqa: PLC0415  # as above
    from serai.recipes.transformer import Transformer  # noqa: PLC0415  # as above
    from serai.recipes.transformer_shape import Shape, hidden_matrices, start_of  # noqa: PLC0415  # as above

    shape, generator = Shape(width=16, layers=2, heads=2, context=16), np.random.default_rng(2)
    inner = Inner(muon=hidden_matrices(shape) if muon else frozenset())
    engine = Transformer(shape, compute, inner)
    text = [generator.integers(97, 105, (4, 17)).astype(np.uint8) for _ in range(6)]
    found = trained(engine, start_of(shape, 1), text)
    nats, count = engine.nats(text[:2])
    return {**found, "nats": nats / count}


def trained(engine, start, batches):
    """Two rounds of local steps, and how far they came."""
    from serai.recipes.engines.adapter import read_all, write_all  # noqa: PLC0415  # as above

    memory = {}
    write_all(engine, start)
    losses = [engine.inner_steps(batches, [0.02] * len(batches), memory) for _ in range(2)]
    moved = {name: np.asarray(value - start[name], np.float64) for name, value in read_all(engine).items()}
    kept = {name: float(np.abs(value).sum()) for name, value in memory.items()}
    return {
        "losses": losses,
        "moved": {name: float(np.abs(value).sum()) for name, value in moved.items()},
        "kept": kept,
    }


def private(compute):
    from serai.recipes.local_sgd import InnerSgd  # noqa: PLC0415  # as above
    from serai.recipes.private_torch import PrivateTorch  # noqa: PLC0415  # as above
    from serai.training.local_steps import Drift  # noqa: PLC0415  # as above
    from serai.training.methods import Context, Data  # noqa: PLC0415  # as above
    from serai.training.privacy import RowNoise  # noqa: PLC0415  # as above

    x = np.random.default_rng(3).normal(size=(40, 3))
    rows = Data(x=x, y=(x[:, 0] > 0).astype(float), test_x=x, test_y=x[:, 0], names=("a", "b", "c"))
    module = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0))
    steps = RowNoise(clip=Fraction(1, 2), noise=Fraction(6, 5), batch=8)
    model = PrivateTorch(
        module, torch.nn.BCEWithLogitsLoss(reduction="sum"), InnerSgd(lr=0.05, batch=8, steps=5), steps, compute
    )
    for name in model.names:
        model.write(name, np.zeros_like(model.read(name)))
    drift = Drift(proximal=0.1, corrections={"0.bias": np.ones(1, np.float32)})
    model.inner_steps(rows, Context(round=0, seed=bytes(32), member="bern", secret=b"s" * 32), drift)
    return {"moved": {name: float(np.abs(model.read(name)).sum()) for name in model.names}}


def main():
    """Register the device, then train there and on the CPU."""
    _setup_privateuseone_for_python_backend("fake", backend_module=Module())
    library = torch.library.Library("_", "IMPL")
    library.fallback(run, "PrivateUse1")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    products = torch.library.Library("aten", "IMPL")
    products.impl("linear", linear, "AutocastPrivateUse1")

    from serai.recipes.engines.device import Compute, choose_compute, time_steps  # noqa: PLC0415  # as above
    from serai.recipes.equipment import Equipment, Precision  # noqa: PLC0415  # as above

    chosen = choose_compute(Equipment())
    plain = choose_compute(Equipment(device="fake", precision=Precision.FLOAT32))
    found = {"auto": [str(chosen.device), str(chosen.dtype), chosen.name], "plain": [str(plain.device.type)]}
    cases = {
        "network": network,
        "transformer": transformer,
        "muon": lambda compute: transformer(compute, muon=True),
    }
    if "private" in sys.argv[1:]:
        cases["private"] = private
    for name, case in cases.items():
        found[name] = {"cpu": case(Compute(CPU, torch.float32)), "fake": case(plain)}
    found["fast"] = transformer(chosen)
    timed = time_steps(plain, lambda: network(plain), 1)
    found["time"] = [timed.device, timed.dtype, timed.step_us, Module.synchronized]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
