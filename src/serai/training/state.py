"""Which runs were planned, who joined or declined, and what was frozen or cancelled."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from immutables import Map

from serai.aggregation.job import Form, Job
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.training.statements import (
    EVALUATED,
    Action,
    Pace,
    Reason,
    RunCancel,
    RunDecline,
    RunFreeze,
    RunJoin,
    RunPace,
    RunPlan,
    RunThaw,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Who stopped a run, when, and why."""

    member: MemberId
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFrozen:
    """Why a member holds a run, and since when."""

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
        joined_at: log index at which each did.
        disowned: members whose join was said by a key that is revoked from before then.
        declines: the reasons of each member that declined and has not joined since.
        paces: how fast each member that joined said it was, last.
        freezes: why it is held, by each member that holds it.
        cancelled: who stopped it and why; None while it may go on.

    """

    id: Digest
    plan: RunPlan
    planner: MemberId
    at: Instant
    keys: Map[MemberId, bytes] = field(default_factory=Map)
    joined_at: Map[MemberId, int] = field(default_factory=Map)
    disowned: frozenset[MemberId] = frozenset()
    declines: Map[MemberId, tuple[Reason, ...]] = field(default_factory=Map)
    paces: Map[MemberId, RunPace] = field(default_factory=Map)
    freezes: Map[MemberId, RunFrozen] = field(default_factory=Map)
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
                joined_at=run.joined_at.set(said.member, at.index),
                declines=run.declines.delete(said.member) if said.member in run.declines else run.declines,
            )
        case RunDecline(plan=plan_id, reasons=reasons):
            run = runs.plans[plan_id]
            run = dataclasses.replace(run, declines=run.declines.set(said.member, reasons))
        case RunPace() as pace:
            run = runs.plans[pace.plan]
            run = dataclasses.replace(run, paces=run.paces.set(said.member, pace))
        case RunFreeze(plan=plan_id, reason=reason):
            run = runs.plans[plan_id]
            run = dataclasses.replace(run, freezes=run.freezes.set(said.member, RunFrozen(reason=reason, at=at)))
        case RunThaw(plan=plan_id):
            run = runs.plans[plan_id]
            run = dataclasses.replace(run, freezes=run.freezes.delete(said.member))
        case RunCancel(plan=plan_id, reason=reason):
            cancelled = Cancellation(member=said.member, reason=reason, at=at)
            run = dataclasses.replace(runs.plans[plan_id], cancelled=cancelled)
        case _:
            return runs
    return RunsState(plans=runs.plans.set(run.id, run))


def is_frozen(run: Run, parties: Collection[MemberId]) -> bool:
    """Whether one of the members bound by a run's agreement holds it; the freeze of one that left holds nothing."""
    return any(member in parties for member in run.freezes)


def disown(runs: RunsState, indices: Collection[int]) -> RunsState:
    """Take back the joins that were said at some log indices, by a key that is now revoked.

    The member is out of those runs, as one that has left their agreement; rounds
    that are finished stay.
    """
    for run in runs.plans.values():
        disowned = run.disowned | {member for member, index in run.joined_at.items() if index in indices}
        if disowned != run.disowned:
            runs = RunsState(plans=runs.plans.set(run.id, dataclasses.replace(run, disowned=disowned)))
    return runs


def job_of(runs: RunsState, run: Digest, parties: Collection[MemberId] | None = None) -> Job | None:
    """The secure sums a run asks for, over the members that joined.

    Args:
        runs: the room's state.
        run: statement id of the plan.
        parties: members bound by the run's agreement now; a member that left it
            stops at once, so its key is left out, as is that of a member whose join is
            disowned. None keeps every joined member.

    Returns:
        None when there is no such run or it was cancelled.

    """
    found = runs.plans.get(run)
    if found is None or found.cancelled is not None:
        return None
    plan = found.plan
    bound = found.keys if parties is None else set(parties) - found.disowned
    keys = {member: key for member, key in sorted(found.keys.items()) if member in bound}
    return Job(
        run=run,
        keys=keys,
        minimum=plan.minimum,
        rounds=plan.rounds,
        codec=plan.codec,
        length=plan.length,
        initial=plan.initial,
        round_ms=plan.round_ms,
        threshold=plan.threshold,
        noise=plan.noise,
        last=plan.last,
        steps={} if plan.pace is None else steps_of(plan.pace, found.paces, keys),
        least_ms=plan.least_ms,
        has_figures="metrics" in plan.outputs,
        is_guarded=plan.guard_permille > 0,
    )


def model_judged(plan: RunPlan, made: Digest | None) -> Digest | None:
    """The model that a run's evaluations are about: the one it made, or of an evaluation the one it was given."""
    return plan.inputs.get(EVALUATED) if plan.action is Action.EVALUATE else made


def form_of(plan: RunPlan, done: int) -> Form:
    """The form of the vectors in the round after ``done`` finished ones."""
    return plan.last if plan.last and done + 1 >= plan.rounds else Form(codec=plan.codec, length=plan.length)


def steps_of(pace: Pace, paces: Mapping[MemberId, RunPace], members: Collection[MemberId]) -> dict[MemberId, int]:
    """How many local steps each member takes in a round, so that all take about as long.

    The time is what makes the slowest exchange no more than its share of a round,
    within the fastest member's least and most steps. Whoever has not told its pace
    takes the least.

    Args:
        pace: what the plan asks for.
        paces: what members said.
        members: who has joined.

    """
    told = {member: paces[member] for member in members if member in paces}
    if not told:
        return dict.fromkeys(members, pace.least)
    exchange_us = 1000 * max(said.exchange_ms for said in told.values())
    fastest_us = min(said.step_us for said in told.values())
    wanted_us = exchange_us * (1000 - pace.exchange_permille) // pace.exchange_permille
    round_us = fastest_us * min(max(-(-wanted_us // fastest_us), pace.least), pace.most)
    return {member: max(1, round_us // told[member].step_us) if member in told else pace.least for member in members}
