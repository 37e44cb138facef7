"""The model that a zone would have by itself: the same program, on its own rows only, for as many rounds.

It answers one question, whether the member is better off with the others, and never
leaves the zone: its digest and its counts do. Each round's sum is this member's vector
alone, through the same codec, and nothing of it is masked, for nothing is sent. How
far it is stands in the journal, so that a zone that was killed goes on from there.
"""

import hashlib
from typing import Final

from serai.agent.active import Active
from serai.agent.gate import let_work
from serai.agent.journal import Progress, alone
from serai.agent.mirror import View
from serai.agent.rounds import sum_dtype
from serai.agent.zone import Zone
from serai.aggregation.codec import Source, decode, encode
from serai.aggregation.state import find_round
from serai.kernel.ids import Digest, digest_of
from serai.training.methods import Context, Sent, Vector
from serai.training.state import form_of
from serai.training.tensors import Model

_NONE: Final = Digest("")


def train_alone(active: Active, view: View) -> tuple[Model, Digest]:
    """The zone's own model, trained to its end, and its digest.

    Raises:
        Refused: the program failed, or may not work on now; what was reached is kept.

    """
    zone, run = active.zone, active.run
    progress = zone.journal.progress(alone(run.id))
    if progress is None or not _is_stored(zone, progress):
        progress = _beginning(active)
    steps = _steps_taken(active, view)
    while progress.number < run.plan.rounds:
        let_work(zone, run, view, active.prepared)
        progress = _round(active, progress, steps[progress.number] if progress.number < len(steps) else 0)
    return zone.read_model(progress.model), progress.model


def _beginning(active: Active) -> Progress:
    zone = active.zone
    return Progress(0, zone.store_model(active.prepared.recipe.initial()), _NONE, _NONE, _NONE)


def _is_stored(zone: Zone, progress: Progress) -> bool:
    """Whether what was reached is still there: another run may have come to the same bytes, and let go of them."""
    return all(zone.blobs.has(digest) for digest in {progress.model, progress.memory} - {_NONE})


def _round(active: Active, before: Progress, steps: int) -> Progress:
    """One round of one member; what it leaves is stored before it counts."""
    zone, recipe, plan = active.zone, active.prepared.recipe, active.run.plan
    model, context = zone.read_model(before.model), _context(active, before, steps)
    codec = form_of(plan, before.number).codec
    with active.working():
        vector: Source = recipe.contribute(model, active.prepared.data, context)
        total: Vector = decode(codec, encode(codec, vector)[0], sum_dtype(codec).type)
        made = zone.store_model(recipe.combine(model, total, 1.0))
        memory = zone.store_model(context.memory) if context.memory else _NONE
    after = Progress(before.number + 1, made, memory, _NONE, _NONE)
    zone.journal.record_progress(alone(active.run.id), after)
    for digest in {before.model, before.memory} - {made, memory, active.digest, plan.initial, _NONE}:
        zone.blobs.delete(digest)
    return after


def _context(active: Active, progress: Progress, steps: int) -> Context:
    zone, run, number = active.zone, active.run, progress.number
    secret = zone.journal.secret(alone(run.id), lambda: zone.random(32))
    return Context(
        round=number,
        seed=bytes.fromhex(digest_of(f"{run.id} {zone.member} alone {number}".encode())),
        member=zone.member,
        memory=dict(zone.read_model(progress.memory)) if progress.memory else {},
        secret=hashlib.sha256(secret + number.to_bytes(8)).digest(),
        done=number,
        rounds=run.plan.rounds,
        steps=steps,
        sent=Sent(summed=True) if number else None,
    )


def _steps_taken(active: Active, view: View) -> list[int]:
    """How many local steps this member took in each finished round; 0 where the settings said so."""
    found, number = [], 0
    while (this := find_round(view.state.rounds, active.run.id, number)) is not None:
        if this.is_released and not this.is_rejected:
            found.append(this.body.steps.get(active.zone.member, 0))
        number += 1
    return found
