"""What may be said about a round, and which article forbids the rest.

=========  ==========================================================================
sums 1     the statement names a round of a run that is in progress
sums 2     the run has not diverged (results are still heard, as evidence)
sums 3     a zone that opens or closes a round has joined the run
sums 4     open: rounds are left, and the number is the next
sums 5     open: the round before has finished or failed
sums 6     open: the model is the one the run has come to
sums 7     open: enough participants, in ascending order, all joined, and room in the ring;
           not so many that fewer than half could release for a lost one
sums 8     open: participants get at least the time that the plan gives them, and the steps
           that follow from what they said of their pace
sums 9     upload: the round is the run's current one and still open
sums 10    upload: by a participant, once, of the right size; with a deal of its seeds if,
           and only if, the run has a threshold; figures by known names, where the plan
           lets metrics out
sums 11    close: the round is the run's current one and still open; the first close wins
sums 12    close: exactly the uploads logged before it; nobody added, nobody left out
sums 13    close: enough uploads, and all of them or the deadline has passed; where the last
           round has a form of its own, the deadline counts twice
sums 14    open and close: no difference between sums from one model shows what few members sent
sums 15    release: of the current round's close, by a member in the sum, once, and not
           after others released for it
sums 16    release: one seed for each participant that is not in the sum, no other; the
           self seed that a deal committed to
sums 17    result: by a participant, once; an objection where the plan has a guard
sums 18    result: everybody in the sum has released, or others have for it
sums 19    recover: of the current round's close, by a member in the sum that has released
           for it, once for each lost member
sums 20    recover: of a member in the sum whose time to release is over and that has not
           released, once a threshold has; none of those who have not has left the agreement
sums 21    recover: shares, as dealt, of what that member's release would say, no other
=========  ==========================================================================

Article 14 is the differencing guard. A center may withhold the last release of
a round from the log, read that sum in private, and let the round fail. If the
next sum from the same model then lacked one member, the difference would be
that member's vector. So a new sum from a model has the same members as an
earlier one, or it is only the second and differs from the first by at least as
many members as a readable sum needs. (Three sets are too many, however far
apart: 123 + 145 - 2345 is twice what member 1 sent.)

Articles 16 and 21 keep the two kinds of seeds apart. Whoever knew a member's self
seed and its pair seeds with all honest members could read its vector. So nobody
shows a pair seed, or a share of one, with a member in the sum, and nobody shows
a self seed, or a share of one, of a member outside it. There is one close, so
no member is ever both. Article 19 lets only those show shares who have released
for that close: the release binds them to it, also in their own journal, should
a lying log later show them another close.

KNOWN GAP: article 14 looks within one run. Two runs of one recipe from one
model with rosters that differ by one member show that member's vector; who
votes for a second plan, or grants data to it, decides about that.
"""

from collections.abc import Mapping

from serai.aggregation.codec import is_wide_enough
from serai.aggregation.dealing import deal_bytes, find_fault
from serai.aggregation.job import Job
from serai.aggregation.masking import SEED_BYTES
from serai.aggregation.state import (
    Round,
    RoundsState,
    SaidInRound,
    Stage,
    agreed_model,
    close_from_ms,
    current_round,
    divergence,
    earlier_sums,
    fewest,
    find_closed,
    finished_rounds,
    lost_members,
    stage_of,
)
from serai.aggregation.statements import (
    FIGURES,
    Deal,
    RoundClose,
    RoundOpen,
    RoundRecover,
    RoundRelease,
    RoundResult,
    RoundStatement,
    RoundUpload,
)
from serai.kernel.ids import Digest, MemberId, digest_of
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
        return _judge_open(job.at(finished_rounds(rounds, job)), rounds, said.body, at)
    assert this is not None, "the run was found through its round"
    job = job.at(this.done)
    match said.body:
        case RoundUpload() as body:
            return _judge_upload(job, rounds, this, said.member, body)
        case RoundClose() as body:
            return _judge_close(job, rounds, this, body, at)
        case RoundRelease() as body:
            return _judge_release(job, rounds, this, said.member, body)
        case RoundRecover() as body:
            if not _is_current(rounds, job, this):
                return Denied("sums 19", f"round {this.body.number} has failed, a later one is open")
            return _judge_recover(this, lost_members(job, this, at), said.member, body)
        case RoundResult() as body:
            return _judge_result(job, this, said.member, body)


def find_participants(job: Job, rounds: RoundsState) -> tuple[MemberId, ...]:
    """For whom the next round may be opened: for all who joined, or else for the members of an earlier sum.

    Empty where that is nobody: too few are left, or every sum they could make would show what few members sent.
    """
    earlier = rounds.sums.get((job.run, agreed_model(rounds, job)), ())
    for members in (frozenset(job.keys), *earlier):
        may_sum = not _judge_difference(job, earlier, members)
        if members <= job.keys.keys() and len(members) >= fewest(job) and may_sum:
            return tuple(sorted(members))
    return ()


def _find_round(rounds: RoundsState, body: RoundStatement) -> Round | None:
    match body:
        case RoundOpen():
            return None
        case RoundUpload() | RoundClose():
            return rounds.rounds.get(body.open)
        case RoundRelease() | RoundRecover() | RoundResult():
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
    earlier = rounds.sums.get((job.run, model), ())
    if denied := _judge_difference(job, earlier, frozenset(body.participants)):
        return denied
    least_ms = job.least_ms or job.round_ms
    if body.deadline_ms < at.time_ms + least_ms:
        return Denied(
            "sums 8", f"the plan gives participants {least_ms} ms; set the deadline to {at.time_ms + least_ms} or later"
        )
    expected = {member: job.steps[member] for member in body.participants if job.steps}
    if dict(body.steps) != expected:
        return Denied(
            "sums 8", f"expected {_in_words(expected)} as the members' pace has it, got {_in_words(body.steps)}"
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
    if 0 < 2 * job.threshold <= len(participants):
        return Denied("sums 7", f"expected fewer than {2 * job.threshold} participants, twice the threshold")
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
    return _judge_figures(job, body.figures) or _judge_deal(job, len(this.body.participants), body.deal)


def _judge_figures(job: Job, figures: Mapping[str, int]) -> Denied | None:
    if figures and not job.has_figures:
        return Denied("sums 10", "the plan lets no metrics out, so an upload shows no figures")
    unknown = sorted(figures.keys() - FIGURES)
    if unknown:
        return Denied("sums 10", f"expected figures among {', '.join(sorted(FIGURES))}, got {unknown[0][:64]!r}")
    return None


def _judge_deal(job: Job, participants: int, deal: Deal | None) -> Verdict:
    if deal is None and not job.threshold:
        return GRANTED
    if deal is None:
        return Denied("sums 10", f"expected a deal of the seeds; the run has a threshold of {job.threshold}")
    if deal.threshold != job.threshold:
        return Denied("sums 10", f"the run's threshold is {job.threshold}, the deal's is {deal.threshold}")
    if deal.size_bytes != deal_bytes(participants):
        return Denied("sums 10", f"expected a deal of {deal_bytes(participants)} bytes, got {deal.size_bytes}")
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
    until_ms = close_from_ms(job, this)
    if len(logged) < len(this.body.participants) and at.time_ms < until_ms:
        waiting = sorted(set(this.body.participants) - logged.keys())
        return Denied("sums 13", f"{', '.join(waiting)} may still upload until {until_ms}")
    return _judge_difference(job, earlier_sums(rounds, this), frozenset(logged)) or GRANTED


def _judge_difference(job: Job, earlier: tuple[frozenset[MemberId], ...], summed: frozenset[MemberId]) -> Denied | None:
    if not earlier or summed in earlier:
        return None
    differ = len(earlier[0] ^ summed)
    if len(earlier) > 1 or differ < fewest(job):
        return Denied(
            "sums 14",
            f"sums of {len(earlier)} other sets of members were closed from this model, the first differs by {differ} "
            f"members; expected the same members, or a second set that differs by at least {fewest(job)}",
        )
    return None


def _judge_release(job: Job, rounds: RoundsState, this: Round, member: MemberId, body: RoundRelease) -> Verdict:
    if not _is_current(rounds, job, this):
        return Denied("sums 15", f"round {this.body.number} has failed, a later one is open")
    if member not in this.summed:
        return Denied("sums 15", f"{member} is not in the sum of round {this.body.number}")
    if member in this.releases:
        return Denied("sums 15", f"{member} has released for round {this.body.number}; once is all")
    if member in this.recovered:
        return Denied("sums 15", f"others have released for {member}, with the same seeds; its release adds nothing")
    if body.pair_seeds.keys() != this.missing:
        names = ", ".join(sorted(this.missing)) or "nobody"
        return Denied("sums 16", f"expected seeds shared with exactly {names}; any other could unmask a member")
    if any(len(seed) != SEED_BYTES for seed in (body.self_seed, *body.pair_seeds.values())):
        return Denied("sums 16", f"expected seeds of {SEED_BYTES} bytes")
    deal = this.uploads[member].body.deal
    if deal is not None and digest_of(body.self_seed) != deal.seed:
        return Denied("sums 16", f"{member} committed to another self seed when it uploaded")
    return GRANTED


def _judge_recover(this: Round, lost: frozenset[MemberId], giver: MemberId, body: RoundRecover) -> Verdict:
    if giver not in this.releases:
        return Denied("sums 19", f"{giver} has not released for round {this.body.number}; that comes first")
    if giver in this.shares.get(body.member, ()):
        return Denied("sums 19", f"{giver} has shown its shares of {body.member}'s release; once is all")
    if body.member not in lost:
        return Denied("sums 20", _why_not_lost(this, body.member))
    deal = this.uploads[body.member].body.deal
    owed = this.missing | {body.member}
    if deal is None or body.shares.keys() != owed:
        return Denied(
            "sums 21", f"expected shares for exactly {', '.join(sorted(owed))}; any other could unmask a member"
        )
    if fault := find_fault(deal, this.body.participants, giver, body):
        return Denied("sums 21", fault)
    return GRANTED


def _why_not_lost(this: Round, member: MemberId) -> str:
    if member not in this.summed:
        return f"{member} is not in the sum of round {this.body.number}; a share of its self seed could unmask it"
    if member not in this.unreleased:
        return f"the release of {member} is known; its shares are not needed"
    return (
        f"{member} may still release; or the round cannot be recovered, because the run has no threshold, "
        "fewer members have released, or one that has not has left the agreement"
    )


def _judge_result(job: Job, this: Round, member: MemberId, body: RoundResult) -> Verdict:
    if member not in this.body.participants:
        return Denied("sums 17", f"{member} is no participant of round {this.body.number}")
    if member in this.results:
        return Denied("sums 17", f"{member} has said its result of round {this.body.number}")
    if not this.is_released:
        waiting = sorted(this.unreleased)
        return Denied("sums 18", f"the sum is not readable before {', '.join(waiting)} release")
    if body.objects and not (job.is_guarded and member in this.summed):
        return Denied("sums 17", "expected no objection: the plan has no guard, or this member is not in the sum")
    return GRANTED


def _in_words(steps: Mapping[MemberId, int]) -> str:
    return ", ".join(f"{count} steps of {member}" for member, count in sorted(steps.items())) or "no steps"
