"""The life of a joint project as data: its stages, who takes it from one to the next, and what the log must hold.

What may happen at any time is said elsewhere and needs no stage: a member
accedes late by ``agreement.sign``, puts a reservation on record by a ballot,
withdraws by ``agreement.withdraw``, and the members suspend an agreement by a
decision. An incident or a dispute is a hold (``project.hold``).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """Where a project stands."""

    NEED = "need"
    CONCEPT = "concept"
    PROPOSAL = "proposal"
    REVIEW = "review"
    DECISION = "decision"
    AGREEMENT = "agreement"
    ALLOCATION = "allocation"
    DRY_RUN = "dry-run"
    RUN = "run"
    EVALUATION = "evaluation"
    RELEASE = "release"
    USE = "use"
    RENEWAL = "renewal"
    CLOSED = "closed"


class Who(StrEnum):
    """Who may take a project on."""

    LEAD = "lead"  # the member that opened it
    PARTY = "party"  # a party to its agreement


class Need(StrEnum):
    """What must be in the log before a project goes on; ``project_rules`` checks each."""

    BACKED = "backed"  # another member backs it
    REVIEWED = "reviewed"  # enough reviews are open, and none that was committed to is outstanding
    ADOPTED = "adopted"  # the named proposal is adopted, carries an agreement, and spells out the project's id
    IN_FORCE = "in-force"  # the agreement is in force
    GRANTED = "granted"  # two parties or more have granted data to the agreement
    DRY_RUN_FINISHED = "dry-run-finished"  # the named run under the agreement has finished
    RUN_FINISHED = "run-finished"  # so has the named run, which is not the dry run
    EVALUATED = "evaluated"  # every member in its last sum has evaluated its model
    CONSENTED = "consented"  # and a steward of each has approved the model, by its digest
    RELEASED = "released"  # the model is released
    DECIDED = "decided"  # the named proposal is adopted and spells out the project's id


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One way on.

    Attributes:
        origin: the stage before.
        to: the stage after.
        who: who may take it.
        needs: what must hold, checked in order.
        documents: kinds of document that come with it, by the names of templates.

    """

    origin: Stage
    to: Stage
    who: Who
    needs: tuple[Need, ...] = ()
    documents: tuple[str, ...] = ()


def _on(origin: Stage, to: Stage, who: Who, *needs: Need, documents: tuple[str, ...] = ()) -> Transition:
    return Transition(origin=origin, to=to, who=who, needs=needs, documents=documents)


_EARLY: Final = (Stage.NEED, Stage.CONCEPT, Stage.PROPOSAL, Stage.REVIEW, Stage.DECISION)
_BOUND: Final = (
    Stage.AGREEMENT,
    Stage.ALLOCATION,
    Stage.DRY_RUN,
    Stage.RUN,
    Stage.EVALUATION,
    Stage.RELEASE,
)
CLOSE_OUT: Final = "close-out"

LIFE: Final[tuple[Transition, ...]] = (
    _on(Stage.NEED, Stage.CONCEPT, Who.LEAD, Need.BACKED, documents=("concept",)),
    _on(Stage.CONCEPT, Stage.PROPOSAL, Who.LEAD, documents=("proposal", "impact-assessment")),
    _on(Stage.PROPOSAL, Stage.REVIEW, Who.LEAD),
    _on(Stage.REVIEW, Stage.DECISION, Who.LEAD, Need.REVIEWED),
    _on(Stage.REVIEW, Stage.PROPOSAL, Who.LEAD, documents=("proposal",)),  # start over with a better one
    _on(Stage.DECISION, Stage.PROPOSAL, Who.LEAD, documents=("proposal",)),
    _on(Stage.DECISION, Stage.AGREEMENT, Who.LEAD, Need.ADOPTED),
    _on(Stage.AGREEMENT, Stage.ALLOCATION, Who.PARTY, Need.IN_FORCE, documents=("allocation-grant",)),
    _on(Stage.ALLOCATION, Stage.DRY_RUN, Who.PARTY, Need.IN_FORCE, Need.GRANTED),
    _on(Stage.DRY_RUN, Stage.RUN, Who.PARTY, Need.IN_FORCE, Need.DRY_RUN_FINISHED),
    _on(Stage.RUN, Stage.EVALUATION, Who.PARTY, Need.RUN_FINISHED),
    _on(Stage.EVALUATION, Stage.RUN, Who.PARTY, Need.IN_FORCE),  # not good enough for somebody: run again
    _on(Stage.EVALUATION, Stage.RELEASE, Who.PARTY, Need.IN_FORCE, Need.EVALUATED, Need.CONSENTED),
    _on(Stage.RELEASE, Stage.USE, Who.PARTY, Need.RELEASED),
    _on(Stage.USE, Stage.RENEWAL, Who.PARTY, Need.DECIDED),
    _on(Stage.RENEWAL, Stage.AGREEMENT, Who.PARTY, Need.ADOPTED),  # under an amended text
    _on(Stage.RENEWAL, Stage.ALLOCATION, Who.PARTY, Need.IN_FORCE, documents=("allocation-grant",)),
    _on(Stage.USE, Stage.CLOSED, Who.PARTY, documents=(CLOSE_OUT,)),
    _on(Stage.RENEWAL, Stage.CLOSED, Who.PARTY, documents=(CLOSE_OUT,)),
    *(_on(stage, Stage.CLOSED, Who.LEAD) for stage in _EARLY),  # dropped
    *(_on(stage, Stage.CLOSED, Who.PARTY, Need.DECIDED, documents=(CLOSE_OUT,)) for stage in _BOUND),
)
"""Every way from one stage to another; there is no other."""

PLANNING_STAGES: Final = frozenset({Stage.DRY_RUN, Stage.RUN})
"""Stages in which runs may be planned under a project's agreement."""

EVALUATING_STAGES: Final = PLANNING_STAGES | {Stage.EVALUATION, Stage.RELEASE, Stage.USE}
"""Stages in which evaluations may be: they train nothing, and a model in use is to be looked after."""


def find_transition(origin: Stage, to: Stage) -> Transition | None:
    """The way from one stage to another, if there is one."""
    return next((way for way in LIFE if way.origin is origin and way.to is to), None)


def ways_on(origin: Stage) -> tuple[Transition, ...]:
    """Every way on from a stage."""
    return tuple(way for way in LIFE if way.origin is origin)
