"""Settings of the recipes that summarise columns: ``describe``, ``crosstab`` and ``quantiles``."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from serai.errors import Malformed
from serai.training.parameters import Parameters
from serai.training.statistics.columns import Category, Number
from serai.training.statistics.notation import find, read_categories, read_column, read_numbers, split
from serai.training.statistics.protection import Noise, read_least, read_most_rows, read_noise

DESCRIBE: Final = "describe"
CROSSTAB: Final = "crosstab"
QUANTILES: Final = "quantiles"

MAX_BINS: Final = 10_000
_YES_NO: Final = ("yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeSettings:
    """What ``describe`` is asked; the recipe's docstring says what each setting means."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    by: Category | None
    bins: int
    has_pairs: bool
    least: int
    most_rows: int
    noise: Noise | None

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "DescribeSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(DESCRIBE, params)
        numbers, categories = read_numbers(settings, DESCRIBE), read_categories(settings, DESCRIBE)
        by = read_column(settings, "by", "")
        noise = read_noise(settings)
        found = cls(
            numbers=numbers,
            categories=tuple(category for category in categories if category.name != by),
            by=find(DESCRIBE, categories, by, "by") if by else None,
            bins=settings.integer("bins", 20, 1, MAX_BINS),
            has_pairs=settings.choice("pairs", "yes" if noise is None else "no", _YES_NO) == "yes",
            least=read_least(settings, DESCRIBE, noise),
            most_rows=read_most_rows(settings),
            noise=noise,
        )
        settings.finish()
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        by = () if self.by is None else (self.by.name,)
        return (*(one.name for one in self.numbers), *(one.name for one in self.categories), *by)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names; one without a name where nothing is grouped."""
        return ("",) if self.by is None else self.by.levels

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The places of the two numbers of each pair whose products are summed."""
        count = len(self.numbers) if self.has_pairs else 0
        return tuple((first, second) for first in range(count) for second in range(first + 1, count))

    @property
    def square(self) -> int:
        """The largest squared norm of a row: itself, five values of a number, six of a pair, one of a category."""
        return 1 + 5 * len(self.numbers) + 6 * len(self.pairs) + len(self.categories)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrosstabSettings:
    """What ``crosstab`` is asked."""

    rows: Category
    columns: Category
    stratum: Category | None
    least: int
    most_rows: int
    noise: Noise | None

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "CrosstabSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(CROSSTAB, params)
        categories = read_categories(settings, CROSSTAB, None)
        roles = {role: read_column(settings, role, default) for role, default in _ROLES.items()}
        chosen = {role: find(CROSSTAB, categories, name, role) for role, name in roles.items() if name}
        noise = read_noise(settings)
        found = cls(
            rows=chosen["rows"],
            columns=chosen["columns"],
            stratum=chosen.get("stratum"),
            least=read_least(settings, CROSSTAB, noise),
            most_rows=read_most_rows(settings),
            noise=noise,
        )
        settings.finish()
        if len({one.name for one in found.read_columns}) != len(found.read_columns):
            raise Malformed("recipe-param", f"{CROSSTAB}: rows, columns and stratum must be different columns")
        return found

    @property
    def read_columns(self) -> tuple[Category, ...]:
        """The categories it reads: stratum if there is one, rows, columns."""
        return (*(() if self.stratum is None else (self.stratum,)), self.rows, self.columns)

    @property
    def strata(self) -> tuple[str, ...]:
        """The strata's names; one without a name where there is no stratum."""
        return ("",) if self.stratum is None else self.stratum.levels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Strata, rows, columns."""
        return len(self.strata), len(self.rows.levels), len(self.columns.levels)


_ROLES: Final = {"rows": None, "columns": None, "stratum": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantilesSettings:
    """What ``quantiles`` is asked."""

    numbers: tuple[Number, ...]
    probabilities: tuple[Fraction, ...]
    bins: int
    most_rows: int

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "QuantilesSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(QUANTILES, params)
        text = settings.word("probabilities", "0.25,0.5,0.75", r"[0-9./,]{1,4000}")
        shares = tuple(
            Parameters(QUANTILES, {"probabilities": entry}).number("probabilities", None, Fraction(0), Fraction(1))
            for entry in split(text, ",")
        )
        found = cls(
            numbers=read_numbers(settings, QUANTILES, None),
            probabilities=shares,
            bins=settings.integer("bins", 64, 2, MAX_BINS),
            most_rows=read_most_rows(settings),
        )
        settings.finish()
        if not found.numbers or list(shares) != sorted(set(shares)):
            raise Malformed("recipe-param", f"{QUANTILES}: expected some bounds, and probabilities in rising order")
        return found
