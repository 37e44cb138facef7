"""The network on tables in PyTorch, on whichever device the zone has.

It needs the extra ``serai[torch]``.
"""

import torch
from torch import nn
from torch.nn import functional

from serai.recipes.engines.device import Compute
from serai.recipes.engines.local_optimizer import Inner
from serai.recipes.engines.network import BETAS, Network, Rows
from serai.recipes.engines.torch_engine import TorchEngine, batched


class TorchNetwork(TorchEngine[Rows]):
    """A network whose values and moments are on a device.

    Args:
        network: its size.
        decay: of AdamW.
        compute: the device and precision.

    """

    def __init__(self, network: Network, decay: float, compute: Compute) -> None:
        shapes = network.shapes.items()
        parameters = {name: nn.Parameter(torch.zeros(shape, device=compute.device)) for name, shape in shapes}
        super().__init__(parameters, Inner(decay=decay, betas=BETAS, clip=None, decays_vectors=True), compute)

    def _loss(self, batch: Rows) -> torch.Tensor:
        x, y = (batched(part, self._compute) for part in batch)
        values = self._parameters
        hidden = functional.relu(x @ values["hidden_weight"] + values["hidden_bias"])
        odds = hidden @ values["out_weight"] + values["out_bias"]
        return functional.binary_cross_entropy_with_logits(odds.float(), y)
