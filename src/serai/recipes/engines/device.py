"""The one place that chooses what PyTorch computes on: a device of whichever maker, and a precision.

Theory of operation
    A build of PyTorch knows one kind of accelerator beside the CPU: NVIDIA's or
    AMD's (both named ``cuda``), Intel's (``xpu``), Apple's (``mps``), or another's
    through a plug-in that PyTorch loads by itself (``npu`` is Ascend's, by torch_npu).
    ``torch.accelerator`` is the part of PyTorch that is the same for all of them.
    What only some have is asked, and an answer that is an error means no. Nothing
    here or in the engines uses float64 or Triton on a device.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from serai.errors import Missing
from serai.recipes.equipment import AUTO, Equipment, Precision

_CPU: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Compute:
    """Where PyTorch computes.

    Attributes:
        device: the CPU or an accelerator.
        dtype: of matrix products.

    """

    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The device in its maker's words, where the maker's module has any."""
        with contextlib.suppress(AttributeError, RuntimeError, AssertionError):
            return str(torch.get_device_module(self.device.type).get_device_name(self.device))
        return str(self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """A context in which matrix products are of ``dtype``."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[object] = torch.autocast(self.device.type, self.dtype)
        return context

    def synchronize(self) -> None:
        """Wait until everything that was given to the device is done."""
        if self.device.type != _CPU.type:
            torch.get_device_module(self.device.type).synchronize()  # torch.accelerator's own asks more of a plug-in


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long a step takes here.

    Attributes:
        device: its name.
        dtype: of matrix products.
        step_us: microseconds a step.

    """

    device: str
    dtype: str
    step_us: int


def choose_compute(equipment: Equipment) -> Compute:
    """The device and precision that a zone's equipment names, or the best there are.

    Raises:
        Missing: it names a device that this PyTorch has not, or a precision that the device has not.

    """
    device = find_accelerator() or _CPU if equipment.device == AUTO else _named(equipment.device)
    if equipment.precision is Precision.FLOAT32:
        return Compute(device, torch.float32)
    if equipment.precision is Precision.BFLOAT16:
        if not has_bfloat16(device):
            raise Missing("device-precision", f"{device} has no bfloat16; set precision = 'float32' under [training]")
        return Compute(device, torch.bfloat16)
    # A CPU multiplies float32 about as fast, and then no digit is lost. float16 needs a loss scale: not here.
    fast = device.type != _CPU.type and has_bfloat16(device)
    return Compute(device, torch.bfloat16 if fast else torch.float32)


def find_accelerator() -> torch.device | None:
    """The accelerator that this PyTorch has and that answers; None if there is none."""
    try:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    except RuntimeError:  # a driver that does not fit, or a plug-in that failed to load
        return None


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16, as far as it says."""
    if device.type == _CPU.type:
        return True
    with contextlib.suppress(AttributeError, RuntimeError, AssertionError):
        return bool(torch.get_device_module(device.type).is_bf16_supported())
    return False


def time_steps(compute: Compute, step: Callable[[], object], count: int) -> StepTime:
    """Time ``count`` steps, after one that does not count.

    Args:
        compute: where they are computed.
        step: takes one.
        count: how many.

    """
    step()
    compute.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step()
    compute.synchronize()
    step_us = round((time.perf_counter() - start) / count * 10**6)
    return StepTime(compute.name, str(compute.dtype).removeprefix("torch."), step_us)


def _named(name: str) -> torch.device:
    found = find_accelerator()
    with contextlib.suppress(RuntimeError):  # a name that this build has never heard of
        device = torch.device(name)
        if device.type in {_CPU.type, found.type if found else None}:
            return device
    have = f"cpu and {found.type}" if found else "cpu alone"
    raise Missing("device", f"zone.toml names the device {name!r}, and this PyTorch has {have}; install its build")
