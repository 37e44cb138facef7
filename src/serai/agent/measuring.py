"""An evaluation's counts: what the recipe counts itself, and what is counted here of the probabilities that it gives.

A recipe names no counts of its own here: it gives one number a row, and this
module, which came with serai, counts. So a program of a stranger's tells no more
through its scores than these counts have room for.
"""

from typing import cast

from serai.agent.programs import is_scored
from serai.analytics.counting import Scores, Truth, count_exposure, count_scores
from serai.training.methods import Data, Recipe, Scored
from serai.training.tensors import Model, Tensor


def measure(recipe: Recipe, model: Model, data: Data, cohort: int | None) -> dict[str, int]:
    """What a zone reports of a model on its held-back rows.

    Args:
        recipe: the model's program.
        model: what is measured.
        data: the zone's rows.
        cohort: fewest rows of a part, as ``gate.least_cohort`` has it; None for whole counts alone.

    Raises:
        Refused: the program failed, or its answer is none.

    """
    counts = dict(recipe.evaluate(model, data))
    if cohort is None or not _has_rows(recipe, data):
        return counts
    return counts | count_scores(*_scored(recipe, model, data.test_x, data.test_y), cohort)


def attack(recipe: Recipe, model: Model, data: Data, cohort: int | None) -> dict[str, int]:
    """What the model gives away about which rows it was trained on; empty where that cannot be counted or told.

    Raises:
        Refused: as ``measure``.

    """
    if cohort is None or not _has_rows(recipe, data) or not len(data.x):
        return {}
    inside = _scored(recipe, model, data.x, data.y)
    return count_exposure(inside, _scored(recipe, model, data.test_x, data.test_y))


def _has_rows(recipe: Recipe, data: Data) -> bool:
    return bool(len(data.test_x)) and is_scored(recipe)


def _scored(recipe: Recipe, model: Model, x: Scores, y: Tensor) -> tuple[Scores, Truth]:
    return cast("Scored", recipe).scores(model, x), y > 0.5
