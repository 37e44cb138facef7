"""A run that only looks: its one sum counts how a model does on everybody's rows, and nothing is trained.

A program that knows how to evaluate, or merely gives each row a probability, is
wrapped here. The wrapped one sends its counts under masks, so that members learn
how the model does on all rows together; what each tells of its own rows is the
evaluation that every run ends with. The sums are exact, and bins are not put
together in them, for nobody reads one member's part.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from serai.aggregation.codec import Block, Codec
from serai.analytics.calibration import BINS, BRIER, BRIER_SPREAD, bin_counts, brier_counts, put_in_bins
from serai.analytics.discrimination import PAIRS, count_pairs
from serai.errors import Malformed, Refused
from serai.training.methods import Context, Data, Recipe, Scored, Vector, classification_counts, gives_probabilities
from serai.training.scales import limit_for
from serai.training.statements import EVALUATED
from serai.training.tensors import Model

ALL_PAIRS: Final = "pairs"
"""Name of the count of pairs of a yes and a no of one member, of which ``u2`` counts those in order twice."""

NAMES: Final = (
    *("n", "correct", "tp", "fp", "tn", "fn", BRIER, BRIER_SPREAD, PAIRS, ALL_PAIRS, "predicted", "micronats"),
    *(f"bin{number}_{part}" for number in range(BINS) for part in ("n", "yes", "said")),
)
"""What is summed, in order."""

TOTALS: Final = "totals"
_BITS: Final = 64


@runtime_checkable
class Counting(Protocol):
    """A program that counts how its model does."""

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """As a recipe's."""


class Predictor(Protocol):
    """A program to be evaluated: a recipe, or one that is merely ``Counting`` or ``Scored``."""

    @property
    def name(self) -> str:
        """Name in plans."""


def evaluating(program: Predictor, inputs: Mapping[str, Model]) -> Recipe:
    """A program as the recipe of a run that evaluates the model among its inputs.

    Raises:
        Malformed: there is no such model, or the program neither counts nor scores.

    """
    if EVALUATED not in inputs:
        raise Malformed("evaluation-model", f"expected the model to evaluate among the inputs, as {EVALUATED!r}")
    name, model, counting = program.name, inputs[EVALUATED], program if isinstance(program, Counting) else None
    if gives_probabilities(program):
        return _Scoring(name, model, counting, program)
    if counting is not None:
        return _Evaluating(name, model, counting)
    raise Malformed("evaluation-program", f"the program {name!r} has neither scores nor evaluate")


def first_totals() -> Model:
    """The totals before anything was counted."""
    return {TOTALS: np.zeros(len(NAMES))}


def read_totals(model: Model) -> dict[str, int]:
    """What a finished evaluation summed, by name; counts that the program does not make are left out.

    Raises:
        Malformed: these are no totals.

    """
    totals = model.get(TOTALS)
    if totals is None or totals.shape != (len(NAMES),) or not np.isfinite(totals).all():
        raise Malformed("evaluation-totals", f"expected {len(NAMES)} totals of an evaluation")
    found = {name: int(value) for name, value in zip(NAMES, totals, strict=True)}
    is_empty = {name: not found[f"{name.partition('_')[0]}_n"] for name in NAMES if name.startswith("bin")}
    return {name: value for name, value in found.items() if (value or name in _KEPT) and not is_empty.get(name)}


_KEPT: Final = frozenset(NAMES) - {"correct", BRIER, BRIER_SPREAD, ALL_PAIRS, PAIRS, "predicted", "micronats"}


class _Evaluating:
    """The run's recipe, for a program that counts."""

    def __init__(self, name: str, model: Model, counting: Counting | None) -> None:
        self.name = name
        self._model = model
        self._counting = counting

    @property
    def length(self) -> int:
        """One value for each count."""
        return len(NAMES)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The sums, and each member's own counts."""
        return ("aggregate", "metrics")

    def codec(self, members: int) -> Codec:
        """Whole numbers, exactly."""
        return Codec(bits=_BITS, limit=limit_for(_BITS, members), blocks=(Block(length=self.length, step=Fraction(1)),))

    def initial(self) -> Model:
        """Nothing counted yet."""
        return first_totals()

    def contribute(self, _model: Model, data: Data, _context: Context) -> Vector:
        """This member's counts.

        Raises:
            Refused: a count is too large for an exact sum.

        """
        counts = self._count(data)
        vector = np.array([counts.get(name, 0) for name in NAMES], np.float64)
        if (vector > limit_for(_BITS, 1_000)).any():
            raise Refused("evaluation-range", "a count is too large for an exact sum; evaluate on fewer rows")
        return vector

    def combine(self, _model: Model, total: Vector, _members: float) -> Model:
        """The sums as they are."""
        return {TOTALS: total.astype(np.float64)}

    def evaluate(self, _model: Model, data: Data) -> Mapping[str, int]:
        """What the program counts on the member's own held-back rows."""
        assert self._counting is not None, "a program that does not count gives scores"
        return self._counting.evaluate(self._model, data)

    def _count(self, data: Data) -> dict[str, int]:
        return dict(self.evaluate({}, data))


class _Scoring(_Evaluating):
    """The run's recipe, for a program that gives probabilities, whether it counts or not."""

    def __init__(self, name: str, model: Model, counting: Counting | None, scored: Scored) -> None:
        super().__init__(name, model, counting)
        self._scored = scored

    def evaluate(self, _model: Model, data: Data) -> Mapping[str, int]:
        """What the program counts; of one that does not, yes where the probability is above a half."""
        if self._counting is not None:
            return self._counting.evaluate(self._model, data)
        return classification_counts(self.scores({}, data.test_x) > 0.5, data.test_y)

    def scores(self, _model: Model, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of yes of each row."""
        return self._scored.scores(self._model, x)

    def _count(self, data: Data) -> dict[str, int]:
        counts = dict(self.evaluate({}, data))
        if not len(data.test_x):
            return counts
        scores, truth = np.asarray(self.scores({}, data.test_x), np.float64), data.test_y > 0.5
        yes = int(np.count_nonzero(truth))
        counts |= {PAIRS: count_pairs(scores[truth], scores[~truth]), ALL_PAIRS: yes * (len(truth) - yes)}
        return counts | brier_counts(scores, truth) | bin_counts(put_in_bins(scores, truth, 1))
