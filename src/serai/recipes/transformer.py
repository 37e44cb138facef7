"""A byte-level transformer in PyTorch, its local AdamW steps, and its loss on held-back text.

A decoder as in nanoGPT (github.com/karpathy/nanoGPT, model.py), with RMSNorm
(arXiv:1910.07467), without biases, dropout and tokenizer: the vocabulary is the
256 bytes, so it serves every language alike. Output weights are the input
embedding. The device is whatever the zone has.

It needs the extra ``serai[torch]``.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from serai.recipes.engines.device import Compute
from serai.recipes.engines.local_optimizer import ADAMW, InnerAdamW
from serai.recipes.engines.torch_engine import TorchEngine, batched
from serai.recipes.transformer_shape import Shape, shapes_of

Tokens: TypeAlias = npt.NDArray[np.uint8]


class Transformer(TorchEngine[Tokens]):
    """A transformer at one member: set from a model, trained locally, read back as arrays.

    A batch is ``(sequences, context + 1) uint8``; the loss is nats a byte.

    Args:
        shape: its size.
        compute: the device and precision.
        inner: the local optimizer.

    """

    def __init__(self, shape: Shape, compute: Compute, inner: InnerAdamW = ADAMW) -> None:
        shapes = shapes_of(shape).items()
        super().__init__(
            {name: nn.Parameter(torch.empty(size, device=compute.device)) for name, size in shapes}, inner, compute
        )
        self._shape = shape

    def nats(self, batches: Iterable[Tokens]) -> tuple[float, int]:
        """The summed loss over some text, and how many bytes were predicted."""
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
        """Nats of each byte after the first of each sequence, one dimension."""
        tokens = batched(batch, self._compute).long()
        logits = self._logits(tokens[:, :-1]).float()
        return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")

    def _logits(self, tokens: torch.Tensor) -> torch.Tensor:
        values = self._parameters
        stream = values["embedding"][tokens] + values["position"][: tokens.shape[1]]
        for layer in range(self._shape.layers):
            block = f"blocks.{layer:03d}."
            stream = stream + self._attention(_norm(stream, values[block + "attention_norm"]), block)
            hidden = functional.linear(_norm(stream, values[block + "mlp_norm"]), values[block + "mlp_up"])
            stream = stream + functional.linear(functional.gelu(hidden), values[block + "mlp_down"])
        return functional.linear(_norm(stream, values["norm"]), values["embedding"])

    def _attention(self, stream: torch.Tensor, block: str) -> torch.Tensor:
        sequences, length, width = stream.shape
        mixed = functional.linear(stream, self._parameters[block + "attention"])
        heads = mixed.view(sequences, length, 3, self._shape.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        flat = seen.transpose(1, 2).reshape(sequences, length, width)
        return functional.linear(flat, self._parameters[block + "attention_out"])


def _norm(stream: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(stream, (stream.shape[-1],), weight)
