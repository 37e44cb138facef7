"""A byte-level transformer in PyTorch, its local AdamW steps, and its loss on held-back text.

A decoder as in nanoGPT (github.com/karpathy/nanoGPT, model.py), with RMSNorm
(arXiv:1910.07467), without biases, dropout and tokenizer: the vocabulary is the
256 bytes, so it serves every language alike. Output weights are the input
embedding. The device is whatever accelerator this PyTorch build has, else the CPU.

It needs the extra ``serai[torch]``.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from serai.recipes.transformer_shape import Shape, shapes_of
from serai.training.tensors import Model, Tensor

Tokens: TypeAlias = npt.NDArray[np.uint8]

_BETAS: Final = (0.9, 0.95)
_STEP: Final = "inner/step"
_MOMENTS: Final = {"inner/m/": "exp_avg", "inner/v/": "exp_avg_sq"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerAdamW:
    """AdamW (arXiv:1711.05101), the gradient's norm cut to ``clip``; decay on matrices only."""

    decay: float = 0.1
    clip: float = 1.0


def find_device() -> torch.device:
    """The accelerator of this PyTorch build if there is one, whichever maker's, else the CPU."""
    if torch.accelerator.is_available():
        found = torch.accelerator.current_accelerator()
        if found is not None:
            return found
    return torch.device("cpu")


class Transformer:
    """A transformer at one member: set from a model, trained locally, read back as arrays.

    Args:
        shape: its size.
        device: where it computes; the best there is unless given.

    """

    def __init__(self, shape: Shape, device: torch.device | None = None) -> None:
        self._shape = shape
        self._device = device or find_device()
        self._parameters = {
            name: nn.Parameter(torch.empty(size, device=self._device)) for name, size in shapes_of(shape).items()
        }

    def write(self, model: Model) -> None:
        """Take the parameters from a model that has them by name."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(torch.from_numpy(np.array(model[name], np.float32)))

    def read(self) -> Model:
        """The present parameters, float32."""
        return {name: parameter.detach().cpu().numpy().copy() for name, parameter in self._parameters.items()}

    def train(
        self,
        batches: Iterable[Tokens],
        rates: Iterable[float],
        inner: InnerAdamW,
        memory: MutableMapping[str, Tensor],
    ) -> float:
        """One AdamW step for each batch.

        Args:
            batches: ``(sequences, context + 1) uint8`` each.
            rates: the learning rate of each step.
            inner: the local optimizer.
            memory: holds the optimizer's moments from round to round; changed.

        Returns:
            The mean loss over the steps, nats a byte, before each step.

        """
        optimizer = self._optimizer(inner, memory)
        total, count = torch.zeros((), device=self._device), 0
        for batch, rate in zip(batches, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = self._losses(batch).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self._parameters.values(), inner.clip)
            optimizer.step()
            total += loss.detach()
            count += 1
        self._remember(optimizer, memory)
        return float(total) / max(count, 1)

    def nats(self, batches: Iterable[Tokens]) -> tuple[float, int]:
        """The summed loss over some text, and how many bytes were predicted."""
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in batches:
                losses = self._losses(batch)
                total += float(losses.double().sum()) if losses.device.type == "cpu" else float(losses.sum())
                count += losses.numel()
        return total, count

    def _losses(self, batch: Tokens) -> torch.Tensor:
        """Nats of each byte after the first of each sequence, one dimension."""
        tokens = torch.from_numpy(batch.astype(np.int64)).to(self._device)
        logits = self._logits(tokens[:, :-1])
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

    def _optimizer(self, inner: InnerAdamW, memory: Mapping[str, Tensor]) -> torch.optim.AdamW:
        matrices = [parameter for parameter in self._parameters.values() if parameter.ndim > 1]
        others = [parameter for parameter in self._parameters.values() if parameter.ndim == 1]
        groups = [{"params": matrices, "weight_decay": inner.decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, betas=_BETAS)
        if _STEP in memory:
            for name, parameter in self._parameters.items():
                state = {kept: torch.from_numpy(memory[key + name].copy()) for key, kept in _MOMENTS.items()}
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(memory[_STEP][0])),
                    **{kept: value.to(self._device) for kept, value in state.items()},
                }
        return optimizer

    def _remember(self, optimizer: torch.optim.AdamW, memory: MutableMapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            state = optimizer.state[parameter]
            memory[_STEP] = np.array([int(state["step"])], np.int64)
            for key, kept in _MOMENTS.items():
                memory[key + name] = state[kept].cpu().numpy()


def _norm(stream: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(stream, (stream.shape[-1],), weight)
