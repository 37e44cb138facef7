"""What a zone derived from its data is deleted after its days, and the log says so.

Theory of operation
-------------------
A run leaves models, vectors, memories, seeds, figures and a page in the zone. So
many days after its last word, ``retention_days`` of ``zone.toml``, they go. The
clock is the zone's own: a center that holds the log's time still keeps nothing
alive. A run that has not ended and in which nothing was said for that long, and
for at least a day, is over for this zone, for a promise that hangs on somebody
else's silence would be none.

That a run is to be forgotten is journalled before anything is deleted, and the
receipt is said after. A crash in between deletes again and then says it. A run
that was forgotten is never taken up again: its seeds would be drawn anew, and two
uploads of one vector under two seeds can be subtracted.

What was said and decided stays: it stands in the log, and keeps the zone from
saying otherwise. So does what a privacy budget has paid.
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from serai.agent import figures, reports
from serai.agent.airlock import path_of
from serai.agent.journal import alone
from serai.agent.mirror import View
from serai.agent.recovery import deal_topic
from serai.agent.zone import Zone
from serai.aggregation.state import Round, current_round, find_round
from serai.errors import Unavailable
from serai.kernel.ids import Digest
from serai.training.state import Run
from serai.zones.state import find_deletion
from serai.zones.statements import DataDeletion

_DAY_MS: Final = 86_400_000
_log = logging.getLogger(__name__)


class Retention:
    """Forgets runs in time. Used by one thread.

    Args:
        zone: the member's side of everything.

    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._done: set[Digest] = set()
        self._receipts: dict[Digest, DataDeletion] = {}  # of what is deleted and not yet said

    def has_forgotten(self, run: Digest) -> bool:
        """Whether a run's data were deleted here, or are just being deleted."""
        return run in self._done or self._zone.journal.decision(_topic(run)) is not None

    def due(self, view: View, over: Collection[Digest]) -> Iterator[Run]:
        """The runs whose time has come.

        Args:
            view: the log.
            over: runs in which nothing is left to do here.

        """
        days, now_ms = self._zone.settings.retention_days, self._zone.now_ms()
        if days is None:
            return
        for run in view.state.runs.plans.values():
            if self._zone.member not in run.keys or run.id in self._receipts or self._is_done(run.id, view):
                continue
            kept_days = days if run.id in over else max(days, 1)
            if now_ms >= _last_word_ms(view, run) + kept_days * _DAY_MS:
                yield run

    def _is_done(self, run: Digest, view: View) -> bool:
        if find_deletion(view.state.zones, run, self._zone.member) is not None:
            self._done.add(run)  # the receipt is said last
        return run in self._done

    def forget(self, run: Run, view: View) -> None:
        """Delete what a run derived from this zone's data; ``say`` says so.

        Raises:
            Unavailable: a file cannot be deleted.

        """
        zone, days = self._zone, self._zone.settings.retention_days
        assert days is not None, "only a zone with a limit forgets"
        zone.journal.decide(_topic(run.id), run.id)
        items = self._delete(run, view)
        offer = run.plan.offers[zone.member]
        self._receipts[run.id] = DataDeletion(offer=offer, run=run.id, kept_days=days, items=items)
        _log.info("what run %s derived from the data is deleted: %d items", run.id[:12], items)

    def say(self) -> None:
        """Say what was deleted.

        Raises:
            Unavailable: the center does not answer; call again when it does.

        """
        for run, receipt in tuple(self._receipts.items()):
            self._zone.say_once(f"deletion {run}", run, partial(replace, receipt))
            self._done.add(run)
            del self._receipts[run]

    def _delete(self, run: Run, view: View) -> int:
        zone, rounds = self._zone, tuple(_rounds(view, run))
        blobs = self._blobs(run, rounds) - self._needed(view)
        found = [blob for blob in blobs if zone.blobs.has(blob)]
        for blob in found:
            zone.blobs.delete(blob)
        zone.blobs.drop_spares()
        topics = [topic for this in rounds for topic in (this.id, deal_topic(this, run.keys))]
        return len(found) + self._delete_files(run) + zone.journal.forget(run.id, topics)

    def _delete_files(self, run: Run) -> int:
        home = self._zone.settings.home
        held = self._zone.journal.airlock.all()
        paths = [path_of(home, item.id) for item in held if item.run == run.id]
        paths += [home / figures.FOLDER / f"{run.id}.jsonl", home / reports.FOLDER / f"{run.id}.html"]
        found = [path for path in paths if path.exists()]
        try:
            for path in found:
                path.unlink()
        except OSError as error:
            raise Unavailable("retention-file", f"cannot delete {error.filename}: {error.strerror}") from error
        return len(found)

    def _blobs(self, run: Run, rounds: tuple[Round, ...]) -> set[Digest]:
        """Every blob that a run may have left in the store."""
        found = {this.body.model for this in rounds}
        for this in rounds:
            found |= {result.model for result in this.results.values()}
            if this.closed is not None:
                found.add(this.closed.body.masked_sum)
            if (upload := self._zone.journal.upload(this.id)) is not None:
                found |= {upload.blob, upload.memory}
        found |= {held.memory for held in self._zone.journal.airlock.all() if held.run == run.id}
        for name in (run.id, alone(run.id)):
            if (progress := self._zone.journal.progress(name)) is not None:
                found |= {progress.model, progress.memory, progress.base}
        return found - {Digest("")}

    def _needed(self, view: View) -> set[Digest]:
        """Blobs that runs which go on here may share with one that is forgotten."""
        zone, needed = self._zone, set[Digest]()
        for run in view.state.runs.plans.values():
            if zone.member in run.keys and not self.has_forgotten(run.id):
                needed |= {run.plan.initial, *map(Digest, run.plan.inputs.values())}
                needed |= self._blobs(run, tuple(_rounds(view, run)))
        return needed


def _topic(run: Digest) -> str:
    return f"forget {run}"


def _rounds(view: View, run: Run) -> Iterator[Round]:
    number = 0
    while (this := find_round(view.state.rounds, run.id, number)) is not None:
        yield this
        number += 1


def _last_word_ms(view: View, run: Run) -> int:
    """When something was said in a run last, as far as the log dates it."""
    this = current_round(view.state.rounds, run.id)
    said = [run.at]
    if this is not None:
        said += [this.at, *([this.closed.at] if this.closed else [])]
    if run.cancelled is not None:
        said.append(run.cancelled.at)
    return max(at.time_ms for at in said)
