"""AdamW in PyTorch, its moments taken from a member's memory and put back into it."""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from serai.recipes.engines.adamw import EPSILON, STEP, M, V
from serai.training.tensors import Tensor

_MOMENTS: Final = {M: "exp_avg", V: "exp_avg_sq"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerAdamW:
    """AdamW (arXiv:1711.05101).

    Attributes:
        decay: of matrices, and of vectors too where ``decays_vectors``.
        betas: of the two moments.
        clip: the gradient's norm is cut to this; None for not at all.

    """

    decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float | None = 1.0
    decays_vectors: bool = False


ADAMW: Final = InnerAdamW()
"""What language models train with unless told otherwise."""


class LocalOptimizer:
    """Moves some parameters along their gradients.

    Args:
        parameters: by name; the same names in every round of a run.
        inner: its settings.
        memory: its state after an earlier round; empty before the first.

    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], inner: InnerAdamW, memory: Mapping[str, Tensor]) -> None:
        self._parameters = parameters
        self._clip = inner.clip
        matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1]
        vectors = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
        groups = [(matrices, inner.decay), (vectors, inner.decay if inner.decays_vectors else 0.0)]
        self._adamw = torch.optim.AdamW(
            [{"params": some, "weight_decay": decay} for some, decay in groups if some], betas=inner.betas, eps=EPSILON
        )
        if STEP in memory:
            for name, parameter in parameters.items():
                state = {kept: torch.from_numpy(memory[key + name].copy()) for key, kept in _MOMENTS.items()}
                self._adamw.state[parameter] = {
                    "step": torch.tensor(float(memory[STEP][0])),
                    **{kept: value.to(parameter.device) for kept, value in state.items()},
                }

    def step(self, loss: torch.Tensor, rate: float) -> None:
        """One step down the gradient of ``loss``."""
        self._adamw.zero_grad(set_to_none=True)
        loss.backward()
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._parameters.values(), self._clip)
        _set_rate([self._adamw], rate)
        self._adamw.step()

    def remember(self, memory: MutableMapping[str, Tensor]) -> None:
        """Put the state into a member's memory; there must have been a step."""
        for name, parameter in self._parameters.items():
            state = self._adamw.state[parameter]
            memory[STEP] = np.array([int(state["step"])], np.int64)
            for key, kept in _MOMENTS.items():
                memory[key + name] = state[kept].cpu().numpy().copy()


def _set_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
