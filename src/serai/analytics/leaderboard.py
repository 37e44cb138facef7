"""Models beside each other, member by member: no mean without its parts, and never without the worst of them.

A mean over those who came is a mean over whoever chose to come. So a model has a
mean, and a rank, only where every member that was ever asked about it has answered;
and it is ranked by the member for whom it does worst, for that is the one a mean hides.
Models are ranked against others that the same members were asked about.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from serai.analytics.quality import METRICS, Estimate
from serai.errors import Missing
from serai.kernel.ids import Digest, MemberId
from serai.zones.facts import COMPARED


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One model on a leaderboard.

    Attributes:
        model: its digest.
        title: one line for people.
        metric: by which metric, one of ``COMPARED``.
        asked: every member that was ever asked about it.
        parts: the metric of each that answered and whose counts tell it.
        rank: its place among models that the same members were asked about, from 1; None where a part is missing.

    """

    model: Digest
    title: str
    metric: str
    asked: frozenset[MemberId]
    parts: Mapping[MemberId, Estimate]
    rank: int | None = None

    @property
    def missing(self) -> tuple[MemberId, ...]:
        """Members whose part is not there, in order of member id."""
        return tuple(sorted(self.asked - set(self.parts)))

    @property
    def worst(self) -> MemberId | None:
        """For whom it does worst of those whose part is there; None where no part is."""
        metric = METRICS[self.metric]
        order = sorted(self.parts, key=lambda member: (metric.gain(Fraction(0), self.parts[member].value), member))
        return order[0] if order else None

    @property
    def mean(self) -> Fraction | None:
        """The mean over all members, each counted once; None where a part is missing."""
        if self.missing or not self.parts:
            return None
        return sum((part.value for part in self.parts.values()), Fraction(0)) / len(self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a model.

    Attributes:
        model: its digest.
        title: one line for people.
        asked: every member that was ever asked about it.
        counts: the last counts of each that answered.

    """

    model: Digest
    title: str
    asked: Collection[MemberId]
    counts: Mapping[MemberId, Mapping[str, int]]


def rank(entries: Iterable[Entry], metric: str) -> tuple[Standing, ...]:
    """Models by one metric: those that have a rank first, then those of which a part is missing.

    Raises:
        Missing: models are not compared by that metric.

    """
    if metric not in COMPARED:
        raise Missing("metric", f"models are compared by {', '.join(COMPARED)}, not by {metric!r}")
    standings = [_standing(entry, metric) for entry in entries]
    ranked: dict[Digest, int] = {}
    for asked in {standing.asked for standing in standings}:
        whole = [standing for standing in standings if standing.asked == asked and standing.mean is not None]
        for standing in whole:
            ranked[standing.model] = 1 + sum(_goodness(other) > _goodness(standing) for other in whole)
    placed = [replace(standing, rank=ranked.get(standing.model)) for standing in standings]
    return tuple(sorted(placed, key=_place))


def _standing(entry: Entry, metric: str) -> Standing:
    told = {member: METRICS[metric].of(counts) for member, counts in sorted(entry.counts.items())}
    parts = {member: estimate for member, estimate in told.items() if estimate is not None}
    return Standing(model=entry.model, title=entry.title, metric=metric, asked=frozenset(entry.asked), parts=parts)


def _goodness(standing: Standing) -> tuple[Fraction, Fraction]:
    """By the worst member, then by the mean; more is better."""
    metric, worst, mean = METRICS[standing.metric], standing.worst, standing.mean
    assert worst is not None, "a standing without a part has no rank"
    assert mean is not None, "a standing that lacks a part has no rank"
    return metric.gain(Fraction(0), standing.parts[worst].value), metric.gain(Fraction(0), mean)


def _place(standing: Standing) -> tuple[tuple[MemberId, ...], bool, int, Digest]:
    return tuple(sorted(standing.asked)), standing.rank is None, standing.rank or 0, standing.model
