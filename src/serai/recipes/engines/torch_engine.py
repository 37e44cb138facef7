"""What every model in PyTorch shares behind the four methods: its parameters as arrays, its local steps on a device."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from serai.recipes.engines.device import Compute
from serai.recipes.engines.local_optimizer import Inner, LocalOptimizer
from serai.training.tensors import Tensor

Batch = TypeVar("Batch")
Tokens: TypeAlias = npt.NDArray[np.integer[Any]]


class TorchEngine(ABC, Generic[Batch]):
    """A model whose parameters and moments lie on a device.

    Args:
        parameters: those that are trained, by name, float32.
        inner: the local optimizer.
        compute: the device and precision.

    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], inner: Inner, compute: Compute) -> None:
        self._parameters = dict(sorted(parameters.items()))
        self._inner = inner
        self._compute = compute

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""
        return tuple(self._parameters)

    def read(self, name: str) -> Tensor:
        """A parameter's present value, float32, on the CPU."""
        return read_parameter(self._parameters[name])

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""
        write_parameter(self._parameters[name], values)

    def inner_steps(
        self, batches: Iterable[Batch], rates: Iterable[float], memory: MutableMapping[str, Tensor]
    ) -> float:
        """One step for each batch; returns the mean loss before each step, nats."""
        optimizer = LocalOptimizer(self._parameters, self._inner, memory)
        total, count = torch.zeros((), device=self._compute.device), 0
        for batch, rate in zip(batches, rates, strict=True):
            with self._compute.autocast():
                loss = self._loss(batch)
            optimizer.step(loss, rate)
            total += loss.detach()
            count += 1
        if count:
            optimizer.remember(memory)
        return float(total) / max(count, 1)

    @abstractmethod
    def _loss(self, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, float32."""


class TorchTextEngine(TorchEngine[Tokens]):
    """A model that predicts a text's next byte or token.

    A batch is ``(sequences, context + 1)``, integers; the loss is nats for each that is predicted.
    """

    def nats(self, batches: Iterable[Tokens]) -> tuple[float, int]:
        """The summed loss over some text, and how much was predicted."""
        total, count = 0.0, 0
        with torch.no_grad(), self._compute.autocast():
            for batch in batches:
                losses = self._losses(batch)
                total += float(losses.cpu().double().sum())  # on the CPU: not every device has float64
                count += losses.numel()
        return total, count

    def _loss(self, batch: Tokens) -> torch.Tensor:
        return self._losses(batch).mean()

    def _losses(self, batch: Tokens) -> torch.Tensor:
        """Nats of each byte or token after the first of each sequence, one dimension."""
        tokens = batched(batch, self._compute).long()
        logits = self._logits(tokens[:, :-1]).float()
        return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")

    @abstractmethod
    def _logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """``(sequences, length, vocabulary)``, for what comes after each of ``(sequences, length)``."""


def read_parameter(parameter: nn.Parameter) -> Tensor:
    """A parameter's value as an array of its own."""
    found: Tensor = parameter.detach().cpu().numpy().copy()
    return found


def write_parameter(parameter: nn.Parameter, values: Tensor) -> None:
    """Set a parameter from an array."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(values, np.float32)))


def batched(values: Tensor, compute: Compute) -> torch.Tensor:
    """A copy of an array on the device; not the array itself, which may be read-only, as no tensor is."""
    return torch.from_numpy(np.array(values)).to(compute.device)
