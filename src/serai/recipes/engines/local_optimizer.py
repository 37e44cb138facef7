"""Local steps in PyTorch: AdamW whose moments stay in the member's memory from round to round."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
from torch import nn

from serai.recipes.engines.adamw import EPSILON, STEP, M, V
from serai.recipes.engines.device import Compute
from serai.training.tensors import Tensor

Batch = TypeVar("Batch")

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


class LocalSteps:
    """Takes local steps on some parameters.

    Args:
        parameters: by name; those of one run have the same names in every round.
        inner: the local optimizer.
        compute: where they lie.

    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], inner: InnerAdamW, compute: Compute) -> None:
        self._parameters = parameters
        self._inner = inner
        self._compute = compute

    def take(
        self,
        batches: Iterable[Batch],
        rates: Iterable[float],
        loss_of: Callable[[Batch], torch.Tensor],
        memory: MutableMapping[str, Tensor],
    ) -> float:
        """One step for each batch.

        Args:
            batches: what each step sees.
            rates: the learning rate of each step.
            loss_of: the mean loss of a batch.
            memory: holds the optimizer's state; changed.

        Returns:
            The mean over the steps of the loss before each step.

        """
        optimizer = self._optimizer(memory)
        total, count = torch.zeros((), device=self._compute.device), 0
        for batch, rate in zip(batches, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            with self._compute.autocast():
                loss = loss_of(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self._inner.clip is not None:
                nn.utils.clip_grad_norm_(self._parameters.values(), self._inner.clip)
            optimizer.step()
            total += loss.detach()
            count += 1
        if count:
            self._remember(optimizer, memory)
        return float(total) / max(count, 1)

    def _optimizer(self, memory: Mapping[str, Tensor]) -> torch.optim.AdamW:
        inner = self._inner
        matrices = [parameter for parameter in self._parameters.values() if parameter.ndim > 1]
        vectors = [parameter for parameter in self._parameters.values() if parameter.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": inner.decay},
            {"params": vectors, "weight_decay": inner.decay if inner.decays_vectors else 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, betas=inner.betas, eps=EPSILON)
        if STEP in memory:
            for name, parameter in self._parameters.items():
                state = {kept: torch.from_numpy(memory[key + name].copy()) for key, kept in _MOMENTS.items()}
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(memory[STEP][0])),
                    **{kept: value.to(self._compute.device) for kept, value in state.items()},
                }
        return optimizer

    def _remember(self, optimizer: torch.optim.AdamW, memory: MutableMapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            state = optimizer.state[parameter]
            memory[STEP] = np.array([int(state["step"])], np.int64)
            for key, kept in _MOMENTS.items():
                memory[key + name] = state[kept].cpu().numpy()
