"""The rounds of every run, as the log tells them, and what they add up to.

A round is *open* while uploads arrive, *closed* once it is fixed whose uploads
count, *released* once all of those have released, so that the sum is readable,
and *finished* once enough participants have computed the same model from it and
none another. It has *failed* when its deadline passed with too few uploads, or
when somebody in the sum did not release in time; latecomers may still complete
it, until the run tries again from the same model under the next number. It has
failed as well when more than half of the members in the sum object to the model
it made: the next round starts from the model before.

In the resilient profile a member that did not release in time is *lost*, and
the others have as long again to show shares of its release. Once a threshold of
them has, its release is *recovered*, and counts as if it had said it. Should it
return before that, its own release counts; after that, the rules take it no
more: the seeds that it could name are the ones it committed to, which are known
already. Two
results of one round that differ halt the run: it has *diverged*, and the audit
tells who errs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias, assert_never

from immutables import Map

from serai.aggregation.dealing import recover_release
from serai.aggregation.job import Job
from serai.aggregation.masking import Mask, Release, leftover_masks
from serai.aggregation.statements import (
    RoundClose,
    RoundOpen,
    RoundRecover,
    RoundRelease,
    RoundResult,
    RoundStatement,
    RoundUpload,
)
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Said
from serai.kernel.units import Instant

SaidInRound: TypeAlias = Said[RoundStatement]


class Stage(StrEnum):
    """How far a round has come."""

    OPEN = "open"
    CLOSED = "closed"
    RELEASED = "released"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A participant's upload and the id of the statement that announced it."""

    id: Digest
    body: RoundUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The close of a round, its statement id and when it was said."""

    id: Digest
    body: RoundClose
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round.

    Attributes:
        id: statement id of its ``round.open``.
        salt: leaf hash of that entry, which keys the masks.
        body: what was opened.
        at: when it was opened.
        done: how many rounds of the run had finished before.
        uploads: by participant.
        closed: set once.
        releases: by member in the sum.
        shares: what was shown of each lost member's release, by that member and by who showed it.
        recovered: releases of lost members that came out of such shares.
        results: by participant.

    """

    id: Digest
    salt: Digest
    body: RoundOpen
    at: Instant
    done: int = 0
    uploads: Map[MemberId, Upload] = field(default_factory=Map)
    closed: Closed | None = None
    releases: Map[MemberId, RoundRelease] = field(default_factory=Map)
    shares: Map[MemberId, Map[MemberId, RoundRecover]] = field(default_factory=Map)
    recovered: Map[MemberId, Release] = field(default_factory=Map)
    results: Map[MemberId, RoundResult] = field(default_factory=Map)

    @property
    def summed(self) -> frozenset[MemberId]:
        """The members in the sum; none before the close."""
        return frozenset(self.closed.body.uploads) if self.closed else frozenset()

    @property
    def missing(self) -> frozenset[MemberId]:
        """After the close, the participants that are not in the sum."""
        return frozenset(self.body.participants) - self.summed if self.closed else frozenset()

    @property
    def unreleased(self) -> frozenset[MemberId]:
        """The members in the sum whose release is neither said nor recovered."""
        return self.summed.difference(self.releases, self.recovered)

    @property
    def is_released(self) -> bool:
        """Whether the releases of all in the sum are known, so that anyone can read it."""
        if self.closed is None:
            return False
        return len(self.releases) + len(self.recovered) == len(self.closed.body.uploads)

    @property
    def is_rejected(self) -> bool:
        """Whether more than half of the members in the sum object to what it made of the model."""
        return 2 * sum(self.results[member].objects for member in self.summed.intersection(self.results)) > len(
            self.summed
        )

    @property
    def masks(self) -> tuple[Mask, ...]:
        """What makes the masked sum readable, as far as it has been released."""
        said = {member: Release(body.self_seed, body.pair_seeds) for member, body in self.releases.items()}
        return leftover_masks({**said, **self.recovered})


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        current: the round opened last.
        opened: how many rounds were opened.
        finished: how many of those before the current one finished.
        diverged: the first round in which two participants disagreed about the result.

    """

    current: Digest
    opened: int
    finished: int
    diverged: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsState:
    """All rounds of all runs.

    Attributes:
        rounds: by the id of their open.
        closes: the round of each close, by statement id.
        runs: where each run stands, by run id.
        numbers: rounds by run and number.
        sums: the distinct sets of members that were ever closed over, by run and the model they started from.

    """

    rounds: Map[Digest, Round] = field(default_factory=Map)
    closes: Map[Digest, Digest] = field(default_factory=Map)
    runs: Map[Digest, Progress] = field(default_factory=Map)
    numbers: Map[tuple[Digest, int], Digest] = field(default_factory=Map)
    sums: Map[tuple[Digest, Digest], tuple[frozenset[MemberId], ...]] = field(default_factory=Map)


def apply(rounds: RoundsState, said: SaidInRound, at: Instant) -> RoundsState:
    """The state after a statement that the rules have granted."""
    match said.body:
        case RoundOpen() as body:
            return _with_open(rounds, said, body, at)
        case RoundUpload() as body:
            this = rounds.rounds[body.open]
            uploads = this.uploads.set(said.member, Upload(id=said.id, body=body))
            return _with_round(rounds, replace(this, uploads=uploads))
        case RoundClose() as body:
            return _with_close(rounds, said.id, body, at)
        case RoundRelease() as body:
            this = rounds.rounds[rounds.closes[body.close]]
            return _with_round(rounds, replace(this, releases=this.releases.set(said.member, body)))
        case RoundRecover() as body:
            return _with_shares(rounds, said.member, body)
        case RoundResult() as body:
            return _with_result(rounds, said.member, body)
        case _ as unknown:
            assert_never(unknown)


def share_of(steps: Mapping[MemberId, int], members: Collection[MemberId]) -> float:
    """For how many average participants some of them count, by their local steps; the same bits everywhere."""
    return float(Fraction(sum(steps[member] for member in members) * len(steps), sum(steps.values())))


def find_round(rounds: RoundsState, run: Digest, number: int) -> Round | None:
    """A round by its run and number."""
    opened = rounds.numbers.get((run, number))
    return rounds.rounds[opened] if opened else None


def find_closed(rounds: RoundsState, close: Digest) -> Round | None:
    """A round by the statement id of its close."""
    opened = rounds.closes.get(close)
    return rounds.rounds[opened] if opened else None


def current_round(rounds: RoundsState, run: Digest) -> Round | None:
    """The round of a run that was opened last."""
    progress = rounds.runs.get(run)
    return rounds.rounds[progress.current] if progress else None


def earlier_sums(rounds: RoundsState, this: Round) -> tuple[frozenset[MemberId], ...]:
    """The distinct sets of members that earlier rounds of the run summed from the same model."""
    return rounds.sums.get((this.body.run, this.body.model), ())


def fewest(job: Job) -> int:
    """The fewest members whose sum may become readable; the sum of one member is no secret."""
    return max(job.minimum, 2)


def stage_of(job: Job, this: Round, at: Instant) -> Stage:
    """How far a round has come by log time ``at``."""
    if this.is_released:
        return Stage.FAILED if this.is_rejected else Stage.FINISHED if _agreed(job, this) else Stage.RELEASED
    if this.closed is not None:
        overdue = at.time_ms >= this.closed.at.time_ms + job.round_ms * (2 if _is_recoverable(job, this) else 1)
        return Stage.FAILED if overdue else Stage.CLOSED
    overdue = at.time_ms >= close_from_ms(job, this)
    return Stage.FAILED if overdue and len(this.uploads) < fewest(job) else Stage.OPEN


def close_from_ms(job: Job, this: Round) -> int:
    """Log time from which a round may close without those still missing.

    A last round with a form of its own is what gets released: it waits as long again.
    """
    is_final = job.last is not None and job.is_last(this.done)
    return this.body.deadline_ms + (job.round_ms if is_final else 0)


def lost_members(job: Job, this: Round, at: Instant) -> frozenset[MemberId]:
    """The members in the sum for which the others may release now.

    Their time to release is over. Nobody counts as lost, so no share is shown, in a
    round that would stay unreadable: where fewer than a threshold have released, or
    where one of the others has left the agreement and taken its consent along.
    """
    if this.closed is None or at.time_ms < this.closed.at.time_ms + job.round_ms or not _is_recoverable(job, this):
        return frozenset()
    return this.unreleased


def agreed_model(rounds: RoundsState, job: Job) -> Digest:
    """The model a run has come to: that of the last finished round, or the one it began with."""
    this = current_round(rounds, job.run)
    if this is None:
        return job.initial
    return _agreed(job, this) or this.body.model


def finished_rounds(rounds: RoundsState, job: Job) -> int:
    """How many rounds of a run have finished."""
    this = current_round(rounds, job.run)
    return 0 if this is None else rounds.runs[job.run].finished + (_agreed(job, this) is not None)


def final_model(rounds: RoundsState, job: Job) -> Digest | None:
    """The model a run ended with: all its rounds have finished and nobody disagrees."""
    if divergence(rounds, job.run) or finished_rounds(rounds, job) < job.rounds:
        return None
    return agreed_model(rounds, job)


def divergence(rounds: RoundsState, run: Digest) -> str | None:
    """Why a run has halted, if participants disagreed about a result: who computed what."""
    progress = rounds.runs.get(run)
    if progress is None or progress.diverged is None:
        return None
    this = rounds.rounds[progress.diverged]
    said = "; ".join(f"{member}: {this.results[member].model[:12]}" for member in sorted(this.results))
    return f"the results of round {this.body.number} differ ({said})"


def _agreed(job: Job, this: Round) -> Digest | None:
    """The model that a round came to; where members may object, once half of those in the sum do not."""
    results = {(result.total, result.model) for result in this.results.values()}
    if len(results) != 1 or len(this.results) < fewest(job):
        return None
    if job.is_guarded:
        content = sum(not this.results[member].objects for member in this.summed.intersection(this.results))
        if 2 * content < len(this.summed):  # so that no round is both finished and rejected
            return None
    return results.pop()[1]


def _is_recoverable(job: Job, this: Round) -> bool:
    """Whether those who have released can release for all who have not."""
    return job.threshold > 0 and len(this.releases) >= job.threshold and this.unreleased <= job.keys.keys()


def _with_round(rounds: RoundsState, this: Round) -> RoundsState:
    return replace(rounds, rounds=rounds.rounds.set(this.id, this))


def _with_open(rounds: RoundsState, said: SaidInRound, body: RoundOpen, at: Instant) -> RoundsState:
    progress = rounds.runs.get(body.run)
    if progress is None:
        progress = Progress(current=said.id, opened=1, finished=0)
    else:
        previous = rounds.rounds[progress.current]
        # The rules let a round follow only a finished or a failed one, and a released one fails only by rejection.
        finished = progress.finished + (previous.is_released and not previous.is_rejected)
        progress = replace(progress, current=said.id, opened=progress.opened + 1, finished=finished)
    return replace(
        rounds,
        rounds=rounds.rounds.set(said.id, Round(id=said.id, salt=said.leaf, body=body, at=at, done=progress.finished)),
        runs=rounds.runs.set(body.run, progress),
        numbers=rounds.numbers.set((body.run, body.number), said.id),
    )


def _with_close(rounds: RoundsState, close: Digest, body: RoundClose, at: Instant) -> RoundsState:
    this = replace(rounds.rounds[body.open], closed=Closed(id=close, body=body, at=at))
    start = (this.body.run, this.body.model)
    earlier = earlier_sums(rounds, this)
    sums = rounds.sums if this.summed in earlier else rounds.sums.set(start, (*earlier, this.summed))
    return replace(_with_round(rounds, this), closes=rounds.closes.set(close, this.id), sums=sums)


def _with_shares(rounds: RoundsState, giver: MemberId, body: RoundRecover) -> RoundsState:
    this = rounds.rounds[rounds.closes[body.close]]
    given = this.shares.get(body.member, Map()).set(giver, body)
    this = replace(this, shares=this.shares.set(body.member, given))
    deal = this.uploads[body.member].body.deal
    assert deal is not None, "the rules ask for one"
    release = recover_release(deal, this.body.participants, given)
    if release is not None:
        this = replace(this, recovered=this.recovered.set(body.member, release))
    return _with_round(rounds, this)


def _with_result(rounds: RoundsState, member: MemberId, body: RoundResult) -> RoundsState:
    before = rounds.rounds[rounds.closes[body.close]]
    this = replace(before, results=before.results.set(member, body))
    rounds = _with_round(rounds, this)
    progress = rounds.runs[this.body.run]
    differs = any((result.total, result.model) != (body.total, body.model) for result in before.results.values())
    if differs and progress.diverged is None:
        rounds = replace(rounds, runs=rounds.runs.set(this.body.run, replace(progress, diverged=this.id)))
    return rounds
