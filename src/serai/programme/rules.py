"""What may be said about the programme: ``plan_rules``, ``project_rules`` and ``reviews`` have the articles."""

from typing import Any

from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied, Verdict
from serai.programme import plan_rules, project_rules
from serai.programme.record import Record
from serai.programme.state import ProgrammeState
from serai.programme.statements import PLAN_STATEMENTS


def judge(record: Record, programme: ProgrammeState, said: Said[Any], at: Instant) -> Verdict:
    """Whether a statement about the programme may be said now."""
    if isinstance(said.body, PLAN_STATEMENTS):
        return plan_rules.judge(record, programme, said, at)
    return project_rules.judge(record, programme.projects, said, at)


def judge_restraint(record: Record, programme: ProgrammeState, body: Body) -> Denied | None:
    """What a project's stage or an incident forbids of a statement of another room; None if nothing does."""
    return project_rules.judge_restraint(record, programme.projects, body)
