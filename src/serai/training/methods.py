"""The contract of a recipe: start, contribute a vector, combine the sum, evaluate.

A method of joint training or statistics is four functions around one secure
sum. What a member computes alone (``contribute``, ``evaluate``) may use any
library and any chip. What every member computes from the sum (``combine``) must
give the same bits everywhere: elementwise IEEE 754 operations in a fixed order,
no BLAS, no LAPACK, no reduction whose order may vary, no transcendental
function (``exp`` and ``log`` differ between processors in the last digit).
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Codec
from serai.kernel.ids import MemberId
from serai.training.tensors import Model, Tensor

Vector: TypeAlias = npt.NDArray[np.floating[Any]]


def _no_text() -> npt.NDArray[np.uint8]:
    return np.zeros(0, np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """One member's rows, as its own zone reads them; they never leave it.

    Attributes:
        x: training features, ``(n, d) float64``.
        y: training labels, ``(n,)``; 0 or 1 for the classifiers here.
        test_x: features held back for evaluation, ``(m, d) float64``.
        test_y: their labels, ``(m,)``.
        names: the features' names, ``d`` of them.
        text: bytes to train on, of a text dataset; each of its documents is a row without features.
        test_text: bytes held back for evaluation.

    """

    x: npt.NDArray[np.float64]
    y: Tensor
    test_x: npt.NDArray[np.float64]
    test_y: Tensor
    names: tuple[str, ...]
    text: npt.NDArray[np.uint8] = field(default_factory=_no_text)
    test_text: npt.NDArray[np.uint8] = field(default_factory=_no_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where in a run a member computes.

    Attributes:
        round: number of the round, from 0.
        seed: 32 bytes from run, member and round: all randomness of the step comes from it.
        member: who computes.
        memory: what this member keeps from round to round of this run, and shows
            nobody; a step may change it. A zone hands in a copy and keeps the
            changed one together with the journalled upload, so that a step repeated
            after a crash begins from the same memory. Losing it costs a method
            speed, never correctness.
        secret: 32 bytes that only this zone knows, the same when a step is repeated;
            noise that hides rows is drawn from it (``seed`` is made of public words). Empty
            where nothing is to be hidden.

    """

    round: int
    seed: bytes
    member: MemberId
    memory: MutableMapping[str, Tensor] = field(default_factory=dict)
    secret: bytes = field(default=b"", repr=False)

    def generator(self) -> np.random.Generator:
        """A random generator that depends on nothing but the seed (PCG64 is stable across numpy versions)."""
        return np.random.Generator(np.random.PCG64(int.from_bytes(self.seed)))


class Recipe(Protocol):
    """A method as sums. Instances hold settings only, never data or progress."""

    @property
    def name(self) -> str:
        """Name in the registry and in plans."""

    @property
    def length(self) -> int:
        """Values in a member's vector."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What leaves the zones: ``aggregate``, ``model``, ``metrics``."""

    def codec(self, members: int) -> Codec:
        """A codec in which the sum of ``members`` vectors cannot wrap."""

    def initial(self) -> Model:
        """The model before round 0; the same bits everywhere."""

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """What one member adds to the sum: ``(length,)`` floats."""

    def combine(self, model: Model, total: Vector, members: int) -> Model:
        """The next model from the decoded sum of ``members`` vectors; the same bits everywhere."""

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Counts on the member's own held-back rows: ``n``, ``correct``, ``tp``, ``fp``, ``tn``, ``fn``."""


def classification_counts(said_yes: npt.NDArray[np.bool_], truth: Tensor) -> dict[str, int]:
    """The confusion matrix of a yes-or-no classifier.

    Args:
        said_yes: ``(m,) bool``, the classifier's answers.
        truth: ``(m,)`` labels, 1 for yes and 0 for no.

    """
    yes = truth > 0.5
    tp = int(np.count_nonzero(said_yes & yes))
    tn = int(np.count_nonzero(~said_yes & ~yes))
    fp = int(np.count_nonzero(said_yes)) - tp
    n = len(truth)
    return {"n": n, "correct": tp + tn, "tp": tp, "fp": fp, "tn": tn, "fn": n - tp - tn - fp}
