"""When uploads come, on the center's own clock, and how long it waits for those that are late.

A plan may let rounds wait less than ``round_ms`` where members are usually
quicker. How long is the center's choice within the plan's limits: the median of
recent arrivals and four of their median absolute deviations (as for any
outlier), and half as much again as grace. A round that closed without somebody doubles the wait, up to ``round_ms``,
until everybody is in time again; so a member that has become slow is not shut
out by its own absence.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from serai.aggregation.job import Job
from serai.aggregation.state import Round
from serai.kernel.ids import Digest, MemberId

REMEMBERED: Final = 64  # arrivals; for four members the last sixteen rounds
_FEWEST: Final = 8
_DEVIATIONS: Final = 4
_GRACE: Final = 1.5


@dataclass(slots=True)
class _Record:
    """What is known of a run: its current round, and how long members took in the last ones."""

    round: Digest | None = None
    opened_ms: int = 0
    arrived: set[MemberId] = field(default_factory=set)
    waits_ms: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    doublings: int = 0
    counted: Digest | None = None


class Arrivals:
    """Watches the rounds of all runs. Used by one thread."""

    def __init__(self) -> None:
        self._runs: dict[Digest, _Record] = {}

    def watch(self, this: Round, now_ms: int) -> None:
        """Take note of who has uploaded; called whenever the log grew."""
        record = self._runs.setdefault(this.body.run, _Record())
        if record.round != this.id:
            record.round, record.opened_ms, record.arrived = this.id, now_ms, set()
        for member in set(this.uploads) - record.arrived:
            record.arrived.add(member)
            record.waits_ms.append(now_ms - record.opened_ms)

    def wait_ms(self, job: Job, before: Round | None) -> int:
        """How long the next round of a run waits for uploads, within its plan's limits."""
        record = self._runs.get(job.run)
        if not job.least_ms or record is None or before is None or len(record.waits_ms) < _FEWEST:
            return job.round_ms
        if record.counted != before.id:
            record.counted, record.doublings = before.id, record.doublings + 1 if before.missing else 0
        middle = median(record.waits_ms)
        deviation = median(abs(wait - middle) for wait in record.waits_ms)
        wait = int((middle + _DEVIATIONS * deviation) * _GRACE) << min(record.doublings, 40)
        return min(max(wait, job.least_ms), job.round_ms)

    def forget(self, run: Digest) -> None:
        """Let go of a run that is over."""
        self._runs.pop(run, None)
