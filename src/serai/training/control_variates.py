"""SCAFFOLD's corrections, kept by each member for itself.

A member's correction is c - c_i: how the mean direction of everybody's last
local steps differed from its own. Summing the corrections' recurrence over a
round gives: correction -= (global now - local then) / (lr steps outer_lr), so
nothing besides the pseudo-gradient has to be sent (arXiv:1910.06378, option II of
eq. 4, all members in every round, as FLamby computes it).
"""

from collections.abc import Mapping, MutableMapping
from typing import Final

import numpy as np

from serai.training.tensors import Model, Tensor

_ROUND: Final = "scaffold/round"
_LOCAL: Final = "scaffold/local/"
_CORRECTION: Final = "scaffold/correction/"


def corrections(memory: Mapping[str, Tensor], model: Model, round_number: int, path: float) -> Model:
    """The corrections to add to each local gradient of a round.

    A member that was not in the round before starts again from zero: the global
    model has since moved by steps its memory knows nothing of.

    Args:
        memory: what ``remember`` kept.
        model: the global model now.
        round_number: the round that begins.
        path: lr x steps x outer lr, how far one unit of gradient moves the global model.

    """
    known = memory.get(_ROUND)
    if known is None or int(known[0]) != round_number - 1:
        return {}
    found: dict[str, Tensor] = {}
    for key, local in memory.items():
        if key.startswith(_LOCAL):
            name = key.removeprefix(_LOCAL)
            moved = (model[name] - local) / path
            found[name] = (memory[_CORRECTION + name] - moved).astype(local.dtype)
    return found


def remember(memory: MutableMapping[str, Tensor], locals_: Model, used: Model, round_number: int) -> None:
    """Keep what the next round's corrections need.

    Args:
        memory: the member's private memory of the run.
        locals_: where this member's steps would have brought the global model alone.
        used: the corrections this round used; empty for none.
        round_number: the round that ends.

    """
    memory[_ROUND] = np.array([round_number], np.int64)
    for name, local in locals_.items():
        memory[_LOCAL + name] = local
        memory[_CORRECTION + name] = used.get(name, np.zeros_like(local))
