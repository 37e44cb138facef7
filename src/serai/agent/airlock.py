"""The airlock of a zone: what is unusual about an output waits here, in the zone's home, until its steward has looked.

Theory of operation
-------------------
The gate has let the output out; the airlock asks whether a person is to look first.
Where no term of the policy asks for that, nothing is measured and nothing waits.
Else a vector is copied into the zone's home while it is measured, and what leaves is
that copy: a program that goes on writing into what it answered changes nothing.

What waits is neither masked nor sent. Other runs go on. If nobody decides before
the round closes, it closes without this member, as if its machine had been away.

A crash leaves, in the order of what is written:

=====================================  =============================================
written last                           what happens then
=====================================  =============================================
the copy of a vector                   it is computed and copied again
that it waits                          it waits
the decision                           it is carried out
that it passes                         a copy that a steward released is masked; what
                                       needed no look is computed and judged again
the masked upload                      it is sent as it lies there; the copy goes
=====================================  =============================================
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from serai.agent.held import COUNTS, EXPIRED, REJECTED, RELEASED, VECTOR, WAITING, Held, Passed
from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.aggregation.codec import Codec, Source
from serai.aggregation.measuring import Measuring, distinct_cells
from serai.aggregation.state import Round
from serai.errors import Conflict, Refused
from serai.kernel.canonical import canonical
from serai.kernel.ids import Digest
from serai.storage.disk import no_room_explained
from serai.training.methods import Data, Vector
from serai.training.state import Run
from serai.zones.airlock import Airlock, Past, VectorFacts, judge_counts, judge_vector

FOLDER: Final = "airlock"
ARTICLE: Final = "egress 5"
_PIECE: Final = 2**18  # values copied and measured at a time
_RANKS: Final = {mode.value: rank for rank, mode in enumerate(Airlock)}


@dataclass(frozen=True, slots=True)
class Passage:
    """A run's way out of this zone.

    Attributes:
        zone: the member's side of everything.
        run: whose outputs come by.
        mode: which of them a steward looks at; None if no term asks for it.

    """

    zone: Zone
    run: Run
    mode: Airlock | None

    def find_vector(self, this: Round) -> tuple[Source, Digest] | None:
        """The vector of a round that the steward has released, and the memory that goes with it; None if none came yet.

        Raises:
            Refused: it waits, or the steward has rejected it.

        """
        held = self.zone.journal.airlock.of(this.id, VECTOR)
        if held is None or held.decision == EXPIRED or self._is_asked_no_more(held):
            return None
        _check(held)
        vector = _read(self.zone.settings.home, held)
        if vector is None or not self.zone.blobs.has(held.memory):
            return None  # a crash bent the copy; it is made again, and looked at again if it has become another
        self._let_pass(VECTOR, this.id, held.facts, held.id)
        return vector, held.memory

    def pass_vector(self, this: Round, codec: Codec, vector: Source, data: Data, memory: Digest) -> Source:
        """The vector to mask: the one that was made, as it was measured.

        Args:
            this: the round.
            codec: the plan's for the round.
            vector: what the program made.
            data: the rows behind it.
            memory: under which digest lies what the recipe keeps once the vector counts.

        Raises:
            Refused: a steward has to look at it first; or has, and rejected it.
            Unavailable: the disk is full.

        """
        if self.mode is None:
            return vector
        home, queue = self.zone.settings.home, self.zone.journal.airlock
        facts, digest = _copy(home, self.run.id, codec, vector, data)
        why = judge_vector(self.mode, facts, self._past(this))
        held = Held(
            id=digest,
            kind=VECTOR,
            run=self.run.id,
            about=this.id,
            why=why,
            facts=asdict(facts),
            dtype=str(vector.dtype),
            memory=memory,
            since_ms=self.zone.now_ms(),
            until_ms=this.body.deadline_ms,
        )
        if why:
            queue.hold(held)
            _check(queue.find(digest) or held)
        self._let_pass(VECTOR, this.id, held.facts, digest if why else "")
        copied = _read(home, held)
        assert copied is not None, "it was written a moment ago"
        return copied

    def check_seen(self, this: Round) -> None:
        """Ask whether a vector that was masked before has passed an airlock as strict as the one there is now.

        Raises:
            Refused: it has not, and cannot be looked at any more.

        """
        if self.mode is None:
            return
        passed = self.zone.journal.airlock.passed(this.id, VECTOR)
        if passed is None or (not passed.item and _RANKS[passed.mode] < _RANKS[self.mode]):
            raise Refused(
                "airlock-unseen",
                f"the vector of round {this.body.number} was masked before a term asked to look at such first;"
                " this zone sits the round out",
                ARTICLE,
            )

    def find_counts(self, model: Digest) -> Mapping[str, int] | None:
        """Counts about a model that the steward has released; None if none came yet.

        Raises:
            Refused: they wait, or the steward has rejected them.

        """
        held = self.zone.journal.airlock.of(model, COUNTS)
        if held is None or held.run != self.run.id or self._is_asked_no_more(held):
            return None
        _check(held)
        self._let_pass(COUNTS, model, held.facts, held.id)
        return held.facts

    def has_rejected_counts(self, model: Digest) -> bool:
        """Whether the steward has rejected this run's counts about a model."""
        held = self.zone.journal.airlock.of(model, COUNTS)
        return held is not None and held.run == self.run.id and held.decision == REJECTED

    def pass_counts(self, model: Digest, counts: Mapping[str, int]) -> None:
        """Let counts pass that nobody has to look at.

        Raises:
            Refused: a steward has to look at them first; or has, and rejected them.

        """
        if self.mode is None:
            return
        queue = self.zone.journal.airlock
        earlier = queue.recent(self.run.plan.code, COUNTS, model)
        why = judge_counts(self.mode, counts, Past(counts=[one.facts for one in earlier]))
        digest = Digest(hashlib.sha256(_head(self.run.id, COUNTS) + canonical(dict(counts))).hexdigest())
        if why:
            now_ms = self.zone.now_ms()
            held = Held(
                id=digest, kind=COUNTS, run=self.run.id, about=model, why=why, facts=counts, since_ms=now_ms, until_ms=0
            )
            queue.hold(held)
            _check(queue.find(digest) or held)
        self._let_pass(COUNTS, model, counts, digest if why else "")

    def _is_asked_no_more(self, held: Held) -> bool:
        return self.mode is None and held.decision == WAITING

    def _past(self, this: Round) -> Past:
        queue, code = self.zone.journal.airlock, self.run.plan.code
        recent = queue.recent(code, VECTOR, this.id)
        own = [one for one in recent if one.run == self.run.id]
        return Past(
            vectors=[VectorFacts(**one.facts) for one in own or recent],
            sent=queue.count(self.run.id, this.id),
            planned=self.run.plan.rounds,
        )

    def _let_pass(self, kind: str, about: Digest, facts: Mapping[str, int], item: str) -> None:
        run, mode = self.run, self.mode.value if self.mode else Airlock.FIRST.value
        self.zone.journal.airlock.let_pass(
            Passed(kind=kind, about=about, run=run.id, code=run.plan.code, mode=mode, item=item, facts=facts)
        )


def sweep(zone: Zone, view: View) -> None:
    """Let go of copies that are masked or rejected, and of what waited for a round that has closed."""
    folder, queue = zone.settings.home / FOLDER, zone.journal.airlock
    for held in queue.waiting():
        if _is_over(zone, view, held):
            with contextlib.suppress(Conflict):  # somebody decides at this very moment
                queue.decide(held.id, EXPIRED, "", "its round closed before anybody decided", zone.now_ms())
    for path in folder.iterdir() if folder.is_dir() else ():
        kept = queue.find(Digest(path.stem))
        if kept is None or kept.decision not in {WAITING, RELEASED} or _is_over(zone, view, kept):
            path.unlink(missing_ok=True)


def _is_over(zone: Zone, view: View, held: Held) -> bool:
    """Whether a round has closed, or has this zone's vector already, or its run was cancelled; counts may wait for ever."""
    run, this = view.state.runs.plans.get(held.run), view.state.rounds.rounds.get(held.about)
    if run is not None and run.cancelled is not None:
        return True
    return held.kind == VECTOR and (this is None or this.closed is not None or zone.member in this.uploads)


def _check(held: Held) -> None:
    """Raise unless the steward has released it."""
    named = f"{held.kind} {held.id[:12]}"
    if held.decision == REJECTED:
        because = f": {held.reason}" if held.reason else ""
        raise Refused("airlock-rejected", f"this zone's steward has rejected {named}{because}", ARTICLE)
    if held.decision != RELEASED:
        raise Refused(
            "airlock-held",
            f"{named} waits for this zone's steward: {'; '.join(held.why)}; see `serai zone airlock show {held.id[:12]}`",
            ARTICLE,
        )


def _copy(home: Path, run: Digest, codec: Codec, vector: Source, data: Data) -> tuple[VectorFacts, Digest]:
    """Copy a vector into the home, measured on the way; what was measured, and its name."""
    folder = home / FOLDER
    measuring = Measuring(codec, _cells(data, vector.dtype))
    found = hashlib.sha256(_head(run, VECTOR))
    with no_room_explained(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        temporary = folder / f"{run[:12]}.new"
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
            for values in _stretches(vector):
                measuring.add(values)
                written = np.ascontiguousarray(values).view(np.uint8).data
                found.update(written)
                file.write(written)
            file.flush()
            os.fsync(file.fileno())
        digest = Digest(found.hexdigest())
        temporary.replace(path_of(home, digest))
    return measuring.facts, digest


def _stretches(vector: Source) -> Iterator[Vector]:
    (length,) = vector.shape
    for start in range(0, length, _PIECE):
        yield vector[start : min(start + _PIECE, length)]


def _read(home: Path, held: Held) -> Source | None:
    """The copy of a vector, if it still is the one that was named."""
    path = path_of(home, held.id)
    if not path.exists():
        return None
    vector: np.ndarray[Any, np.dtype[Any]] = np.memmap(path, held.dtype, "r")
    found = hashlib.sha256(_head(held.run, VECTOR))
    for values in _stretches(vector):
        found.update(values.view(np.uint8).data)
    return vector if found.hexdigest() == held.id else None


def path_of(home: Path, item: Digest) -> Path:
    """Where the copy of a vector lies."""
    return home / FOLDER / f"{item}.vector"


def _head(run: Digest, kind: str) -> bytes:
    return f"serai airlock {kind} {run}\n".encode()


def _cells(data: Data, dtype: np.dtype[Any]) -> Vector:
    parts = (data.x, *data.table.numbers.values())
    return distinct_cells((part for part in parts if part.dtype.kind == "f" and part.size), dtype)
