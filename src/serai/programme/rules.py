"""What may be said about the programme: ``plan_rules`` has the articles."""

from typing import Any

from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import Verdict
from serai.programme import plan_rules
from serai.programme.record import Record
from serai.programme.state import ProgrammeState


def judge(record: Record, programme: ProgrammeState, said: Said[Any], at: Instant) -> Verdict:
    """Whether a statement about the programme may be said now."""
    return plan_rules.judge(record, programme.plan, said, at)
