"""Snapshots: what a log added up to, kept as a file, so that a start folds only what came after.

Theory of operation. A snapshot is one line that says what it is of, then the
state as the canonical JSON whose digest members compare (``serai audit`` prints
it). It is a help and no record: it is as good as the folder it lies in, nobody
else is ever shown it, and the log decides. It counts only if

- its log has the root that it names, after as many entries;
- its center was founded on the same charter;
- the rules that made it are the rules that run now, to the letter;
- its bytes have the digest that it names, and are a state of that size.

Otherwise one line in the program's log says why, and the log is replayed from
its first entry, as if there were none. A crash leaves the old file or the new
one; what a power cut leaves of a new one does not have its digest.
"""

import functools
import gc
import logging
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import cryptography

import serai
from serai.errors import SeraiError, Unverified
from serai.kernel.canonical import canonical, parse
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import from_json, to_json
from serai.ledger.statements import ATTEST_EVERY
from serai.state import State, decode_state, encode_state

SNAPSHOT_FILE: Final = "state.snapshot"
MAX_SNAPSHOT_BYTES: Final = 2**30  # two million statements; beyond that a start takes as long as it takes
GROWTH: Final = 32  # a snapshot is written again after the log has grown by one part in so many
_FORMAT: Final = "serai snapshot 1"
_MAX_HEADER_BYTES: Final = 1024
RULES: Final = (
    "errors.py",
    "kernel",
    "charter",
    "ledger",
    "zones",
    "aggregation",
    "training",
    "analytics",
    "hub",
    "programme",
    "state.py",
)
"""Where in the package the rules are: the rooms that do no I/O."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a snapshot is of.

    Attributes:
        format: of the file.
        rules: the rules that made it, as ``rules_digest`` has them.
        genesis: digest of the founding charter.
        size: how many entries are folded in.
        root: of their Merkle tree.
        state: digest of what they add up to.

    """

    format: str
    rules: Digest
    genesis: Digest
    size: int
    root: Digest
    state: Digest


class SnapshotFile:
    """The snapshot of one log.

    Args:
        path: the file, in the private folder of whoever replays the log.
        genesis: digest of the founding charter.

    Attributes:
        size: how many entries are folded in what was read or written last.

    """

    def __init__(self, path: Path, genesis: Digest) -> None:
        self._path = path
        self._genesis = genesis
        self.size = 0

    def read(self, size: int, root_at: Callable[[int], bytes]) -> State:
        """The state to go on from: that of the snapshot, or if none counts, that of an empty log.

        Args:
            size: how many entries the log has.
            root_at: the root over so many of them.

        """
        try:
            with self._path.open("rb") as file:
                # Of a longer line or a longer file less is read than there is, and neither has its digest.
                header, body = file.readline(_MAX_HEADER_BYTES), file.read(MAX_SNAPSHOT_BYTES + 1)
            state = self._opened(from_json(Header, parse(header.rstrip(b"\n"))), body, size, root_at)
        except FileNotFoundError:
            return State()
        except (SeraiError, OSError) as error:
            _log.warning("%s is not used, so the log is replayed from its first entry: %s", self._path, error)
            return State()
        gc.freeze()  # or the first search for cyclic garbage would look through the whole state, three times over
        self.size = state.size
        return state

    def write(self, state: State) -> None:
        """Put the snapshot of a state in the place of the one there was.

        Raises:
            OSError: it cannot be written.

        """
        body = encode_state(state)
        if not rules_digest() or len(body) > MAX_SNAPSHOT_BYTES:
            return
        header = Header(
            format=_FORMAT,
            rules=rules_digest(),
            genesis=self._genesis,
            size=state.size,
            root=Digest(state.frontier.root().hex()),
            state=digest_of(body),
        )
        fresh = self._path.with_name(f"{self._path.name}.new")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(canonical(to_json(header)) + b"\n")
            file.write(body)
        fresh.replace(self._path)
        self.size = state.size

    def _opened(self, header: Header, body: bytes, size: int, root_at: Callable[[int], bytes]) -> State:
        if (header.format, header.rules) != (_FORMAT, rules_digest()):
            raise Unverified("snapshot-unfit", "other rules made it than run now")
        if header.genesis != self._genesis:
            raise Unverified("snapshot-unfit", f"it is of the center founded on {header.genesis[:12]}")
        if header.state != digest_of(body):
            raise Unverified("snapshot-unfit", "its bytes do not have the digest that they had")
        if not 0 <= header.size <= size or header.root != root_at(header.size).hex():
            raise Unverified(
                "snapshot-unfit", f"the log here does not begin with the {header.size} entries that it is of"
            )
        state = decode_state(body, MAX_SNAPSHOT_BYTES)
        if state.size != header.size or state.frontier.root().hex() != header.root:
            raise Unverified("snapshot-unfit", "it says that it is of another log than its state is")
        return state


class SnapshotKeeper:
    """Writes the snapshot again as the log grows, in a thread of its own, so that nobody waits for it.

    Args:
        file: where to.

    """

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file
        self._writer: threading.Thread | None = None

    def offer(self, state: State) -> None:
        """Write the snapshot of a state, if enough came since the last one; returns at once."""
        is_busy = self._writer is not None and self._writer.is_alive()
        if not is_busy and self._has_grown(state, max(ATTEST_EVERY, self._file.size // GROWTH)):
            self._writer = threading.Thread(target=self._write, args=(state,), name="snapshot", daemon=True)
            self._writer.start()

    def close(self, state: State) -> None:
        """Write the last one, if it spares the next start anything; returns when it is written."""
        if self._writer is not None:
            self._writer.join()
        if self._has_grown(state, ATTEST_EVERY // 4):
            self._write(state)

    def _has_grown(self, state: State, least: int) -> bool:
        """A successor's log may be shorter than what is left of the one before."""
        return not 0 <= state.size - self._file.size < least

    def _write(self, state: State) -> None:
        try:
            self._file.write(state)
        except (SeraiError, OSError) as error:
            _log.warning("no snapshot of the first %d entries was written: %s", state.size, error)


@functools.cache
def rules_digest() -> Digest:
    """What tells one version of the rules from another: their source, and what they run on; empty without the source."""
    package = Path(str(resources.files(serai)))
    places = [package / name for name in RULES]
    files = sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))
    if not files:
        return Digest("")
    versions = [serai.__version__, platform.python_version(), cryptography.__version__]
    sources = [[str(file.relative_to(package)), digest_of(file.read_bytes())] for file in files]
    return digest_of(canonical([versions, sources]))
