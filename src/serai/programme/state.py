"""What the statements about the programme add up to."""

from dataclasses import dataclass, field, replace
from typing import Any

from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.programme import plan
from serai.programme.plan import PlanState
from serai.programme.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeState:
    """Everything said about the programme.

    Attributes:
        plan: goals, actions, tasks, reports and yearly figures.

    """

    plan: PlanState = field(default_factory=PlanState)


def apply(programme: ProgrammeState, record: Record, said: Said[Any], at: Instant) -> ProgrammeState:
    """The programme after a statement that the rules have granted."""
    return replace(programme, plan=plan.apply(programme.plan, said, at, record.routine_ms))
