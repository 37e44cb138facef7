"""A byte-level transformer in PyTorch, its local steps, and its loss on held-back text.

A decoder as in nanoGPT (github.com/karpathy/nanoGPT, model.py), with RMSNorm
(arXiv:1910.07467), without biases, dropout and tokenizer: the vocabulary is the
256 bytes, so it serves every language alike. Output weights are the input
embedding. The device is whatever the zone has.

It needs the extra ``serai[torch]``.
"""

import torch
from torch import nn
from torch.nn import functional

from serai.recipes.engines.device import Compute
from serai.recipes.engines.local_optimizer import ADAMW, Inner
from serai.recipes.engines.torch_engine import TorchTextEngine
from serai.recipes.transformer_shape import Shape, shapes_of


class Transformer(TorchTextEngine):
    """A transformer at one member: set from a model, trained locally, read back as arrays.

    A batch is ``(sequences, context + 1) uint8``; the loss is nats a byte.

    Args:
        shape: its size.
        compute: the device and precision.
        inner: the local optimizer.

    """

    def __init__(self, shape: Shape, compute: Compute, inner: Inner = ADAMW) -> None:
        shapes = shapes_of(shape).items()
        super().__init__(
            {name: nn.Parameter(torch.empty(size, device=compute.device)) for name, size in shapes}, inner, compute
        )
        self._shape = shape

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
