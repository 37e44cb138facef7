"""Settings of the recipes that look for structure among numbers: ``pca`` and ``kmeans``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed
from serai.training.parameters import Parameters
from serai.training.statistics.columns import Number
from serai.training.statistics.notation import read_numbers
from serai.training.statistics.protection import read_most_rows

PCA: Final = "pca"
KMEANS: Final = "kmeans"

_MATRICES: Final = ("correlation", "covariance")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcaSettings:
    """What ``pca`` is asked; the recipe's docstring says what each setting means."""

    numbers: tuple[Number, ...]
    is_scaled: bool
    most_rows: int

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "PcaSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(PCA, params)
        found = cls(
            numbers=_some(PCA, read_numbers(settings, PCA, None)),
            is_scaled=settings.choice("matrix", "correlation", _MATRICES) == "correlation",
            most_rows=read_most_rows(settings),
        )
        settings.finish()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class KmeansSettings:
    """What ``kmeans`` is asked."""

    numbers: tuple[Number, ...]
    clusters: int
    seed: int
    most_rows: int

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "KmeansSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(KMEANS, params)
        found = cls(
            numbers=_some(KMEANS, read_numbers(settings, KMEANS, None)),
            clusters=settings.integer("clusters", None, 1, 1_000),
            seed=settings.integer("seed", 0, 0, 2**32),
            most_rows=read_most_rows(settings),
        )
        settings.finish()
        return found


def _some(recipe: str, numbers: tuple[Number, ...]) -> tuple[Number, ...]:
    if not numbers:
        raise Malformed("recipe-param", f"{recipe}: expected the bounds of at least one column of numbers")
    return numbers
