"""What a zone has handed to the center and not seen in the log yet.

The agent's own words are noted in memory: it says them again after a crash. What a
person said and the center did not take is kept as a file, with the receipts that
members give for it, until it stands in the log.
"""

import os
import re
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serai.agent.receipts import MAX_EVIDENCE_BYTES, Evidence, parse_evidence
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest

FOLDER: Final = "withheld"
MAX_NOTED: Final = 256
MAX_FILES: Final = 256
_NAME: Final = re.compile(r"([0-9a-f]{64})\.json")


@dataclass(slots=True)
class Outbox:
    """Entries on their way, by statement id, each with the time at which it was handed in first."""

    _noted: dict[Digest, tuple[bytes, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, entry: bytes, now_ms: int) -> None:
        """An entry is about to be handed in; of too many, the oldest is forgotten."""
        with self._lock:
            self._noted.setdefault(parse_envelope(entry).id, (entry, now_ms))
            if len(self._noted) > MAX_NOTED:
                del self._noted[next(iter(self._noted))]

    def forget(self, statement: Digest) -> None:
        """It shows, or need not be waited for."""
        with self._lock:
            self._noted.pop(statement, None)

    def noted(self) -> dict[Digest, tuple[bytes, int]]:
        """All of them."""
        with self._lock:
            return dict(self._noted)


def path_of(home: Path, statement: Digest) -> Path:
    """Where a zone keeps a withheld statement."""
    return home / FOLDER / f"{statement}.json"


def keep(home: Path, evidence: Evidence) -> Path:
    """Write a withheld statement, with its receipts, into the zone's home; the file appears whole or not at all."""
    path = path_of(home, parse_envelope(evidence.entry.encode()).id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    temporary.write_bytes(evidence.encode() + b"\n")
    temporary.replace(path)
    return path


def kept(home: Path, known: Collection[Digest] = ()) -> Iterator[Evidence]:
    """What a zone keeps, in the order of the names, but for statements that the caller knows.

    Raises:
        Malformed: a file holds something else.

    """
    folder = home / FOLDER
    names = sorted(path for path in folder.glob("*.json") if _NAME.fullmatch(path.name)) if folder.is_dir() else []
    for path in [path for path in names if path.stem not in known][:MAX_FILES]:
        with path.open("rb") as file:
            yield parse_evidence(file.read(MAX_EVIDENCE_BYTES + 1))
