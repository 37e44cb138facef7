"""What a member of a low-communication run keeps between rounds: its offset, and what rounding left over.

Theory of operation
    A member's own model is the global one plus an offset u; its vector brings a stretch of -u.
    Until the sum is out nobody knows whether the vector is in it, and the member may have
    trained on. So the memory holds what both outcomes begin with: the offset of now, the stretch
    as it was sent, and the residual of before. If the vector was summed, u loses what was sent, and
    what rounding left becomes the residual; progress made since sending is carried over, neither
    overwritten nor mixed. If it was not, u and the residual stay, and the next vector brings them.
    For each round that finished without this member u shrinks, for the others have moved on
    from where it was measured.

    A member that trains on before the sum is out must guess where the global model will be. Where
    members' data differ, the place of all its own update is a bad guess: the mean takes most of that
    back, and the member, who has not seen it, does not answer until a round later. The response
    says how far the global model followed the member's vector last time, 0 to 1, and the
    member trains on from that much of what it sent (eager updates, arXiv:2502.12996, take 1/K of it
    and the rest from the others). What it learns from there counts in full.

    A step that is repeated after a crash begins from the same memory. So no array in it is ever
    changed in place, and what rounding left is computed again instead of kept twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from serai.training.methods import Context, Sent, Vector
from serai.training.tensors import Tensor

REBASED: Final = 0.6
"""What stays of an offset for each round that finished without this member."""

MOST_MISSED: Final = 3
"""Rounds after which a member gives its offset up and adopts the global model."""

_OFFSET: Final = "lowcomm/offset"
_RESIDUAL: Final = "lowcomm/residual"
_SENDING: Final = "lowcomm/sending"  # finished rounds, share
_SENT_SCALE: Final = "lowcomm/sent_scale"
_SENT_OFFSET: Final = "lowcomm/sent_offset"  # kept once the offset is another
_SENT_FROM: Final = "lowcomm/sent_from"  # the global model's stretch, as it was then
_RESPONSE: Final = "lowcomm/response"
_AHEAD: Final = "lowcomm/ahead"  # steps, their mean loss
_UNKNOWN_RESPONSE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How the vector that was sent last was made.

    Attributes:
        done: rounds of the run that had finished before.
        share: what the update was multiplied by.
        scale: the public scales of its blocks.

    """

    done: int
    share: float
    scale: Tensor


class Offsets:
    """A member's memory in one round.

    Args:
        context: the round; its memory changes with ``keep`` and ``keep_ahead`` alone. A vector of which
            nothing is known counts as summed: at worst that loses progress, and never counts it twice.

    """

    def __init__(self, context: Context) -> None:
        self._memory = context.memory
        self._sent = context.sent or Sent(summed=True)

    @property
    def sending(self) -> Sending | None:
        """The vector that was sent last; None if none is known."""
        if _SENDING not in self._memory:
            return None
        done, share = self._memory[_SENDING].tolist()
        return Sending(done=int(done), share=share, scale=self._memory[_SENT_SCALE])

    @property
    def was_summed(self) -> bool:
        """Whether that vector is in the sum of its round."""
        return self._sent.summed

    @property
    def is_too_late(self) -> bool:
        """Whether the run has gone on without this member for so long that it begins anew."""
        return self._sent.missed > MOST_MISSED

    @property
    def now(self) -> Vector | None:
        """The offset as it was kept, ``(parameters,) float32``; None for zero."""
        return self._memory.get(_OFFSET)

    @property
    def residual(self) -> Vector | None:
        """What rounding had left over before that vector, ``(parameters,) float32``; None for zero."""
        return self._memory.get(_RESIDUAL)

    @property
    def ahead(self) -> tuple[int, float]:
        """Steps of this round that were taken ahead and still count, and their mean loss."""
        if _AHEAD not in self._memory or self.is_too_late:
            return 0, 0.0
        steps, nats = self._memory[_AHEAD].tolist()
        return int(steps), nats

    @property
    def response(self) -> float:
        """How far the global model followed the vector before the last, 0 to 1."""
        return float(self._memory[_RESPONSE][0]) if _RESPONSE in self._memory else _UNKNOWN_RESPONSE

    @property
    def sent_from(self) -> Vector | None:
        """The global model's stretch under the last vector; None where the model of now is not that and its sum."""
        return self._memory.get(_SENT_FROM) if self.was_summed and not self._sent.missed else None

    def sent(self, stretch: slice) -> Vector:
        """A stretch of the offset as it was sent."""
        found: Vector | None = self._memory.get(_SENT_OFFSET)
        return self._memory[_OFFSET][stretch] if found is None else found

    def merged(self, stretch: slice) -> Vector | None:
        """The offset from which this round begins, once it is known what became of the vector of ``stretch``; None for zero."""
        if self.now is None or self.is_too_late:
            return None
        offset = self.now.copy()
        if self.was_summed and self.sending is not None:
            offset[stretch] -= self.sent(stretch)
        offset *= np.float32(REBASED**self._sent.missed)
        return offset if offset.any() else None

    def keep(self, offset: Vector, residual: Vector | None, sending: Sending, response: float) -> None:
        """Remember a vector's making.

        Args:
            offset: at sending, ``(parameters,) float32``.
            residual: before it, likewise; None for zero.
            sending: how it was made.
            response: of the vector before it.

        """
        for name in (_RESIDUAL, _SENT_OFFSET, _SENT_FROM, _AHEAD):
            self._memory.pop(name, None)
        if residual is not None:
            self._memory[_RESIDUAL] = residual
        self._memory[_OFFSET] = offset
        self._memory[_SENDING] = np.array([sending.done, sending.share], np.float64)
        self._memory[_SENT_SCALE] = sending.scale
        self._memory[_RESPONSE] = np.array([response], np.float64)

    def keep_ahead(self, offset: Vector, stretch: slice, sent_from: Vector, steps: tuple[int, float]) -> None:
        """Remember steps taken since.

        Args:
            offset: after them.
            stretch: which part of the offset was sent.
            sent_from: that stretch of the global model, float32.
            steps: how many, and their mean loss.

        """
        if self.now is not None:
            self._memory[_SENT_OFFSET] = self.sent(stretch).copy()
            self._memory[_SENT_FROM] = sent_from
        self._memory[_OFFSET] = offset
        self._memory[_AHEAD] = np.array(steps, np.float64)
