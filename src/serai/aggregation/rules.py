"""What may be said about a round, and which article forbids the rest.

=========  ==========================================================================
sums 1     the statement names a round of a run that is in progress
sums 2     the run has not diverged (results are still heard, as evidence)
sums 3     a zone that opens or closes a round has joined the run
sums 4     open: rounds are left, and the number is the next
sums 5     open: the round before has finished or failed
sums 6     open: the model is the one the run has come to
sums 7     open: enough participants, in ascending order, all joined, and room in the ring
sums 8     open: participants get the whole time that the plan gives them
sums 9     upload: the round is the run's current one and still open
sums 10    upload: by a participant, once, of the right size
sums 11    close: the round is the run's current one and still open; the first close wins
sums 12    close: exactly the uploads logged before it; nobody added, nobody left out
sums 13    close: enough uploads, and all of them or the deadline has passed
sums 14    close: no difference between sums from one model shows what few members sent
sums 15    release: of the current round's close, by a member in the sum, once
sums 16    release: one seed for each participant that is not in the sum, no other
sums 17    result: by a participant, once
sums 18    result: everybody in the sum has released
=========  ==========================================================================

Article 14 is the differencing guard. A center may withhold the last release of
a round from the log, read that sum in private, and let the round fail. If the
next sum from the same model then lacked one member, the difference would be
that member's vector. So a new sum from a model has the same members as an
earlier one, or it is only the second and differs from the first by at least as
many members as a readable sum needs. (Three sets are too many, however far
apart: 123 + 145 - 2345 is twice what member 1 sent.)

KNOWN GAP: article 14 looks within one run. Two runs of one recipe from one
model with rosters that differ by one member show that member's vector; who
votes for a second plan, or grants data to it, decides about that.
"""

from collections.abc import Mapping

from serai.aggregation.codec import is_wide_enough
from serai.aggregation.job import Job
from serai.aggregation.masking import SEED_BYTES
from serai.aggregation.state import (
    Round,
    RoundsState,
    SaidInRound,
    Stage,
    agreed_model,
    current_round,
    divergence,
    earlier_sums,
    fewest,
    find_closed,
    finished_rounds,
    stage_of,
)
from serai.aggregation.statements import (
    RoundClose,
    RoundOpen,
    RoundRelease,
    RoundResult,
    RoundStatement,
    RoundUpload,
)
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict


def judge(jobs: Mapping[Digest, Job], rounds: RoundsState, said: SaidInRound, at: Instant) -> Verdict:
    """Whether a statement about a round may be said at ``at``.

    Args:
        jobs: the runs in progress, by run id.
        rounds: the rounds before the statement.
        said: the statement.
        at: its place in the log, and log time.

    """
    this = _find_round(rounds, said.body)
    run = said.body.run if isinstance(said.body, RoundOpen) else this.body.run if this else None
    job = jobs.get(run) if run else None
    if job is None:
        return Denied("sums 1", "expected a round of a run in progress; there is none by that id")
    if not isinstance(said.body, RoundResult) and (reason := divergence(rounds, job.run)):
        return Denied("sums 2", f"the run has halted: {reason}; audit that round")
    leads = isinstance(said.body, RoundOpen | RoundClose)
    if leads and said.role == Role.ZONE and said.member not in job.keys:
        return Denied("sums 3", f"{said.member} has not joined the run, so it opens and closes no rounds of it")
    if isinstance(said.body, RoundOpen):
        return _judge_open(job, rounds, said.body, at)
    assert this is not None, "the run was found through its round"
    match said.body:
        case RoundUpload() as body:
            return _judge_upload(job, rounds, this, said.member, body)
        case RoundClose() as body:
            return _judge_close(job, rounds, this, body, at)
        case RoundRelease() as body:
            return _judge_release(job, rounds, this, said.member, body)
        case RoundResult():
            return _judge_result(this, said.member)


def _find_round(rounds: RoundsState, body: RoundStatement) -> Round | None:
    match body:
        case RoundOpen():
            return None
        case RoundUpload() | RoundClose():
            return rounds.rounds.get(body.open)
        case RoundRelease() | RoundResult():
            return find_closed(rounds, body.close)


def _judge_open(job: Job, rounds: RoundsState, body: RoundOpen, at: Instant) -> Verdict:
    progress = rounds.runs.get(job.run)
    if finished_rounds(rounds, job) >= job.rounds:
        return Denied("sums 4", f"all {job.rounds} rounds of the run have finished")
    number = progress.opened if progress else 0
    if body.number != number:
        return Denied("sums 4", f"expected round number {number}, got {body.number}")
    previous = current_round(rounds, job.run)
    if previous and (stage := stage_of(job, previous, at)) not in {Stage.FINISHED, Stage.FAILED}:
        return Denied("sums 5", f"round {previous.body.number} is {stage}; wait until it has finished or failed")
    model = agreed_model(rounds, job)
    if body.model != model:
        return Denied("sums 6", f"the run has come to model {model[:12]}, not {body.model[:12]}")
    if denied := _judge_participants(job, body.participants):
        return denied
    if body.deadline_ms < at.time_ms + job.round_ms:
        return Denied(
            "sums 8", f"the plan gives participants {job.round_ms} ms; set the deadline to {at.time_ms + job.round_ms}"
        )
    return GRANTED


def _judge_participants(job: Job, participants: tuple[MemberId, ...]) -> Denied | None:
    if list(participants) != sorted(set(participants)):
        return Denied("sums 7", "expected each participant once, in ascending order")
    strangers = [member for member in participants if member not in job.keys]
    if strangers:
        return Denied("sums 7", f"{', '.join(strangers)} did not join the run")
    if len(participants) < fewest(job):
        return Denied("sums 7", f"expected at least {fewest(job)} participants, got {len(participants)}")
    if not is_wide_enough(job.codec, len(participants)):
        return Denied("sums 7", f"the sum of {len(participants)} vectors could wrap around in {job.codec.bits} bits")
    return None


def _is_current(rounds: RoundsState, job: Job, this: Round) -> bool:
    return rounds.runs[job.run].current == this.id


def _judge_upload(job: Job, rounds: RoundsState, this: Round, member: MemberId, body: RoundUpload) -> Verdict:
    if not _is_current(rounds, job, this) or this.closed:
        return Denied("sums 9", f"round {this.body.number} takes no more uploads")
    if member not in this.body.participants:
        return Denied("sums 10", f"{member} is no participant of round {this.body.number}")
    if member in this.uploads:
        return Denied("sums 10", f"{member} has uploaded {this.uploads[member].body.blob[:12]}; a round takes one")
    if body.size_bytes != job.codec.upload_bytes:
        return Denied("sums 10", f"expected {job.codec.upload_bytes} bytes, got {body.size_bytes}")
    return GRANTED


def _judge_close(job: Job, rounds: RoundsState, this: Round, body: RoundClose, at: Instant) -> Verdict:
    if this.closed:
        return Denied(
            "sums 11", f"round {this.body.number} was closed at entry {this.closed.at.index}; the first close wins"
        )
    if not _is_current(rounds, job, this):
        return Denied("sums 11", f"round {this.body.number} has failed, a later one is open")
    logged = {member: upload.body.blob for member, upload in this.uploads.items()}
    if dict(body.uploads) != logged:
        wrong = sorted(m for m in logged.keys() | body.uploads.keys() if logged.get(m) != body.uploads.get(m))
        return Denied("sums 12", f"the uploads of {', '.join(wrong)} are not as the log has them")
    if len(logged) < fewest(job):
        return Denied("sums 13", f"expected at least {fewest(job)} uploads, got {len(logged)}")
    if len(logged) < len(this.body.participants) and at.time_ms < this.body.deadline_ms:
        waiting = sorted(set(this.body.participants) - logged.keys())
        return Denied("sums 13", f"{', '.join(waiting)} may still upload until {this.body.deadline_ms}")
    return _judge_difference(job, earlier_sums(rounds, this), frozenset(logged))


def _judge_difference(job: Job, earlier: tuple[frozenset[MemberId], ...], summed: frozenset[MemberId]) -> Verdict:
    if not earlier or summed in earlier:
        return GRANTED
    differ = len(earlier[0] ^ summed)
    if len(earlier) > 1 or differ < fewest(job):
        return Denied(
            "sums 14",
            f"sums of {len(earlier)} other sets of members were closed from this model, the first differs by {differ} "
            f"members; expected the same members, or a second set that differs by at least {fewest(job)}",
        )
    return GRANTED


def _judge_release(job: Job, rounds: RoundsState, this: Round, member: MemberId, body: RoundRelease) -> Verdict:
    if not _is_current(rounds, job, this):
        return Denied("sums 15", f"round {this.body.number} has failed, a later one is open")
    if member not in this.summed:
        return Denied("sums 15", f"{member} is not in the sum of round {this.body.number}")
    if member in this.releases:
        return Denied("sums 15", f"{member} has released for round {this.body.number}; once is all")
    if body.pair_seeds.keys() != this.missing:
        names = ", ".join(sorted(this.missing)) or "nobody"
        return Denied("sums 16", f"expected seeds shared with exactly {names}; any other could unmask a member")
    if any(len(seed) != SEED_BYTES for seed in (body.self_seed, *body.pair_seeds.values())):
        return Denied("sums 16", f"expected seeds of {SEED_BYTES} bytes")
    return GRANTED


def _judge_result(this: Round, member: MemberId) -> Verdict:
    if member not in this.body.participants:
        return Denied("sums 17", f"{member} is no participant of round {this.body.number}")
    if member in this.results:
        return Denied("sums 17", f"{member} has said its result of round {this.body.number}")
    if not this.is_released:
        waiting = sorted(this.summed.difference(this.releases))
        return Denied("sums 18", f"the sum is not readable before {', '.join(waiting)} release")
    return GRANTED
