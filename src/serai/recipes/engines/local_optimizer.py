"""AdamW and Muon in PyTorch, their state taken from a member's memory and put back into it."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from serai.recipes.engines.adamw import EPSILON, STEP, M, V
from serai.training.tensors import Tensor

MOMENTUM: Final = "inner/muon/"
_MOMENTS: Final = {M: "exp_avg", V: "exp_avg_sq"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """AdamW (arXiv:1711.05101), and Muon for some matrices (arXiv:2502.16982).

    Muon steps along the momentum with its singular values made equal, and is scaled to move a weight as
    far as AdamW does, so that both take one learning rate. It multiplies in bfloat16.

    Attributes:
        decay: of matrices, and of vectors too where ``decays_vectors``.
        betas: of AdamW's two moments.
        clip: the gradient's norm is cut to this; None for not at all.
        muon: names of the matrices that Muon moves; AdamW moves all others.

    """

    decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float | None = 1.0
    decays_vectors: bool = False
    muon: frozenset[str] = frozenset()


ADAMW: Final = Inner()
"""What language models train with unless told otherwise."""


class LocalOptimizer:
    """Moves some parameters along their gradients.

    Args:
        parameters: by name; the same names in every round of a run.
        inner: its settings.
        memory: its state after an earlier round; empty before the first.

    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], inner: Inner, memory: Mapping[str, Tensor]) -> None:
        self._all = tuple(parameters.values())
        self._clip = inner.clip
        self._by_muon = {name: value for name, value in parameters.items() if name in inner.muon}
        self._by_adamw = {name: value for name, value in parameters.items() if name not in inner.muon}
        self._adamw = _open_adamw(self._by_adamw, inner)
        self._optimizers: list[torch.optim.Optimizer] = [self._adamw]
        if self._by_muon:
            muon = torch.optim.Muon(self._by_muon.values(), weight_decay=inner.decay, adjust_lr_fn="match_rms_adamw")
            self._optimizers.append(muon)
        self._recall(memory)

    def step(self, loss: torch.Tensor, rate: float) -> None:
        """One step down the gradient of ``loss``."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._all, self._clip)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

    def remember(self, memory: MutableMapping[str, Tensor]) -> None:
        """Put the state into a member's memory; there must have been a step."""
        for name, parameter in self._by_adamw.items():
            state = self._adamw.state[parameter]
            memory[STEP] = np.array([int(state["step"])], np.int64)
            for key, kept in _MOMENTS.items():
                memory[key + name] = state[kept].cpu().numpy().copy()
        for name, parameter in self._by_muon.items():
            memory[MOMENTUM + name] = self._optimizers[1].state[parameter]["momentum_buffer"].cpu().numpy().copy()

    def _recall(self, memory: Mapping[str, Tensor]) -> None:
        for name, parameter in self._by_adamw.items() if STEP in memory else ():
            state = {kept: _like(parameter, memory[key + name]) for key, kept in _MOMENTS.items()}
            self._adamw.state[parameter] = {"step": torch.tensor(float(memory[STEP][0])), **state}
        for name, parameter in self._by_muon.items():
            if MOMENTUM + name in memory:
                self._optimizers[1].state[parameter] = {"momentum_buffer": _like(parameter, memory[MOMENTUM + name])}


def _open_adamw(parameters: Mapping[str, nn.Parameter], inner: Inner) -> torch.optim.AdamW:
    matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    groups = [(matrices, inner.decay), (vectors, inner.decay if inner.decays_vectors else 0.0)]
    return torch.optim.AdamW(
        [{"params": some, "weight_decay": decay} for some, decay in groups if some], betas=inner.betas, eps=EPSILON
    )


def _like(parameter: nn.Parameter, kept: Tensor) -> torch.Tensor:
    return torch.from_numpy(kept.copy()).to(parameter.device)
