"""Is anybody worse off than alone? The joint model against each member's own, on that member's own rows.

A member's own model is any that it evaluated in the run beside the agreed one, on
the same rows; the best of them counts. What a member says of its own model, only
its zone can check: a member that wants no release need only report a good one.
"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from math import ceil, floor

from serai.analytics.membership import exposure_of
from serai.analytics.quality import METRICS
from serai.analytics.state import AnalyticsState, EvaluationRecord, evaluations_of
from serai.kernel.ids import Digest, MemberId
from serai.zones.facts import COMPARED, Change

_MILLION = 10**6


def own_models(
    analytics: AnalyticsState, run: Digest, joint: Digest
) -> Mapping[MemberId, tuple[EvaluationRecord, ...]]:
    """What each member evaluated of its own in a run, on as many rows of the same offer as the agreed model."""
    agreed = evaluations_of(analytics, run, joint)
    found: dict[MemberId, tuple[EvaluationRecord, ...]] = {}
    for of_run, model in sorted(analytics.by_model):
        if of_run != run or model == joint:
            continue
        for member, record in evaluations_of(analytics, run, model).items():
            if member in agreed and _has_same_rows(record, agreed[member]):
                found[member] = (*found.get(member, ()), record)
    return found


def lacks_own(
    analytics: AnalyticsState, run: Digest, joint: Digest, members: Collection[MemberId]
) -> tuple[MemberId, ...]:
    """Members that have evaluated no model of their own beside the agreed one, in order of member id."""
    return tuple(sorted(set(members) - set(own_models(analytics, run, joint))))


def worst_changes(
    analytics: AnalyticsState, run: Digest, joint: Digest, members: Collection[MemberId]
) -> tuple[Change, ...]:
    """For each metric that every member tells of both models, the member for whom the joint one compares worst."""
    agreed, own = evaluations_of(analytics, run, joint), own_models(analytics, run, joint)
    gains = {
        member: gains_of(agreed[member].body.counts, [record.body.counts for record in own[member]])
        for member in members
        if member in own
    }
    return tuple(_worst(metric, gains) for metric in COMPARED if members and _is_told(metric, gains, members))


def gains_of(joint: Mapping[str, int], alone: Collection[Mapping[str, int]]) -> dict[str, Fraction]:
    """By how much a joint model is better than the best of a member's own, by metric."""
    return dict(_gains(joint, alone))


def largest_advantage(
    analytics: AnalyticsState, run: Digest, joint: Digest, members: Collection[MemberId]
) -> int | None:
    """The largest advantage of the attack by loss, millionths rounded up; None where a member did not measure it."""
    records = evaluations_of(analytics, run, joint)
    exposures = [exposure_of(records[member].body.counts) if member in records else None for member in sorted(members)]
    advantages = [exposure.advantage for exposure in exposures if exposure is not None]
    return ceil(max(advantages) * _MILLION) if advantages and len(advantages) == len(exposures) else None


def _gains(joint: Mapping[str, int], alone: Collection[Mapping[str, int]]) -> Iterator[tuple[str, Fraction]]:
    for name in COMPARED:
        metric = METRICS[name]
        found, others = metric.of(joint), [metric.of(counts) for counts in alone]
        known = [estimate.value for estimate in others if estimate is not None]
        if found is not None and known and len(known) == len(others):
            yield name, min(metric.gain(value, found.value) for value in known)


def _worst(metric: str, gains: Mapping[MemberId, Mapping[str, Fraction]]) -> Change:
    gain, member = min((told[metric], member) for member, told in gains.items())
    return Change(metric, member, floor(gain * _MILLION))


def _is_told(metric: str, gains: Mapping[MemberId, Mapping[str, Fraction]], members: Collection[MemberId]) -> bool:
    return all(metric in gains.get(member, {}) for member in members)


def _has_same_rows(one: EvaluationRecord, other: EvaluationRecord) -> bool:
    return one.body.offer == other.body.offer and one.body.counts["n"] == other.body.counts["n"]
