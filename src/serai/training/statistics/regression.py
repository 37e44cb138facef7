"""Settings of the recipes that fit an outcome: ``linear`` and ``logistic``."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from serai.errors import Malformed
from serai.training.parameters import Parameters
from serai.training.statistics.columns import Category, Event, Number, Term, terms_of
from serai.training.statistics.notation import read_categories, read_column, read_event, read_numbers
from serai.training.statistics.protection import read_most_rows

LINEAR: Final = "linear"
LOGISTIC: Final = "logistic"

MAX_TERMS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSettings:
    """What ``linear`` is asked; the recipe's docstring says what each setting means."""

    outcome: Number
    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    ridge: float
    most_rows: int

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "LinearSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(LINEAR, params)
        name, numbers = read_column(settings, "outcome"), read_numbers(settings, LINEAR, None)
        outcome = next((number for number in numbers if number.name == name), None)
        if outcome is None:
            raise Malformed(
                "recipe-param", f"{LINEAR}: outcome names {name[:80]!r}; give its bounds in the setting bounds"
            )
        found = cls(
            outcome=outcome,
            numbers=tuple(number for number in numbers if number.name != name),
            categories=read_categories(settings, LINEAR),
            ridge=_ridge(settings),
            most_rows=read_most_rows(settings),
        )
        settings.finish()
        _check(LINEAR, found.columns, found.terms)
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (*(one.name for one in self.numbers), *(one.name for one in self.categories), self.outcome.name)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of the model, without the intercept."""
        return terms_of(self.numbers, self.categories)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticSettings:
    """What ``logistic`` is asked."""

    outcome: Event
    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    ridge: float
    most_rows: int

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "LogisticSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(LOGISTIC, params)
        found = cls(
            outcome=read_event(settings, "outcome"),
            numbers=read_numbers(settings, LOGISTIC),
            categories=read_categories(settings, LOGISTIC),
            ridge=_ridge(settings),
            most_rows=read_most_rows(settings),
        )
        settings.finish()
        _check(LOGISTIC, found.columns, found.terms)
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (*(one.name for one in self.numbers), *(one.name for one in self.categories), self.outcome.column)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of the model, without the intercept."""
        return terms_of(self.numbers, self.categories)


def _ridge(settings: Parameters) -> float:
    return float(settings.number("ridge", "0", Fraction(0), Fraction(10**12)))


def _check(recipe: str, columns: tuple[str, ...], terms: tuple[Term, ...]) -> None:
    if len(set(columns)) != len(columns) or not 0 < len(terms) <= MAX_TERMS:
        raise Malformed(
            "recipe-param",
            f"{recipe}: expected different columns that make 1 to {MAX_TERMS} terms, got {len(terms)} terms of "
            f"{', '.join(columns)[:200]}",
        )
