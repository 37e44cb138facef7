"""Statements that the center does not show are carried by other members, who say what became of it.

Theory of operation
-------------------
A statement proves by itself who made it, so anybody can hand it in. Every agent keeps
a few items: statements that are due in the log and do not show there, its own and
those that peers brought. With each it does the same, time and again: it hands the
statement to the center; once it has waited and the center has shown it a log without
it, it signs a receipt; and it tells its peers all that it has, who answer with all
that they have. So receipts spread to whoever is connected, and whose own line is cut
needs no more than one peer.

An item ends when the statement stands in the log and the receipts with it, which
any agent hands in, to this center or to its successor. What a quorum has given receipts
for is an alarm at each member.

Only statements that the center has to let in are carried, a few of each member's, so
a flood costs its author the places and nobody else. A receipt is given only while the
center answers: one that is down is no secret, and withholds from everybody.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from serai.agent.gate import may_carry
from serai.agent.mirror import View, name_of
from serai.agent.outbox import keep, kept, path_of
from serai.agent.receipts import (
    BLOB_NOT_HERE,
    MAX_EVIDENCE_BYTES,
    Evidence,
    Finding,
    Known,
    judge_evidence,
    parse_evidence,
)
from serai.agent.zone import Zone
from serai.charter.state import witness_keys
from serai.errors import Malformed, Refused, SeraiError, Unavailable, Unverified
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Said, sign_body
from serai.kernel.verdict import Denied
from serai.ledger.checkpoint import parse_checkpoint
from serai.ledger.note import parse_note
from serai.ledger.statements import MAX_ANSWER_CHARS, Answered, Receipt
from serai.state import recognise
from serai.transport.published import PublicFiles
from serai.transport.serving import Answer

WITHHELD: Final = "/withheld"
MAX_CARRIED: Final = 16  # of each member's statements at once
AGAIN_S: Final = 15  # between two tries with the same statement
CARRY_S: Final = 2.0  # between two looks at what is due
PEER_TIMEOUT_S: Final = 10.0
_JSON: Final = "application/json"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Item:
    """A statement on its way.

    Attributes:
        entry: the signed statement.
        author: whose it is.
        receipts: by who gave them.
        handed_ms: when this zone handed it in first to a center that answers; None before that.
        due_ms: when it is looked at again.
        answered: what the center did with it last, with code and words of a refusal.
        is_alarmed: whether people have been told.

    """

    entry: bytes
    author: MemberId
    receipts: dict[MemberId, bytes] = field(default_factory=dict)
    handed_ms: int | None = None
    due_ms: int = 0
    answered: tuple[Answered, str, str] = (Answered.SILENT, "", "")
    is_alarmed: bool = False

    @property
    def evidence(self) -> Evidence:
        given = dict(self.receipts)  # other threads may add to it meanwhile
        return Evidence(entry=self.entry.decode(), receipts=tuple(given[name].decode() for name in sorted(given)))


class Carrier:
    """Carries what does not show. ``take`` is called from the endpoint's threads, ``step`` from one of its own.

    Args:
        zone: this member's side.
        peers: where other members' agents answer.

    """

    def __init__(self, zone: Zone, peers: Sequence[str]) -> None:
        self._zone = zone
        self._peers = {url: PublicFiles(url, PEER_TIMEOUT_S) for url in peers}
        self._items: dict[Digest, _Item] = {}
        self._done: set[Digest] = set()
        self._alarmed: set[Digest] = set()
        self._away: set[str] = set()  # peers that did not answer in this step: one that is down costs one wait
        self._lock = threading.Lock()

    def take(self, body: bytes) -> Answer:
        """Answer a member that brings evidence: with all that is known here about that statement."""
        if self._zone.mirror.view.halt:
            return Answer(503, b"this zone has halted, and judges nothing now\n")
        try:
            evidence = parse_evidence(body)
            return Answer(200, self._merge(evidence).encode(), _JSON)
        except Refused as error:
            return Answer(429, f"{error.message}\n".encode())
        except SeraiError as error:
            return Answer(422, f"{error.message}\n".encode())

    def step(self) -> None:
        """Do what is due, once."""
        view, now_ms = self._zone.mirror.view, self._zone.now_ms()
        if view.halt or not view.state.charter.in_force:
            return
        self._gather(now_ms)
        self._away.clear()
        with self._lock:
            due = {name: item for name, item in self._items.items() if item.due_ms <= now_ms}
        due = {name: item for name, item in due.items() if self._may_leave(item, view)}
        for item in due.values():
            item.due_ms = now_ms + 1000 * AGAIN_S
            self._exchange(item)  # all of them before any is handed in: the center may take its time to answer
        for name, item in due.items():
            self._advance(name, item, now_ms)
        self._sound_logged(view)

    def _may_leave(self, item: _Item, view: View) -> bool:
        """Whether an item may be told anybody; one of this zone's own waits while its people, or a policy, say no."""
        return item.author != self._zone.member or may_carry(self._zone, view, item.entry)

    def _gather(self, now_ms: int) -> None:
        """Own statements that should have shown by now, and those that people left in the home."""
        zone, wait_ms = self._zone, 1000 * self._zone.settings.withheld_s
        for name, (entry, since_ms) in zone.outbox.noted().items():
            if zone.mirror.find(name) is not None:
                zone.outbox.forget(name)
            elif now_ms - since_ms >= wait_ms:
                self._take_own(Evidence(entry=entry.decode()))
        try:
            for evidence in kept(zone.settings.home, self._items.keys() | self._done):
                self._take_own(evidence)
        except SeraiError as error:
            _log.warning("a file in the folder of withheld statements is not one: %s", error.message)

    def _take_own(self, evidence: Evidence) -> None:
        """Take in a statement of this zone's; it waits outside while its places are taken."""
        name = parse_envelope(evidence.entry.encode()).id
        if name in self._items or name in self._done:
            return
        try:
            self._merge(evidence)
        except Refused:
            return
        except SeraiError as error:
            _log.debug("statement %s need not be let in: %s", name[:12], error.message)
            self._zone.outbox.forget(name)

    def _merge(self, evidence: Evidence) -> Evidence:
        """Take evidence in; all that is known then.

        Raises:
            Malformed: the statement is none, or a receipt.
            Unverified: the center need not let it in, as this zone sees it.
            Refused: too many of that author's are carried already.

        """
        entry = evidence.entry.encode()
        name = parse_envelope(entry).id
        with self._lock:
            item = self._items.get(name)
        if item is None:
            if name in self._done or (self._zone.mirror.find(name) is not None and not evidence.receipts):
                return evidence  # it stands
            item = self._admit(name, entry)
        known = {parse_envelope(receipt).signer for receipt in tuple(item.receipts.values())}
        for receipt in evidence.receipts:
            if parse_envelope(receipt.encode()).signer in known:
                continue  # so that nobody has the same signatures checked again and again
            one = Evidence(entry=evidence.entry, receipts=(receipt,))
            for member in self.judge(one).receipts:
                item.receipts.setdefault(member, receipt.encode())
        return item.evidence

    def _admit(self, name: Digest, entry: bytes) -> _Item:
        said = recognise(self._zone.mirror.view.state, entry)
        if isinstance(said, Denied):
            raise Unverified(
                "withheld-void", f"the center need not take that statement, by {said.article}: {said.reason}"
            )
        if said.body.KIND == Receipt.KIND:
            raise Malformed("withheld-receipt", "receipts travel with the statement that they are about")
        with self._lock:
            if sum(item.author == said.member for item in self._items.values()) >= MAX_CARRIED:
                raise Refused(
                    "withheld-full", f"{MAX_CARRIED} statements of {said.member} are carried; try again later"
                )
            return self._items.setdefault(name, _Item(entry, said.member))

    def _advance(self, name: Digest, item: _Item, now_ms: int) -> None:
        if self._zone.mirror.find(name) is not None:
            self._finish(name, item)
            return
        is_due = isinstance(recognise(self._zone.mirror.view.state, item.entry), Said)  # its key may have ended
        if not is_due or not self._hand_in(item, now_ms):
            self._forget(name)
            return
        size = self._find_missed(name, item, now_ms)
        if size is not None:
            self._give_receipt(name, item, now_ms, size)
        self._sound(name, item)
        self._post_receipts(item)  # a center that drops a ballot may well take these

    def _hand_in(self, item: _Item, now_ms: int) -> bool:
        """Hand the statement to the center once more; False where the center may refuse it."""
        try:
            self._zone.center.submit(item.entry)
            item.answered = (Answered.TAKEN, "", "")
        except (Unavailable, OSError):
            item.answered = (Answered.SILENT, "", "")
        except SeraiError as error:
            item.answered = (Answered.REFUSED, error.code[:MAX_ANSWER_CHARS], error.message[:MAX_ANSWER_CHARS])
        if item.handed_ms is None and (item.answered[0] is not Answered.SILENT or self._is_answered()):
            item.handed_ms = now_ms
        return item.answered[1] != BLOB_NOT_HERE

    def _is_answered(self) -> bool:
        try:
            self._zone.center.health()
        except (SeraiError, OSError):
            return False
        return True

    def _find_missed(self, name: Digest, item: _Item, now_ms: int) -> int | None:
        """The size of the log of which this zone can say: handed the statement, the center showed this, without it."""
        zone, view = self._zone, self._zone.mirror.view
        is_early = item.handed_ms is None or now_ms - item.handed_ms < 1000 * zone.settings.withheld_s
        if is_early or zone.member in item.receipts or zone.member not in witness_keys(view.state.charter):
            return None
        try:
            news = zone.center.news(view.size, view.size, 0)
            shown = parse_checkpoint(parse_note(news.checkpoint).text).size
        except (SeraiError, OSError):
            return None
        # A mirror that lags behind what the center shows knows too little to say anything.
        is_whole = view.size + len(news.entries) == shown
        is_there = name in map(name_of, news.entries) or zone.mirror.find(name) is not None  # looked up after the view
        return view.size if is_whole and not is_there else None

    def _give_receipt(self, name: Digest, item: _Item, now_ms: int, size: int) -> None:
        zone, (answered, code, answer) = self._zone, item.answered
        assert item.handed_ms is not None, "who gives a receipt has handed it in"
        body = Receipt(
            statement=name,
            handed_ms=item.handed_ms,
            seen_ms=now_ms,
            size=size,
            answered=answered,
            code=code,
            answer=answer,
        )
        signer = zone.keys.signer(Role.ZONE)
        # Given once: it is the same one after a crash, whatever the clock says then.
        item.receipts[zone.member] = zone.journal.word(
            f"receipt {name}", name, lambda: sign_body(body, signer, nonce=zone.random(8))
        )
        _log.warning("the center does not show statement %s of %s: %s %s", name[:12], item.author, answered, answer)

    def _exchange(self, item: _Item) -> None:
        """Tell every peer what is known of a statement, and hear what it knows."""
        for url, files in self._peers.items():
            if url in self._away:
                continue
            try:
                status, body = files.send(WITHHELD.removeprefix("/"), item.evidence.encode(), MAX_EVIDENCE_BYTES)
                heard = parse_evidence(body) if status == 200 else None
                if heard is not None and heard.entry.encode() == item.entry:
                    self._merge(heard)
            except Unavailable:
                self._away.add(url)
            except SeraiError as error:
                _log.debug("what %s says of it is not taken: %s", url, error.message)

    def _sound(self, name: Digest, item: _Item) -> None:
        """Keep what is known, and tell people once it is proved."""
        if item.receipts or item.author == self._zone.member:
            keep(self._zone.settings.home, item.evidence)
        found = self.judge(item.evidence)
        if found.is_proved and not item.is_alarmed:
            item.is_alarmed = True
            _log.error(
                "ALARM: the center withholds %s %s of %s, say %s: see `serai log withheld`",
                *(found.kind, name[:12], item.author, ", ".join(sorted(found.receipts))),
            )

    def judge(self, evidence: Evidence) -> Finding:
        """What evidence comes to, by the log as this zone has it now."""
        state = self._zone.mirror.view.state
        return judge_evidence(evidence, Known(lambda _size: state, state.size, self._zone.mirror.find))

    def _sound_logged(self, view: View) -> None:
        """Tell people of what receipts in the log prove, also where this zone carried nothing."""
        for name, given in view.state.receipts.items():
            if name not in self._alarmed and len(given) >= view.quorum:
                self._alarmed.add(name)
                _log.error(
                    "ALARM: by receipts in the log of %s the center withheld statement %s",
                    *(", ".join(sorted(given)), name[:12]),
                )

    def _finish(self, name: Digest, item: _Item) -> None:
        """The statement stands; the receipts follow it into the log."""
        if self._post_receipts(item):
            return
        if not item.receipts:
            path_of(self._zone.settings.home, name).unlink(missing_ok=True)
        self._done.add(name)
        self._forget(name)

    def _post_receipts(self, item: _Item) -> int:
        """Hand in the receipts that are not in the log; how many these are."""
        missing = [entry for entry in tuple(item.receipts.values()) if self._zone.mirror.find(name_of(entry)) is None]
        for entry in missing:
            try:
                self._zone.center.submit(entry)
            except (SeraiError, OSError) as error:
                _log.debug("a receipt is not taken yet: %s", error)
        return len(missing)

    def _forget(self, name: Digest) -> None:
        with self._lock:
            self._items.pop(name, None)
        self._zone.outbox.forget(name)
