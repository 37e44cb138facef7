"""Fairness to small members: indices that every member computes from the log, per member before any mean, with alarms.

Who is small is for the bloc to say: members below the median of what a
*yardstick* measures, which is the rows they offer, a table of the charter's
weights, or a group of the charter. An index without an answer, such as a rate
of nothing, is ``None`` and raises no alarm.

Not computed, because the log does not hold it yet: parity of languages and of
notice, equity of compute, pledges, circulation of people, cost of exit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Final, TypeAlias

from serai.aggregation.state import Round
from serai.charter.decision import Result
from serai.charter.motions import Proposal
from serai.charter.state import members_in_good_standing
from serai.errors import Missing
from serai.kernel.ids import Digest, MemberId
from serai.programme.indicators import Moment, rows_by_member

DAY_MS: Final = 24 * 3_600_000
ROWS: Final = "rows"
WEIGHT_PREFIX: Final = "weight:"
GROUP_PREFIX: Final = "group:"

PerMember: TypeAlias = Mapping[MemberId, Fraction | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The members in good standing by size.

    Attributes:
        small: below the median of the yardstick, or in its group.
        large: the others.

    """

    small: frozenset[MemberId]
    large: frozenset[MemberId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """One index, as the log has it.

    Attributes:
        members: what it is for each member in good standing; None where there is nothing to measure.
        value: what the threshold is held against; None where nothing can be.
        alarm: whether the threshold is passed.

    """

    members: PerMember
    value: Fraction | None
    alarm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """How one index is computed and when it raises an alarm.

    Attributes:
        definition: what it measures for a member, and what its value is.
        threshold: default of the bloc; None for an index that is only shown.
        above: whether the alarm is for values above the threshold, rather than below.
        members: measures it for each member.
        value: draws one value from that.

    """

    definition: str
    threshold: Fraction | None
    members: Callable[[Moment], dict[MemberId, Fraction]]
    value: Callable[[Moment, Mapping[MemberId, Fraction], Sides], Fraction | None]
    above: bool = False


def assess(
    moment: Moment, yardstick: str = ROWS, thresholds: Mapping[str, Fraction] | None = None
) -> dict[str, Fairness]:
    """Every index at a moment.

    Args:
        moment: the log as it stands.
        yardstick: ``rows``, ``weight:<table>`` or ``group:<name>``.
        thresholds: in place of the defaults, by index.

    Raises:
        Missing: the charter has no such table or group, or there is no such index.

    """
    limits = dict(thresholds or {})
    if unknown := sorted(set(limits) - set(INDICES)):
        raise Missing("index-unknown", f"no index is called {unknown[0]!r}; known: {', '.join(INDICES)}")
    sides = sides_of(moment, yardstick)
    return {name: _assess(moment, index, sides, limits.get(name, index.threshold)) for name, index in INDICES.items()}


def sides_of(moment: Moment, yardstick: str) -> Sides:
    """Who is small and who is large.

    Raises:
        Missing: the charter has no such table or group.

    """
    members = members_in_good_standing(moment.record.charter, moment.at)
    if yardstick.startswith(GROUP_PREFIX):
        name = yardstick.removeprefix(GROUP_PREFIX)
        small = frozenset(member for member in members if name in moment.record.charter.members[member].groups)
        if not small:
            raise Missing("yardstick-unknown", f"no member in good standing is of group {name!r}")
        return Sides(small=small, large=members - small)
    sizes = _sizes(moment, yardstick)
    middle = median([Fraction(sizes.get(member, 0)) for member in members])
    small = frozenset(member for member in members if sizes.get(member, 0) < middle)
    return Sides(small=small, large=members - small)


def _sizes(moment: Moment, yardstick: str) -> Mapping[MemberId, int]:
    if yardstick == ROWS:
        return rows_by_member(moment)
    table = yardstick.removeprefix(WEIGHT_PREFIX)
    charter = moment.record.charter.charter
    if charter is None or not yardstick.startswith(WEIGHT_PREFIX) or table not in charter.weights:
        raise Missing(
            "yardstick-unknown", f"expected rows, weight:<table of the charter> or group:<name>, got {yardstick!r}"
        )
    return {MemberId(member): weight for member, weight in charter.weights[table].items()}


def _assess(moment: Moment, index: Index, sides: Sides, threshold: Fraction | None) -> Fairness:
    found = index.members(moment)
    everyone = sorted(sides.small | sides.large)
    value = index.value(moment, found, sides)
    passed = threshold is not None and value is not None and (value > threshold if index.above else value < threshold)
    return Fairness(members={member: found.get(member) for member in everyone}, value=value, alarm=passed)


# What is measured for each member


def _decided(moment: Moment) -> list[Proposal]:
    """Proposals that the members decided; one that was taken back was not."""
    found = [proposal for proposal in moment.record.charter.proposals.values() if proposal.decided is not None]
    return [item for item in found if item.decided and not item.decided.outcome.article.endswith("withdrawal")]


def _counts(openers: Sequence[MemberId]) -> dict[MemberId, Fraction]:
    return {member: Fraction(openers.count(member)) for member in openers}


def _adoption(moment: Moment) -> dict[MemberId, Fraction]:
    decided = _decided(moment)
    adopted = _counts(
        [item.opener for item in decided if item.decided and item.decided.outcome.result is Result.ADOPTED]
    )
    asked = _counts([item.opener for item in decided])
    return {member: adopted.get(member, Fraction(0)) / number for member, number in asked.items()}


def _agenda(moment: Moment) -> dict[MemberId, Fraction]:
    opened = _counts([item.opener for item in moment.record.charter.proposals.values()])
    return {
        member: opened.get(member, Fraction(0)) for member in members_in_good_standing(moment.record.charter, moment.at)
    }


def _access_days(moment: Moment) -> dict[MemberId, Fraction]:
    first_ms: dict[Digest, int] = {}
    for this in moment.record.rounds.rounds.values():
        agreement = moment.record.runs.plans[this.body.run].plan.agreement
        first_ms[agreement] = min(this.at.time_ms, first_ms.get(agreement, this.at.time_ms))
    waits: dict[MemberId, list[Fraction]] = {}
    for agreement, opened_ms in first_ms.items():
        proposal = moment.record.charter.proposals[agreement]
        waits.setdefault(proposal.opener, []).append(Fraction(opened_ms - proposal.opened.time_ms, DAY_MS))
    return {member: median(days) for member, days in waits.items()}


def _gains(moment: Moment) -> dict[MemberId, Fraction]:
    gains: dict[MemberId, Fraction] = {}
    for run in moment.record.runs.plans:
        joint = moment.record.model(run)
        if joint is None:
            continue
        together = _accuracies(moment, run, joint)
        for member, alone in _best_alone(moment, run, joint).items():
            if member in together:
                gain = together[member] - alone
                gains[member] = min(gain, gains.get(member, gain))
    return gains


def _best_alone(moment: Moment, run: Digest, joint: Digest) -> dict[MemberId, Fraction]:
    best: dict[MemberId, Fraction] = {}
    for found, model in moment.record.analytics.by_model:
        if found == run and model != joint:
            for member, accuracy in _accuracies(moment, run, model).items():
                best[member] = max(accuracy, best.get(member, accuracy))
    return best


def _accuracies(moment: Moment, run: Digest, model: Digest) -> dict[MemberId, Fraction]:
    analytics = moment.record.analytics
    counts = {
        member: analytics.evaluations[evaluation].body.counts
        for member, evaluation in analytics.by_model.get((run, model), {}).items()
    }
    return {member: Fraction(said["correct"], said["n"]) for member, said in counts.items() if "correct" in said}


def _released_accuracies(moment: Moment) -> list[dict[MemberId, Fraction]]:
    """The accuracies of each released model, in the order of release, where they were counted."""
    releases = sorted(moment.record.hub.releases.values(), key=lambda release: release.at)
    found = [_accuracies(moment, release.body.run, release.body.model) for release in releases]
    return [accuracies for accuracies in found if accuracies]


def _last_accuracies(moment: Moment) -> dict[MemberId, Fraction]:
    released = _released_accuracies(moment)
    return released[-1] if released else {}


def _closed(moment: Moment) -> list[Round]:
    return [this for this in moment.record.rounds.rounds.values() if this.closed is not None]


def _inclusion(moment: Moment) -> dict[MemberId, Fraction]:
    asked = _counts([member for this in _closed(moment) for member in this.body.participants])
    summed = _counts([member for this in _closed(moment) for member in this.summed])
    return {member: summed.get(member, Fraction(0)) / number for member, number in asked.items()}


def _sums(moment: Moment) -> dict[MemberId, Fraction]:
    return _counts([member for this in _closed(moment) for member in this.summed])


def _reviews(moment: Moment) -> dict[MemberId, Fraction]:
    projects = moment.programme.projects.projects.values()
    return _counts([member for project in projects for member in project.panel.reviews])


def _lead_shares(moment: Moment) -> dict[MemberId, Fraction]:
    planners = [run.planner for run in moment.record.runs.plans.values()]
    return {member: number / len(planners) for member, number in _counts(planners).items()}


# What is held against the threshold


def _ratio(part: Fraction | None, whole: Fraction | None) -> Fraction | None:
    return None if part is None or not whole else part / whole


def _mean(members: Mapping[MemberId, Fraction], side: frozenset[MemberId]) -> Fraction | None:
    found = [members[member] for member in side if member in members]
    return sum(found, Fraction(0)) / len(found) if found else None


def _small_to_large(_moment: Moment, members: Mapping[MemberId, Fraction], sides: Sides) -> Fraction | None:
    return _ratio(_mean(members, sides.small), _mean(members, sides.large))


def _longest_to_shortest(_moment: Moment, members: Mapping[MemberId, Fraction], _sides: Sides) -> Fraction | None:
    return _ratio(max(members.values()), min(members.values())) if len(members) > 1 else None


def _least(_moment: Moment, members: Mapping[MemberId, Fraction], _sides: Sides) -> Fraction | None:
    return min(members.values(), default=None)


def _most_of_some(moment: Moment, members: Mapping[MemberId, Fraction], _sides: Sides) -> Fraction | None:
    """The most, once there are so many runs that planning two of them is no majority."""
    return max(members.values()) if len(moment.record.runs.plans) >= 4 else None


def _nothing(_moment: Moment, _members: Mapping[MemberId, Fraction], _sides: Sides) -> Fraction | None:
    return None


def _widening(moment: Moment, _members: Mapping[MemberId, Fraction], _sides: Sides) -> Fraction | None:
    """By how much the gap of best and worst grew at least, in each of the last two releases."""
    gaps = [max(found.values()) - min(found.values()) for found in _released_accuracies(moment)[-3:]]
    return None if len(gaps) < 3 else min(gaps[1] - gaps[0], gaps[2] - gaps[1])


INDICES: Final[Mapping[str, Index]] = {
    "lead_parity": Index(
        definition="share of the decided proposals that a member opened which were adopted; mean of small to mean of large",
        threshold=Fraction(4, 5),
        members=_adoption,
        value=_small_to_large,
    ),
    "voice": Index(
        definition="proposals that a member opened; mean of small to mean of large",
        threshold=Fraction(7, 10),
        members=_agenda,
        value=_small_to_large,
    ),
    "access_days": Index(
        definition="median days from a member's proposal of an agreement to the first round under it; longest to shortest",
        threshold=Fraction(2),
        members=_access_days,
        value=_longest_to_shortest,
        above=True,
    ),
    "gain": Index(
        definition="accuracy of a run's model less that of the member's own, on its data, its worst run; the least",
        threshold=Fraction(0),
        members=_gains,
        value=_least,
    ),
    "gap": Index(
        definition="accuracy of the last released model; growth of best less worst in each of the last two releases",
        threshold=Fraction(0),
        members=_last_accuracies,
        value=_widening,
        above=True,
    ),
    "inclusion": Index(
        definition="share of the closed rounds with the member that have its upload; the least",
        threshold=Fraction(1, 2),
        members=_inclusion,
        value=_least,
    ),
    "leading": Index(
        definition="share of the runs that the member planned; the most, of four runs or more",
        threshold=Fraction(1, 2),
        members=_lead_shares,
        value=_most_of_some,
        above=True,
    ),
    "reviews": Index(
        definition="reviews of proposals, as last reviewed, that the member opened; shown without an alarm",
        threshold=None,
        members=_reviews,
        value=_nothing,
    ),
    "sums": Index(
        definition="sums with the member's upload; shown without an alarm",
        threshold=None,
        members=_sums,
        value=_nothing,
    ),
}
"""Every index by name, with the alarms that a bloc may change."""
