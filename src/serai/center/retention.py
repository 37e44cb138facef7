"""Uploads that have served: those of older rounds, once each member in the sum has looked at them.

By default a center keeps every upload, so that every sum can be computed again for
ever. That is the members' number times the model, each round. Where the operator
sets ``keep_rounds``, uploads of earlier rounds go as soon as all whose vectors are in
the sum have stated their results, for nobody states one before its look at the sum
(``serai.agent.checking``). Sums stay: a member that was away reads them.
"""

from collections import defaultdict
from typing import Final

from serai.aggregation.state import Round, RoundsState, find_round
from serai.kernel.ids import Digest
from serai.storage.blobs import BlobStore

ALL: Final = 0


class Retention:
    """Lets go of uploads. Used by one thread.

    Args:
        blobs: where they lie.
        keep_rounds: of how many rounds of each run they are kept whatever happens, the newest among them; ``ALL``
            keeps all.

    """

    def __init__(self, blobs: BlobStore, keep_rounds: int) -> None:
        self._blobs = blobs
        self._keep = keep_rounds
        self._next: dict[Digest, int] = defaultdict(int)  # the first round of a run not yet thought of
        self._awaited: dict[Digest, list[int]] = {}  # older ones in which somebody's look is not over

    def step(self, rounds: RoundsState, newest: Round) -> None:
        """Let go of what can go now that a round is open."""
        if self._keep == ALL:
            return
        run, end = newest.body.run, newest.body.number - self._keep + 1
        due = [*self._awaited.pop(run, ()), *range(self._next[run], end)]
        self._next[run] = max(self._next[run], end)
        for number in due:
            this = find_round(rounds, run, number)
            if this is not None and not _has_served(this):
                self._awaited.setdefault(run, []).append(number)
            elif this is not None:
                for upload in this.uploads.values():
                    self._blobs.recycle(upload.body.blob)
                    self._blobs.delete(upload.body.chunks)

    def forget(self, run: Digest) -> None:
        """A run is over: what is there of it stays, and no vectors come for whose sake room were kept."""
        self._next.pop(run, None)
        self._awaited.pop(run, None)
        self._blobs.drop_spares()


def _has_served(this: Round) -> bool:
    return this.closed is None or this.summed <= set(this.results)
