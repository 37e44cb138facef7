"""A zone follows the center that members have appointed, and brings it what only the old one had.

Theory of operation
-------------------
Masks are bound to the leaf hash of the entry that opened their round, and that
entry stays where it is, so a run in flight goes on under the successor. What may
be lost with the old center is what was not in every mirror: statements that no
quorum had witnessed, which are handed in again, and blobs, which each zone offers
from its own store. Sums need not be offered: the successor adds the uploads again.
"""

import logging
from collections.abc import Iterator

from serai.agent.mirror import Heir, View
from serai.agent.recovery import send_deal
from serai.agent.zone import Zone
from serai.aggregation.state import Round, current_round, find_round
from serai.errors import SeraiError, Unavailable
from serai.kernel.ids import Digest, digest_of
from serai.state import State
from serai.training.state import Run, job_of

_log = logging.getLogger(__name__)


def follow_heir(zone: Zone, heir: Heir) -> View | None:
    """Take the step from the present center to the one that was named; None where the present one is followed still.

    Raises:
        SeraiError: the named center is not there yet, and this member has signed its
            appointment, so it follows no other.

    """
    assert zone.dial is not None, "only a zone that can dial is told of an heir"
    try:
        view = zone.mirror.succeed(zone.dial(heir.url))
    except SeraiError:
        if heir.is_appointed:
            raise
        return None
    _log.info("this zone follows the center at %s from entry %d on", heir.url, view.state.charter.successions[-1].since)
    return view


def bring_along(zone: Zone, view: View) -> None:
    """Hand in and offer what a successor may lack; safe to repeat.

    Raises:
        Unavailable: the center does not answer.

    """
    for entry in zone.mirror.left:
        try:
            zone.center.submit(entry)
        except Unavailable:
            raise
        except SeraiError as error:
            _log.info("an entry of the old center is not taken: %s", error)  # such as what its operator said
    zone.mirror.forget_left()
    for blob in sorted(wanted_blobs(view.state)):
        if zone.blobs.has(blob) and not zone.center.has_blob(blob):
            zone.center.put_blob(blob, zone.blobs.path(blob) or zone.blobs.read_range(blob, 0, zone.blobs.size(blob)))
    for run in view.state.runs.plans.values():
        for this in _last_rounds(view.state, run.id):
            if zone.member in this.uploads:
                _bring_upload(zone, view, run, this)


def _bring_upload(zone: Zone, view: View, run: Run, this: Round) -> None:
    """What goes with this member's upload and lies in no store: the digests of its chunks, and its deal."""
    upload, job = zone.journal.upload(this.id), job_of(view.state.runs, run.id)
    if upload is None or job is None or len(this.results) == len(this.body.participants):
        return
    chunks = digest_of(upload.chunks)
    if not zone.center.has_blob(chunks):
        zone.center.put_blob(chunks, upload.chunks)
    if this.uploads[zone.member].body.deal is not None:
        send_deal(zone, job.at(this.done), this)


def wanted_blobs(state: State) -> frozenset[Digest]:
    """The blobs that a center must have so that runs go on and their models can be released."""
    found = {release.body.model for release in state.hub.releases.values()}
    for run in state.runs.plans.values():
        if run.cancelled is None:
            found |= {run.plan.code, run.plan.initial, *run.plan.inputs.values()}
            for this in _last_rounds(state, run.id):
                found.update(_blobs_of(this))
    return frozenset(found)


def _last_rounds(state: State, run: Digest) -> list[Round]:
    """The current round of a run, and the one before, whose sum some member may not have read yet."""
    this = current_round(state.rounds, run)
    before = None if this is None else find_round(state.rounds, run, this.body.number - 1)
    return [found for found in (before, this) if found is not None]


def _blobs_of(this: Round) -> Iterator[Digest]:
    yield this.body.model
    for upload in this.uploads.values():
        yield from (upload.body.blob, upload.body.chunks)
        if upload.body.deal is not None:
            yield upload.body.deal.blob
    if this.closed is not None:
        yield this.closed.body.masked_sum
    for result in this.results.values():
        yield result.model
