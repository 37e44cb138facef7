"""A run in progress in this zone: its model, what its recipe remembers, and the steps that go on ahead.

A recipe's memory is stored before its vector is sent, and read again for the
next one; so it takes no room in between, and a crash goes on from the same bytes.
A recipe that trains ahead goes on from it while the vector travels. Those steps
leave nothing but another memory, and are taken again if they are lost.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from serai.agent.admission import Prepared
from serai.agent.ahead import Ahead
from serai.agent.figures import Stopwatch
from serai.agent.journal import Progress, Upload
from serai.agent.zone import Zone
from serai.aggregation.state import Round, RoundsState, find_round, share_of
from serai.kernel.ids import Digest, digest_of
from serai.training.methods import Context, Overlapping, Sent
from serai.training.state import Run
from serai.training.tensors import Model

_LARGE_MODEL_BYTES: Final = 2**24  # writing less costs nothing beside a round
_LARGE_MODEL_ROUNDS: Final = 8


@dataclass(slots=True, kw_only=True)
class Active:
    """A run in progress here. Used by one thread.

    Attributes:
        zone: the member's side of everything.
        run: the run as it was planned; who answered it is in the log.
        prepared: its program and rows.
        model: what round ``number`` starts from.
        digest: of that model.
        number: the next round whose sum is to be read.
        memory: under which digest what the recipe keeps between rounds is stored; None while it is empty.
        kept: the round with whose vector it was kept; None while there was none.
        base: digest of the model that this round began from, where steps ahead may have to be taken again.
        checked: the round whose masked sum was found to be that of the uploads.
        sent: the round whose upload was sent, and the index in the log that the center gave it.
        taken: the round whose sum is in ``model`` though ``number`` is still its own, and the sum's digest.
        is_torn: whether a step that was taken piece by piece broke off, so that ``model`` is none.
        outcome: the round whose sum was read last, the model it made, and that model's digest.
        loss: of a model on this zone's held-back rows, by its digest, where the plan has a guard.
        measured: what was counted of models for evaluations, by digest and by the fewest rows of a part.
        watch: how long things take.

    """

    zone: Zone
    run: Run
    prepared: Prepared
    model: Model
    digest: Digest
    number: int
    memory: Digest | None = None
    kept: Digest | None = None
    base: Digest | None = None
    checked: Digest | None = None
    sent: tuple[Digest, int] | None = None
    taken: tuple[Digest, Digest] | None = None
    is_torn: bool = False
    outcome: tuple[Digest, Model, Digest] | None = None
    loss: tuple[Digest, float] | None = None
    measured: dict[tuple[Digest, int | None], dict[str, int]] = field(default_factory=dict)
    watch: Stopwatch = field(default_factory=Stopwatch)
    _ahead: Ahead | None = None

    def context(self, this: Round, memory: Digest | None, ahead: int = 0) -> Context:
        """Where this member computes: in a round, or so many rounds ahead of it."""
        zone, number, steps = self.zone, this.body.number + ahead, this.body.steps
        return Context(
            round=number,
            seed=bytes.fromhex(digest_of(f"{self.run.id} {zone.member} {number}".encode())),
            member=zone.member,
            memory=dict(zone.read_model(memory)) if memory else {},
            secret=zone.journal.secret(Digest(f"ahead {this.id}") if ahead else this.id, lambda: zone.random(32)),
            done=this.done + ahead,
            rounds=self.run.plan.rounds,
            steps=steps.get(zone.member, 0),
            share=share_of(steps, frozenset({zone.member})) if steps else 1.0,
        )

    def train_ahead(self, this: Round, upload: Upload) -> None:
        """Begin the next round's local steps while the upload of this one is on its way."""
        self._train_ahead(this, upload, self.model)

    def _train_ahead(self, this: Round, upload: Upload, model: Model) -> None:
        zone, recipe, data = self.zone, self.prepared.recipe, self.prepared.data
        if not self._goes_ahead(this):
            return
        assert isinstance(recipe, Overlapping)
        context = self.context(this, upload.memory, ahead=1)

        def take_steps() -> Digest:
            with self.working():
                recipe.train_ahead(model, data, context)
            return zone.store_model(context.memory)

        self.drop_ahead()
        self._ahead = Ahead(this.id, take_steps)

    def ahead(self, rounds: RoundsState) -> Ahead | None:
        """The steps that go on from the memory in hand, begun anew after a crash or a failure; None if there are none."""
        begun = self._ahead
        if self.kept is None or (begun is not None and begun.after == self.kept and not begun.has_failed):
            return begun
        upload = self.zone.journal.upload(self.kept)
        assert upload is not None, "a memory is kept with an upload"
        if self.base is None or not self.zone.blobs.has(self.base):
            return None  # the steps are lost, which costs speed alone
        self._train_ahead(rounds.rounds[self.kept], upload, self.zone.read_model(self.base))
        return self._ahead

    def wait_ahead(self) -> None:
        """Wait until no step goes on, for a worker is asked one thing at a time."""
        if self._ahead is not None:
            self._ahead.drop()

    def drop_ahead(self) -> None:
        """Wait until no step goes on, and let go of what they left."""
        ahead, self._ahead = self._ahead, None
        memory = None if ahead is None else ahead.drop()
        if memory is not None and memory != self.memory:
            self.zone.blobs.delete(memory)

    @contextmanager
    def working(self) -> Iterator[None]:
        """The program works; how long it does is recorded, whatever comes of it."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self.zone.journal.add_work(self.run.id, round(1000 * (time.monotonic() - began_s)))

    def became(self, rounds: RoundsState) -> Sent | None:
        """What became of the vector with which the memory in hand was kept."""
        if self.kept is None:
            return None
        kept, member = rounds.rounds[self.kept], self.zone.member
        later = (find_round(rounds, self.run.id, number) for number in range(kept.body.number, self.number))
        finished = [this.summed for this in later if this and this.is_released and not this.is_rejected]
        is_summed = kept.is_released and not kept.is_rejected and member in kept.summed
        return Sent(summed=is_summed, missed=sum(member not in summed for summed in finished))

    def keep_memory(self, this: Round) -> None:
        """Go on from what the recipe kept with its vector of a round, if it made one."""
        zone, upload = self.zone, self.zone.journal.upload(this.id)
        if upload is None or self.kept == this.id:
            return
        before = {self.memory, self.base} - {None}
        self.memory, self.kept = upload.memory, this.id
        self.base = this.body.model if self._goes_ahead(this) else None
        progress = zone.journal.progress(self.run.id)
        needed = {self.memory, self.base, self.digest, self.run.plan.initial}
        self._delete(before - needed - ({progress.model, progress.memory, progress.base} if progress else set()))

    def go_on(self, this: Round, model: Model, digest: Digest) -> None:
        """Take over the model that a round made, and store where the run is when that is due.

        A large model is stored less often; a restart then reads the logged sums since, which is quick.
        """
        is_large = sum(tensor.nbytes for tensor in model.values()) >= _LARGE_MODEL_BYTES
        is_due = self._is_last(this) or not is_large or (self.number + 1) % _LARGE_MODEL_ROUNDS == 0
        is_ahead = self._ahead is not None and self._ahead.after == this.id
        if self.kept == this.id and self.base == self.digest and (is_due or not is_ahead):
            self.zone.store_model(self.model)  # from which steps would have to be taken again
        self.model, self.digest, self.number, self.outcome = model, digest, self.number + 1, None
        if is_due:
            self.snapshot()

    def snapshot(self) -> None:
        """Store where the run is, so that a restart begins here; what came before is needed no more."""
        zone, before = self.zone, self.zone.journal.progress(self.run.id)
        zone.store_model(self.model)
        memory = self.memory or zone.store_model({})
        kept, base = self.kept or Digest(""), self.base or Digest("")
        zone.journal.record_progress(self.run.id, Progress(self.number, self.digest, memory, kept, base))
        old = {before.model, before.memory, before.base} if before else set()
        self._delete(old - {self.digest, memory, base, self.run.plan.initial})

    def _goes_ahead(self, this: Round) -> bool:
        """Whether the recipe takes steps after its vector of a round."""
        recipe = self.prepared.recipe
        return not self._is_last(this) and isinstance(recipe, Overlapping) and recipe.ahead > 0

    def _is_last(self, this: Round) -> bool:
        return this.done + 1 >= self.run.plan.rounds

    def _delete(self, digests: Collection[Digest | None]) -> None:
        for digest in digests:
            if digest:
                self.zone.blobs.delete(digest)

    def close(self) -> None:
        """Let go of the program, which ends steps that go on ahead."""
        self.prepared.close()
        self.drop_ahead()
