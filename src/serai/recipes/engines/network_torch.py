"""The network on tables in PyTorch, on whichever device the zone has.

It needs the extra ``serai[torch]``.
"""

from collections.abc import Iterable, MutableMapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from serai.recipes.engines.device import Compute
from serai.recipes.engines.local_optimizer import InnerAdamW, LocalSteps
from serai.recipes.engines.network import BETAS, Network, Rows
from serai.training.tensors import Tensor


class TorchNetwork:
    """A network whose values and moments are on a device.

    Args:
        network: its size.
        decay: of AdamW.
        compute: the device and precision.

    """

    def __init__(self, network: Network, decay: float, compute: Compute) -> None:
        self._compute = compute
        self._parameters = {
            name: nn.Parameter(torch.zeros(shape, device=compute.device)) for name, shape in network.shapes.items()
        }
        inner = InnerAdamW(decay=decay, betas=BETAS, clip=None, decays_vectors=True)
        self._steps = LocalSteps(self._parameters, inner, compute)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""
        return tuple(self._parameters)

    def read(self, name: str) -> Tensor:
        """A parameter's present value."""
        found: Tensor = self._parameters[name].detach().cpu().numpy().copy()
        return found

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""
        with torch.no_grad():
            self._parameters[name].copy_(torch.from_numpy(np.array(values, np.float32)))

    def inner_steps(
        self, batches: Iterable[Rows], rates: Iterable[float], memory: MutableMapping[str, Tensor]
    ) -> float:
        """One AdamW step for each batch; returns the mean loss before each step."""
        return self._steps.take(batches, rates, self._loss, memory)

    def _loss(self, rows: Rows) -> torch.Tensor:
        x, y = (torch.from_numpy(part).to(self._compute.device) for part in rows)
        values = self._parameters
        hidden = functional.relu(x @ values["hidden_weight"] + values["hidden_bias"])
        odds = hidden @ values["out_weight"] + values["out_bias"]
        return functional.binary_cross_entropy_with_logits(odds.float(), y)
