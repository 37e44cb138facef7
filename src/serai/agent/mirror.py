"""The member's own copy of the log: verified, kept, replayed; never taken on trust.

Theory of operation
-------------------
The mirror holds every entry from the first. What the center sends next is
accepted only if the root over *all* entries, the old ones as kept here and the
new ones as they came, is the root in a checkpoint that the log signed. So
inclusion and consistency need no proofs on the way in: they are recomputed.

A checkpoint that the log signed and that does not fit what is kept here is
evidence of a fork: the two notes are stored, the zone halts, and only a person
can lift that (by removing the evidence file after the members have met). Entries
that merely do not have the root they came under prove nothing and are refused;
for a longer log the center is asked for its whole history first.
A shorter log than before is a rollback and is refused.

Where the members have appointed another center (``serai.charter.succession``), the
successor's log is followed from the last head that a quorum witnessed here. What
this zone had beyond that and the successor has not is handed in again. From the
entry that completes the appointment on, only the successor's key signs heads.

A crash between receiving and storing loses nothing: the center is asked again
from the size stored here.

A start hashes every entry, which shows that all are as they were signed, and
folds those that came after the snapshot (``serai.storage.snapshots``).
"""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from serai.charter.constitution import Charter
from serai.charter.state import witness_faults, witness_keys
from serai.errors import Conflict, Malformed, Missing, Unverified
from serai.kernel.canonical import canonical, parse
from serai.kernel.collector import collector_paused
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import from_json, to_json
from serai.ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import EMPTY_ROOT, leaf_hash
from serai.ledger.note import NoteKey, parse_note, parse_vkey
from serai.ledger.policy import Witnessed, Witnesses, open_witnessed
from serai.ledger.statements import is_compared
from serai.state import State, advance
from serai.storage.log import StoredEntry
from serai.storage.snapshots import SnapshotFile
from serai.transport.port import News

CHECKPOINT: Final = "checkpoint"
_WITNESSED: Final = "witnessed"
_FORK: Final = "fork"
_LEFT: Final = "left"
_HEIR: Final = "heir"
_COSIGNED: Final = "cosigned"
_MAX_HEIR_BYTES: Final = 4096
_BATCH: Final = 4096  # entries read at a time when replaying from the disk
MAX_CATCH_UP_BYTES: Final = 2**30  # a million statements: who shows more at once wants this zone's memory
_ROOTS: Final = 4096  # how many of the newest sizes have their root at hand, for cosigned heads that lag behind


@dataclass(frozen=True, slots=True)
class View:
    """What the zone knows at one moment; never changes.

    Attributes:
        state: what the mirrored entries add up to.
        frontier: the right edge of their tree.
        note: the newest checkpoint with the log's signature; "" before the first.
        witnessed: the newest checkpoint that a quorum of members cosigned.
        witnessed_note: its note, with the cosignatures.
        halt: why this zone halted; None while it has not.
        marked: the state at the last size at which zones compare theirs.

    """

    state: State
    frontier: Frontier
    note: str
    witnessed: Witnessed | None
    witnessed_note: str
    halt: str | None
    marked: State | None = None

    @property
    def size(self) -> int:
        """How many entries are mirrored."""
        return self.state.size

    @property
    def witnessed_size(self) -> int:
        """How many entries a quorum of members has witnessed."""
        return self.witnessed.checkpoint.size if self.witnessed else 0

    @property
    def quorum(self) -> int:
        """How many members must cosign; 0 before there is a charter."""
        charter = self.state.charter
        return 0 if charter.charter is None else Witnesses(witness_keys(charter), witness_faults(charter)).quorum


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """A center that this member will follow in place of the present one.

    Attributes:
        url: where it answers.
        is_appointed: whether this member has signed its appointment: then it has
            cosigned its last head of the present log.

    """

    url: str
    is_appointed: bool


class NewsSource(Protocol):
    """Whoever shows a log: a center, or a bundle that was carried here."""

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What there is beyond ``size`` entries; see ``serai.transport.port.Center``."""


class LogKeeper(Protocol):
    """Where a mirror keeps entries and a few values beside them; ``LogStore`` on the disk."""

    @property
    def size(self) -> int:
        """How many entries are kept."""

    def mirror(self, start: int, entries: Sequence[StoredEntry], values: Mapping[str, bytes] | None = None) -> None:
        """Add entries at the end, and set values with them; see ``LogStore.mirror``."""

    def replace(self, start: int, entries: Sequence[StoredEntry], values: Mapping[str, bytes]) -> None:
        """Put entries in the place of all from ``start`` on, and set values; see ``LogStore.replace``."""

    def read(self, start: int, end: int) -> list[bytes]:
        """Entries from ``start`` up to, not including, ``end``."""

    def find(self, statement: Digest) -> int | None:
        """The first index of a statement, or None."""

    def get(self, key: str) -> bytes | None:
        """A value, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Set a value."""

    def close(self) -> None:
        """Let go of the file."""


class Mirror:
    """The verified copy of one log.

    One thread calls ``follow``; any thread reads ``view``.

    Args:
        store: keeps the entries; its own, not the center's.
        charter: the founding charter that the member's people checked; it pins the
            log's name and key.
        snapshot: spares a start most of the replay; None replays from the first entry. It is only read here.

    Raises:
        Unverified: what is stored does not fit its own checkpoint.

    """

    def __init__(self, store: LogKeeper, charter: Charter, snapshot: SnapshotFile | None = None) -> None:
        self._store = store
        self.snapshot = snapshot
        self._founding: NoteKey = parse_vkey(charter.log_key)
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._roots: dict[int, bytes] = {}
        self._roots_lock = threading.Lock()
        self._unbelieved = 0  # size of the largest head that was called witnessed and lacked a quorum
        self.cosigning = threading.Lock()
        """Held from the look at what was cosigned last until what is cosigned next is on the disk."""
        self._view = self._load()

    @property
    def view(self) -> View:
        """What is known now."""
        with self._lock:
            return self._view

    def wait(self, seen: View, timeout_s: float) -> View:
        """The view, once it is another than ``seen`` or the time is over."""
        with self._lock:
            self._news.wait_for(lambda: self._view is not seen, timeout_s)
            return self._view

    def entries(self, start: int, end: int) -> list[bytes]:
        """Mirrored entries from ``start`` up to, not including, ``end``.

        Raises:
            Missing: they are not all mirrored.

        """
        return self._store.read(start, end)

    def close(self) -> None:
        """Let go of the store; the mirror cannot be used afterwards."""
        self._store.close()

    def find(self, statement: Digest) -> int | None:
        """Where a statement stands, void or not; None if it is not mirrored."""
        return self._store.find(statement)

    def follow(self, center: NewsSource, witnessed: int, wait_s: float) -> View:
        """Fetch, verify, keep and replay what is new; the view afterwards.

        Args:
            center: whom to ask.
            witnessed: also return for a witnessed checkpoint larger than this.
            wait_s: how long the center may hold the question, seconds.

        Raises:
            Unverified: what came is not this log, or is shorter than it was; nothing was taken.
            Unavailable: the center does not answer.

        """
        before = self._caught_up()
        if before.halt:
            raise Unverified("zone-halted", before.halt)
        # A note that lacked a quorum would be sent again and again: ask for larger ones.
        witnessed = max(witnessed, min(self._unbelieved, before.size))
        news = center.news(before.size, witnessed, wait_s)
        if news.first != before.size:
            raise Unverified("news-gap", f"expected entries from index {before.size}, got them from {news.first}")
        if not news.checkpoint:
            if news.entries:
                raise Unverified("news-unsigned", "entries came without a signed checkpoint; they are not taken")
            return before
        checkpoint = open_checkpoint(parse_note(news.checkpoint), self.key_after(before.state))
        fetched = _fetch(center, news, checkpoint.size)
        try:
            view = self._extended(before, checkpoint, news.checkpoint, fetched)
        except Unverified as error:
            if error.code == "log-root" and checkpoint.size > before.size and _has_history(center, checkpoint):
                self.report_fork(
                    f"the log signed a history of {checkpoint.size} entries that does not begin with the {before.size} "
                    "kept here",
                    before.note,
                    news.checkpoint,
                )
            raise
        self._publish(view)  # what is stored is known, whatever comes of the cosignatures
        return self._publish(self._with_witnesses(view, news.witnessed))

    def succeed(self, center: NewsSource) -> View:
        """Follow the log of a center that members have appointed after the present one.

        Raises:
            Unverified: it shows no complete appointment, or not after what this zone knows; nothing was taken.
            Unavailable: it does not answer.

        """
        before = self._caught_up()
        if before.halt:
            raise Unverified("zone-halted", before.halt)
        start = before.witnessed_size  # no successor may leave out what a quorum witnessed
        try:
            news = center.news(start, start, 0)
        except Conflict as error:
            raise Unverified("successor-short", f"it has fewer than the {start} entries that were witnessed") from error
        note = parse_note(news.checkpoint)
        checkpoint = parse_checkpoint(note.text)
        fetched = _fetch(center, news, checkpoint.size)
        kept = start + _common(self._store.read(start, before.size), fetched)
        new = fetched[kept - start :]
        state = before.state if kept == before.size else self._replayed(kept)
        frontier, roots = _grow(state.frontier, new)
        state, marked = _folded(state, new)
        if len(state.charter.successions) <= len(before.state.charter.successions):
            raise Unverified("not-a-successor", "no quorum has appointed that center in the log that it shows")
        if open_checkpoint(note, self.key_after(state)).root != frontier.root():
            raise Unverified("log-root", f"its {checkpoint.size} entries do not have the root that it signed")
        left = [entry.decode() for entry in self._store.read(kept, before.size)]
        values = {CHECKPOINT: news.checkpoint.encode(), _LEFT: json.dumps(left).encode()}
        self._store.replace(kept, [StoredEntry(name_of(entry), entry) for entry in new], values)
        with self._roots_lock:
            self._roots = {size: root for size, root in self._roots.items() if size <= kept}
        self._remember(roots)
        self._unbelieved = 0
        view = replace(before, state=state, frontier=frontier, note=news.checkpoint, marked=marked or before.marked)
        self._publish(view)
        return self._publish(self._with_witnesses(view, news.witnessed))

    @property
    def left(self) -> list[bytes]:
        """Entries that this zone had and a successor has not, until ``forget_left``."""
        return [entry.encode() for entry in json.loads(self._store.get(_LEFT) or b"[]")]

    def forget_left(self) -> None:
        """They were handed in."""
        self._store.put(_LEFT, b"[]")

    @property
    def bound_size(self) -> int:
        """How many entries this member has cosigned or knows to be witnessed: no log without them is right."""
        return max(self.cosigned(self.key_after(self.view.state).name)[0], self.view.witnessed_size)

    def cosigned(self, origin: str) -> tuple[int, bytes]:
        """Size and root of the checkpoint of a log that this member cosigned last; asked of the disk."""
        checkpoint = self.cosigned_note and parse_checkpoint(parse_note(self.cosigned_note).text)
        if not checkpoint or checkpoint.origin != origin:
            return 0, EMPTY_ROOT
        return checkpoint.size, checkpoint.root

    @property
    def cosigned_note(self) -> str:
        """The note that this member cosigned last; "" before the first."""
        return (self._store.get(_COSIGNED) or b"").decode()

    def note_cosigned(self, note: str) -> None:
        """Remember, before a cosignature leaves, what it is for; called under ``cosigning``."""
        if note != self.cosigned_note:
            self._store.put(_COSIGNED, note.encode())

    def judge_head(self, note: str) -> Checkpoint:
        """Compare a head that somebody shows with what is kept here.

        Returns:
            The checkpoint, which the log has signed and which this mirror agrees to, as far as it reaches.

        Raises:
            Malformed: not a checkpoint.
            Unverified: the log has not signed it, or has signed another history: then the zone halts.

        """
        parsed = parse_note(note)
        size = parse_checkpoint(parsed.text).size
        view = self.view
        checkpoint = open_checkpoint(parsed, self.key_at(view.state, size))
        if size <= view.size and self.root_at(size) != checkpoint.root:
            self.report_fork(f"the log signed another history of its first {size} entries", view.note, note)
            raise Unverified("log-fork", f"the log signed two roots for its first {size} entries; the zone halts")
        return checkpoint

    @property
    def heir(self) -> Heir | None:
        """The center that this member was told of or has appointed, until it is followed; asked of the disk."""
        stored = self._store.get(_HEIR)
        heir = from_json(Heir, parse(stored, _MAX_HEIR_BYTES)) if stored else None
        if heir is None or heir.url in {item.body.url for item in self.view.state.charter.successions}:
            return None
        return heir

    def key_after(self, state: State) -> NoteKey:
        """The key that signs the head of the log that adds up to a state."""
        successions = state.charter.successions
        return parse_vkey(successions[-1].body.log_key) if successions else self._founding

    def key_at(self, state: State, size: int) -> NoteKey:
        """The key that signed heads of a size, in the history that adds up to a state."""
        key = self.key_after(state)
        for succession in reversed(state.charter.successions):
            if size < succession.since:
                key = parse_vkey(succession.before)
        return key

    def _replayed(self, size: int) -> State:
        state = State()
        for start in range(0, size, _BATCH):
            for entry in self._store.read(start, min(size, start + _BATCH)):
                state = advance(state, entry)
        return state

    def report_fork(self, reason: str, *notes: str) -> None:
        """Keep evidence that the log signed two histories, and halt."""
        evidence = json.dumps({"reason": reason, "notes": notes}).encode()
        self._store.put(_FORK, evidence)
        self._publish(replace(self.view, halt=reason))

    @property
    def evidence(self) -> dict[str, Any] | None:
        """Why this zone halted: a ``reason``, and the ``notes`` that disagree; None while it has not."""
        stored = self._store.get(_FORK)
        found: dict[str, Any] | None = json.loads(stored) if stored else None
        return found

    def _caught_up(self) -> View:
        """The view, read anew where a bundle was taken into this mirror's store meanwhile."""
        return self.view if self._store.size == self.view.size else self._publish(self._load())

    def _publish(self, view: View) -> View:
        with self._lock:
            if self._view.halt and not view.halt:  # another thread has found a fork meanwhile
                view = replace(view, halt=self._view.halt)
            if view != self._view:
                self._view = view
                self._news.notify_all()
            return self._view

    def _extended(self, before: View, checkpoint: Checkpoint, note: str, fetched: Sequence[bytes]) -> View:
        if checkpoint.size < before.size:
            self._judge_rollback(before, checkpoint, note)
        frontier, roots = _grow(before.frontier, fetched)
        if frontier.root() != checkpoint.root:
            if checkpoint.size == before.size:
                self.report_fork(f"the log signed two roots for its first {checkpoint.size} entries", before.note, note)
            raise Unverified(
                "log-root",
                f"the {len(fetched)} entries that came do not have the root that the log signed for size {checkpoint.size}",
            )
        if not fetched:
            return before
        stored = [StoredEntry(name_of(entry), entry) for entry in fetched]
        state, marked = _folded(before.state, fetched)
        if self.key_after(state) != self.key_after(before.state):
            raise Unverified("log-succeeded", "members have appointed another center, and this one goes on by itself")
        self._store.mirror(before.size, stored, {CHECKPOINT: note.encode()})
        self._remember(roots)
        return replace(before, state=state, frontier=frontier, note=note, marked=marked or before.marked)

    def _judge_rollback(self, before: View, checkpoint: Checkpoint, note: str) -> None:
        if self.root_at(checkpoint.size) != checkpoint.root:
            self.report_fork(
                f"the log signed another history of its first {checkpoint.size} entries", before.note, note
            )
        raise Unverified(
            "log-rollback",
            f"this zone holds {before.size} entries that the log signed, and the log now shows {checkpoint.size}",
        )

    def _with_witnesses(self, view: View, note: str | None) -> View:
        if not note or note == view.witnessed_note:
            return view
        charter = view.state.charter
        if charter.charter is None or not charter.in_force:
            return view
        witnesses = Witnesses(witness_keys(charter), witness_faults(charter))
        key = self.key_at(view.state, parse_checkpoint(parse_note(note).text).size)
        try:
            witnessed = open_witnessed(note, key, witnesses)
        except Unverified as error:
            if error.code != "witness-quorum":
                raise
            # No proof of anything: so it is when a witness has left since. The next head will have a quorum, or none.
            self._unbelieved = max(self._unbelieved, open_checkpoint(parse_note(note), key).size)
            return view
        if witnessed.checkpoint.size < view.witnessed_size or witnessed.checkpoint.size > view.size:
            return view
        if self.root_at(witnessed.checkpoint.size) != witnessed.checkpoint.root:
            self.report_fork("members cosigned another history than this zone holds", view.note, note)
            raise Unverified("log-fork", "a quorum cosigned another history than this zone holds; the zone halts")
        self._store.put(_WITNESSED, note.encode())
        return replace(view, witnessed=witnessed, witnessed_note=note)

    def root_at(self, size: int) -> bytes:
        """The root over the first ``size`` entries kept here."""
        with self._roots_lock:
            root = self._roots.get(size)
        if root is None:
            root = self._edge_at(size).root()
            self._remember({size: root})
        return root

    def _edge_at(self, size: int) -> Frontier:
        """The right edge of the first entries kept here; remembers the roots of the last sizes up to there."""
        frontier, late = Frontier(), max(0, size - _ROOTS)
        for start in range(0, late, _BATCH):
            entries = self._store.read(start, min(late, start + _BATCH))
            frontier = frontier.extend(leaf_hash(entry) for entry in entries)
        frontier, roots = _grow(frontier, self._store.read(late, size))
        self._remember(roots)
        return frontier

    def _remember(self, roots: Mapping[int, bytes]) -> None:
        with self._roots_lock:
            self._roots.update(roots)
            for size in sorted(self._roots)[:-_ROOTS]:
                del self._roots[size]

    def _load(self) -> View:
        size = self._store.size
        state = self.snapshot.read(size, self.root_at) if self.snapshot else State()
        marked = state if is_compared(state.size) else None
        for start in range(state.size, size, _BATCH):
            entries = self._store.read(start, min(size, start + _BATCH))
            if start + _BATCH > size - _ROOTS:
                self._remember(_grow(state.frontier, entries)[1])
            state, later = _folded(state, entries)
            marked = later or marked
        note = (self._store.get(CHECKPOINT) or b"").decode()
        if size and state.frontier.root() != open_checkpoint(parse_note(note), self.key_after(state)).root:
            raise Unverified(
                "mirror-damaged", "the mirrored entries do not have the root they had; mirror the log anew"
            )
        fork = self._store.get(_FORK)
        view = View(state, state.frontier, note, None, "", json.loads(fork)["reason"] if fork else None, marked)
        try:
            return self._with_witnesses(view, (self._store.get(_WITNESSED) or b"").decode())
        except (Unverified, Missing):
            return view


def name_heir(store: LogKeeper, heir: Heir | None) -> None:
    """Remember a center to follow, or none; an agent of that mirror heeds it before it cosigns again."""
    store.put(_HEIR, b"" if heir is None else canonical(to_json(heir)))


def _folded(state: State, entries: Iterable[bytes]) -> tuple[State, State | None]:
    """The state after more entries, and the last one on the way at which zones compare theirs."""
    marked = None
    with collector_paused():
        for entry in entries:
            state = advance(state, entry)
            if is_compared(state.size):
                marked = state
    return state, marked


def _grow(frontier: Frontier, entries: Sequence[bytes]) -> tuple[Frontier, dict[int, bytes]]:
    roots: dict[int, bytes] = {}
    for number, entry in enumerate(entries):
        frontier = frontier.append(leaf_hash(entry))
        if number >= len(entries) - _ROOTS:
            roots[frontier.size] = frontier.root()
    return frontier, roots


def _common(kept: Sequence[bytes], fetched: Sequence[bytes]) -> int:
    """How many entries two histories begin with alike."""
    pairs = enumerate(zip(kept, fetched, strict=False))
    return next((number for number, (mine, theirs) in pairs if mine != theirs), min(len(kept), len(fetched)))


def name_of(entry: bytes) -> Digest:
    """The id under which a store keeps an entry: its statement's, or for other bytes their digest."""
    try:
        return parse_envelope(entry).id
    except Malformed:
        return digest_of(entry)


def _fetch(center: NewsSource, news: News, size: int) -> list[bytes]:
    """The entries that news began with, up to ``size``; they can be verified only when all are here."""
    fetched = list(news.entries)
    taken_bytes = sum(len(entry) for entry in fetched)
    while news.first + len(fetched) < size:
        more = center.news(news.first + len(fetched), size, 0).entries
        if not more:
            raise Unverified("news-gap", f"the log signed {size} entries and sends fewer")
        fetched.extend(more)
        taken_bytes += sum(len(entry) for entry in more)
        if taken_bytes > MAX_CATCH_UP_BYTES:
            raise Unverified(
                "news-too-large",
                f"more than {MAX_CATCH_UP_BYTES} bytes of entries came under one checkpoint; none is taken",
            )
    return fetched[: max(0, size - news.first)]


def _has_history(center: NewsSource, checkpoint: Checkpoint) -> bool:
    """Whether the center has entries, from the first one on, with the root of a checkpoint."""
    frontier = Frontier()
    while frontier.size < checkpoint.size:
        entries = center.news(frontier.size, checkpoint.size, 0).entries[: checkpoint.size - frontier.size]
        if not entries:
            return False
        frontier = frontier.extend(leaf_hash(entry) for entry in entries)
    return frontier.root() == checkpoint.root
