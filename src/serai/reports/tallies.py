"""Curves and totals of a run, by member: loss, steps, bytes, time, clipping, residual, and the gap to the mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final, TypeAlias

from serai.kernel.ids import MemberId
from serai.reports.course import Course, Part, RoundCourse

Curve: TypeAlias = Mapping[int, float]
"""A value for each round in which there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What is known of one member's part in a run.

    Attributes:
        uploads: rounds for which its vector came.
        summed: rounds in whose sum it is.
        sent_bytes: of its masked vectors.
        steps: local steps taken; None where that is not known.
        train_s: seconds of local steps.
        stall_s: seconds with nothing to compute.
        curves: by the names in ``CURVES``.

    """

    uploads: int
    summed: int
    sent_bytes: int
    steps: int | None
    train_s: float | None
    stall_s: float | None
    curves: Mapping[str, Curve]

    @property
    def utilisation(self) -> float | None:
        """Share of the time that went into local steps, 0 to 1."""
        if self.train_s is None or self.stall_s is None or self.train_s + self.stall_s <= 0:
            return None
        return self.train_s / (self.train_s + self.stall_s)

    def last(self, curve: str) -> float | None:
        """The newest value of a curve."""
        values = self.curves[curve]
        return values[max(values)] if values else None


def _figure(name: str, scale: float) -> Callable[[Part], float | None]:
    return lambda part: part.figures[name] / scale if name in part.figures else None


_READ: Final[Mapping[str, Callable[[Part], float | None]]] = {
    "loss": _figure("micronats", 1e6),
    "train": _figure("train_ms", 1e3),
    "stall": _figure("stall_ms", 1e3),
    "bytes": lambda part: float(part.sent_bytes) if part.has_uploaded else None,
    "clip": _figure("clipped_ppm", 1.0),
    "residual": _figure("residual_permille", 1e3),
    "gain": _figure("gain_permille", 1e3),
    "rho": _figure("rho_permille", 1e3),
}

CURVES: Final = (*_READ, "gap")
"""Loss in nats a prediction, train and stall in seconds, bytes, clipped values per million, the residual over the
update, how far a unit of update moves the model, the cosine of the last two sums, and a member's loss less the
members' mean."""


def tallies_of(course: Course) -> dict[MemberId, Tally]:
    """Every member that joined, in order."""
    means = _mean_losses(course)
    return {member: _tally(course, member, means) for member in course.members}


def shared_value(course: Course, curve: str) -> float | None:
    """The newest value of what is the same for all members, such as ``rho``, from the first that tells it."""
    for this in reversed(course.rounds):
        told = (_READ[curve](part) for part in this.parts.values())
        value = next((value for value in told if value is not None), None)
        if value is not None:
            return value
    return None


def _tally(course: Course, member: MemberId, means: Mapping[int, float]) -> Tally:
    parts = {this.number: this.parts[member] for this in course.rounds if member in this.parts}
    curves = {name: _curve(parts, read) for name, read in _READ.items()}
    gap = {number: loss - means[number] for number, loss in curves["loss"].items() if number in means}
    return Tally(
        uploads=sum(part.has_uploaded for part in parts.values()),
        summed=sum(part.is_summed for part in parts.values()),
        sent_bytes=sum(part.sent_bytes for part in parts.values()),
        steps=_steps(parts),
        train_s=sum(curves["train"].values()) if curves["train"] else None,
        stall_s=sum(curves["stall"].values()) if curves["stall"] else None,
        curves={**curves, "gap": gap},
    )


def _curve(parts: Mapping[int, Part], read: Callable[[Part], float | None]) -> dict[int, float]:
    values = {number: read(part) for number, part in parts.items()}
    return {number: value for number, value in values.items() if value is not None}


def _steps(parts: Mapping[int, Part]) -> int | None:
    """All steps; a 0 means that the recipe did not say."""
    return sum(part.figures.get("steps", 0) for part in parts.values()) or None


def _mean_losses(course: Course) -> dict[int, float]:
    """The members' mean loss in each round in which two or more tell theirs: each member counts once."""
    losses = {this.number: _losses(this) for this in course.rounds}
    return {number: fmean(found) for number, found in losses.items() if len(found) > 1}


def _losses(this: RoundCourse) -> list[float]:
    told = (_READ["loss"](part) for part in this.parts.values())
    return [loss for loss in told if loss is not None]
