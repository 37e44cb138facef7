"""What the evaluations add up to: for each run and model, what each member measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from immutables import Map

from serai.analytics.statements import Evaluation
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant

ModelKey: TypeAlias = tuple[Digest, Digest]
"""A run's id and a model's digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """An evaluation as the log has it.

    Attributes:
        id: the evaluation's id.
        member: who evaluated.
        body: what was measured.
        at: when it was reported.

    """

    id: Digest
    member: MemberId
    body: Evaluation
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyticsState:
    """All evaluations in the log.

    Attributes:
        evaluations: by id.
        by_model: for each run and model, the id of each member's evaluation.

    """

    evaluations: Map[Digest, EvaluationRecord] = field(default_factory=Map)
    by_model: Map[ModelKey, Map[MemberId, Digest]] = field(default_factory=Map)


def apply(analytics: AnalyticsState, said: Said[Body], at: Instant) -> AnalyticsState:
    """What is known of models after an evaluation that was granted."""
    body = said.body
    if not isinstance(body, Evaluation):
        return analytics
    record = EvaluationRecord(id=said.id, member=said.member, body=body, at=at)
    key = (body.run, body.model)
    members: Map[MemberId, Digest] = analytics.by_model.get(key, Map())
    return replace(
        analytics,
        evaluations=analytics.evaluations.set(said.id, record),
        by_model=analytics.by_model.set(key, members.set(said.member, said.id)),
    )


def has_evaluated(analytics: AnalyticsState, run: Digest, model: Digest, member: MemberId) -> bool:
    """Whether a member has evaluated a model in a run."""
    return member in analytics.by_model.get((run, model), ())


def evaluations_of(analytics: AnalyticsState, run: Digest, model: Digest) -> Mapping[MemberId, EvaluationRecord]:
    """Each member's evaluation of a model in a run, in order of member id."""
    members: Map[MemberId, Digest] = analytics.by_model.get((run, model), Map())
    return {member: analytics.evaluations[members[member]] for member in sorted(members)}
