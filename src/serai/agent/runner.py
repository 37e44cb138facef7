"""What this zone does about the runs it is invited to: answer, compute, evaluate.

``work`` looks at one view of the log and does all that it calls for now. It
keeps nothing that the log, the journal and the zone's store do not hold, so a
zone that was killed anywhere goes on where it was: the model of a run is
rebuilt from the last one stored, by reading the logged sums again.
"""

import logging
from dataclasses import replace
from typing import Final

from serai.agent.active import Active
from serai.agent.admission import JOIN, admit_run, answer_topic, is_only_waiting, prepare, privacy_of, reasons_of
from serai.agent.airlock import sweep
from serai.agent.checking import check_sum
from serai.agent.evaluation import say_evaluations
from serai.agent.figures import has_changed, record
from serai.agent.gate import (
    check_freeze,
    let_release,
    let_vector_out,
    let_work,
    may_metrics_out,
    may_work,
    passage_of,
)
from serai.agent.journal import Upload
from serai.agent.mirror import View
from serai.agent.programs import find_piecewise, goes_on
from serai.agent.recovery import recover_all, send_deal
from serai.agent.reports import Reports
from serai.agent.retention import Retention
from serai.agent.rounds import (
    key_name,
    mask_vector,
    may_release,
    release,
    say_result,
    send_upload,
)
from serai.agent.step import take_step
from serai.agent.uses import Account
from serai.agent.zone import Zone
from serai.aggregation.job import Job
from serai.aggregation.state import (
    Round,
    Stage,
    current_round,
    divergence,
    find_round,
    finished_rounds,
    lost_members,
    stage_of,
)
from serai.analytics.metrics import held_back_loss
from serai.charter.state import parties_of
from serai.errors import Refused, SeraiError, Unavailable
from serai.kernel.ids import Digest
from serai.state import Jobs
from serai.training.state import Run, is_frozen, job_of
from serai.training.statements import RunDecline, RunJoin, RunPace
from serai.training.tensors import Model, digest_model
from serai.zones.guard import Decision

_WAITS: Final = 4  # round trips in which a member asks for nothing: news of close, quorum, releases and results
_log = logging.getLogger(__name__)


class Runner:
    """The zone's work on runs. Used by one thread.

    Args:
        zone: the member's side of everything.

    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._active: dict[Digest, Active] = {}
        self._over: set[Digest] = set()
        self._lagged: set[Digest] = set()  # runs that are over here, and not yet for some other member
        self._troubles: dict[Digest, str] = {}
        self._waiting: dict[Digest, str] = {}
        self._retention = Retention(zone)
        self._reports = Reports(zone.settings.home, zone.member, self._retention.has_forgotten)

    @property
    def has_trouble(self) -> bool:
        """Whether something stands in the way of a run."""
        return bool(self._troubles)

    def work(self, view: View) -> None:
        """Do what the view calls for, for every run; what fails for one does not stop another.

        Raises:
            Unavailable: the center does not answer; call again when it does.

        """
        try:
            if not view.halt and not self._zone.settings.is_stopped:
                self._work_on_runs(view)
        finally:
            self._forget_in_time(view)  # a duty, whatever stands in the way of work

    def _work_on_runs(self, view: View) -> None:
        for run_id in tuple(self._lagged):
            self._drop_last(run_id, view)
        # In the order of the log: where not all can be joined, every zone joins the same.
        for run in sorted(view.state.runs.plans.values(), key=lambda run: run.at.index):
            if run.id in self._over or self._zone.member not in run.plan.offers:
                continue
            try:
                self._work_on(run, view)
                self._troubles.pop(run.id, None)
            except Unavailable:
                raise
            except SeraiError as error:
                self._tell_trouble(run, error)
        sweep(self._zone, view)
        self._reports.write(view)

    def _forget_in_time(self, view: View) -> None:
        try:
            for run in self._retention.due(view, self._over):
                self._let_go(run.id)
                self._retention.forget(run, view)
            self._retention.say()
        except Unavailable:
            raise
        except SeraiError as error:
            _log.warning("what is due to be deleted, or the word of it, waits: %s", error.message)

    def _work_on(self, run: Run, view: View) -> None:
        zone = self._zone
        if run.cancelled or divergence(view.state.rounds, run.id):
            self._let_go(run.id)
        elif zone.member not in run.keys:
            parties = parties_of(view.state.charter, run.plan.agreement, view.state.now)
            if zone.member not in run.declines and not is_frozen(run, parties):
                self._answer(run, view)
        elif self._is_bound(run, view):
            check_freeze(zone, run, view)
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
            zone.say_once(answer_topic(run.id), JOIN, lambda: RunJoin(plan=run.id, agg_key=key))
        elif not is_only_waiting(decision):
            reasons = reasons_of(decision)
            zone.say_once(answer_topic(run.id), "decline", lambda: RunDecline(plan=run.id, reasons=reasons))
        else:
            self._tell_waiting(run, decision)

    def _advance(self, run: Run, job: Job, view: View) -> None:
        active = self._active.get(run.id)
        if active is None and self._retention.has_forgotten(run.id):
            self._over.add(run.id)
            return
        if active is None or active.is_torn:
            active = self._resume(run, view)
        rounds = view.state.rounds
        while (this := find_round(rounds, run.id, active.number)) is not None:
            bound = job.at(this.done)
            if this.is_released and not this.is_rejected:
                if not self._combine(run, bound, this, view):
                    return
            elif find_round(rounds, run.id, active.number + 1) is not None:
                self._pass_over(active, this)
            else:
                self._take_part(run, bound, this, view)
                return
        if finished_rounds(rounds, job) >= job.rounds:
            self._finish(run, view, active)

    def _pass_over(self, active: Active, this: Round) -> None:
        """A round has failed; the next one starts from the same model."""
        if goes_on(active.prepared.recipe):
            active.keep_memory(this)
        active.number, active.outcome = active.number + 1, None

    def _take_part(self, run: Run, job: Job, this: Round, view: View) -> None:
        zone = self._zone
        if zone.member not in this.body.participants:
            return
        if this.closed is None:
            if zone.member not in this.uploads:
                self._upload(run, job, this, view)
        elif may_release(zone, this, view.witnessed_size):
            active = self._active[run.id]
            let_release(zone, run, view, active.prepared, job.length)
            cost = privacy_of(zone, run, view).charge(this)
            Account(zone, run, view, active.prepared).write_unmasking(this, cost)
            with active.watch.exchanging():
                release(zone, job, this)
            with active.watch.exchanging():
                check_sum(zone, job, this)  # while the others release
            active.checked = this.id
            if link := zone.center.link():
                active.watch.waited(_WAITS * link.rtt_s)
        elif zone.member in this.releases:
            bound = Jobs(view.state, view.state.now)[run.id].at(this.done)
            recover_all(zone, job, this, lost_members(bound, this, view.state.now))

    def _upload(self, run: Run, job: Job, this: Round, view: View) -> None:
        zone, active = self._zone, self._active[run.id]
        if active.sent is not None and active.sent[0] == this.id and view.size <= active.sent[1]:
            return  # this view ends before it; to send it all again would double the bytes
        figures: dict[str, int] = {}
        upload = zone.journal.upload(this.id)
        if upload is None or not zone.blobs.has(upload.blob):
            upload, figures = self._contribute(run, job, this, view)
        else:
            # A grant may have ended since it was made.
            let_vector_out(zone, run, view, active.prepared, (job.length, job.length))
            passage_of(zone, run, view).check_seen(this)
        # Once it is dealt, others can release for this member.
        cost = privacy_of(zone, run, view).charge(this) if job.threshold else None
        Account(zone, run, view, active.prepared).write_vector(this, upload, figures, cost)
        with active.watch.exchanging():
            index = send_upload(zone, this, upload, send_deal(zone, job, this), figures)
        active.sent = (this.id, index)
        if may_work(zone, run, view, active.prepared):
            active.train_ahead(this, upload)

    def _contribute(self, run: Run, job: Job, this: Round, view: View) -> tuple[Upload, dict[str, int]]:
        """Compute this member's vector; its upload, and the figures that go with it."""
        zone, active = self._zone, self._active[run.id]
        if active.digest != this.body.model:
            raise Refused(
                "model-differs",
                f"round {this.body.number} starts from model {this.body.model[:12]}, this zone has {active.digest[:12]}",
                "guard 11",
            )
        passage = passage_of(zone, run, view)
        if (looked_at := passage.find_vector(this)) is not None:
            let_vector_out(zone, run, view, active.prepared, (looked_at[0].shape[0], job.length))
            active.drop_ahead()
            return mask_vector(zone, job, this, *looked_at), {}
        let_work(zone, run, view, active.prepared)
        ahead = active.ahead(view.state.rounds)
        context = active.context(this, active.memory if ahead is None else ahead.take())
        context = replace(context, sent=active.became(view.state.rounds))
        active.watch.begin(None if ahead is None else ahead.ended_s)
        with active.working():
            vector = active.prepared.recipe.contribute(active.model, active.prepared.data, context)
        steps = context.figures.get("steps", context.steps)
        times = active.watch.end(0.0 if ahead is None else ahead.seconds, steps)
        let_vector_out(zone, run, view, active.prepared, (vector.shape[0], job.length))
        memory = zone.store_model(context.memory)
        vector = passage.pass_vector(this, job.codec, vector, active.prepared.data, memory)
        upload = mask_vector(zone, job, this, vector, memory)
        active.drop_ahead()
        figures = {**context.figures, **times, "steps": steps, "sent_bytes": upload.size_bytes}
        figures["received_bytes"] = job.codec.upload_bytes  # the sum is as long as what went into it
        record(
            zone.settings.home, run.id, {"round": this.body.number, "done": this.done, "at": zone.now_ms(), **figures}
        )
        self._tell_pace(run, this, active)
        return upload, figures if may_metrics_out(
            zone, run, view, active.prepared, {**figures, "n": len(active.prepared.data.x)}
        ) else {}

    def _tell_pace(self, run: Run, this: Round, active: Active) -> None:
        """Say how fast this zone is, where the plan goes by it and it has changed."""
        watch, said = active.watch, run.paces.get(self._zone.member)
        if run.plan.pace is None or not watch.step_us:
            return
        if (
            said
            and not has_changed(said.step_us, watch.step_us)
            and not has_changed(said.exchange_ms, watch.exchange_ms)
        ):
            return
        body = RunPace(plan=run.id, step_us=watch.step_us, exchange_ms=watch.exchange_ms)
        self._zone.say_once(f"pace {run.id} {this.body.number}", run.id, lambda: body)

    def _combine(self, run: Run, job: Job, this: Round, view: View) -> bool:
        """Read a released sum, take the common step, and say its result; nothing counts before it was said.

        Returns:
            Whether the round is over; where members may object, it is not before they have.

        """
        zone, active = self._zone, self._active[run.id]
        if active.outcome is None or active.outcome[0] != this.id:
            active.outcome = (this.id, *self._computed(run, job, this, view))
        _, model, digest = active.outcome
        if job.is_guarded and not self._is_settled(run, this, view):
            return False
        if zone.member in this.summed or goes_on(active.prepared.recipe):
            active.keep_memory(this)
        active.go_on(this, model, digest)
        self._drop_blobs(find_round(view.state.rounds, run.id, this.body.number - 1))
        return True

    def _drop_blobs(self, this: Round | None) -> None:
        """Let go of a round's vectors; the last one's are kept for a successor to the center and for who lags."""
        upload = None if this is None else self._zone.journal.upload(this.id)
        if upload is not None:
            self._zone.blobs.recycle(upload.blob)
        if this is not None and this.closed is not None:
            self._zone.blobs.recycle(this.closed.body.masked_sum)

    def _drop_last(self, run: Digest, view: View) -> None:
        """Let go of a finished run's last vectors once no member may need them of a successor to the center."""
        this = current_round(view.state.rounds, run)
        if this is not None and len(this.results) == len(this.body.participants):
            self._drop_blobs(this)
            self._zone.blobs.drop_spares()  # no vectors of this run come for whose sake room were kept
            self._lagged.discard(run)

    def _computed(self, run: Run, job: Job, this: Round, view: View) -> tuple[Model, Digest]:
        """The model that a released sum makes, and its digest, which is now this zone's result in the log."""
        zone, active = self._zone, self._active[run.id]
        with active.watch.exchanging():
            is_checked = active.checked == this.id or zone.member in this.results
            if zone.member in this.summed and not is_checked:
                check_sum(zone, job, this)
        model, total_digest = take_step(active, job, this)
        digest = digest_model(model)
        if zone.member in this.body.participants and zone.member not in this.results:
            objects = job.is_guarded and zone.member in this.summed and self._objects(run, active, model, view)
            with active.watch.exchanging():
                say_result(zone, this, total_digest, digest, objects=objects)
        active.watch.exchanged()
        return model, digest

    def _objects(self, run: Run, active: Active, model: Model, view: View) -> bool:
        """Whether a model is grossly worse on this zone's held-back rows than the one before, and that may be said."""
        recipe, data = active.prepared.recipe, active.prepared.data
        active.wait_ahead()
        if active.loss is None or active.loss[0] != active.digest:
            with active.working():
                active.loss = (active.digest, held_back_loss(recipe.evaluate(active.model, data)))
        with active.working():
            counts = dict(recipe.evaluate(model, data))
        if not may_metrics_out(self._zone, run, view, active.prepared, counts):
            return False  # one bit that hangs on rows leaves like the counts that it was made of, or not at all
        loss = held_back_loss(counts)
        if loss > active.loss[1] * (1 + run.plan.guard_permille / 1000):
            _log.warning(
                "run %s: this zone objects to a sum that takes its held-back loss from %.4g to %.4g",
                run.id[:12],
                active.loss[1],
                loss,
            )
            return True
        return False

    def _is_settled(self, run: Run, this: Round, view: View) -> bool:
        bound = Jobs(view.state, view.state.now)[run.id]
        is_followed = find_round(view.state.rounds, run.id, this.body.number + 1) is not None
        return is_followed or stage_of(bound, this, view.state.now) is Stage.FINISHED

    def _finish(self, run: Run, view: View, active: Active) -> None:
        zone = self._zone
        if not zone.blobs.has(active.digest):
            active.snapshot()
        if not zone.center.has_blob(active.digest):
            zone.center.put_blob(active.digest, zone.blobs.path(active.digest) or _bytes_of(zone, active.digest))
        say_evaluations(active, view)
        self._lagged.add(run.id)
        self._drop_last(run.id, view)
        self._let_go(run.id)

    def _resume(self, run: Run, view: View) -> Active:
        """Take up a run where the journal says it is; from its beginning if it says nothing."""
        zone = self._zone
        if (torn := self._active.pop(run.id, None)) is not None:
            torn.close()
        prepared = prepare(zone, run, view)
        # What is stepped in place is a copy of its own; what is not takes no memory before it is read.
        read = zone.read_model if find_piecewise(prepared.recipe) is None else zone.copy_model
        progress = zone.journal.progress(run.id)
        if progress is not None and zone.blobs.has(progress.model):
            active = Active(
                zone=zone,
                run=run,
                prepared=prepared,
                model=read(progress.model),
                digest=progress.model,
                number=progress.number,
                memory=progress.memory,
                kept=progress.kept or None,
                base=progress.base or None,
            )
        else:
            digest = zone.store_model(prepared.recipe.initial())
            active = Active(zone=zone, run=run, prepared=prepared, model=read(digest), digest=digest, number=0)
        self._active[run.id] = active
        return active

    def _let_go(self, run: Digest) -> None:
        active = self._active.pop(run, None)
        if active is not None:
            active.close()
        self._over.add(run)
        self._zone.blobs.drop_spares()
        self._zone.keys.forget_agreement(key_name(run))
        self._zone.journal.budgets.free(run)

    def _tell_waiting(self, run: Run, decision: Decision) -> None:
        """Say once for what an answer waits: nothing of it stands in the log."""
        steps = ", ".join(dict.fromkeys(step for step, _ in decision.denials))
        if self._waiting.get(run.id) != steps:
            self._waiting[run.id] = steps
            reasons = "; ".join(f"{denied.article}: {denied.reason}" for _, denied in decision.denials)
            _log.info("run %s is not answered yet: %s", run.id[:12], reasons)

    def _tell_trouble(self, run: Run, error: SeraiError) -> None:
        """Say once what stands in the way of a run; it is tried again with each new view."""
        if self._troubles.get(run.id) != error.message:
            self._troubles[run.id] = error.message
            _log.warning("run %s waits: %s", run.id[:12], error.message)


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
