"""Indicators: a closed set of figures that every member computes from the log, exactly and alike.

Counts are of what the log holds at one moment, unless the definition names a
span of time. ``INDICATORS`` has each with its definition; nobody types a value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from serai.aggregation.state import finished_rounds
from serai.charter.agreements import Life
from serai.charter.state import life_of, members_in_good_standing
from serai.kernel.ids import MemberId
from serai.kernel.units import Instant
from serai.programme.plan import Status, tasks_by_status
from serai.programme.record import Record
from serai.programme.stages import Stage
from serai.programme.state import ProgrammeState
from serai.zones.state import is_offer_open

YEAR_MS: Final = 365 * 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What indicators are computed from.

    Attributes:
        record: the other rooms.
        programme: plan and projects.
        at: the moment.

    """

    record: Record
    programme: ProgrammeState
    at: Instant


@dataclass(frozen=True, slots=True)
class Indicator:
    """One figure.

    Attributes:
        definition: what is counted, exactly.
        measure: counts it.

    """

    definition: str
    measure: Callable[[Moment], int | Fraction]


def measure(moment: Moment) -> dict[str, Fraction]:
    """Every indicator at a moment."""
    return {name: Fraction(indicator.measure(moment)) for name, indicator in INDICATORS.items()}


def active_members(moment: Moment) -> frozenset[MemberId]:
    """Members whose upload is in a sum that closed in the 365 days before."""
    since_ms = moment.at.time_ms - YEAR_MS
    return frozenset(
        member
        for this in moment.record.rounds.rounds.values()
        if this.closed is not None and this.closed.at.time_ms > since_ms
        for member in this.summed
    )


def rows_by_member(moment: Moment) -> dict[MemberId, int]:
    """Rows that each member in good standing offers now: each dataset once, by its largest open offer."""
    datasets: dict[tuple[MemberId, str], int] = {}
    zones = moment.record.zones
    for offer in zones.offers.values():
        if is_offer_open(zones, offer.id, moment.at):
            key = (offer.member, offer.body.dataset)
            datasets[key] = max(datasets.get(key, 0), offer.body.rows)
    rows = dict.fromkeys(sorted(members_in_good_standing(moment.record.charter, moment.at)), 0)
    for (member, _), count in datasets.items():
        if member in rows:
            rows[member] += count
    return rows


def _agreements_in_force(moment: Moment) -> int:
    charter = moment.record.charter
    return sum(life_of(charter, agreement, moment.at) is Life.IN_FORCE for agreement in charter.agreements)


def _proposals_decided(moment: Moment) -> int:
    return sum(proposal.decided is not None for proposal in moment.record.charter.proposals.values())


def _proposals_adopted(moment: Moment) -> int:
    return sum(moment.record.is_adopted(proposal) for proposal in moment.record.charter.proposals)


def _languages(moment: Moment) -> int:
    agreements = moment.record.charter.agreements.values()
    return len({item.text.language.partition("-")[0].lower() for item in agreements if item.adopted_ms is not None})


def _runs_finished(moment: Moment) -> int:
    return sum(moment.record.model(run) is not None for run in moment.record.runs.plans)


def _rounds_finished(moment: Moment) -> int:
    jobs = (moment.record.job(run) for run in moment.record.runs.plans)
    return sum(finished_rounds(moment.record.rounds, job) for job in jobs if job is not None)


def _releasing_members(moment: Moment) -> int:
    releases = moment.record.hub.releases.values()
    return len({member for release in releases for member in moment.record.contributors(release.body.run)})


def _evaluating_members(moment: Moment) -> int:
    return len({record.member for record in moment.record.analytics.evaluations.values()})


def _projects(*, closed: bool) -> Callable[[Moment], int]:
    return lambda moment: sum(
        (project.stage is Stage.CLOSED) is closed for project in moment.programme.projects.projects.values()
    )


def _tasks(status: Status) -> Callable[[Moment], int]:
    return lambda moment: sum(found is status for _, found in tasks_by_status(moment.programme.plan, moment.at.time_ms))


INDICATORS: Final[Mapping[str, Indicator]] = {
    "members": Indicator(
        "members in good standing",
        lambda moment: len(members_in_good_standing(moment.record.charter, moment.at)),
    ),
    "active_members": Indicator(
        "members whose upload is in a sum that closed in the 365 days before",
        lambda moment: len(active_members(moment)),
    ),
    "agreements_in_force": Indicator("agreements in force", _agreements_in_force),
    "proposals_decided": Indicator("proposals adopted, rejected or withdrawn", _proposals_decided),
    "proposals_adopted": Indicator("proposals adopted", _proposals_adopted),
    "languages": Indicator("languages in which an adopted agreement is written (BCP 47 primary subtags)", _languages),
    "offering_members": Indicator(
        "members in good standing with an open offer of data",
        lambda moment: sum(rows > 0 for rows in rows_by_member(moment).values()),
    ),
    "rows_offered": Indicator(
        "rows in open offers of members in good standing, each dataset once",
        lambda moment: sum(rows_by_member(moment).values()),
    ),
    "runs_planned": Indicator("runs planned", lambda moment: len(moment.record.runs.plans)),
    "runs_finished": Indicator("runs whose every round has finished with one model that all agree on", _runs_finished),
    "rounds_finished": Indicator("finished rounds of runs that were not cancelled", _rounds_finished),
    "models_released": Indicator("models released", lambda moment: len(moment.record.hub.releases)),
    "releasing_members": Indicator("members in the last sum of a run whose model was released", _releasing_members),
    "evaluations": Indicator("evaluations reported", lambda moment: len(moment.record.analytics.evaluations)),
    "evaluating_members": Indicator("members that reported an evaluation", _evaluating_members),
    "projects_open": Indicator("projects that are not closed", _projects(closed=False)),
    "projects_closed": Indicator("projects that are closed, or were dropped", _projects(closed=True)),
    "benefit_reports": Indicator(
        "reports of parties on the use of a project's model",
        lambda moment: sum(len(project.benefits) for project in moment.programme.projects.projects.values()),
    ),
    "tasks_done": Indicator("tasks of the plan whose report of completion was accepted", _tasks(Status.DONE)),
    "tasks_late": Indicator("tasks of the plan that are due, without such a report on the table", _tasks(Status.LATE)),
}
"""Every indicator by name."""
