"""Settings of the recipes for times to an event: ``kaplan_meier`` and ``cox``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed
from serai.training.parameters import Parameters
from serai.training.statistics.columns import Category, Event, Grid, Number, Term, terms_of
from serai.training.statistics.notation import find, read_categories, read_column, read_event, read_grid, read_numbers
from serai.training.statistics.protection import Noise, read_least, read_most_rows, read_noise

KAPLAN_MEIER: Final = "kaplan_meier"
COX: Final = "cox"

MAX_TERMS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class KaplanMeierSettings:
    """What ``kaplan_meier`` is asked; the recipe's docstring says what each setting means."""

    time: str
    event: Event
    grid: Grid
    by: Category | None
    least: int
    most_rows: int
    noise: Noise | None

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "KaplanMeierSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(KAPLAN_MEIER, params)
        by, noise = read_column(settings, "by", ""), read_noise(settings)
        categories = read_categories(settings, KAPLAN_MEIER)
        found = cls(
            time=read_column(settings, "time"),
            event=read_event(settings, "event"),
            grid=read_grid(settings, KAPLAN_MEIER),
            by=find(KAPLAN_MEIER, categories, by, "by") if by else None,
            least=read_least(settings, KAPLAN_MEIER, noise),
            most_rows=read_most_rows(settings),
            noise=noise,
        )
        settings.finish()
        _check_columns(KAPLAN_MEIER, found.columns)
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.time, self.event.column, *(() if self.by is None else (self.by.name,)))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names; one without a name where nothing is grouped."""
        return ("",) if self.by is None else self.by.levels


@dataclass(frozen=True, slots=True, kw_only=True)
class CoxSettings:
    """What ``cox`` is asked."""

    time: str
    event: Event
    grid: Grid
    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    stratum: Category | None
    most_rows: int

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "CoxSettings":
        """Read the settings.

        Raises:
            Malformed: one is missing, unknown, or not as it should be.

        """
        settings = Parameters(COX, params)
        stratum, categories = read_column(settings, "stratum", ""), read_categories(settings, COX)
        found = cls(
            time=read_column(settings, "time"),
            event=read_event(settings, "event"),
            grid=read_grid(settings, COX),
            numbers=read_numbers(settings, COX),
            categories=tuple(category for category in categories if category.name != stratum),
            stratum=find(COX, categories, stratum, "stratum") if stratum else None,
            most_rows=read_most_rows(settings),
        )
        settings.finish()
        _check_columns(COX, found.columns)
        if not 0 < len(found.terms) <= MAX_TERMS:
            raise Malformed(
                "recipe-param",
                f"{COX}: expected 1 to {MAX_TERMS} terms, from columns in bounds and levels, got {len(found.terms)}",
            )
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        stratum = () if self.stratum is None else (self.stratum.name,)
        names = (*(one.name for one in self.numbers), *(one.name for one in self.categories))
        return (self.time, self.event.column, *names, *stratum)

    @property
    def strata(self) -> tuple[str, ...]:
        """The strata's names; one without a name where there is no stratum."""
        return ("",) if self.stratum is None else self.stratum.levels

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of the model."""
        return terms_of(self.numbers, self.categories)


def _check_columns(recipe: str, columns: tuple[str, ...]) -> None:
    if "" in columns or len(set(columns)) != len(columns):
        raise Malformed("recipe-param", f"{recipe}: expected different columns, got {', '.join(columns)[:200]}")
