"""A vector where a worker has put it: read stretch by stretch as it is quantised, which finds what is no number."""

from typing import Any

import numpy as np

from serai.agent.sandbox import Answer
from serai.errors import Malformed
from serai.recipes.frames import Outbox
from serai.training.methods import Vector


class Answered:
    """A vector where the worker put it, read stretch by stretch.

    Args:
        outbox: its first part holds the vector.
        length: number of values.
        dtype: theirs.

    """

    def __init__(self, outbox: Outbox, length: int, dtype: np.dtype[Any]) -> None:
        self._outbox = outbox
        self.shape = (length,)
        self.dtype = dtype

    def __getitem__(self, place: slice) -> Vector:
        """A copy of a stretch; ``place`` has both ends and no step.

        Raises:
            Malformed: the file is shorter than the worker says.

        """
        values: Vector = np.empty(place.stop - place.start, self.dtype)
        self._outbox.read(0, place.start * self.dtype.itemsize, values)
        return values


def read_vector(answer: Answer, length: int) -> Answered:
    """A vector out of an answer, of the declared length.

    Raises:
        Malformed: it is not.

    """
    dtype = answer.message.get("dtype")
    if dtype not in {"float32", "float64"} or len(answer.outbox) != 2:
        raise Malformed("recipe-vector", f"expected a vector of floats and a memory, got {str(dtype)[:80]}")
    expected = length * np.dtype(dtype).itemsize
    if answer.outbox.size(0) != expected:
        raise Malformed(
            "recipe-vector",
            f"expected a vector of {length} values ({expected} bytes), got {answer.outbox.size(0)} bytes",
        )
    return Answered(answer.outbox, length, np.dtype(dtype))
