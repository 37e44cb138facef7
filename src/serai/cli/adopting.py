"""A member raises a center from its own mirror, and others appoint it (``serai.charter.succession``).

Files in the new center's folder, so that any step can be taken offline and again:

    appointment.json      what is to be signed
    signatures/*.json     the signed statements, each one log entry
    offer/                the log up to there, as files, for members whose mirrors are behind
"""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serai.agent.handover import wanted_blobs
from serai.agent.mirror import Heir, View, name_heir, name_of
from serai.agent.session import CHARTER_FILE, MIRROR_FILE, Session
from serai.agent.settings import ZoneSettings, load_settings
from serai.center.settings import SETTINGS_FILE
from serai.charter.state import log_keys, witness_faults, witness_keys
from serai.charter.statements import OperatorAppoint
from serai.cli.audits import PublicFiles
from serai.errors import Conflict, Missing, Refused, SeraiError
from serai.kernel.canonical import parse
from serai.kernel.envelope import MAX_ENTRY_BYTES, parse_envelope
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.quorum import quorum
from serai.kernel.records import from_json
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import LogSigner
from serai.ledger.tiles import ENTRIES, TILE_WIDTH, read_bundle, tile_of
from serai.state import State, advance
from serai.storage.blobs import FileBlobs
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore, StoredEntry
from serai.storage.record_files import read_record, write_record
from serai.storage.tile_files import TileFiles
from serai.transport.serving import Answer, Asked, answer_file

APPOINTMENT_FILE: Final = "appointment.json"
_SIGNATURES: Final = "signatures"
_OFFER: Final = "offer"
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


@dataclass(slots=True)
class Adoption:
    """A center that waits for its appointment. Its methods may be called from several threads.

    Attributes:
        folder: the new center's.
        body: what is to be signed.
        state: what the log adds up to with the signatures so far.
        signatures: the entries that carry them, in order.

    """

    folder: Path
    body: OperatorAppoint
    state: State
    signatures: list[bytes] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_complete(self) -> bool:
        """Whether the members have appointed this center."""
        successions = self.state.charter.successions
        return bool(successions) and successions[-1].body == self.body

    @property
    def needed(self) -> int:
        """How many members must sign at least; the article on operations may ask for more."""
        return quorum(len(witness_keys(self.state.charter)), witness_faults(self.state.charter))

    def add(self, entry: bytes) -> None:
        """Take a signature, and keep it on the disk.

        Raises:
            Malformed: not a signed statement.
            Conflict: the appointment is complete.
            Refused: it has no effect here, and the article that says so.

        """
        with self._lock:
            if self.is_complete:
                raise Conflict("appointment-complete", "enough members have signed; the center opens")
            name = parse_envelope(entry).id
            if name in self.state.seen:
                return
            after = advance(self.state, entry)
            if denied := after.void.get(self.state.size):
                raise Refused("signature-void", denied.reason, denied.article)
            (self.folder / _SIGNATURES / f"{len(self.signatures):03}-{name[:12]}.json").write_bytes(entry)
            self.state = after
            self.signatures.append(entry)

    def take_files(self) -> None:
        """Take what lies in the folder ``signatures``: what came before, and what people have put there."""
        for path in sorted((self.folder / _SIGNATURES).glob("*.json")):
            data = path.read_bytes()[: MAX_ENTRY_BYTES + 1].strip()
            if not self.is_complete and data not in self.signatures:
                after = advance(self.state, data)
                if self.state.size not in after.void:
                    self.state = after
                    self.signatures.append(data)

    def handle(self, asked: Asked) -> Answer:
        """Answer over HTTP while signatures are gathered."""
        if asked.method == "POST" and asked.path == "/signatures":
            try:
                self.add(asked.body)
            except SeraiError as error:
                return Answer(422, f"{error.message}\n".encode())
            return Answer(200, f"{len(self.signatures)} of {self.needed}\n".encode())
        if asked.method == "GET" and asked.path == f"/{APPOINTMENT_FILE}":
            return Answer(200, (self.folder / APPOINTMENT_FILE).read_bytes(), "application/json")
        answer = answer_file(TileFiles(self.folder / _OFFER).read, asked.path)
        return _CLOSED if answer.status == 404 else answer


def begin(folder: Path, zone: Path, where: NewAddress) -> Adoption:
    """Make a center's folder out of a member's mirror, or take up one that was begun; this member signs first.

    Raises:
        Conflict: the folder is a running center's.
        Missing: the mirror is empty, or the zone lacks its delegate's key.

    """
    settings = load_settings(zone)
    if (folder / SETTINGS_FILE).exists():
        raise Conflict("center-exists", f"{folder} is a center already; start it with `serai center start`")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _SIGNATURES).mkdir(exist_ok=True)
    if not (folder / APPOINTMENT_FILE).exists():
        _offer(folder, settings, where)
    body = read_record(OperatorAppoint, folder / APPOINTMENT_FILE)
    adoption = Adoption(folder, body, _state_at(settings, body.size))
    adoption.take_files()
    own = sign_body(body, Keyring(settings.keys_folder).signer(Role.DELEGATE), {"root": body.root})
    if not adoption.is_complete:
        adoption.add(own)
    return adoption


def open_center(adoption: Adoption, zone: Path, where: NewAddress) -> None:
    """Write the log with its signatures, the blobs and the settings; afterwards ``serai center start`` runs it.

    Raises:
        Refused: the appointment lacks signatures.

    """
    if not adoption.is_complete:
        raise Refused("appointment-incomplete", "too few members have signed; wait for more", "articles.operations")
    settings, body = load_settings(zone), adoption.body
    origin = body.log_key.partition("+")[0]
    log = LogSigner(origin, Keyring(adoption.folder / "keys").signer(Role.OPERATOR))
    mirror = Session(settings).mirror
    path = adoption.folder / "log.sqlite"
    path.unlink(missing_ok=True)  # of an attempt that was broken off
    store = LogStore(path)
    for start in range(0, body.size, _BATCH):
        entries = mirror.entries(start, min(start + _BATCH, body.size))
        store.mirror(start, [StoredEntry(name_of(entry), entry) for entry in entries])
    signatures = [StoredEntry(name_of(entry), entry) for entry in adoption.signatures]
    head = log.sign(adoption.state.size, adoption.state.frontier.root())
    store.mirror(body.size, signatures, {"checkpoint": head.encode()})
    store.close()
    _copy_blobs(settings, adoption)
    shutil.copyfile(settings.home / CHARTER_FILE, adoption.folder / CHARTER_FILE)
    text = _CENTER_TOML.format(
        before=log_keys(adoption.state.charter)[-2].partition("+")[0], origin=origin, host=where.host, port=where.port
    )
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


def _offer(folder: Path, settings: ZoneSettings, where: NewAddress) -> None:
    store = LogStore(settings.home / MIRROR_FILE)
    name_heir(store, Heir(url=where.url, is_appointed=True))  # this zone, too, cosigns no more of the present log
    mirror = Session(settings).mirror
    view = mirror.view
    if not view.size:
        raise Missing("mirror-empty", f"{settings.home} has mirrored no log; it cannot raise a center")
    operator = Keyring.create(folder / "keys", [Role.OPERATOR]).signer(Role.OPERATOR)
    log = LogSigner(where.origin or _next_origin(view), operator)
    body = OperatorAppoint(
        log_key=log.key.encode(),
        operator=operator.public,
        url=where.url,
        size=view.size,
        root=Digest(view.frontier.root().hex()),
    )
    TileFiles(folder / _OFFER).publish(mirror.entries, view.size, view.note)
    write_record(folder / APPOINTMENT_FILE, body)


def _next_origin(view: View) -> str:
    keys = log_keys(view.state.charter)
    return f"{keys[0].partition('+')[0]}/{len(keys) + 1}"


def _state_at(settings: ZoneSettings, size: int) -> State:
    """What the first entries of a member's mirror add up to."""
    mirror = Session(settings).mirror
    if mirror.view.size == size:
        return mirror.view.state
    state = State()
    for start in range(0, size, _BATCH):
        for entry in mirror.entries(start, min(start + _BATCH, size)):
            state = advance(state, entry)
    return state


def _check(settings: ZoneSettings, body: OperatorAppoint, offer: PublicFiles | None) -> State:
    """The state of the log that an appointment names, which must hold all that this member's mirror does."""
    state = Session(settings).mirror.view.state
    if state.size > body.size:
        raise Refused(
            "appointment-leaves-out",
            f"this member holds {state.size} entries and may have cosigned them; the appointment names {body.size}. "
            "Give its author this mirror (`serai log bundle`), to begin again with it",
            "articles.operations",
        )
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
