"""Proportional hazards from sums at grid times (Breslow, Biometrics 30 (1974) 89-99)."""

from collections.abc import Iterator, Mapping, Sequence
from math import exp

import numpy as np

from serai.analytics.coefficients import INTERVAL_NOTE, Likelihood, convergence_note, inverse, on_own_scale
from serai.analytics.frames import Cell, Curve, Frame, Result, group_frame, whole
from serai.analytics.notes import complete_notes, grid_note, outside_frame
from serai.training.statistics.columns import Array
from serai.training.statistics.survival import CoxSettings
from serai.training.tensors import Model


def cox(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``cox``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = CoxSettings.read(params)
    terms, times = settings.terms, settings.grid.times()
    covariance = inverse(model["information"])
    # There is no intercept: a shift of all terms is a shift of the baseline.
    lifted = np.pad(covariance, (1, 0))
    found = on_own_scale(np.concatenate(([0.0], model["coefficients"])), lifted, terms)
    means = [
        (term.name, term.middle + term.half * float(mean)) for term, mean in zip(terms, model["mean"], strict=True)
    ]
    hazards = _hazards(model)
    return Result(
        title=f"Proportional hazards of {settings.time} to {settings.event.column}",
        frames=(
            found.frame("hazard_ratio", has_intercept=False),
            _likelihood(model).frame(),
            Frame("means", ("term", "mean"), tuple(means)),
            group_frame(
                "baseline",
                ("time", "at_risk", "events", "hazard", "cumulative_hazard", "survival"),
                _baselines(settings.strata, times, model, hazards),
                is_grouped=settings.stratum is not None,
            ),
            outside_frame(settings.numbers, model),
        ),
        curves=tuple(
            Curve(name or "all", tuple(map(float, times)), tuple(map(float, np.exp(-np.cumsum(hazard)))), is_step=True)
            for name, hazard in zip(settings.strata, hazards, strict=True)
        ),
        x_label=settings.time,
        y_label="share without event",
        notes=(
            *complete_notes(model),
            convergence_note(model["coefficients"] - model["at"], covariance, int(model["rounds"][0])),
            "ties are Breslow's; the baseline is that of a row at the mean of every term",
            grid_note(settings.grid),
            INTERVAL_NOTE,
        ),
    )


def _likelihood(model: Model) -> Likelihood:
    """Of the point at which the last round looked; weights there were taken around the mean of the terms."""
    events, risk = model["events"], model["risk"]
    some = (events > 0) & (risk > 0)
    about_mean = float(model["at"] @ (model["event_sum"] - model["mean"] * events.sum()))
    return Likelihood(
        n=float(model["rows"][0]),
        events=float(events.sum()),
        value=about_mean - float((events[some] * np.log(risk[some])).sum()),
        null=-float((events[some] * np.log(model["at_risk"][some])).sum()),
        terms=len(model["at"]),
    )


def _hazards(model: Model) -> Array:
    """The hazard of each stratum at each time."""
    events, risk = model["events"], model["risk"]
    some = (events > 0) & (risk > 0)
    return np.where(some, events / np.where(some, risk, 1.0), 0.0)


def _baselines(strata: Sequence[str], times: Array, model: Model, hazards: Array) -> Iterator[tuple[Cell, ...]]:
    """A row for each time with an event."""
    for place, name in enumerate(strata):
        total = np.cumsum(hazards[place])
        for point in np.flatnonzero(model["events"][place] > 0):
            counts = (whole(model[part][place, point]) for part in ("at_risk", "events"))
            hazard, until = float(hazards[place, point]), float(total[point])
            yield name, float(times[point]), *counts, hazard, until, exp(-until)
