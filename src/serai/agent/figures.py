"""How this zone's part in a run goes: its pace, what it waits for, and the lines of its own record.

Each contribution leaves a line of JSON in ``figures/<run>.jsonl`` under the
zone's home, for its owner's eyes. What others see of it goes with the upload,
and only where plan, agreement and offer let metrics out.
"""

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from serai.kernel.ids import Digest
from serai.storage.disk import no_room_explained

FOLDER: Final = "figures"
_REMEMBERED: Final = 3  # rounds; one slow step is no new pace
_DIFFERS: Final = 0.25  # by which a pace has changed


@dataclass(slots=True)
class Stopwatch:
    """How long local steps and exchanges take, and how long nothing is computed between them."""

    _steps_us: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _exchanges_s: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _began_s: float = 0.0
    _ended_s: float | None = None
    _stall_ms: int = 0
    _exchange_s: float = 0.0

    def begin(self, ahead_ended_s: float | None) -> None:
        """Local steps of a round begin; what was taken ahead of them ended before."""
        self._began_s = time.monotonic()
        idle_since = max(self._ended_s or self._began_s, ahead_ended_s or 0.0)
        self._stall_ms = round(1000 * max(0.0, self._began_s - idle_since))

    def end(self, ahead_s: float, steps: int) -> dict[str, int]:
        """They have ended; ``ahead_s`` seconds went into those taken ahead."""
        self._ended_s = time.monotonic()
        train_s = self._ended_s - self._began_s + ahead_s
        if steps > 0:
            self._steps_us.append(1e6 * train_s / steps)
        return {"train_ms": round(1000 * train_s), "stall_ms": self._stall_ms}

    @property
    def step_us(self) -> int:
        """What one local step takes, microseconds; 0 if it is not known yet."""
        return max(1, round(median(self._steps_us))) if self._steps_us else 0

    @property
    def exchange_ms(self) -> int:
        """What the transfers and round trips of a round take this zone, milliseconds."""
        return round(1000 * median(self._exchanges_s)) if self._exchanges_s else 0

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Something of a round's exchange goes on."""
        began_s = time.monotonic()
        yield
        self.waited(time.monotonic() - began_s)

    def waited(self, seconds: float) -> None:
        """A round's exchange took so long, and there may be more."""
        self._exchange_s += seconds

    def exchanged(self) -> None:
        """The exchange of a round has ended."""
        self._exchanges_s.append(self._exchange_s)
        self._exchange_s = 0.0


def has_changed(said: int, measured: int) -> bool:
    """Whether a pace differs so much from the one said that it is worth a word."""
    return abs(measured - said) > _DIFFERS * said


def record(home: Path, run: Digest, line: Mapping[str, int | str]) -> None:
    """Add a line to the zone's own record of a run.

    Raises:
        Unavailable: the disk is full.

    """
    folder = home / FOLDER
    with no_room_explained(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / f"{run}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line), sort_keys=True) + "\n")


def read_record(home: Path, run: Digest) -> list[dict[str, int | str]]:
    """The lines of a run, oldest first; a last line that a crash cut is left out."""
    path = home / FOLDER / f"{run}.jsonl"
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # half a line, which a crash left and the next one was written after
    return lines
