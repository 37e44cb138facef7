"""What this zone does about the runs it is invited to: answer, compute, evaluate.

``work`` looks at one view of the log and does all that it calls for now. It
keeps nothing that the log, the journal and the zone's store do not hold, so a
zone that was killed anywhere goes on where it was: the model of a run is
rebuilt from the last one stored, by reading the logged sums again.
"""

import logging
from dataclasses import dataclass, field
from typing import Final

from serai.agent.admission import Prepared, admit_run, is_only_waiting, prepare, privacy_of, reasons_of
from serai.agent.gate import let_counts_out, let_vector_out
from serai.agent.journal import Progress
from serai.agent.mirror import View
from serai.agent.recovery import recover_all, send_deal
from serai.agent.rounds import (
    check_sum,
    key_name,
    mask_vector,
    read_sum,
    release,
    say_result,
    send_upload,
)
from serai.agent.zone import Zone
from serai.aggregation.job import Job
from serai.aggregation.state import Round, current_round, divergence, find_round, finished_rounds, lost_members
from serai.analytics.statements import Evaluation
from serai.errors import Refused, SeraiError, Unavailable
from serai.kernel.ids import Digest, digest_of
from serai.state import Jobs
from serai.training.methods import Context
from serai.training.state import Run, job_of
from serai.training.statements import RunDecline, RunJoin
from serai.training.tensors import Model, Tensor, digest_model

_LARGE_MODEL_BYTES: Final = 2**24  # writing less costs nothing beside a round
_LARGE_MODEL_ROUNDS: Final = 8
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Active:
    """A run in progress here, in memory.

    Attributes:
        prepared: its program and rows.
        model: what round ``number`` starts from.
        number: the next round whose sum is to be read.
        memory: what the recipe keeps between rounds, stored before each upload.
        memory_digest: under which digest that is stored; None while it is empty.
        checked: the round whose masked sum was found to be that of the uploads.
        sent: the round whose upload was sent, and the index in the log that the center gave it.

    """

    prepared: Prepared
    model: Model
    digest: Digest
    number: int
    memory: dict[str, Tensor] = field(default_factory=dict)
    memory_digest: Digest | None = None
    checked: Digest | None = None
    sent: tuple[Digest, int] | None = None


class Runner:
    """The zone's work on runs. Used by one thread.

    Args:
        zone: the member's side of everything.

    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._active: dict[Digest, _Active] = {}
        self._over: set[Digest] = set()
        self._troubles: dict[Digest, str] = {}

    def work(self, view: View) -> None:
        """Do what the view calls for, for every run; what fails for one does not stop another.

        Raises:
            Unavailable: the center does not answer; call again when it does.

        """
        if view.halt or self._zone.settings.is_stopped:
            return
        for run in view.state.runs.plans.values():
            if run.id in self._over or self._zone.member not in run.plan.offers:
                continue
            try:
                self._work_on(run, view)
                self._troubles.pop(run.id, None)
            except Unavailable:
                raise
            except SeraiError as error:
                self._tell_trouble(run, error)

    def _work_on(self, run: Run, view: View) -> None:
        zone = self._zone
        if run.cancelled or divergence(view.state.rounds, run.id):
            self._forget(run.id)
        elif zone.member not in run.keys:
            if zone.member not in run.declines:
                self._answer(run, view)
        elif self._is_bound(run, view):
            job = job_of(view.state.runs, run.id)
            assert job is not None
            self._advance(run, job, view)

    def _is_bound(self, run: Run, view: View) -> bool:
        """Whether the agreement is in force and this member still party to it: else nothing is computed under it."""
        job = Jobs(view.state, view.state.now).get(run.id)
        return job is not None and self._zone.member in job.keys

    def _answer(self, run: Run, view: View) -> None:
        if view.witnessed_size <= run.at.index:
            return
        zone = self._zone
        decision = admit_run(zone, run, view)
        if decision.allowed:
            key = zone.keys.agreement(key_name(run.id)).public
            zone.say_once(f"answer {run.id}", "join", lambda: RunJoin(plan=run.id, agg_key=key))
        elif not is_only_waiting(decision):
            reasons = reasons_of(decision)
            zone.say_once(f"answer {run.id}", "decline", lambda: RunDecline(plan=run.id, reasons=reasons))

    def _advance(self, run: Run, job: Job, view: View) -> None:
        active = self._active.get(run.id) or self._resume(run, view)
        rounds = view.state.rounds
        while (this := find_round(rounds, run.id, active.number)) is not None:
            if this.is_released:
                self._combine(run, job, this, view)
            elif find_round(rounds, run.id, active.number + 1) is not None:
                active.number += 1  # the round failed; the next one starts from the same model
            else:
                self._take_part(run, job, this, view)
                return
        if finished_rounds(rounds, job) >= job.rounds:
            self._finish(run, view, active)

    def _take_part(self, run: Run, job: Job, this: Round, view: View) -> None:
        zone = self._zone
        if zone.member not in this.body.participants:
            return
        if this.closed is None:
            if zone.member not in this.uploads:
                self._upload(run, job, this, view)
        elif self._may_release(this, view):
            privacy_of(zone, run, view).charge(this)
            release(zone, job, this)
            check_sum(zone, job, this)  # while the others release
            self._active[run.id].checked = this.id
        elif zone.member in this.releases:
            bound = Jobs(view.state, view.state.now)[run.id]
            recover_all(zone, job, this, lost_members(bound, this, view.state.now))

    def _may_release(self, this: Round, view: View) -> bool:
        """Whether this member's release is due, and a quorum has witnessed the close that it is for."""
        member = self._zone.member
        is_due = this.closed is not None and member in this.summed and member not in this.releases
        return is_due and this.closed is not None and view.witnessed_size > this.closed.at.index

    def _upload(self, run: Run, job: Job, this: Round, view: View) -> None:
        zone, active = self._zone, self._active[run.id]
        if active.sent is not None and active.sent[0] == this.id and view.size <= active.sent[1]:
            return  # this view ends before it; to send it all again would double the bytes
        upload = zone.journal.upload(this.id)
        if upload is None or not zone.blobs.has(upload.blob):
            if active.digest != this.body.model:
                raise Refused(
                    "model-differs",
                    f"round {this.body.number} starts from model {this.body.model[:12]}, this zone has {active.digest[:12]}",
                    "guard 11",
                )
            seed = bytes.fromhex(digest_of(f"{run.id} {zone.member} {this.body.number}".encode()))
            context = Context(
                round=this.body.number,
                seed=seed,
                member=zone.member,
                memory=dict(active.memory),
                secret=zone.journal.secret(this.id, lambda: zone.random(32)),
            )
            vector = active.prepared.recipe.contribute(active.model, active.prepared.data, context)
            let_vector_out(zone, run, view, active.prepared, vector.size)
            upload = mask_vector(zone, job, this, vector, zone.store_model(context.memory))
        else:
            let_vector_out(
                zone, run, view, active.prepared, run.plan.length
            )  # a grant may have ended since it was made
        if job.threshold:
            privacy_of(zone, run, view).charge(this)  # once it is dealt, others can release for this member
        active.sent = (this.id, send_upload(zone, this, upload, send_deal(zone, job, this)))

    def _combine(self, run: Run, job: Job, this: Round, view: View) -> None:
        """Read a released sum, take the common step, and say its result; nothing counts before it was said."""
        zone, active = self._zone, self._active[run.id]
        if zone.member in this.summed and active.checked != this.id:
            check_sum(zone, job, this)
        total, total_digest = read_sum(zone, job, this)
        model = active.prepared.recipe.combine(active.model, total, len(this.summed))
        digest = digest_model(model)
        if zone.member in this.body.participants and zone.member not in this.results:
            say_result(zone, this, total_digest, digest)
        upload = zone.journal.upload(this.id) if zone.member in this.summed else None
        if upload is not None:
            active.memory, active.memory_digest = dict(zone.read_model(upload.memory)), upload.memory
        active.model, active.digest, active.number = model, digest, active.number + 1
        if (
            active.number % _rounds_between_snapshots(model) == 0
            or finished_rounds(view.state.rounds, job) >= job.rounds
        ):
            self._take_snapshot(run, active)
        if upload is not None and this.closed is not None:
            zone.blobs.delete(upload.blob)
            zone.blobs.delete(this.closed.body.masked_sum)

    def _take_snapshot(self, run: Run, active: _Active) -> None:
        """Store where the run is, so that a restart begins here; what came before is needed no more."""
        zone = self._zone
        before = zone.journal.progress(run.id)
        zone.store_model(active.model)
        memory = active.memory_digest or zone.store_model(active.memory)
        zone.journal.record_progress(run.id, Progress(active.number, active.digest, memory))
        for digest in (before.model, before.memory) if before else ():
            if digest not in {active.digest, memory, run.plan.initial}:
                zone.blobs.delete(digest)

    def _finish(self, run: Run, view: View, active: _Active) -> None:
        zone, plan = self._zone, run.plan
        if not zone.blobs.has(active.digest):
            self._take_snapshot(run, active)
        if not zone.center.has_blob(active.digest):
            zone.center.put_blob(active.digest, zone.blobs.path(active.digest) or _bytes_of(zone, active.digest))
        if "metrics" in plan.outputs and zone.member not in view.state.analytics.by_model.get(
            (run.id, active.digest), {}
        ):
            counts = dict(active.prepared.recipe.evaluate(active.model, active.prepared.data))
            let_counts_out(zone, run, view, active.prepared, counts)
            body = Evaluation(run=run.id, model=active.digest, offer=plan.offers[zone.member], counts=counts)
            zone.say_once(f"evaluation {run.id}", active.digest, lambda: body)
        self._forget(run.id)

    def _resume(self, run: Run, view: View) -> _Active:
        """Take up a run where the journal says it is; from its beginning if it says nothing."""
        zone = self._zone
        prepared = prepare(zone, run, view)
        progress = zone.journal.progress(run.id)
        if progress is not None and zone.blobs.has(progress.model):
            model, memory = zone.read_model(progress.model), dict(zone.read_model(progress.memory))
            active = _Active(prepared, model, progress.model, progress.number, memory, progress.memory)
        else:
            model = prepared.recipe.initial()
            active = _Active(prepared, model, zone.store_model(model), 0)
        self._active[run.id] = active
        return active

    def _forget(self, run: Digest) -> None:
        active = self._active.pop(run, None)
        if active is not None:
            active.prepared.close()
        self._over.add(run)
        self._zone.keys.forget_agreement(key_name(run))
        self._zone.journal.budgets.free(run)

    def _tell_trouble(self, run: Run, error: SeraiError) -> None:
        """Say once what stands in the way of a run; it is tried again with each new view."""
        if self._troubles.get(run.id) != error.message:
            self._troubles[run.id] = error.message
            _log.warning("run %s waits: %s", run.id[:12], error.message)


def _rounds_between_snapshots(model: Model) -> int:
    """A large model is stored less often; a restart then reads the logged sums since, which is quick."""
    return 1 if sum(tensor.nbytes for tensor in model.values()) < _LARGE_MODEL_BYTES else _LARGE_MODEL_ROUNDS


def _bytes_of(zone: Zone, digest: Digest) -> bytes:
    with zone.blobs.open(digest) as file:
        return file.read()


def wanted_witness(zone: Zone, view: View) -> int:
    """How many entries must be witnessed before this zone can go on; 0 if it waits for no witness."""
    wanted = 0
    for run in view.state.runs.plans.values():
        if zone.member not in run.plan.offers or run.cancelled:
            continue
        if zone.member not in run.keys:
            if zone.member not in run.declines:
                wanted = max(wanted, run.at.index + 1, view.size if _is_stale(zone, view) else 0)
            continue
        this = current_round(view.state.rounds, run.id)
        if this and this.closed and zone.member in this.summed and zone.member not in this.releases:
            wanted = max(wanted, this.closed.at.index + 1)
    return wanted if wanted > view.witnessed_size else 0


def _is_stale(zone: Zone, view: View) -> bool:
    """Whether the witnessed head will soon be too old for the guard, as in a run that waits for people all day."""
    if view.witnessed is None:
        return True
    return zone.now_ms() - view.witnessed.time_ms > zone.settings.max_staleness_s * 1000 // 2
