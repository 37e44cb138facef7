"""Cosigning: this member's word that it has seen a log grow and never change.

A cosignature is made only for a head that the mirror verified as a continuation
of everything before it, and only after the head is on this zone's disk. So even
after a crash a zone never cosigns two histories (c2sp.org/tlog-witness: check
and persist before replying). A member that has signed the appointment of another
center cosigns no more of the present one: it looks for that after the head is on
the disk, and who signs looks at the disk after saying so, so one sees the other.
"""

import contextlib

from serai.agent.mirror import Mirror, View
from serai.agent.zone import Zone
from serai.charter.state import witness_keys
from serai.errors import SeraiError, Unverified
from serai.kernel.keys import Role
from serai.ledger.checkpoint import cosign, parse_checkpoint
from serai.ledger.note import parse_note
from serai.ledger.witnessing import WitnessReply, judge_add_checkpoint, parse_add_checkpoint
from serai.transport.serving import Answer


def cosign_head(zone: Zone, view: View) -> int:
    """Cosign the head of a view and hand the line to the center.

    Returns:
        The size that was cosigned; 0 if there is none to cosign.

    Raises:
        Unavailable: the center does not answer.

    """
    if not view.note or view.halt or not view.state.charter.in_force:
        return 0
    if not _is_witness(zone, view):
        return view.size  # who has left follows on, and is no witness
    mirror, checkpoint = zone.mirror, parse_checkpoint(parse_note(view.note).text)
    with mirror.cosigning:
        size, root = mirror.cosigned(checkpoint.origin)
        if size > view.size:
            return size  # somebody proved to this witness that the log had grown, before the mirror had it
        if mirror.root_at(size) != root:
            mirror.report_fork("this member cosigned another history than it mirrors", mirror.cosigned_note, view.note)
            return 0
        mirror.note_cosigned(view.note)
    if _has_appointed(zone):
        return 0
    line = _line(zone, view.note)
    zone.center.cosign(zone.member, line, view.size)
    return view.size


def add_checkpoint(zone: Zone, body: bytes) -> Answer:
    """Answer a request to cosign, from anybody (c2sp.org/tlog-witness)."""
    mirror, view = zone.mirror, zone.mirror.view
    if view.halt or not view.state.charter.in_force or not _is_witness(zone, view):
        return Answer(503, b"this witness cosigns nothing now\n")
    key = mirror.key_after(view.state)
    with mirror.cosigning:
        found = judge_add_checkpoint(body, lambda origin: key if origin == key.name else None, mirror.cosigned)
        if isinstance(found, WitnessReply):
            if found.status == 422:
                _keep_evidence(mirror, body)
            return Answer(found.status, found.body.encode(), found.content_type)
        note = parse_add_checkpoint(body.decode()).note.encode()
        try:
            mirror.judge_head(note)
        except Unverified as error:
            return Answer(422, f"{error.message}\n".encode())
        mirror.note_cosigned(note)
    if _has_appointed(zone):
        return Answer(503, b"this member has appointed another center, and cosigns no more of this log\n")
    return Answer(200, _line(zone, note).encode())


def cosigned_checkpoint(zone: Zone) -> bytes:
    """What this witness cosigned last, with its line, for monitors; empty before the first."""
    with zone.mirror.cosigning:
        note = zone.mirror.cosigned_note
    return (note + _line(zone, note)).encode() if note else b""


def _keep_evidence(mirror: Mirror, body: bytes) -> None:
    """A checkpoint that the log signed and that does not fit may be the other half of a fork."""
    with contextlib.suppress(SeraiError):
        mirror.judge_head(parse_add_checkpoint(body.decode()).note.encode())


def _line(zone: Zone, note: str) -> str:
    return cosign(parse_note(note).text, zone.member, zone.keys.signer(Role.WITNESS), zone.now_ms() // 1000)


def _is_witness(zone: Zone, view: View) -> bool:
    return zone.member in witness_keys(view.state.charter)


def _has_appointed(zone: Zone) -> bool:
    """Whether this member has signed the appointment of another center; looked at only after noting what is cosigned."""
    heir = zone.mirror.heir
    return heir is not None and heir.is_appointed
