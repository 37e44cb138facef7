"""What a zone checks after a job ran and before anything leaves: the output itself, against the same terms.

The guard judged what a job *declared*; this gate judges what it *made*. The
agent measures the output (its kind, its length, the rows behind it) and the
same effective policy is applied to the measured facts. An output that is not
what was declared stays, even if the terms would have allowed it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from serai.kernel.units import Instant
from serai.kernel.verdict import Denied
from serai.zones.facts import JobFacts
from serai.zones.guard import Decision
from serai.zones.policy import Policy, judge_policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a job made, as the agent measured it outside the sandbox.

    Attributes:
        output: kind of the output, an ``Output``.
        rows: rows that went into it; None when that could not be counted.
        subjects: subjects whom those rows are about; None when that could not be counted.
        length: values in the vector, or counts in an evaluation.
        secure_sum: whether it will leave under masks.

    """

    output: str
    rows: int | None
    length: int
    secure_sum: bool
    subjects: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """One output that is about to leave.

    Attributes:
        at: log time of the decision.
        declared: the facts that the guard admitted.
        declared_length: values that the run plan agreed on.
        measured: what is there.
        policies: the effective policy that the guard applied.
        kill_switch: why this zone's operator said stop; None when nobody did.
        frozen: what the output touches that this zone has frozen, a sentence each.

    """

    at: Instant
    declared: JobFacts
    declared_length: int
    measured: Measured
    policies: tuple[Policy, ...]
    kill_switch: str | None
    frozen: tuple[str, ...] = ()


Check: TypeAlias = Callable[[Egress], Iterable[Denied]]


def judge_egress(egress: Egress) -> Decision:
    """Decide whether an output may leave; all reasons are recorded."""
    return Decision(tuple((name, denied) for name, check in STEPS for denied in check(egress)))


def _declared(egress: Egress) -> Iterator[Denied]:
    declared, measured = egress.declared, egress.measured
    if measured.output not in (declared.outputs or ()):
        made = ", ".join(declared.outputs or ()) or "nothing"
        yield Denied("egress 1", f"the job declared {made} as output and made {measured.output}")
    if declared.rows is not None and measured.rows is not None and measured.rows > declared.rows:
        yield Denied("egress 1", f"the job declared {declared.rows} rows and read {measured.rows}")
    if declared.secure_sum and not measured.secure_sum:
        yield Denied(
            "egress 1", "the job declared that its output is summed under masks, and this would leave in the clear"
        )


def _length(egress: Egress) -> Iterator[Denied]:
    # A longer vector could carry rows out beside the sum that was agreed.
    if egress.measured.length != egress.declared_length:
        yield Denied("egress 2", f"the run agreed on {egress.declared_length} values, got {egress.measured.length}")


def _policy(egress: Egress) -> Iterator[Denied]:
    measured = egress.measured
    facts = replace(
        egress.declared,
        outputs=(measured.output,),
        rows=measured.rows,
        cohort=_fewest(egress.declared.cohort, measured.rows),
        subjects=measured.subjects,
        secure_sum=measured.secure_sum,
    )
    yield from judge_policies(egress.policies, facts, egress.at)


def _fewest(declared: int | None, rows: int | None) -> int | None:
    return None if declared is None or rows is None else min(declared, rows)


def _kill_switch(egress: Egress) -> Iterator[Denied]:
    if egress.kill_switch is not None:
        yield Denied("egress 4", f"this zone's operator said stop: {egress.kill_switch or 'no reason given'}")
    for reason in egress.frozen:
        yield Denied("egress 4", reason)


STEPS: Final[tuple[tuple[str, Check], ...]] = (
    ("declared output", _declared),
    ("length", _length),
    ("policy", _policy),
    ("kill switch", _kill_switch),
)
"""The steps in order, each with its check."""
