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
from typing import Any, Final, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Codec, Source
from serai.aggregation.job import Form
from serai.aggregation.statements import RECIPE_FIGURES
from serai.kernel.ids import MemberId
from serai.training.tables import Table
from serai.training.tensors import Model, Tensor

Vector: TypeAlias = npt.NDArray[np.floating[Any]]

MAX_STEPS: Final = 10**6
"""Local steps that a round may have."""

MAX_COLUMNS: Final = 1_024
"""Columns that a recipe may read."""

FIGURES: Final = RECIPE_FIGURES
"""What a recipe tells about a contribution, as whole numbers."""


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
        table: the columns of all rows that a ``Tabular`` recipe asked for; ``x`` then has all rows and no features.

    """

    x: npt.NDArray[np.float64]
    y: Tensor
    test_x: npt.NDArray[np.float64]
    test_y: Tensor
    names: tuple[str, ...]
    text: npt.NDArray[np.uint8] = field(default_factory=_no_text)
    test_text: npt.NDArray[np.uint8] = field(default_factory=_no_text)
    table: Table = field(default_factory=Table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of the vector after which a member's memory was kept.

    Attributes:
        summed: whether it is in the sum of its round.
        missed: rounds that have finished since the memory was kept and whose sum lacks this member,
            its own round among them.

    """

    summed: bool
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where in a run a member computes.

    Attributes:
        round: number of the round, from 0; a failed round has one too.
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
        done: rounds of the run that finished before this one; a failed round does not count.
        rounds: rounds that the run has in all.
        steps: local steps that this member takes in this round, as its opening says; 0 for the recipe's own setting.
        share: this member's weight over the mean weight of the round's participants. A recipe that is
            weighted multiplies its vector by it before anything is rounded.
        sent: what became of the vector that ``memory`` was kept with; None if there is none.
        figures: what a recipe tells about this contribution, by the names in ``FIGURES``.

    """

    round: int
    seed: bytes
    member: MemberId
    memory: MutableMapping[str, Tensor] = field(default_factory=dict)
    secret: bytes = field(default=b"", repr=False)
    done: int = 0
    rounds: int = 1
    steps: int = 0
    share: float = 1.0
    sent: Sent | None = None
    figures: MutableMapping[str, int] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Whether the run ends with this round."""
        return self.done + 1 >= self.rounds

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

    def contribute(self, model: Model, data: Data, context: Context) -> Source:
        """What one member adds to the sum: ``(length,)`` floats, as an array or what is read like one."""

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """The next model from a decoded sum; the same bits everywhere.

        Args:
            model: the one that the round began from.
            total: ``(length,)`` floats.
            members: for how many average members the sum counts: their number, or the sum of their shares.

        """

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Counts on the member's own held-back rows: ``n``, ``correct``, ``tp``, ``fp``, ``tn``, ``fn``."""


@runtime_checkable
class Overlapping(Protocol):
    """A recipe that trains on while its vector travels."""

    @property
    def ahead(self) -> int:
        """Local steps of the next round that it takes before it knows the sum; 0 for none."""

    def train_ahead(self, model: Model, data: Data, context: Context) -> None:
        """Take them; nothing changes but ``context.memory``, which the next contribution goes on from.

        Args:
            model: the one from which the vector just sent began.
            data: this member's rows.
            context: of the next round, should this one finish; its memory is what the
                contribution left, its ``sent`` is None.

        """


@runtime_checkable
class Tabular(Protocol):
    """A recipe that reads named columns of all rows, not features, label and a split."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads; a zone loads no others."""


@runtime_checkable
class Scored(Protocol):
    """A recipe whose model gives each row a probability, so that more than right and wrong can be counted."""

    def scores(self, model: Model, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of yes of each row.

        Args:
            model: the model, ``{}`` if the recipe brings its own.
            x: features, ``(n, d) float64``.

        Returns:
            ``(n,) float64``, each from 0 to 1.

        """


def gives_probabilities(program: object) -> TypeGuard[Scored]:
    """Whether a program is ``Scored``; one whose scores may be other numbers says so by a property of this name."""
    return isinstance(program, Scored) and getattr(program, "gives_probabilities", True) is True


def columns_of(recipe: Recipe) -> tuple[str, ...]:
    """The columns that a recipe reads; none if it takes features and label."""
    return recipe.columns if isinstance(recipe, Tabular) else ()


@runtime_checkable
class TwoPhased(Protocol):
    """A recipe whose last round has a form of its own."""

    @property
    def last_length(self) -> int:
        """Values in a member's vector in the last round; as in the others if that round is like them."""

    def last_codec(self, members: int) -> Codec | None:
        """A codec for the last round; None if it is like the others."""


def last_form(recipe: Recipe, members: int) -> Form | None:
    """The form of the last round's vectors; None if it is that of the others."""
    codec = recipe.last_codec(members) if isinstance(recipe, TwoPhased) else None
    return Form(codec=codec, length=recipe.last_length) if codec and isinstance(recipe, TwoPhased) else None


@runtime_checkable
class Piecewise(Protocol):
    """A recipe whose common step treats the values of a sum one by one, so that nobody need hold a whole sum."""

    def take(self, model: Model, start: int, values: Vector, members: float) -> None:
        """Take a stretch of a sum: change the model in place as ``combine`` would, to the same bits.

        Each stretch of a sum comes once, in any order.

        Args:
            model: what the round began from, with the stretches taken before in it.
            start: place of the stretch in the vector.
            values: the stretch; may be used up.
            members: as for ``combine``.

        """


def probabilities(log_odds: Tensor) -> npt.NDArray[np.float64]:
    """The probabilities of log-odds, ``(n,) float64``; for what a member computes alone."""
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1/infinity the right answer
        found: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-log_odds.astype(np.float64)))
    return found


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
