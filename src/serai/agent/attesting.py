"""Zones compare what the log adds up to: each says the digest of its replay, and looks at what the others say.

All run the same fold over the same entries, so two digests that differ show a
bug, an update that not everybody made, or a log that is not the same for all.
"""

import logging
from collections.abc import Mapping

from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.charter.state import witness_keys
from serai.errors import Conflict
from serai.kernel.ids import Digest, MemberId
from serai.ledger.statements import StateAttest
from serai.state import State, digest_state

_log = logging.getLogger(__name__)


class Attester:
    """Says and compares. Used by the thread that follows the log.

    Args:
        zone: this member's side.

    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._size = 0
        self._digest = Digest("")
        self._alarmed: set[tuple[int, str]] = set()

    def step(self, view: View) -> None:
        """Say what this zone finds, if it has not, and sound an alarm for each member that finds something else.

        Raises:
            Unavailable: the center does not answer.

        """
        marked, zone = view.marked, self._zone
        if view.halt or zone.member not in witness_keys(view.state.charter):
            return
        if marked is None:  # there was no such size yet, or a start began beyond it
            self._size, self._digest = _last_said(view.state, zone.member)
        elif marked.size != self._size:
            self._size, self._digest = marked.size, digest_state(marked)
        if not self._size:
            return
        said: Mapping[MemberId, Digest] = view.state.attested.get(self._size, {})
        for member, digest in said.items():
            if digest != self._digest and (self._size, member) not in self._alarmed:
                self._alarmed.add((self._size, member))
                _log.error(
                    "ALARM: after %d entries %s finds state %s, this zone %s: compare versions of serai, and `serai audit`",
                    *(self._size, member, digest[:12], self._digest[:12]),
                )
        if zone.member not in said:
            body = StateAttest(size=self._size, digest=self._digest)
            try:
                zone.say_once(f"attest {self._size}", self._digest, lambda: body)
            except Conflict as error:
                _log.error("ALARM: this zone replays the log otherwise than before: %s", error.message)


def to_keep(view: View, member: MemberId) -> State:
    """The newest state from which a start can still say, and compare, what this zone found at the size due last."""
    marked = view.marked
    return view.state if marked is None or member in view.state.attested.get(marked.size, {}) else marked


def _last_said(state: State, member: MemberId) -> tuple[int, Digest]:
    """What a zone said it had found at the last size; 0 and nothing if it never did."""
    said = ((size, found[member]) for size, found in state.attested.items() if member in found)
    return max(said, default=(0, Digest("")))
