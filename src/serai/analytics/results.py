"""What people read of a run of statistics, from its plan's settings and the model that everybody agrees on."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from serai.analytics.components import kmeans, pca
from serai.analytics.contingency import crosstab
from serai.analytics.frames import Curve, Frame, Result
from serai.analytics.hazards import cox
from serai.analytics.regression import linear, logistic
from serai.analytics.summaries import describe, quantiles
from serai.analytics.survival import kaplan_meier
from serai.errors import Malformed, Missing
from serai.training.statistics.components import KMEANS, PCA
from serai.training.statistics.regression import LINEAR, LOGISTIC
from serai.training.statistics.summaries import CROSSTAB, DESCRIBE, QUANTILES
from serai.training.statistics.survival import COX, KAPLAN_MEIER
from serai.training.tensors import Model

__all__ = ["RESULTS", "USUAL_ROUNDS", "Curve", "Frame", "Result", "read_result"]

RESULTS: Final[Mapping[str, Callable[[Mapping[str, str], Model], Result]]] = {
    COX: cox,
    CROSSTAB: crosstab,
    DESCRIBE: describe,
    KAPLAN_MEIER: kaplan_meier,
    KMEANS: kmeans,
    LINEAR: linear,
    LOGISTIC: logistic,
    PCA: pca,
    QUANTILES: quantiles,
}
"""How to read the model of each recipe of statistics."""

USUAL_ROUNDS: Final[Mapping[str, int]] = {**dict.fromkeys(RESULTS, 1), COX: 8, KMEANS: 20, LOGISTIC: 8, QUANTILES: 4}
"""Rounds to plan where nobody says how many; the results of those that go on say whether they were enough."""


def read_result(recipe: str, params: Mapping[str, str], model: Model) -> Result:
    """The result of a statistic.

    Args:
        recipe: its name.
        params: the settings in its plan.
        model: what the run's rounds made.

    Raises:
        Missing: the recipe is none of statistics.
        Malformed: the settings are not the recipe's, or the model is not one of theirs.

    """
    read = RESULTS.get(recipe)
    if read is None:
        raise Missing("statistic", f"{recipe!r} is no statistic; there are {', '.join(RESULTS)}")
    try:
        # A member may have added anything: of sums that no rows make there may be no mean, and still a table.
        with np.errstate(all="ignore"):
            return read(params, model)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise Malformed("statistic-model", f"the model does not fit {recipe} with these settings: {error}") from error
