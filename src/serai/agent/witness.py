"""Cosigning: this member's word that it has seen a log grow and never change.

A cosignature is made only for a head that the mirror verified as a continuation
of everything before it, and only after the head is on this zone's disk. So even
after a crash a zone never cosigns two histories (c2sp.org/tlog-witness: check
and persist before replying). A member that has signed the appointment of another
center cosigns no more of the present one: it looks for that after the head is on
the disk, and who signs looks at the disk after saying so, so one sees the other.
"""

from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.charter.state import witness_keys
from serai.kernel.keys import Role
from serai.ledger.checkpoint import cosign
from serai.ledger.note import parse_note


def cosign_head(zone: Zone, view: View) -> int:
    """Cosign the head of a view and hand the line to the center.

    Returns:
        The size that was cosigned; 0 if there is no head yet.

    Raises:
        Unavailable: the center does not answer.

    """
    heir = zone.mirror.heir
    charter = view.state.charter
    if not view.note or view.halt or not charter.in_force or (heir is not None and heir.is_appointed):
        return 0
    if zone.member not in witness_keys(charter):
        return view.size  # who has left follows on, and is no witness
    body = parse_note(view.note).text
    zone.mirror.note_cosigned(view.size)
    line = cosign(body, zone.member, zone.keys.signer(Role.WITNESS), zone.now_ms() // 1000)
    zone.center.cosign(zone.member, line, view.size)
    return view.size
