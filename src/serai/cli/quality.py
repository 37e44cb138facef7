"""How models did, as people and programs see it: metrics with intervals, bins, and who is missing for what reason."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serai.agent.session import Session
from serai.analytics.calibration import Bin, bins_of
from serai.analytics.leaderboard import Standing
from serai.analytics.membership import Exposure, exposure_of
from serai.analytics.quality import METRICS, Estimate, measure
from serai.cli.output import count, printable, short
from serai.client.planning import fetch_models
from serai.kernel.ids import MemberId
from serai.recipes.evaluation import ALL_PAIRS, read_totals
from serai.reports.evaluations import Look, Part, Presence

SHOWN: Final = ("accuracy", "balanced_accuracy", "auc", "brier", "calibration_error")
"""The metrics of a table, in order; programs get all."""

_NOTHING: Final = "\N{EN DASH}"


def look_value(look: Look, totals: Mapping[str, int] | None) -> dict[str, Any]:
    """An evaluation for programs: numbers as decimals, counts as they stand in the log."""
    pooled = look.pooled
    return {
        "run": look.run,
        "model": look.model,
        "title": look.title,
        "recipe": look.recipe,
        "entry": look.at.index,
        "trained": look.has_trained,
        "members": [_part_value(part) for part in look.parts],
        "missing": list(look.missing),
        "together": None if pooled is None else counts_value(pooled),
        "sum": None if totals is None else counts_value(_without_area(totals)),
        "in_the_sum": sorted(look.summed),
    }


def counts_value(counts: Mapping[str, int]) -> dict[str, Any]:
    """What counts tell, for programs."""
    exposure = exposure_of(counts)
    return {
        "counts": dict(counts),
        "metrics": {name: _estimate_value(estimate) for name, estimate in measure(counts).items()},
        "calibration": [
            {"from": found.first / 10, "rows": found.n, "said": float(found.mean), "yes": float(found.share)}
            for found in bins_of(counts)
        ],
        "membership": None if exposure is None else _exposure_value(exposure),
    }


def look_rows(look: Look) -> list[dict[str, Any]]:
    """An evaluation's table: a row for each invited member, and one for all together if nobody is missing."""
    rows = [{"member": part.member, "part": part.presence.value, **_cells(part.counts)} for part in look.parts]
    if look.pooled is not None and len(look.parts) > 1:
        rows.append({"member": "together", "part": "", **_cells(look.pooled)})
    return rows


def look_notes(look: Look) -> Iterator[str]:
    """What stands below the table: why nothing is said of all together, and each reason of each member that is missing."""
    lacking = [part.member for part in look.parts if part.counts is None and part.presence is not Presence.SUM_ONLY]
    if lacking:
        yield f"Nothing is said of all together, for a mean would hide who is missing: {', '.join(lacking)}."
    for part in look.parts:
        for reason in part.reasons:
            yield f"{part.member} declined: {reason.article}: {reason.text}"


def calibration_lines(look: Look) -> Iterator[str]:
    """Each member's bins: what was said and what was so."""
    for member, counts in look.counts.items():
        if bins := bins_of(counts):
            told = ", ".join(_bin_words(found) for found in bins)
            yield f"{member}: {told}"


def standing_row(standing: Standing, members: Sequence[MemberId]) -> dict[str, Any]:
    """A model's line on a leaderboard: a column for each member, the worst, and the mean if every part is there."""
    worst, mean = standing.worst, standing.mean
    return {
        "rank": standing.rank,
        "model": short(standing.model),
        "title": printable(standing.title),
        **{
            member: estimate_words(standing.parts.get(member)) if member in standing.asked else "not asked"
            for member in members
        },
        "worst": _NOTHING if worst is None else f"{float(standing.parts[worst].value):.3f} {worst}",
        "mean": f"none: {', '.join(standing.missing)} missing" if mean is None else f"{float(mean):.3f}",
    }


def standing_value(standing: Standing) -> dict[str, Any]:
    """A model's place on a leaderboard, for programs."""
    return {
        "model": standing.model,
        "title": standing.title,
        "metric": standing.metric,
        "rank": standing.rank,
        "members": {member: _estimate_value(part) for member, part in standing.parts.items()},
        "missing": list(standing.missing),
        "worst": standing.worst,
        "mean": None if standing.mean is None else float(standing.mean),
    }


def exposure_words(counts: Mapping[str, int]) -> str:
    """What an attack by loss found, in few words; a dash where it was not made."""
    exposure = exposure_of(counts)
    if exposure is None:
        return _NOTHING
    low, high = exposure.interval.low, exposure.interval.high
    return f"{float(exposure.advantage):+.3f} ({float(low):+.3f} to {float(high):+.3f})"


def totals_words(totals: Mapping[str, int], look: Look) -> str:
    """What the masked sum of an evaluation says, over whom, and who is not in it."""
    told = [f"{METRICS[name].title} {estimate_words(found)}" for name, found in measure(_without_area(totals)).items()]
    if totals.get(ALL_PAIRS):
        told.append(f"AUC within members {totals['u2'] / (2 * totals[ALL_PAIRS]):.3f}")
    lacking = [part.member for part in look.parts if part.member not in look.summed]
    without = f", without {', '.join(lacking)}" if lacking else ""
    over = f"{count(len(look.summed), 'member')}{without}, {count(totals['n'], 'row')}"
    return f"Summed under masks over {over}: {', '.join(told)}."


def fetch_totals(session: Session, look: Look) -> dict[str, int] | None:
    """The sums of an evaluation that has ended; None of another run, or before its end.

    Raises:
        Missing: the center has let go of them.

    """
    return None if look.totals is None else read_totals(fetch_models(session, {"totals": look.totals})["totals"])


def estimate_words(estimate: Estimate | None) -> str:
    """A metric with its interval; a dash where it is not known."""
    if estimate is None:
        return _NOTHING
    shown = f"{float(estimate.value):.3f}"
    interval = estimate.interval
    return shown if interval is None else f"{shown} ({float(interval.low):.3f} to {float(interval.high):.3f})"


def _without_area(totals: Mapping[str, int]) -> dict[str, int]:
    """The sums but for the pairs: those of different members were never compared."""
    return {name: value for name, value in totals.items() if name != "u2"}


def _cells(counts: Mapping[str, int] | None) -> dict[str, str]:
    found = {} if counts is None else measure(counts)
    rows = _NOTHING if counts is None else str(counts["n"])
    return {"rows": rows, **{name: estimate_words(found.get(name)) for name in SHOWN}}


def _part_value(part: Part) -> dict[str, Any]:
    reasons = [{"article": reason.article, "text": reason.text} for reason in part.reasons]
    told = {} if part.counts is None else counts_value(part.counts)
    return {"member": part.member, "part": part.presence.value, "reasons": reasons, **told}


def _estimate_value(estimate: Estimate) -> dict[str, float | None]:
    interval = estimate.interval
    return {
        "value": float(estimate.value),
        "low": None if interval is None else float(interval.low),
        "high": None if interval is None else float(interval.high),
    }


def _exposure_value(exposure: Exposure) -> dict[str, Any]:
    return {
        "advantage": _estimate_value(Estimate(exposure.advantage, exposure.interval)),
        "auc": _estimate_value(Estimate(exposure.area.value, exposure.area.interval)),
        "found_at_1_percent": float(exposure.found),
    }


def _bin_words(found: Bin) -> str:
    return f"said {float(found.mean):.2f} was {float(found.share):.2f} of {count(found.n, 'row')}"
