"""The center's small part in a run: it opens rounds, adds blobs, closes rounds, and logs the time.

Theory of operation
-------------------
The coordinator holds no power and no memory. At each new head of the log it
replays, looks what is due, and says it with the operator's key; the fold then
judges that like anybody's statement, and any participant may say the same in
its place. After a crash it looks again and goes on.

Time is what members' cosignatures prove, so the coordinator cannot move it
either: when a deadline has passed on its own clock it logs the newest witnessed
checkpoint as a ``clock``; the entry makes the members cosign anew, and the next
``clock`` then carries a time beyond the deadline.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from serai.aggregation.codec import Codec
from serai.aggregation.exchange import ReadChunk, sum_chunks
from serai.aggregation.job import Job
from serai.aggregation.ring import CHUNK_VALUES
from serai.aggregation.state import (
    Round,
    Stage,
    agreed_model,
    close_from_ms,
    current_round,
    divergence,
    fewest,
    find_round,
    finished_rounds,
    stage_of,
)
from serai.aggregation.statements import RoundClose, RoundOpen
from serai.center.arrivals import Arrivals
from serai.center.replay import Replay
from serai.center.retention import ALL, Retention
from serai.center.sequencer import Sequencer
from serai.charter.state import next_deadline_ms
from serai.errors import SeraiError
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Signer
from serai.kernel.statement import Body, sign_body
from serai.ledger.note import parse_note
from serai.ledger.policy import count_members, median_time_ms
from serai.ledger.statements import Clock
from serai.state import Jobs, State
from serai.storage.blobs import BlobStore
from serai.training.state import Run, job_of

CLOCK_LAG_MS: Final = 60_000  # log time may lie so far behind the members' before a statement makes it catch up
_SECOND_MS: Final = 1000  # cosignatures count whole seconds, so a deadline is provable a second after it has passed
_SUBMIT_TIMEOUT_S: Final = 30.0
_RETRY_S: Final = 2.0  # pause after something that failed, unless there is news before
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What the coordinator works with.

    Attributes:
        log: the sequencer.
        blobs: where uploads lie and sums go.
        replay: the log's state.
        operator: signs for the center.
        now_ms: its clock, Unix milliseconds.
        threads: how many add uploads.
        keep_rounds: of how many rounds uploads are kept, see ``Retention``.

    """

    log: Sequencer
    blobs: BlobStore
    replay: Replay
    operator: Signer
    now_ms: Callable[[], int]
    threads: int = 1
    keep_rounds: int = ALL


class Coordinator:
    """Says what is due. ``step`` does it once; ``start`` keeps doing it in a thread of its own.

    Args:
        duty: what it works with.

    """

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._bell = threading.Event()
        self._stopped = False
        self._over: set[Digest] = set()
        self._arrivals = Arrivals()
        self._retention = Retention(duty.blobs, duty.keep_rounds)
        self._clocked = ""
        self._timed: tuple[str, int] = ("", 0)
        self._lacks_blobs = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Work whenever the log grows or a deadline passes, until ``stop``."""
        self._duty.log.subscribe(self._bell.set)
        self._thread = threading.Thread(target=self._run, name="coordinator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what was said stays said."""
        self._stopped = True
        self._bell.set()
        if self._thread is not None:
            self._thread.join()

    def step(self) -> list[bytes]:
        """Sign what is due now; the caller submits it."""
        state = self._duty.replay.current()
        if not state.charter.in_force:
            return []
        self._lacks_blobs = False
        due = [body for run in state.runs.plans.values() for body in self._due_in(run, state)]
        clock = self._due_clock(state)
        return [sign_body(body, self._duty.operator) for body in ([clock, *due] if clock else due)]

    def next_deadline_ms(self) -> int | None:
        """When to look again though nothing was said, Unix milliseconds; None if nothing waits."""
        state = self._duty.replay.current()
        return min(self._deadlines(state), default=None)

    def catch_up_clock(self) -> None:
        """Log the time if it lies far behind, so that a window opens at the time it is and not at a past one."""
        state = self._duty.replay.latest()
        time_ms = self._witnessed_ms()
        if state.charter.in_force and time_ms is not None and time_ms - state.time_ms > CLOCK_LAG_MS:
            self._duty.log.submit(sign_body(self._clock(), self._duty.operator))

    def _run(self) -> None:
        while not self._stopped:
            self._bell.clear()
            try:
                entries = self.step()
                for future in [self._duty.log.submit(entry) for entry in entries]:
                    future.result(_SUBMIT_TIMEOUT_S)
            except (SeraiError, OSError) as error:
                # Such as a full disk, which rings no bell when there is room again.
                _log.warning("the coordinator will try again: %s", error)
                self._bell.wait(_RETRY_S)
                continue
            deadline = self.next_deadline_ms()
            now_ms = self._duty.now_ms()
            wait_s = None if deadline is None else max(deadline + _SECOND_MS - now_ms, _SECOND_MS) / 1000
            # A blob that members bring to a successor rings no bell.
            self._bell.wait(_RETRY_S if self._lacks_blobs else wait_s)

    def _due_in(self, run: Run, state: State) -> Iterator[Body]:
        if run.id in self._over:
            return
        if run.cancelled or divergence(state.rounds, run.id):
            self._end(run.id)
            return
        job = Jobs(state, state.now).get(run.id)
        if job is None:
            return
        if finished_rounds(state.rounds, job) >= job.rounds:
            self._end(run.id)
            return
        this = current_round(state.rounds, run.id)
        if this is None:
            if _is_answered(run, state) and len(job.keys) >= fewest(job):
                yield self._opening(job, state, None)
            return
        self._arrivals.watch(this, self._duty.now_ms())
        self._retention.step(state.rounds, this)
        for last in (find_round(state.rounds, run.id, this.body.number - 1), this):
            self._mend(job, last)
        stage = stage_of(job, this, state.now)
        if stage in {Stage.FINISHED, Stage.FAILED} and len(job.keys) >= fewest(job):
            yield self._opening(job, state, this)
        elif stage is Stage.OPEN and _may_close(job, this, state) and self._has_uploads(this):
            yield self._closing(job.at(this.done), this)

    def _end(self, run: Digest) -> None:
        self._over.add(run)
        self._arrivals.forget(run)
        self._retention.forget(run)

    def _opening(self, job: Job, state: State, before: Round | None) -> RoundOpen:
        participants = tuple(sorted(job.keys))
        return RoundOpen(
            run=job.run,
            number=before.body.number + 1 if before else 0,
            model=agreed_model(state.rounds, job),
            participants=participants,
            deadline_ms=state.time_ms + self._arrivals.wait_ms(job, before),
            steps={member: job.steps[member] for member in participants if job.steps},
        )

    def _closing(self, job: Job, this: Round) -> RoundClose:
        return RoundClose(open=this.id, uploads=_summed(this), masked_sum=self._add_up(job, this))

    def _add_up(self, job: Job, this: Round) -> Digest:
        readers = [_reader(self._duty.blobs, job.codec, blob) for blob in _summed(this).values()]
        with self._duty.blobs.writer() as writer:
            for chunk in sum_chunks(job.codec, readers, self._duty.threads):
                writer.write(chunk)
            return writer.commit()

    def _mend(self, job: Job, this: Round | None) -> None:
        """Add up again what the center before this one had added up, for members that have not read it."""
        if this is None or this.closed is None or len(this.results) == len(this.body.participants):
            return
        if not self._duty.blobs.has(this.closed.body.masked_sum) and self._has_uploads(this):
            self._add_up(job.at(this.done), this)

    def _has_uploads(self, this: Round) -> bool:
        """Whether all uploads are here; a successor waits for the members to bring them."""
        is_here = all(self._duty.blobs.has(blob) for blob in _summed(this).values())
        self._lacks_blobs |= not is_here
        return is_here

    def _due_clock(self, state: State) -> Clock | None:
        """A clock if log time has not begun, or a deadline lies between it and now."""
        note = self._witnessed_note()
        if not note or note == self._clocked:
            return None
        passed = [time_ms for time_ms in self._deadlines(state) if time_ms + _SECOND_MS <= self._duty.now_ms()]
        if state.time_ms and not passed:
            return None
        self._clocked = note
        return self._clock()

    def _clock(self) -> Clock:
        return Clock(checkpoint=self._witnessed_note())

    def _deadlines(self, state: State) -> Iterator[int]:
        """Log times ahead at which something becomes due."""
        if (charter_ms := next_deadline_ms(state.charter, state.now)) is not None:
            yield charter_ms
        for run in state.runs.plans.values():
            job = job_of(state.runs, run.id)
            if run.id in self._over or job is None:
                continue
            this = current_round(state.rounds, run.id)
            if this is None:
                times = [run.at.time_ms + run.plan.round_ms]
            elif this.closed is None:
                times = [close_from_ms(job, this)]
            else:
                waits = [] if this.is_released else [1, 2] if run.plan.threshold else [1]
                times = [this.closed.at.time_ms + wait * run.plan.round_ms for wait in waits]
            yield from (time_ms for time_ms in times if time_ms > state.time_ms)

    def _witnessed_note(self) -> str:
        head = self._duty.log.witnessed()
        return head.note if head else ""

    def _witnessed_ms(self) -> int | None:
        note = self._witnessed_note()
        if not note:
            return None
        if note != self._timed[0]:  # a signature of each member to verify, and every submission asks
            times = count_members(parse_note(note), self._duty.replay.witnesses().keys).values()
            self._timed = (note, median_time_ms(times))
        return self._timed[1]


def _summed(this: Round) -> dict[MemberId, Digest]:
    """The uploads in a round's sum; before the close, all there are."""
    if this.closed is not None:
        return {MemberId(member): blob for member, blob in sorted(this.closed.body.uploads.items())}
    return {member: this.uploads[member].body.blob for member in sorted(this.uploads)}


def _reader(blobs: BlobStore, codec: Codec, blob: Digest) -> ReadChunk:
    """Chunks of a blob, in any order and from any thread."""
    size = codec.ring.packed_bytes(CHUNK_VALUES)
    return lambda number: blobs.read_range(blob, number * size, size)


def _is_answered(run: Run, state: State) -> bool:
    """Whether every invited zone has joined or declined, or had its time to."""
    waiting = set(run.plan.offers) - set(run.keys) - set(run.declines)
    return not waiting or state.time_ms >= run.at.time_ms + run.plan.round_ms


def _may_close(job: Job, this: Round, state: State) -> bool:
    if len(this.uploads) == len(this.body.participants):
        return True
    return len(this.uploads) >= fewest(job) and state.time_ms >= close_from_ms(job, this)
