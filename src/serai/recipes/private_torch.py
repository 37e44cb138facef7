"""Any PyTorch model trained with noise on its gradients, by way of Opacus (arXiv:2109.12298).

Opacus gives each row's gradient, cuts and sums them; rows and noise are drawn as
in ``training.privacy``, from the zone's secret, so that a step repeated after a crash
gives the same bits, and the accountant's numbers hold for it as for the numpy
recipes: on a logistic model both give the same weights.

Needs the extras ``serai[torch]`` and ``serai[privacy]``.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from opacus import GradSampleModule  # type: ignore[import-untyped,import-not-found,unused-ignore]  # an extra
from opacus.optimizers import DPOptimizer  # type: ignore[import-untyped,import-not-found,unused-ignore]  # as above
from torch import nn

from serai.recipes.engines.device import Compute, choose_compute
from serai.recipes.engines.torch_engine import read_parameter, write_parameter
from serai.recipes.equipment import DEFAULTS
from serai.recipes.local_sgd import InnerSgd
from serai.training.local_steps import Drift
from serai.training.methods import Context, Data
from serai.training.privacy import PrivateSteps, RowNoise
from serai.training.tensors import Tensor

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The losses of some rows, summed, from the model's answers and the labels."""


class PrivateTorch:
    """A PyTorch module behind the training adapter, with DP-SGD inside.

    Args:
        module: the model, of layers whose rows do not mix (no batch norm; Opacus refuses others).
        loss: summed over rows, not averaged: a step may draw no row at all.
        inner: learning rate and steps.
        private: how rows are drawn, cut and hidden.
        compute: the device; the best there is unless given. Its precision is not used: what is
            cut and hidden is float32.

    """

    def __init__(
        self, module: nn.Module, loss: Loss, inner: InnerSgd, private: RowNoise, compute: Compute | None = None
    ) -> None:
        self._device = (compute or choose_compute(DEFAULTS)).device
        self._module = GradSampleModule(module.to(self._device), loss_reduction="sum", strict=True)
        self._parameters = dict(sorted(module.named_parameters()))
        self._loss = loss
        self._inner = inner
        self._private = private

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""
        return tuple(self._parameters)

    def read(self, name: str) -> Tensor:
        """A parameter's present value."""
        return read_parameter(self._parameters[name])

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""
        write_parameter(self._parameters[name], values)

    def inner_steps(self, data: Data, context: Context, drift: Drift) -> int:
        """DP-SGD from the present values; returns the row count.

        Raises:
            Refused: there are no rows, or no secret to draw noise from.

        """
        x, y = (self._on_device(values) for values in (data.x, data.y))
        steps = PrivateSteps(self._private, len(x), context)
        start = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        optimizer = self._optimizer(steps, len(x))
        for rows in steps.batches(self._inner.steps):
            drawn = torch.from_numpy(rows).to(self._device)
            optimizer.zero_grad(set_to_none=True)
            self._loss(self._module(x[drawn]), y[drawn]).backward()
            optimizer.pre_step()
            self._add_drift(drift, start)
            optimizer.original_optimizer.step()
        return len(x)

    def _optimizer(self, steps: PrivateSteps, rows: int) -> "_SecretNoise":
        return _SecretNoise(
            torch.optim.SGD(self._parameters.values(), lr=self._inner.lr),
            steps,
            noise_multiplier=float(self._private.noise),
            max_grad_norm=float(self._private.clip),
            expected_batch_size=self._private.expected(rows),
        )

    def _add_drift(self, drift: Drift, start: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                assert parameter.grad is not None, "each step gives each parameter noise"
                if name in drift.corrections:
                    parameter.grad += self._on_device(drift.corrections[name])
                if drift.proximal:
                    parameter.grad += drift.proximal * (parameter - start[name])

    def _on_device(self, values: Tensor) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(self._device)


class _SecretNoise(DPOptimizer):
    """Opacus's optimizer, with noise drawn from the zone's secret in place of torch's generator."""

    def __init__(self, optimizer: torch.optim.Optimizer, steps: PrivateSteps, **settings: float) -> None:
        super().__init__(optimizer, **settings)
        self._steps = steps

    def add_noise(self) -> None:
        """Add noise to the summed gradients: one draw a step, cut along the parameters' names."""
        sizes = [parameter.numel() for parameter in self.params]
        noise = np.split(self._steps.noise(sum(sizes)), np.cumsum(sizes)[:-1])
        for parameter, part in zip(self.params, noise, strict=True):
            drawn = torch.from_numpy(part).view_as(parameter).to(parameter.device)
            parameter.grad = (parameter.summed_grad + drawn).view_as(parameter)
