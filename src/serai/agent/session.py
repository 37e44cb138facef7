"""A member's own look at the center, for as long as one command lasts.

It starts from the entries that the zone's agent has mirrored, if there are any,
verifies what came since just as the agent does, and writes nothing: an agent
that runs beside it stays the only one who does. Where the zone has peers, one of
them stands in for a center that does not answer, and what the center does not take
is left for the agent, which has peers carry it (``serai.agent.carrying``).
"""

import os
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from serai.agent.bundles import TileSource
from serai.agent.mirror import CHECKPOINT, LogKeeper, Mirror, View, name_of
from serai.agent.outbox import keep
from serai.agent.receipts import BLOB_NOT_HERE, Evidence
from serai.agent.settings import ZoneSettings
from serai.charter.constitution import Charter, genesis_of
from serai.errors import Misconfigured, Missing, SeraiError, Unavailable
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body, Said, sign_body
from serai.ledger.checkpoint import parse_checkpoint
from serai.ledger.note import parse_note
from serai.state import State, recognise
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore, StoredEntry
from serai.storage.record_files import read_record
from serai.storage.snapshots import SNAPSHOT_FILE, SnapshotFile
from serai.transport.client import HttpCenter
from serai.transport.connection import Dialing
from serai.transport.directed import Directed
from serai.transport.port import Center
from serai.transport.published import PublicFiles

CHARTER_FILE: Final = "charter.json"
MIRROR_FILE: Final = "mirror.sqlite"
_PEER_TIMEOUT_S: Final = 5.0
_CATCH_UP_S: Final = 10.0  # how long to wait for an entry that the center has accepted


class Session:
    """Speaks and looks for one member.

    Args:
        settings: the member's settings, after ``serai zone join``.

    """

    def __init__(self, settings: ZoneSettings) -> None:
        self.settings = settings
        self.keys = Keyring(settings.keys_folder)

    @cached_property
    def center(self) -> Directed:
        """The center, with requests signed by this member's zone key.

        Raises:
            Misconfigured: the zone has not joined a center.

        """
        if not self.settings.center_url:
            raise Misconfigured(
                "not-joined",
                f"{self.settings.home} has joined no center; run: serai zone join --home {self.settings.home}",
            )
        return dial_center(self.settings, self.keys, self.mirror)

    @property
    def address(self) -> str:
        """Where the center answers, as far as this zone knows."""
        return address_of(self.settings, self.mirror)

    @cached_property
    def mirror(self) -> Mirror:
        """The log as far as the zone's agent has it, and what came since."""
        path = self.settings.home / MIRROR_FILE
        store, charter = _Overlay(LogStore(path) if path.exists() else None), read_charter(self.settings)
        return Mirror(store, charter, SnapshotFile(self.settings.home / SNAPSHOT_FILE, genesis_of(charter)))

    def view(self) -> View:
        """What is known now, caught up with the center, or with a peer where that does not answer.

        Raises:
            Unavailable: neither answers.
            Unverified: what came does not fit what is known.

        """
        heir = self.mirror.heir
        if heir is not None:
            try:
                return self.mirror.succeed(self.center.at(heir.url))
            except SeraiError:
                if heir.is_appointed:
                    raise
        try:
            return self.mirror.follow(self.center, self.mirror.view.size, 0)
        except SeraiError as error:
            if not (isinstance(error, Unavailable) or error.code.startswith("request-")):
                raise
            if not any(self._has_followed(url) for url in self.settings.peers):
                raise
            return self.mirror.view

    def _has_followed(self, peer: str) -> bool:
        try:
            source = TileSource(PublicFiles(peer, _PEER_TIMEOUT_S).read)
            self.mirror.follow(source, self.mirror.view.witnessed_size, 0)
        except SeraiError:
            if self.mirror.view.halt:
                raise
            return False  # away, behind, or talking nonsense
        return True

    def state(self) -> State:
        """What the log adds up to now; see ``view``."""
        return self.view().state

    def entries(self, start: int, end: int) -> list[bytes]:
        """Entries from ``start`` up to, not including, ``end``, as far as they are known."""
        return self.mirror.entries(start, end)

    def say(self, body: Body, role: Role) -> int:
        """Put a statement into the log; its index.

        Raises:
            Unavailable: the center does not answer.
            Missing: this home has no key for that role.

        """
        return self.submit(sign_body(body, self.keys.signer(role), nonce=os.urandom(8)))

    def submit(self, entry: bytes) -> int:
        """Put a signed entry into the log, whoever signed it, and wait until it shows; its index.

        Raises:
            Unavailable: the center does not answer, or does not show the entry, or refuses what it has to take.
            Unverified: the center knows no such key, or the signature does not hold.

        """
        self._wait_for_time()
        try:
            index = self.center.submit(entry)
        except SeraiError as error:
            self._leave_to_peers(entry, error)
            raise
        deadline = time.monotonic() + _CATCH_UP_S
        while self.view().size <= index:
            if time.monotonic() > deadline:
                late = Unavailable(
                    "entry-not-shown", f"the center took entry {index} and does not show it; ask again later"
                )
                self._leave_to_peers(entry, late)
                raise late
        return index

    def _leave_to_peers(self, entry: bytes, error: SeraiError) -> None:
        """Keep what the center had to take for the agent, which has peers carry it.

        Raises:
            Unavailable: it is kept; the message says where.

        """
        is_due = isinstance(recognise(self.mirror.view.state, entry), Said) and error.code != BLOB_NOT_HERE
        if self.settings.peers and is_due:
            path = keep(self.settings.home, Evidence(entry=entry.decode()))
            raise Unavailable(
                "entry-kept",
                f"{error.message}. By this zone's own replay the center has to take the statement; it is kept in {path}, "
                "and the zone's agent has peers carry it: see `serai log withheld`. Do not say it anew",
            ) from error

    def _wait_for_time(self) -> None:
        """Just after the founding, wait for the first clock: a window that opens at no time would close at once."""
        view, deadline = self.view(), time.monotonic() + _CATCH_UP_S
        while view.state.charter.in_force and not view.state.time_ms and time.monotonic() < deadline:
            view = self.mirror.follow(self.center, view.size, 1.0)


class _Overlay(LogKeeper):
    """What the agent mirrored, and in memory what came since."""

    def __init__(self, mirrored: LogStore | None) -> None:
        self._mirrored = mirrored
        self._later: list[bytes] = []
        self._values: dict[str, bytes] = {}
        note = mirrored.get(CHECKPOINT) if mirrored else None
        # The agent may add entries at any moment: only those under the checkpoint read here are taken.
        self._known = parse_checkpoint(parse_note(note.decode()).text).size if note else 0
        if note:
            self._values[CHECKPOINT] = note

    @property
    def size(self) -> int:
        return self._known + len(self._later)

    def mirror(self, start: int, entries: Sequence[StoredEntry], values: Mapping[str, bytes] | None = None) -> None:
        assert start == self.size
        self._later.extend(item.entry for item in entries)
        self._values.update(values or {})

    def replace(self, start: int, entries: Sequence[StoredEntry], values: Mapping[str, bytes]) -> None:
        assert start <= self.size
        self._later = [*self._later[: max(0, start - self._known)], *(item.entry for item in entries)]
        self._known = min(start, self._known)
        self._values.update(values)

    def find(self, statement: Digest) -> int | None:
        known = self._mirrored.find(statement) if self._mirrored else None
        if known is not None and known < self._known:
            return known
        names = map(name_of, self._later)
        return next((self._known + number for number, name in enumerate(names) if name == statement), None)

    def read(self, start: int, end: int) -> list[bytes]:
        if end > self.size:
            raise Missing("entries-missing", f"expected entries up to {end}, there are {self.size}")
        known = self._mirrored.read(start, min(end, self._known)) if self._mirrored and start < self._known else []
        return known + self._later[max(0, start - self._known) : max(0, end - self._known)]

    def get(self, key: str) -> bytes | None:
        return self._values.get(key) or (self._mirrored.get(key) if self._mirrored else None)

    def put(self, key: str, value: bytes) -> None:
        self._values[key] = value

    def close(self) -> None:
        if self._mirrored:
            self._mirrored.close()


def open_mirror(settings: ZoneSettings) -> Mirror:
    """What the zone's agent mirrors, to be written to: by the agent, or in its place.

    Raises:
        Misconfigured: the zone has not joined a center, or its charter is not the pinned one.
        Unverified: the mirrored log is damaged.

    """
    charter = read_charter(settings)
    snapshot = SnapshotFile(settings.home / SNAPSHOT_FILE, genesis_of(charter))
    return Mirror(LogStore(settings.home / MIRROR_FILE), charter, snapshot)


def dial_center(settings: ZoneSettings, keys: Keyring, mirror: Mirror) -> Directed:
    """The center that the log names, or at first the settings, with requests signed by the member's zone key."""

    def dial(url: str) -> Center:
        return HttpCenter(url, keys.live_signer(Role.ZONE), settings.member, Dialing(flows=settings.flows))

    return Directed(lambda: address_of(settings, mirror), dial)


def address_of(settings: ZoneSettings, mirror: Mirror) -> str:
    """Where the center answers: as the last appointment says, else as the settings do."""
    successions = mirror.view.state.charter.successions
    return successions[-1].body.url if successions else settings.center_url


def read_charter(settings: ZoneSettings) -> Charter:
    """The founding charter that this member pinned.

    Raises:
        Malformed: the file holds something else.
        Misconfigured: there is none, or it is not the pinned one.

    """
    path = settings.home / CHARTER_FILE
    try:
        charter = read_record(Charter, path)
    except Missing:
        raise Misconfigured(
            "charter-missing", f"expected the founding charter at {path}; run: serai zone join --home {settings.home}"
        ) from None
    if genesis_of(charter) != settings.genesis:
        raise Misconfigured("charter-pin", f"{path} is not the charter that zone.toml pins; restore it or join again")
    return charter
