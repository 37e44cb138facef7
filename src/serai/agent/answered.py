"""What a worker answered, judged before it is used: a vector where it lies, memory, figures, counts and scores.

A vector is read stretch by stretch as it is quantised, which finds what is no number.
"""

import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serai.agent.sandbox import Answer
from serai.errors import Malformed
from serai.recipes.frames import Outbox
from serai.training.methods import FIGURES, Vector
from serai.training.tensors import Model, read_model

MAX_COUNTS: Final = 4_096
MAX_COUNT: Final = 2**53 - 1  # what canonical JSON holds exactly
FOREIGN_COUNTS: Final = frozenset({"n", "correct", "tp", "fp", "tn", "fn"})
"""Counts leave in the clear: names or values of a stranger's choice could spell out a row."""

_COUNT_NAME: Final = re.compile(r"[A-Za-z0-9_./@-]{1,64}")


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


def read_memory(answer: Answer, part: int) -> Model:
    """What a recipe keeps, out of an answer.

    Raises:
        Malformed: there is no such part, or it holds no arrays.

    """
    if len(answer.outbox) != part + 1:
        raise Malformed("frame-parts", f"expected {part + 1} parts, the last a memory, got {len(answer.outbox)}")
    return read_model(answer.outbox.view(part)) if answer.outbox.size(part) else {}


def read_figures(figures: object) -> dict[str, int]:
    """Figures out of an answer.

    Raises:
        Malformed: they are no figures.

    """
    if not isinstance(figures, dict) or not FIGURES.issuperset(figures):
        raise Malformed(
            "recipe-figures", f"expected figures among {', '.join(sorted(FIGURES))}, got {str(figures)[:80]}"
        )
    for name, figure in figures.items():
        if type(figure) is not int or not -MAX_COUNT <= figure <= MAX_COUNT:
            raise Malformed("recipe-figures", f"expected a whole number for {name}, got {str(figure)[:24]}")
    return dict(figures)


def read_counts(counts: object, rows: int | None) -> dict[str, int]:
    """Counts out of an answer.

    Args:
        counts: what came.
        rows: held-back rows that a foreign recipe was to count; None for one that comes with serai.

    Raises:
        Malformed: they are no counts, or more than a foreign recipe may say.

    """
    if not isinstance(counts, dict) or len(counts) > MAX_COUNTS:
        raise Malformed("recipe-counts", f"expected at most {MAX_COUNTS} counts by name, got {str(counts)[:80]}")
    most = MAX_COUNT if rows is None else rows
    for name, count in counts.items():
        if not _COUNT_NAME.fullmatch(name) or type(count) is not int or not 0 <= count <= most:
            raise Malformed("recipe-counts", f"expected counts from 0 to {most}, got {name[:64]!r}: {str(count)[:24]}")
    if rows is not None and (not FOREIGN_COUNTS.issuperset(counts) or counts.get("n") != rows):
        allowed = ", ".join(sorted(FOREIGN_COUNTS))
        raise Malformed(
            "recipe-counts", f"expected n = {rows} and no counts but {allowed}, got {', '.join(counts)[:80]}"
        )
    return dict(counts)


def read_scores(answer: Answer, rows: int) -> npt.NDArray[np.float64]:
    """Probabilities out of an answer.

    Raises:
        Malformed: they are none, or not one for each row.

    """
    found = read_model(answer.outbox.view(0)).get("scores")
    if found is None or found.shape != (rows,) or found.dtype != np.float64 or not ((found >= 0) & (found <= 1)).all():
        raise Malformed("recipe-scores", f"expected {rows} float64 from 0 to 1, one for each row")
    return found
