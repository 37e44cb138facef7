"""What a zone's parts share: who it is, the center it dials, its keys, its memory, its clock."""

import hashlib
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from serai.agent.journal import Journal
from serai.agent.mirror import Mirror
from serai.agent.outbox import Outbox
from serai.agent.programs import Programs
from serai.agent.settings import ZoneSettings
from serai.agent.vault import Vault
from serai.errors import Malformed, Unverified
from serai.kernel.envelope import sign_again
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import Body, sign_body
from serai.storage.blobs import BlobStore
from serai.storage.keyring import Keyring
from serai.training.tensors import Model, read_model, write_model
from serai.transport.port import Center

FETCH_BYTES: Final = 2**23  # one request: large enough to keep a link busy, small beside any memory
_PIECE_BYTES: Final = 2**20  # hashed, copied or written at a time, while it is in a processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One member's side of everything.

    Attributes:
        settings: the member's own settings.
        center: the center, over HTTP or in one process.
        keys: the member's private keys.
        mirror: the member's own copy of the log and what it adds up to.
        journal: what must survive a crash.
        blobs: models and uploads kept at home, by digest.
        vault: the member's data.
        programs: opens recipes, in a sandbox as the settings say.
        now_ms: the zone's clock, Unix milliseconds.
        random: cryptographic randomness, by number of bytes.
        threads: how many mask and unmask vectors.
        dial: the center at an address, for one that others appoint.
        outbox: what was handed to the center and may not show.

    """

    settings: ZoneSettings
    center: Center
    keys: Keyring
    mirror: Mirror
    journal: Journal
    blobs: BlobStore
    vault: Vault
    programs: Programs
    now_ms: Callable[[], int]
    random: Callable[[int], bytes]
    threads: int = 1
    dial: Callable[[str], Center] | None = None
    outbox: Outbox = field(default_factory=Outbox)

    @property
    def member(self) -> MemberId:
        """Whose zone this is."""
        return self.settings.member

    def say_once(self, topic: str, about: str, body: Callable[[], Body]) -> int:
        """Put a statement into the log, the same bytes however often it is said.

        The entry is signed at the first call for a ``topic`` and journalled before it
        is sent; later calls, also after a crash, send those bytes again. Where the key
        that signed them has been replaced meanwhile, they are signed with the new one.

        Args:
            topic: what is decided once, such as ``release <round>``.
            about: what was decided; another value for the same topic is refused.
            body: makes the statement; called only the first time.

        Returns:
            Its index in the log, as the center says.

        Raises:
            Conflict: the topic was decided otherwise before.
            Unavailable: the center does not answer.

        """
        signer = self.keys.signer(Role.ZONE)
        entry = self.journal.word(topic, about, lambda: sign_body(body(), signer, nonce=self.random(8)))
        try:
            return self._submit(entry)
        except Unverified as error:
            if error.code != "signer-ended":
                raise
        return self._submit(sign_again(entry, signer))

    def _submit(self, entry: bytes) -> int:
        self.outbox.note(entry, self.now_ms())
        return self.center.submit(entry)

    def fetch_blob(self, digest: Digest, size: int | None = None) -> None:
        """Bring a blob from the center into this zone's store.

        Args:
            digest: its name.
            size: its length in bytes, where that is known.

        Raises:
            Missing: the center does not have it.
            Unverified: what came does not have that digest.
            Unavailable: the center does not answer, or the disk is full.

        """
        with self.blobs.writer(size) as writer:
            for piece in self.center.stream_blob(digest, _PIECE_BYTES):
                writer.write(piece)
            writer.commit(digest)

    def fetch_small_blob(self, digest: Digest, most_bytes: int) -> bytes:
        """A blob that must be small, from this zone's own store or else from the center's.

        Raises:
            Missing: nobody has it.
            Malformed: it is larger than ``most_bytes``.
            Unverified: what came does not have that digest.

        """
        if not self.blobs.has(digest):
            data = self.center.read_blob(digest, 0, most_bytes + 1)
            if len(data) > most_bytes:
                raise Malformed("blob-too-large", f"expected blob {digest[:12]} to have at most {most_bytes} bytes")
            with self.blobs.writer() as writer:
                writer.write(data)
                writer.commit(digest)
        data = self.blobs.read_range(digest, 0, most_bytes + 1)
        if len(data) > most_bytes or digest_of(data) != digest:
            raise Unverified(
                "blob-digest", f"what is stored as blob {digest[:12]} is not it; remove it to fetch it anew"
            )
        return data

    def store_model(self, model: Model) -> Digest:
        """Keep a model in this zone's store; its digest."""
        with self.blobs.writer() as writer:
            for part in write_model(model):
                writer.write(part)
            return writer.commit()

    def read_model(self, digest: Digest) -> Model:
        """A model by its digest, from this zone's own store or else from the center's.

        Its arrays are read-only, and where the store keeps files their memory is the
        file's: what is not read takes none, and the system takes it back when it is short.

        Raises:
            Missing: nobody has it.
            Unverified: what came does not have that digest.

        """
        self.bring(digest)
        path = self.blobs.path(digest)
        if path is None:
            with self.blobs.open(digest) as file:
                return read_model(file.read())
        with path.open("rb") as file:
            return read_model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))

    def copy_model(self, digest: Digest) -> Model:
        """As ``read_model``, but the arrays are the caller's own, to be changed.

        Raises:
            Missing, Unverified: as ``read_model``.

        """
        self.bring(digest)
        copy = np.empty(self.blobs.size(digest), np.uint8)
        start = 0
        for piece in self._pieces(digest):
            copy[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
            start += len(piece)
        return read_model(copy.data, writable=True)

    def bring(self, digest: Digest, size: int | None = None) -> None:
        """Have a blob in this zone's store, whole and verified, from the center if need be.

        Args:
            digest: its name.
            size: its length in bytes, where that is known.

        Raises:
            Missing: nobody has it.
            Unverified: what came does not have that digest.
            Unavailable: the center does not answer, or the disk is full.

        """
        if self.blobs.has(digest):
            found = hashlib.sha256()
            for piece in self._pieces(digest):
                found.update(piece)
            if found.hexdigest() == digest:
                return
            # A loss of power can bend a file; what comes from the center is checked as it comes.
            self.blobs.delete(digest)
        self.fetch_blob(digest, size)

    def _pieces(self, digest: Digest) -> Iterator[bytes]:
        with self.blobs.open(digest) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
