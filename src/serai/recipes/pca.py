"""Principal components: one secure sum of cross products, whose eigenvectors everybody computes."""

from collections.abc import Mapping
from typing import ClassVar

from serai.recipes.cross_products import CrossProducts
from serai.training.statistics.components import PCA, PcaSettings
from serai.training.tensors import Model


class Pca(CrossProducts):
    """Cross products of numbers.

    The model is that of ``CrossProducts``.

    Settings: ``bounds``; ``matrix``, ``correlation`` or ``covariance``, whose eigenvectors
    are meant (correlation); ``most_rows`` of a member (2^24).

    Sums are as exact as those of ``linear``. One round.
    """

    name: ClassVar[str] = PCA

    def __init__(self, params: Mapping[str, str], _inputs: Mapping[str, Model]) -> None:
        settings = PcaSettings.read(params)
        super().__init__(settings.numbers, (), settings.most_rows)
