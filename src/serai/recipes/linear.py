"""Linear regression, by least squares or with a ridge: one secure sum of cross products, solved by everybody alike."""

from collections.abc import Mapping
from typing import ClassVar

from serai.recipes.cross_products import CrossProducts
from serai.training.statistics.regression import LINEAR, LinearSettings
from serai.training.tensors import Model


class Linear(CrossProducts):
    """Cross products of the terms and the outcome.

    The model is that of ``CrossProducts`` over the numbers but the outcome, then the
    outcome, then the categories.

    Settings: ``outcome``, one of the columns of ``bounds``; ``bounds`` and ``levels``, it
    and the terms; ``ridge``, times which each squared coefficient, on the column's own
    scale, is added to the squares that are made least, as by scikit-learn's ``Ridge``
    (0); ``most_rows`` of a member (2^24).

    Sums of K members are right to K most_rows 2^-53, on the scale of the bounds; so bounds
    much wider than the data, or an R^2 very near 1, cost digits. One round.
    """

    name: ClassVar[str] = LINEAR

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = LinearSettings.read(params)
        super().__init__((*settings.numbers, settings.outcome), settings.categories, settings.most_rows)
