"""Which runs were planned, who joined or declined, and what was cancelled."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field

from immutables import Map

from serai.aggregation.job import Job
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.training.statements import Reason, RunCancel, RunDecline, RunJoin, RunPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Who stopped a run, when, and why."""

    member: MemberId
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One planned run and the zones' answers to it.

    Attributes:
        id: statement id of the plan.
        plan: the plan as signed.
        planner: the member that signed it.
        at: when it was planned.
        keys: X25519 public key of each member that joined.
        declines: the reasons of each member that declined and has not joined since.
        cancelled: who stopped it and why; None while it may go on.

    """

    id: Digest
    plan: RunPlan
    planner: MemberId
    at: Instant
    keys: Map[MemberId, bytes] = field(default_factory=Map)
    declines: Map[MemberId, tuple[Reason, ...]] = field(default_factory=Map)
    cancelled: Cancellation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsState:
    """Every run by the statement id of its plan."""

    plans: Map[Digest, Run] = field(default_factory=Map)


def apply(runs: RunsState, said: Said[Body], at: Instant) -> RunsState:
    """Add a granted statement; kinds of other rooms change nothing here."""
    match said.body:
        case RunPlan() as plan:
            run = Run(id=said.id, plan=plan, planner=said.member, at=at)
        case RunJoin(plan=plan_id, agg_key=agg_key):
            run = runs.plans[plan_id]
            run = dataclasses.replace(
                run,
                keys=run.keys.set(said.member, agg_key),
                declines=run.declines.delete(said.member) if said.member in run.declines else run.declines,
            )
        case RunDecline(plan=plan_id, reasons=reasons):
            run = runs.plans[plan_id]
            run = dataclasses.replace(run, declines=run.declines.set(said.member, reasons))
        case RunCancel(plan=plan_id, reason=reason):
            cancelled = Cancellation(member=said.member, reason=reason, at=at)
            run = dataclasses.replace(runs.plans[plan_id], cancelled=cancelled)
        case _:
            return runs
    return RunsState(plans=runs.plans.set(run.id, run))


def job_of(runs: RunsState, run: Digest, parties: Collection[MemberId] | None = None) -> Job | None:
    """The secure sums a run asks for, over the members that joined.

    Args:
        runs: the room's state.
        run: statement id of the plan.
        parties: members bound by the run's agreement now; a member that left it
            stops at once, so its key is left out. None keeps every joined member.

    Returns:
        None when there is no such run or it was cancelled.

    """
    found = runs.plans.get(run)
    if found is None or found.cancelled is not None:
        return None
    plan = found.plan
    return Job(
        run=run,
        keys={member: key for member, key in sorted(found.keys.items()) if parties is None or member in parties},
        minimum=plan.minimum,
        rounds=plan.rounds,
        codec=plan.codec,
        length=plan.length,
        initial=plan.initial,
        round_ms=plan.round_ms,
        threshold=plan.threshold,
        noise=plan.noise,
    )
