"""Kaplan-Meier and log-rank from counts at grid times.

Sources: Kaplan and Meier, JASA 53 (1958) 457-481; Greenwood's variance and the
log-log interval, Kalbfleisch and Prentice, The Statistical Analysis of Failure
Time Data, 1.4; restricted mean, Klein and Moeschberger, Survival Analysis, 4.5; log-rank of several
groups, 7.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

from serai.analytics.distributions import Z_95, chi_square_p
from serai.analytics.frames import Cell, Curve, Frame, Result, group_frame, whole
from serai.analytics.notes import grid_note, group_notes, noise_notes
from serai.training.statistics.columns import Array
from serai.training.statistics.survival import KaplanMeierSettings
from serai.training.tensors import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """The Kaplan-Meier estimate of one group, ``(points,)`` each.

    Attributes:
        times: the grid.
        at_risk: rows that were there until each time.
        events: at each time.
        censored: rows that left at each time without an event.
        share: without an event up to and with each time.
        error: its standard error (Greenwood); NaN once the share is 0.
        low: lower ends of its 95 % interval (log-log); NaN where the share is 0.
        high: upper ends.

    """

    times: Array
    at_risk: Array
    events: Array
    censored: Array
    share: Array
    error: Array
    low: Array
    high: Array

    def first_at_most(self, bound: Array) -> float | None:
        """The first time at which a curve is at or below one half; None if it never is."""
        places = np.flatnonzero(bound <= 0.5 + 1e-12)
        return float(self.times[places[0]]) if places.size else None

    def restricted_mean(self) -> tuple[float, float]:
        """Mean time up to the end of the grid, and its standard error."""
        widths = np.diff(self.times)
        areas = np.append(np.cumsum((self.share[:-1] * widths)[::-1])[::-1], 0.0)
        spread = self.at_risk * (self.at_risk - self.events)
        terms = np.where((areas > 0) & (spread > 0), areas**2 * self.events / np.where(spread > 0, spread, 1.0), 0.0)
        return float(areas[0]), float(np.sqrt(terms.sum()))


def estimate(times: Array, events: Array, leaving: Array) -> Survival:
    """The estimate from counts; below 0, where noise may have taken them, they count as 0.

    Args:
        times: the grid, ``(points,)``.
        events: at each point.
        leaving: rows whose time ends there, and after the last point, ``(points + 1,)``.

    """
    leaving = np.maximum(leaving, 0.0)
    at_risk = np.cumsum(leaving[::-1])[::-1][:-1]
    events = np.clip(events, 0.0, at_risk)
    some = at_risk > 0
    share = np.multiply.accumulate(np.where(some, 1 - events / np.where(some, at_risk, 1.0), 1.0))
    left = at_risk * (at_risk - events)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(np.where(events > 0, events / np.where(some, left, 1.0), 0.0))
        error = np.where(share > 0, share * np.sqrt(greenwood), nan)
        # At a share of 1 nothing has happened yet: the interval is that point.
        log_share = np.where(share < 1, np.log(share), nan)
        spread = Z_95 * np.sqrt(greenwood) / log_share
        low, high = (np.where(share < 1, np.exp(log_share * np.exp(sign * spread)), 1.0) for sign in (-1, 1))
    gone = share <= 0
    return Survival(
        times=times,
        at_risk=at_risk,
        events=events,
        censored=np.maximum(leaving[:-1] - events, 0.0),
        share=share,
        error=error,
        low=np.where(gone, nan, low),
        high=np.where(gone, nan, high),
    )


def log_rank(groups: list[Survival]) -> tuple[Array, float, int]:
    """Whether groups differ.

    Returns:
        Events to be expected in each group if they did not; chi-square; its degrees of freedom.

    """
    at_risk, events = (np.array([getattr(one, name) for one in groups]) for name in ("at_risk", "events"))
    n, d = at_risk.sum(axis=0), events.sum(axis=0)
    some = n > 0
    shares = np.where(some, at_risk / np.where(some, n, 1.0), 0.0)
    expected = (shares * d).sum(axis=1)
    weight = d * np.where(n > 1, (n - d) / np.where(n > 1, n - 1, 1.0), 0.0)
    variance = np.diag((shares * weight).sum(axis=1)) - (shares * weight) @ shares.T
    difference = (events.sum(axis=1) - expected)[:-1]
    chi_square = float(difference @ np.linalg.pinv(variance[:-1, :-1]) @ difference)
    return expected, chi_square, len(groups) - 1


def kaplan_meier(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``kaplan_meier``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = KaplanMeierSettings.read(params)
    times, heading = settings.grid.times(), settings.by.name if settings.by else ""
    found = {
        name: estimate(times, model["events"][place], model["leaving"][place])
        for place, name in enumerate(settings.groups)
        if model["leaving"][place].sum() > 0
    }
    expected, tests = dict.fromkeys(found, 0.0), []
    if len(found) > 1:
        values, chi_square, freedom = log_rank(list(found.values()))
        expected = dict(zip(found, map(float, values), strict=True))
        tests = [
            Frame("log_rank", ("chi_square", "df", "p"), ((chi_square, freedom, chi_square_p(chi_square, freedom)),))
        ]
    rows = [
        (name, *_summary(model, place, found.get(name)), expected.get(name) if tests else None)
        for place, name in enumerate(settings.groups)
    ]
    until = float(settings.grid.until)
    return Result(
        title=f"Kaplan-Meier of {settings.time} to {settings.event.column}" + (f" by {heading}" if heading else ""),
        frames=(
            group_frame("groups", _SUMMARY, rows, is_grouped=bool(heading)),
            *tests,
            group_frame(
                "survival",
                _SURVIVAL,
                [row for name in found for row in _steps(name, found[name])],
                is_grouped=bool(heading),
            ),
        ),
        curves=tuple(_curve(name or "all", one) for name, one in found.items()),
        x_label=settings.time,
        y_label="share without event",
        notes=(
            f"{whole(model['rows'].sum())} rows; {whole(model['unusable'][0])} more lack a usable time, event or group",
            grid_note(settings.grid),
            f"the restricted mean is that up to {until:g}; intervals are 95 %, log-log",
            *group_notes(settings.by, settings.least),
            *noise_notes(settings.noise, 3),
        ),
    )


_SUMMARY = (
    "members", "rows", "events", "median", "median_low", "median_high",
    "restricted_mean", "restricted_mean_error", "expected",
)  # fmt: skip
_SURVIVAL = ("time", "at_risk", "events", "censored", "survival", "error", "low", "high")


def _summary(model: Model, place: int, found: Survival | None) -> tuple[Cell, ...]:
    members, rows = whole(model["members"][place]), whole(model["rows"][place])
    if found is None:
        return members, rows, 0, None, None, None, None, None
    medians = (found.first_at_most(curve) for curve in (found.share, found.low, found.high))
    return (members, rows, whole(found.events.sum()), *medians, *found.restricted_mean())


def _steps(name: str, found: Survival) -> list[tuple[Cell, ...]]:
    """A row for the start and for each time at which somebody leaves."""
    places = np.flatnonzero((found.events + found.censored > 0) | (found.times == 0))
    counts = zip(found.at_risk[places], found.events[places], found.censored[places], strict=True)
    shares = zip(*(column[places] for column in (found.share, found.error, found.low, found.high)), strict=True)
    return [
        (name, float(found.times[place]), *map(whole, count), *(None if np.isnan(one) else float(one) for one in share))
        for place, count, share in zip(places, counts, shares, strict=True)
    ]


def _curve(name: str, found: Survival) -> Curve:
    places = np.flatnonzero((found.events > 0) | (found.times == 0) | (found.times == found.times[-1]))
    x, y, low, high = (
        tuple(map(float, column[places])) for column in (found.times, found.share, found.low, found.high)
    )
    return Curve(name, x, y, low, high, is_step=True)
