"""The course of a run: what the log, and a zone's own record, tell of it round by round and member by member."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from immutables import Map

from serai.aggregation.job import Job
from serai.aggregation.state import (
    Round,
    Stage,
    current_round,
    divergence,
    fewest,
    final_model,
    find_round,
    finished_rounds,
    stage_of,
)
from serai.aggregation.statements import FIGURES
from serai.analytics.state import evaluations_of
from serai.errors import Missing
from serai.kernel.canonical import MAX_INT
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.state import Jobs, State
from serai.training.state import Run, RunsState, job_of, model_judged

Figures: TypeAlias = Mapping[str, int]
Counts: TypeAlias = Mapping[MemberId, Mapping[str, int]]
"""What each member counted on its own held-back rows."""

_NOTHING: Final[Mapping[int, Figures]] = MappingProxyType({})


class Status(StrEnum):
    """Where a run is."""

    PLANNED = "planned"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One member's part in one round.

    Attributes:
        has_uploaded: whether its masked vector is there.
        is_summed: whether it is in the sum.
        has_released: whether it has made known what unmasks it, or others have for it.
        objects: whether it objects to the sum.
        sent_bytes: size of its masked vector; 0 before it is there.
        figures: what is known of its training in this round, by the names in ``aggregation.statements.FIGURES``.

    """

    has_uploaded: bool = False
    is_summed: bool = False
    has_released: bool = False
    objects: bool = False
    sent_bytes: int = 0
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCourse:
    """One round.

    Attributes:
        number: how many rounds were opened before it.
        stage: how far it has come.
        parts: by participant.
        absent: whom it waits for; once it is over, who was not in the sum, or why there is none.
        why: why it failed, in a sentence; empty if it has not.
        opened: when.
        closed_ms: log time of its close; None before.

    """

    number: int
    stage: Stage
    parts: Mapping[MemberId, Part]
    absent: tuple[MemberId, ...]
    why: str
    opened: Instant
    closed_ms: int | None

    @property
    def objectors(self) -> tuple[MemberId, ...]:
        """Who objects to its sum."""
        return tuple(member for member, part in self.parts.items() if part.objects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run so far.

    Attributes:
        run: its plan, and the zones' answers to it.
        status: where it is.
        why: why it was cancelled, is held or halted; empty otherwise.
        rounds: every round that was opened, failed ones too.
        finished: how many of them finished.
        model: what it came to; None before its end.
        evaluations: of that model; in a run that evaluates, of the one that it is about.
        others: evaluations of other models in this run, such as a member's own, by model.
        now_ms: log time.

    """

    run: Run
    status: Status
    why: str
    rounds: tuple[RoundCourse, ...]
    finished: int
    model: Digest | None
    evaluations: Counts
    others: Mapping[Digest, Counts]
    now_ms: int

    @property
    def members(self) -> tuple[MemberId, ...]:
        """Who joined, in order."""
        return tuple(sorted(self.run.keys))

    @property
    def failed(self) -> tuple[RoundCourse, ...]:
        """The rounds that failed."""
        return tuple(this for this in self.rounds if this.stage is Stage.FAILED)

    @property
    def owed(self) -> frozenset[MemberId]:
        """Who is in the last sum of a run that has finished, and has not evaluated its model yet."""
        if self.status is not Status.FINISHED or "metrics" not in self.run.plan.outputs or not self.rounds:
            return frozenset()
        parts = self.rounds[-1].parts
        return frozenset(member for member in parts if parts[member].is_summed).difference(self.evaluations)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come: no round, and no evaluation that is less than a round's time late."""
        if self.status is not Status.FINISHED:
            return self.status in {Status.CANCELLED, Status.HALTED}
        closed_ms = (self.rounds[-1].closed_ms if self.rounds else None) or 0
        return not self.owed or self.now_ms > closed_ms + self.run.plan.round_ms


def course_of(
    state: State, run: Digest, member: MemberId | None = None, own: Mapping[int, Figures] = _NOTHING
) -> Course:
    """The course of a run, as a log adds up to it.

    Args:
        state: what the log adds up to.
        run: statement id of the plan.
        member: whose zone looks.
        own: that zone's own figures by round, for what the plan does not let out.

    Raises:
        Missing: no such run was planned.

    """
    found = state.runs.plans.get(run)
    if found is None:
        raise Missing("run-missing", f"the log has no run {run[:12]}; `serai log` lists what it has")
    job = _job_of(state, found)
    model = final_model(state.rounds, job)
    judged = model_judged(found.plan, model)
    rounds = tuple(_round_course(state, job, this, member, own) for this in _rounds_of(state, run))
    evaluated = {key[1] for key in state.analytics.by_model if key[0] == run}
    return Course(
        run=found,
        status=status_of(state, found),
        why=divergence(state.rounds, run) or ("" if model else _standstill(found)),
        rounds=rounds,
        finished=finished_rounds(state.rounds, job),
        model=model,
        evaluations={} if judged is None else _counts(state, run, judged),
        others={other: _counts(state, run, other) for other in sorted(evaluated) if other != judged},
        now_ms=state.time_ms,
    )


def status_of(state: State, run: Run) -> Status:
    """Where a run is."""
    if divergence(state.rounds, run.id):
        return Status.HALTED
    if final_model(state.rounds, _job_of(state, run)) is not None:
        return Status.FINISHED  # to cancel a run that has ended changes nothing about it
    if run.cancelled is not None:
        return Status.CANCELLED
    return Status.RUNNING if run.id in state.rounds.runs else Status.PLANNED


def model_made(state: State, run: Run) -> Digest | None:
    """What a run came to, also where its agreement has ended since; None before its end, and where results differ."""
    return final_model(state.rounds, _job_of(state, run))


def mark_of(state: State, run: Run) -> str:
    """How far a run is: two marks of a run that has ended differ if there is more to say about it."""
    judged = model_judged(run.plan, model_made(state, run))
    evaluations = len(state.analytics.by_model.get((run.id, judged), ())) if judged else 0
    return f"run {run.id}: {status_of(state, run).value}, {evaluations} evaluations"


def figures_by_round(lines: Iterable[object]) -> dict[int, dict[str, int]]:
    """A zone's record of a run, by round; a round that was computed again counts as it was last.

    The record is a file that hands may have touched: what is no figure is left out.
    """
    read = [line for line in lines if isinstance(line, Mapping)]
    return {line["round"]: _figures(line) for line in read if isinstance(line.get("round"), int)}


def _figures(line: Mapping[str, object]) -> dict[str, int]:
    told = {name: line[name] for name in FIGURES.intersection(line)}
    return {name: value for name, value in told.items() if isinstance(value, int) and abs(value) <= MAX_INT}


def _job_of(state: State, run: Run) -> Job:
    """The run's job, also after it was cancelled or its agreement ended, when nothing more is computed under it."""
    job = Jobs(state, state.now).get(run.id)
    if job is None:
        job = job_of(RunsState(plans=Map({run.id: replace(run, cancelled=None)})), run.id)
    assert job is not None, "a run that is not cancelled has a job"
    return job


def _standstill(run: Run) -> str:
    """Who cancelled a run, or holds it, and why; empty while it may go on."""
    if run.cancelled is not None:
        return f"{run.cancelled.member} cancelled it: {run.cancelled.reason}"
    return "; ".join(f"{member} holds it: {frozen.reason}" for member, frozen in sorted(run.freezes.items()))


def _counts(state: State, run: Digest, model: Digest) -> dict[MemberId, Mapping[str, int]]:
    return {member: record.body.counts for member, record in evaluations_of(state.analytics, run, model).items()}


def _rounds_of(state: State, run: Digest) -> list[Round]:
    progress = state.rounds.runs.get(run)
    found = (find_round(state.rounds, run, number) for number in range(progress.opened if progress else 0))
    return [this for this in found if this is not None]


def _round_course(
    state: State, job: Job, this: Round, member: MemberId | None, own: Mapping[int, Figures]
) -> RoundCourse:
    stage = _stage(state, job, this)
    absent = _absent(this, stage)
    mine = own.get(this.body.number, {})
    return RoundCourse(
        number=this.body.number,
        stage=stage,
        parts={name: _part(this, name, mine if name == member else {}) for name in this.body.participants},
        absent=absent,
        why=_failure(job, this, absent) if stage is Stage.FAILED else "",
        opened=this.at,
        closed_ms=this.closed.at.time_ms if this.closed else None,
    )


def _stage(state: State, job: Job, this: Round) -> Stage:
    current = current_round(state.rounds, job.run)
    if current is not None and current.id == this.id:
        return stage_of(job, this, state.now)
    # Only a finished or a failed round is followed by another; see ``aggregation.state``.
    return Stage.FINISHED if this.is_released and not this.is_rejected else Stage.FAILED


def _absent(this: Round, stage: Stage) -> tuple[MemberId, ...]:
    everybody = frozenset(this.body.participants)
    if stage is Stage.FINISHED or this.is_rejected:
        return tuple(sorted(this.missing))
    if this.is_released:
        return tuple(sorted(everybody.difference(this.results)))
    return tuple(sorted(this.unreleased if this.closed else everybody.difference(this.uploads)))


def _failure(job: Job, this: Round, absent: tuple[MemberId, ...]) -> str:
    if this.is_rejected:
        objectors = sorted(member for member, result in this.results.items() if result.objects)
        return f"{', '.join(objectors)} object: on their held-back rows the sum spoilt the model"
    if this.closed is not None:
        return f"{', '.join(absent)} did not release in time"
    return f"{len(this.uploads)} of at least {fewest(job)} uploads came in time; none from {', '.join(absent)}"


def _part(this: Round, member: MemberId, mine: Figures) -> Part:
    upload, result = this.uploads.get(member), this.results.get(member)
    return Part(
        has_uploaded=upload is not None,
        is_summed=member in this.summed,
        has_released=member in this.releases or member in this.recovered,
        objects=result is not None and result.objects,
        sent_bytes=upload.body.size_bytes if upload else 0,
        figures={**mine, **(upload.body.figures if upload else {})},
    )
