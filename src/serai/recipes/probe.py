"""A model of any size that trains in no time: each member adds a constant, to measure the exchange itself."""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np

from serai.aggregation.codec import Block, Codec
from serai.kernel.ids import MemberId, digest_of
from serai.training.methods import Context, Data, Vector
from serai.training.parameters import Parameters
from serai.training.scales import limit_for
from serai.training.tensors import Model, Tensor

_STEP: Final = Fraction(1, 1024)


def member_constant(member: MemberId) -> float:
    """What a member adds to every parameter: 0 to 3 steps, exact in the narrowest useful ring."""
    return int(digest_of(member.encode())[:2], 16) % 4 * float(_STEP)


class Probe:
    """A synthetic model, ``part/00`` and so on, float32.

    After a round with members M every parameter has grown by the mean of their
    constants, so a checker knows the right answer.

    Settings: ``size``, the number of parameters; ``tensors`` they are spread
    over; ``bits`` of the ring.
    """

    name: ClassVar[str] = "probe"
    outputs: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = Parameters(self.name, params)
        self._tensors = settings.integer("tensors", 20, 1, 1_000)
        self._size = settings.integer("size", None, self._tensors, 2**40)
        self._bits = settings.integer("bits", 16, 4, 64)
        settings.finish()

    @property
    def length(self) -> int:
        """One value a parameter."""
        return self._size

    def codec(self, members: int) -> Codec:
        """One step for all."""
        return Codec(
            bits=self._bits, limit=limit_for(self._bits, members), blocks=(Block(length=self._size, step=_STEP),)
        )

    def initial(self) -> Model:
        """All zero."""
        return {name: np.zeros(count, np.float32) for name, count in self._parts()}

    def contribute(self, _model: Model, _data: Data, context: Context) -> Vector:
        """The member's constant, everywhere."""
        return np.broadcast_to(np.float32(member_constant(context.member)), self._size)

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """Add the mean."""
        after: dict[str, Tensor] = {name: model[name].copy() for name, _ in self._parts()}
        self.take(after, 0, total, members)
        return after

    def take(self, model: Model, start: int, values: Vector, members: float) -> None:
        """Add the mean of a stretch."""
        first = 0
        for name, count in self._parts():
            low, high = max(start, first), min(start + values.size, first + count)
            if low < high:
                mean = values[low - start : high - start].astype(np.float32, copy=False)
                mean /= np.float32(members)
                model[name][low - first : high - first] += mean
            first += count

    def evaluate(self, _model: Model, data: Data) -> Mapping[str, int]:
        """There is nothing to be right about; the rows are counted."""
        return {"n": len(data.test_x)}

    def _parts(self) -> list[tuple[str, int]]:
        even, more = divmod(self._size, self._tensors)
        width = len(str(self._tensors - 1))
        return [(f"part/{index:0{width}d}", even + (index < more)) for index in range(self._tensors)]
