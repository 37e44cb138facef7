"""The demo's processes: started, waited for, killed and ended by their own process ids."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from serai.errors import Unavailable

START_TIMEOUT_S: Final = 30.0  # on a busy laptop a process takes two or three seconds
STOP_TIMEOUT_S: Final = 15.0


class Process:
    """One ``serai`` process that says ``ready`` when it works.

    Args:
        name: for messages and the name of its log file.
        arguments: of ``python -m serai``.
        log: where its standard error goes.

    """

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own arguments
                [sys.executable, "-m", "serai", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={
                    **os.environ,
                    "OPENBLAS_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                },  # five processes share the cores
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_ready(self) -> str:
        """What it says after ``ready``, once it says so.

        Raises:
            Unavailable: it ended or stayed silent; the message quotes its log.

        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        line = b""
        while not line.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
            if select.select([self._process.stdout], [], [], left)[0]:
                part = os.read(self._process.stdout.fileno(), 4096)
                if not part:
                    break
                line += part
        word, _, rest = line.decode().strip().partition(" ")
        if word != "ready":
            raise Unavailable(
                "process-not-started", f"{self.name} did not start; its log {self._log} ends: {self._tail()}"
            )
        return rest

    def kill(self) -> None:
        """End it without warning, as a power cut would (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end (SIGTERM); insist after a while."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _tail(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        return text[-600:] or "(empty)"


class Processes:
    """All processes of one demo; leaving the block ends them, however it is left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Process] = {}

    def __enter__(self) -> Self:
        """Make SIGTERM end the block as Ctrl-C does."""
        self._before = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what runs, last started first."""
        for process in reversed(self._running.values()):
            process.stop()
        signal.signal(signal.SIGTERM, self._before)

    def start(self, name: str, arguments: list[str]) -> Process:
        """Start a process; its standard error goes to ``<folder>/<name>.log``."""
        process = Process(name, arguments, self._folder / f"{name}.log")
        self._running[name] = process
        return process

    def __getitem__(self, name: str) -> Process:
        """A process by name."""
        return self._running[name]


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
