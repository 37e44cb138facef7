"""What the statements about the programme add up to."""

from dataclasses import dataclass, field, replace
from typing import Any

from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.programme import plan, projects
from serai.programme.plan import PlanState
from serai.programme.projects import ProjectsState
from serai.programme.record import Record
from serai.programme.statements import PLAN_STATEMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeState:
    """Everything said about the programme.

    Attributes:
        plan: goals, actions, tasks, reports and yearly figures.
        projects: joint projects, from a need to the close.

    """

    plan: PlanState = field(default_factory=PlanState)
    projects: ProjectsState = field(default_factory=ProjectsState)


def apply(programme: ProgrammeState, record: Record, said: Said[Any], at: Instant) -> ProgrammeState:
    """The programme after a statement that the rules have granted."""
    if isinstance(said.body, PLAN_STATEMENTS):
        return replace(programme, plan=plan.apply(programme.plan, said, at, record.routine_ms))
    return replace(programme, projects=projects.apply(programme.projects, said, at))
