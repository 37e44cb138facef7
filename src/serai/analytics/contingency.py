"""Contingency tables from counts: chi-square, Cramer's V, odds ratios, also over strata.

Sources: Agresti, Categorical Data Analysis, 3.2 (chi-square) and 3.1 (odds ratio, Woolf's interval);
Mantel and Haenszel, JNCI 22 (1959) 719-748, with the variance of Robins, Breslow and
Greenland, Biometrics 42 (1986) 311-323.
"""

from collections.abc import Iterator, Mapping
from math import exp, log, sqrt

import numpy as np

from serai.analytics.distributions import Z_95, chi_square_p
from serai.analytics.frames import Cell, Frame, Result, group_frame, ratio, whole
from serai.analytics.notes import noise_notes
from serai.training.statistics.columns import Array
from serai.training.statistics.summaries import CrosstabSettings
from serai.training.tensors import Model


def crosstab(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``crosstab``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = CrosstabSettings.read(params)
    counts = np.maximum(model["count"], 0.0)
    has_strata = settings.stratum is not None
    strata = list(enumerate(settings.strata))
    cells = (row for place, name in strata for row in _cells(settings, model, place, name))
    frames = [
        group_frame(
            "cells",
            ("row", "column", "n", "members", "row_share", "column_share", "expected"),
            cells,
            is_grouped=has_strata,
        ),
        group_frame(
            "tests",
            ("n", "chi_square", "df", "p", "cramers_v"),
            ((name, *association(counts[place])) for place, name in strata),
            is_grouped=has_strata,
        ),
    ]
    if settings.shape[1:] == (2, 2):
        odds = [(name, *odds_ratio(counts[place])) for place, name in strata]
        frames.append(group_frame("odds_ratios", ("odds_ratio", "low", "high"), odds, is_grouped=has_strata))
        if has_strata:
            frames.append(Frame("mantel_haenszel", ("odds_ratio", "low", "high"), (mantel_haenszel(counts),)))
    return Result(
        title=f"{settings.rows.name} by {settings.columns.name}"
        + (f", by {settings.stratum.name}" if settings.stratum else ""),
        frames=tuple(frames),
        notes=(
            f"{whole(counts.sum())} rows; {whole(model['incomplete'][0])} more lack a category",
            *([_least_note(settings.least)] if settings.least > 1 else []),
            "chi-square is Pearson's, without correction; intervals are 95 %",
            *noise_notes(settings.noise, 1),
        ),
    )


def _least_note(least: int) -> str:
    return (
        f"members left out each cell in which they have fewer than {least} rows; tests and shares are of what is left, "
        "and lean away from rare combinations"
    )


def _cells(settings: CrosstabSettings, model: Model, place: int, name: str) -> Iterator[tuple[Cell, ...]]:
    counts = np.maximum(model["count"][place], 0.0)
    by_row, by_column, n = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    for row, row_level in enumerate(settings.rows.levels):
        for column, column_level in enumerate(settings.columns.levels):
            count = counts[row, column]
            shares = ratio(count, by_row[row]), ratio(count, by_column[column])
            expected = ratio(by_row[row] * by_column[column], n)
            members = whole(model["members"][place, row, column])
            yield name, row_level, column_level, whole(count), members, *shares, expected


def association(counts: Array) -> tuple[int, float | None, int, float | None, float | None]:
    """How many rows, Pearson's chi-square, its degrees of freedom, p, and Cramer's V; levels without rows do not count.

    Args:
        counts: ``(rows, columns)``.

    """
    some = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, freedom = float(some.sum()), (some.shape[0] - 1) * (some.shape[1] - 1)
    if min(some.shape) < 2:
        return whole(n), None, 0, None, None
    expected = np.outer(some.sum(axis=1), some.sum(axis=0)) / n
    chi_square = float((np.square(some - expected) / expected).sum())
    v = sqrt(chi_square / (n * (min(some.shape) - 1)))
    return whole(n), chi_square, freedom, chi_square_p(chi_square, freedom), v


def odds_ratio(counts: Array) -> tuple[float | None, float | None, float | None]:
    """The odds ratio of a table of 2 x 2 and its interval (Woolf); None where a cell is empty."""
    (a, b), (c, d) = counts.tolist()
    if min(a, b, c, d) <= 0:
        return None, None, None
    return _interval(log(a * d / (b * c)), sqrt(1 / a + 1 / b + 1 / c + 1 / d))


def mantel_haenszel(counts: Array) -> tuple[float | None, float | None, float | None]:
    """The common odds ratio of tables ``(strata, 2, 2)`` and its interval; None where nothing tells."""
    tables = counts[counts.sum(axis=(1, 2)) > 0]
    n = tables.sum(axis=(1, 2))
    a, b, c, d = tables[:, 0, 0], tables[:, 0, 1], tables[:, 1, 0], tables[:, 1, 1]
    p, q, r, s = (a + d) / n, (b + c) / n, a * d / n, b * c / n
    above, below = float(r.sum()), float(s.sum())
    if above <= 0 or below <= 0:
        return None, None, None
    variance = (
        float((p * r).sum()) / (2 * above**2)
        + float((p * s + q * r).sum()) / (2 * above * below)
        + float((q * s).sum()) / (2 * below**2)
    )
    return _interval(log(above / below), sqrt(variance))


def _interval(logarithm: float, error: float) -> tuple[float, float, float]:
    return exp(logarithm), exp(logarithm - Z_95 * error), exp(logarithm + Z_95 * error)
