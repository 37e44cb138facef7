"""The center's own replay of its log: whose keys count, whose cosignatures, what is due.

The center needs no more than any member does, and believes no more: it folds
the same entries by the same rules. What it admits is only well-formed and
signed by a known key; whether a statement has effect is for the fold to say.
"""

import threading
from collections.abc import Callable
from typing import Final

from serai.charter.constitution import Charter
from serai.charter.state import holder_of, settle, witness_faults, witness_keys
from serai.errors import Malformed, Refused, Unverified
from serai.kernel.envelope import Envelope
from serai.kernel.ids import Digest, KeyId
from serai.kernel.keys import key_id
from serai.kernel.records import from_json
from serai.ledger.policy import Witnesses
from serai.state import KINDS, State, fold

_STEP: Final = 4096

ReadEntries = Callable[[int, int], list[bytes]]
"""Published entries from an index up to another."""


class Replay:
    """The state of the log, kept current. Safe to use from several threads.

    Args:
        founding: the charter that the founders are asked to sign; its keys may speak
            before the log holds any.

    """

    def __init__(self, founding: Charter) -> None:
        self._founders = {key_id(holder.public): holder.public for holder in founding.holders()}
        self._witnesses = Witnesses(
            {holder.member: holder.public for holder in founding.holders() if holder.role == "witness"}, founding.faulty
        )
        self._lock = threading.Lock()
        self._state = State()
        self._read: ReadEntries | None = None
        self._size: Callable[[], int] = lambda: 0
        self._has_blob: Callable[[Digest, int], bool] = lambda _blob, _size: False

    def attach(
        self,
        read: ReadEntries,
        size: Callable[[], int],
        has_blob: Callable[[Digest, int], bool],
        state: State | None = None,
    ) -> None:
        """Read entries from here from now on.

        Args:
            read: published entries from an index up to another.
            size: how many are published.
            has_blob: whether a blob of some size is here.
            state: what the first of them add up to, as a snapshot has it; None to begin at the first.

        """
        self._read, self._size, self._has_blob, self._state = read, size, has_blob, state or State()

    def current(self) -> State:
        """What all published entries add up to."""
        with self._lock:
            end = self._size()
            while self._read is not None and self._state.size < end:
                self._state = fold(self._state, self._read(self._state.size, min(end, self._state.size + _STEP)))
            return self._state

    def latest(self) -> State:
        """The state as it was last looked up; asks nobody, so it never waits for a disk."""
        return self._state

    def admit(self, envelope: Envelope) -> None:
        """Let in what is well-formed and signed by a known key.

        Raises:
            Malformed: of an unknown kind, or with other fields than its kind has.
            Unverified: signed by no known key, by one that has ended, or not by that key.
            Refused: an upload is announced whose blob is not here.

        """
        kind = KINDS.get(envelope.kind)
        if kind is None:
            raise Malformed(
                "kind-unknown", f"no statement of kind {envelope.kind!r} is known; update one of the two sides"
            )
        body = from_json(kind, envelope.predicate)
        state = self.current()
        # A recovery may have become due since the last entry: its keys count for the next one.
        holder = holder_of(settle(state.charter, state.now), envelope.signer, body)
        if holder is None:
            raise Unverified("signer-unknown", f"key {envelope.signer[:12]} belongs to no member in the charter")
        if holder.until is not None:
            raise Unverified(
                "signer-ended",
                f"key {envelope.signer[:12]} of {holder.member} ended at index {holder.until}; use the new one",
            )
        envelope.verify(holder.public)
        for part in (body, getattr(body, "deal", None)):
            blob, size_bytes = getattr(part, "blob", None), getattr(part, "size_bytes", None)
            if blob is not None and size_bytes is not None and not self._has_blob(blob, size_bytes):
                # Else a member could hold up a round with an upload that nobody can add.
                raise Refused(
                    "blob-not-here", f"send blob {blob[:12]} of {size_bytes} bytes before announcing it", "center 1"
                )

    def witnesses(self) -> Witnesses:
        """Whose cosignatures count now."""
        state = self.current().charter
        if state.charter is None:
            return self._witnesses
        return Witnesses(witness_keys(state), witness_faults(state))

    def find_key(self, key: KeyId) -> bytes | None:
        """The public key of an id, if somebody in the charter holds it and it was not revoked.

        One that has been rotated may still ask: it is how its member's agent learns
        of the rotation. What it says is void.
        """
        keys = self.latest().charter.keys
        holder = keys.get(key) or self.current().charter.keys.get(key)
        if holder is None:
            return self._founders.get(key)
        return None if holder.revoked else holder.public
