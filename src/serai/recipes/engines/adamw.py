"""AdamW (arXiv:1711.05101) in numpy, and the names under which every engine keeps its moments."""

from collections.abc import Mapping, MutableMapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.training.tensors import Tensor

Array32: TypeAlias = npt.NDArray[np.float32]

STEP: Final = "inner/step"
M: Final = "inner/m/"
V: Final = "inner/v/"
EPSILON: Final = 1e-8


def adamw_step(
    values: dict[str, Array32],
    gradients: Mapping[str, Array32],
    memory: MutableMapping[str, Tensor],
    pace: tuple[float, float],
    betas: tuple[float, float],
) -> None:
    """One step.

    Args:
        values: the parameters; changed.
        gradients: of each parameter.
        memory: the moments and the count of steps; changed.
        pace: learning rate, and decay.
        betas: of the two moments.

    """
    (rate, decay), (beta1, beta2) = pace, betas
    step = int(memory[STEP][0]) + 1 if STEP in memory else 1
    memory[STEP] = np.array([step], np.int64)
    for name, gradient in gradients.items():
        zero = np.zeros_like(gradient)
        m = memory.get(M + name, zero) * beta1 + gradient * (1 - beta1)
        v = memory.get(V + name, zero) * beta2 + gradient * gradient * (1 - beta2)
        memory[M + name], memory[V + name] = m, v
        move = m / (1 - beta1**step) / (np.sqrt(v / (1 - beta2**step)) + EPSILON)
        values[name] = values[name] * np.float32(1 - rate * decay) - (move * rate).astype(np.float32)
