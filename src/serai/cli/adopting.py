"""A member raises a center from its own mirror, and others appoint it (``serai.charter.succession``).

Files in the new center's folder, so that any step can be taken offline and again:

    appointment.json      what is to be signed
    signatures/*.json     the signed statements, each one log entry
    surplus.json          entries that another member's mirror has beyond this one's
    offer/                the log up to there, as files, for members whose mirrors are behind

A member that has cosigned more than the appointment names hands in its surplus. The
appointment is then made anew, with all of it, and signed anew.
"""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.agent.handover import wanted_blobs
from serai.agent.mirror import Heir, name_heir, name_of
from serai.agent.session import CHARTER_FILE, MIRROR_FILE, Session
from serai.agent.settings import ZoneSettings, load_settings
from serai.center.settings import SETTINGS_FILE
from serai.charter.state import witness_faults, witness_keys
from serai.charter.statements import OperatorAppoint
from serai.charter.succession import log_keys
from serai.errors import Conflict, Missing, Refused, SeraiError, Unverified
from serai.kernel.canonical import parse
from serai.kernel.envelope import MAX_ENTRY_BYTES, parse_envelope
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.quorum import quorum
from serai.kernel.records import from_json
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import LogSigner, open_checkpoint
from serai.ledger.merkle import leaf_hash
from serai.ledger.note import parse_note, parse_vkey
from serai.ledger.tiles import ENTRIES, TILE_WIDTH, read_bundle, tile_of
from serai.state import State, advance
from serai.storage.blobs import FileBlobs
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore, StoredEntry
from serai.storage.record_files import read_record, write_record
from serai.storage.tile_files import TileFiles
from serai.transport.published import PublicFiles
from serai.transport.serving import Answer, Asked, answer_file

APPOINTMENT_FILE: Final = "appointment.json"
_SIGNATURES: Final = "signatures"
_OFFER: Final = "offer"
_SURPLUS: Final = "surplus.json"
SURPLUS: Final = "appointment-leaves-out"
MAX_SURPLUS_BYTES: Final = 2**26
_BATCH: Final = 16 * TILE_WIDTH
_CLOSED: Final = Answer(503, b"this center opens once members have appointed it\n")

_CENTER_TOML: Final = """\
# The settings of a center that continues the log of {before}. The origin names its own log and never changes.
origin = "{origin}"
host = "{host}"
port = {port}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAddress:
    """Where a successor will answer: it listens at host and port, and members dial the URL."""

    host: str
    port: int
    url: str
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surplus:
    """What one mirror has beyond an appointment.

    Attributes:
        first: index of the first entry.
        entries: from there on.
        checkpoint: the head of the present log that they lead to.

    """

    first: int
    entries: tuple[str, ...] = ()
    checkpoint: str = ""


class Adoption:
    """A center that waits for its appointment; its methods may be called from several threads.

    Args:
        folder: the new center's.
        zone: the settings of the member that raises it.
        where: where it will answer.

    Attributes:
        body: what is to be signed.
        signatures: the entries that carry it, in order.

    Raises:
        Missing: the member's mirror is empty, or the zone lacks its delegate's key.

    """

    body: OperatorAppoint
    state: State
    signatures: list[bytes]

    def __init__(self, folder: Path, zone: ZoneSettings, where: NewAddress) -> None:
        self.folder, self.zone, self.where = folder, zone, where
        self._lock = threading.Lock()
        self.surplus = Surplus(first=0)
        if not (folder / APPOINTMENT_FILE).exists():
            self._make()
        else:
            self.surplus = read_record(Surplus, folder / _SURPLUS)
        self._take_up()

    @property
    def is_complete(self) -> bool:
        """Whether the members have appointed this center."""
        successions = self.state.charter.successions
        return bool(successions) and successions[-1].body == self.body

    @property
    def needed(self) -> int:
        """How many members must sign at least; the article on operations may ask for more."""
        return quorum(len(witness_keys(self.state.charter)), witness_faults(self.state.charter))

    def entries(self, start: int, end: int) -> list[bytes]:
        """The log that is taken over, the surplus included."""
        first = self.surplus.first
        own = self._mirror.entries(start, min(end, first)) if start < first else []
        return own + [entry.encode() for entry in self.surplus.entries[max(0, start - first) : max(0, end - first)]]

    def add(self, entry: bytes) -> None:
        """Take a signature, and keep it on the disk.

        Raises:
            Malformed: not a signed statement.
            Refused: it has no effect here, and the article that says so.

        """
        with self._lock:
            name = parse_envelope(entry).id
            if name in self.state.seen or self.is_complete:
                return  # one too many harms nobody
            after = advance(self.state, entry)
            if denied := after.void.get(self.state.size):
                raise Refused("signature-void", denied.reason, denied.article)
            path = self.folder / _SIGNATURES / f"{len(self.signatures):03}-{name[:12]}.json"
            path.write_bytes(entry)
            self.state = after
            self.signatures.append(entry)

    def take_files(self) -> None:
        """Take signatures that people have put into the folder; what has no effect is left lying."""
        with self._lock:
            self._take_files()

    def lengthen(self, given: Surplus) -> None:
        """Begin again with what another member's mirror has beyond this one's.

        Raises:
            Conflict: the appointment is complete, or the entries do not follow on it.
            Unverified: they are not what the present log has signed.

        """
        with self._lock:
            size, first = self.body.size, given.first
            if self.is_complete or first > size or first + len(given.entries) <= size:
                raise Conflict("surplus-elsewhere", f"expected entries from index {size} of an open appointment")
            fresh = given.entries[size - first :]
            frontier = self._base.frontier.extend(leaf_hash(entry.encode()) for entry in fresh)
            key = parse_vkey(_log_keys(self._base)[-1])
            if open_checkpoint(parse_note(given.checkpoint), key).root != frontier.root():
                raise Unverified("surplus-root", "these entries do not lead to the head that came with them")
            self.surplus = Surplus(
                first=self.surplus.first, entries=(*self.surplus.entries, *fresh), checkpoint=given.checkpoint
            )
            for path in (self.folder / _SIGNATURES).glob("*.json"):
                path.unlink()
            self._make()
            self._take_up()

    def handle(self, asked: Asked) -> Answer:
        """Answer over HTTP while signatures are gathered."""
        if asked.method == "POST" and asked.path in {"/signatures", "/surplus"}:
            try:
                if asked.path == "/signatures":
                    self.add(asked.body)
                else:
                    self.lengthen(from_json(Surplus, parse(asked.body, MAX_SURPLUS_BYTES)))
            except SeraiError as error:
                return Answer(422, f"{error.message}\n".encode())
            return Answer(200, f"{len(self.signatures)} of {self.needed}\n".encode())
        if asked.method == "GET" and asked.path == f"/{APPOINTMENT_FILE}":
            return Answer(200, (self.folder / APPOINTMENT_FILE).read_bytes(), "application/json")
        answer = answer_file(TileFiles(self.folder / _OFFER).read, asked.path)
        return _CLOSED if answer.status == 404 else answer

    def _make(self) -> None:
        """Write what is to be signed, over all that is known."""
        (self.folder / _SIGNATURES).mkdir(mode=0o700, parents=True, exist_ok=True)
        # This zone, too, cosigns no more of the present log; said before its mirror is read.
        name_heir(LogStore(self.zone.home / MIRROR_FILE), Heir(url=self.where.url, is_appointed=True))
        if not self.surplus.checkpoint:
            view = Session(self.zone).mirror.view
            if not view.state.charter.in_force:
                raise Missing("mirror-empty", f"{self.zone.home} has mirrored no log of a founded center to take over")
            self.surplus = Surplus(first=view.size, checkpoint=view.note)
        self._mirror = Session(self.zone).mirror
        state = self._replay(self.surplus.first + len(self.surplus.entries))
        if not (self.folder / "keys").exists():
            Keyring.create(self.folder / "keys", [Role.OPERATOR])
        operator = Keyring(self.folder / "keys").signer(Role.OPERATOR)
        log = LogSigner(self.where.origin or _next_origin(state), operator)
        body = OperatorAppoint(
            log_key=log.key.encode(),
            operator=operator.public,
            url=self.where.url,
            size=state.size,
            root=Digest(state.frontier.root().hex()),
        )
        TileFiles(self.folder / _OFFER).publish(self.entries, state.size, self.surplus.checkpoint)
        write_record(self.folder / _SURPLUS, self.surplus)
        write_record(self.folder / APPOINTMENT_FILE, body)

    def _take_up(self) -> None:
        """Read what lies in the folder, and sign for this member."""
        self.body = read_record(OperatorAppoint, self.folder / APPOINTMENT_FILE)
        self._mirror = Session(self.zone).mirror
        self.state = self._base = self._replay(self.body.size)
        self.signatures = []
        self._take_files()
        if not self.signatures:
            own = sign_body(self.body, Keyring(self.zone.keys_folder).signer(Role.DELEGATE), {"root": self.body.root})
            self.state = advance(self.state, own)
            self.signatures.append(own)
            (self.folder / _SIGNATURES / f"000-{name_of(own)[:12]}.json").write_bytes(own)

    def _take_files(self) -> None:
        for path in sorted((self.folder / _SIGNATURES).glob("*.json")):
            data = path.read_bytes()[: MAX_ENTRY_BYTES + 1].strip()
            if not self.is_complete and data not in self.signatures:
                after = advance(self.state, data)
                if self.state.size not in after.void:
                    self.state = after
                    self.signatures.append(data)

    def _replay(self, size: int) -> State:
        """What the first entries add up to."""
        known = self._mirror.view.state
        state = known if known.size <= size else State()
        for start in range(state.size, size, _BATCH):
            for entry in self.entries(start, min(start + _BATCH, size)):
                state = advance(state, entry)
        return state


def begin(folder: Path, zone: Path, where: NewAddress) -> Adoption:
    """Make a center's folder out of a member's mirror, or take up one that was begun; this member signs first.

    Raises:
        Conflict: the folder is a running center's.
        Missing: the mirror is empty, or the zone lacks its delegate's key.

    """
    if (folder / SETTINGS_FILE).exists():
        raise Conflict("center-exists", f"{folder} is a center already; start it with `serai center start`")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Adoption(folder, load_settings(zone), where)


def open_center(adoption: Adoption) -> None:
    """Write the log with its signatures, the blobs and the settings; afterwards ``serai center start`` runs it.

    Raises:
        Refused: the appointment lacks signatures.

    """
    if not adoption.is_complete:
        raise Refused("appointment-incomplete", "too few members have signed; wait for more", "articles.operations")
    settings, body = adoption.zone, adoption.body
    origin = body.log_key.partition("+")[0]
    log = LogSigner(origin, Keyring(adoption.folder / "keys").signer(Role.OPERATOR))
    path = adoption.folder / "log.sqlite"
    path.unlink(missing_ok=True)  # of an attempt that was broken off
    store = LogStore(path)
    for start in range(0, body.size, _BATCH):
        entries = adoption.entries(start, min(start + _BATCH, body.size))
        store.mirror(start, [StoredEntry(name_of(entry), entry) for entry in entries])
    signatures = [StoredEntry(name_of(entry), entry) for entry in adoption.signatures]
    head = log.sign(adoption.state.size, adoption.state.frontier.root())
    store.mirror(body.size, signatures, {"checkpoint": head.encode()})
    store.close()
    _copy_blobs(settings, adoption)
    shutil.copyfile(settings.home / CHARTER_FILE, adoption.folder / CHARTER_FILE)
    before = _log_keys(adoption.state)[-2].partition("+")[0]
    text = _CENTER_TOML.format(before=before, origin=origin, host=adoption.where.host, port=adoption.where.port)
    (adoption.folder / SETTINGS_FILE).write_text(text, encoding="utf-8")


def appoint(zone: Path, body: OperatorAppoint, offer: PublicFiles | None) -> bytes:
    """Check an appointment against this member's own mirror and sign it; from then on its zone follows no other center.

    Args:
        zone: the member's home.
        body: what is to be signed.
        offer: shows the log up to there, for a mirror that is behind; None if nobody does.

    Returns:
        The signed statement.

    Raises:
        Refused: the appointment leaves out what this member holds, or names another log.

    """
    settings = load_settings(zone)
    store = LogStore(settings.home / MIRROR_FILE)
    before = Session(settings).mirror.heir
    # Said before the mirror is read: an agent that runs beside this looks here after it has written there.
    name_heir(store, Heir(url=body.url, is_appointed=True))
    try:
        state = _check(settings, body, offer)
        entry = sign_body(body, Keyring(settings.keys_folder).signer(Role.DELEGATE), {"root": body.root})
        after = advance(state, entry)
        if denied := after.void.get(state.size):
            raise Refused("appointment-refused", denied.reason, denied.article)
    except SeraiError:
        name_heir(store, before)
        raise
    return entry


def read_appointment(data: bytes) -> OperatorAppoint:
    """Read an appointment as ``appointment.json`` has it.

    Raises:
        Malformed: something else.

    """
    return from_json(OperatorAppoint, parse(data.strip(), MAX_ENTRY_BYTES))


def show_appointment(body: OperatorAppoint) -> str:
    """An appointment as its signer reads it."""
    return (
        f"{body.log_key.partition('+')[0]} at {body.url} takes the log over with its first {body.size} entries.\n"
        f"root     {body.root}\nlog key  {body.log_key}"
    )


def surplus_of(zone: Path, body: OperatorAppoint) -> Surplus:
    """What a member's mirror has beyond an appointment."""
    mirror = Session(load_settings(zone)).mirror
    entries = mirror.entries(min(body.size, mirror.view.size), mirror.view.size)
    return Surplus(first=body.size, entries=tuple(entry.decode() for entry in entries), checkpoint=mirror.view.note)


def _log_keys(state: State) -> tuple[str, ...]:
    assert state.charter.charter is not None, "a log that is taken over has a charter"
    return log_keys(state.charter.charter, state.charter.successions)


def _next_origin(state: State) -> str:
    keys = _log_keys(state)
    return f"{keys[0].partition('+')[0]}/{len(keys) + 1}"


def _check(settings: ZoneSettings, body: OperatorAppoint, offer: PublicFiles | None) -> State:
    """The state of the log that an appointment names, which must hold all that this member has cosigned."""
    mirror = Session(settings).mirror
    if mirror.bound_size > body.size:
        raise Refused(
            SURPLUS,
            f"this member has cosigned {mirror.bound_size} entries, and the appointment names {body.size}; hand in the "
            "rest, or let its author begin again with a bundle of this mirror",
            "articles.operations",
        )
    state = mirror.view.state if mirror.view.size <= body.size else State()
    for start in range(state.size, min(body.size, mirror.view.size), _BATCH):
        for entry in mirror.entries(start, min(start + _BATCH, body.size)):
            state = advance(state, entry)
    if state.size < body.size and offer is None:
        raise Refused(
            "mirror-behind",
            f"this mirror has {state.size} of {body.size} entries; take a bundle first",
            "articles.operations",
        )
    for entry in _entries(offer, state.size, body.size):
        state = advance(state, entry)
    if state.frontier.root().hex() != body.root:
        raise Refused(
            "appointment-other-log",
            f"the first {body.size} entries have another root here; do not sign",
            "articles.operations",
        )
    return state


def _entries(offer: PublicFiles | None, start: int, end: int) -> Iterator[bytes]:
    while offer is not None and start < end:
        bundle = read_bundle(tile_of(ENTRIES, start // TILE_WIDTH, end), offer.read)
        yield from bundle[start % TILE_WIDTH :]
        start += len(bundle) - start % TILE_WIDTH


def _copy_blobs(settings: ZoneSettings, adoption: Adoption) -> None:
    """Give the center what runs need, and nothing else of what this member keeps."""
    own, blobs = FileBlobs(settings.home / "blobs"), FileBlobs(adoption.folder / "blobs")
    for digest in sorted(wanted_blobs(adoption.state)):
        if own.has(digest):
            with own.open(digest) as file, blobs.writer() as writer:
                while block := file.read(2**20):
                    writer.write(block)
                writer.commit()
