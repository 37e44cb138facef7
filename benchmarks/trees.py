"""Processes started by their id, the memory of their trees, and the end of all of them."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

END_S = 10.0  # between asking and insisting
SAMPLE_S = 0.2


class Trees:
    """Process trees of one run; none of them outlives the ``with``.

    Args:
        folder: where each writes its log.
        environment: variables beside those of this process.

    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.peak_mb: dict[str, float] = {}
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._roots: dict[str, subprocess.Popen[bytes]] = {}
        self._known: set[tuple[int, str]] = set()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._watcher.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End every process that was started here, and all that these started."""
        self._stop.set()
        self._watcher.join()
        self._look()
        for process in self._roots.values():
            process.terminate()
        deadline = time.monotonic() + END_S
        for process in self._roots.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        for pid, born in self._known:
            if birth(pid) == born:  # else it has ended, and its id may be another's
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self._roots.values():
            process.wait()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process that goes on."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._roots[name] = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def run(self, name: str, command: Sequence[str], timeout_s: float) -> str:
        """Run a command to its end; what it wrote to standard output.

        Raises:
            RuntimeError: it failed, or took too long.

        """
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=timeout_s, env=self._environment
            )
        except subprocess.TimeoutExpired as error:
            message = f"{name} did not end within {timeout_s:g} s"
            raise RuntimeError(message) from error
        if done.returncode:
            message = f"{name} failed with status {done.returncode}: {(done.stderr or done.stdout)[-600:].strip()}"
            raise RuntimeError(message)
        return done.stdout

    def wait_for(self, file: Path, timeout_s: float) -> str:
        """The content of a file, once somebody has put it there whole.

        Raises:
            RuntimeError: it does not come, or a process has ended before.

        """
        deadline = time.monotonic() + timeout_s
        while not file.exists():
            ended = [name for name, process in self._roots.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                reason = f"{ended[0]} has ended" if ended else f"nothing came in {timeout_s:g} s"
                message = f"{reason}; the last words of its log: {self.last_words(ended[0] if ended else None)}"
                raise RuntimeError(message)
            time.sleep(0.1)
        return file.read_text(encoding="utf-8")

    def last_words(self, name: str | None) -> str:
        """The end of a process's log; of the first one's unless named."""
        log = self._folder / f"{name or next(iter(self._roots))}.log"
        return log.read_text(encoding="utf-8", errors="replace")[-400:].strip()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._look()

    def _look(self) -> None:
        children = children_by_parent()
        for name, process in list(self._roots.items()):
            pids = list(tree(process.pid, children))
            self._known.update((pid, birth(pid)) for pid in pids)
            self.peak_mb[name] = max(self.peak_mb.get(name, 0.0), sum(map(resident_mb, pids)))


def children_by_parent() -> dict[int, list[int]]:
    """The processes of this machine by their parents."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = stat_fields(int(entry.name)) if entry.name.isdecimal() else []
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    return children


def tree(root: int, children: Mapping[int, Sequence[int]]) -> Iterator[int]:
    """A process and all below it."""
    yield root
    for child in children.get(root, ()):
        yield from tree(child, children)


def birth(pid: int) -> str:
    """When a process started, in ticks since boot: together with the id it names one process for ever."""
    fields = stat_fields(pid)
    return fields[19] if fields else ""


def stat_fields(pid: int) -> list[str]:
    """What ``/proc`` says of a process, from its state on; nothing once it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def resident_mb(pid: int) -> float:
    """Resident memory, MB of 10^6 bytes; pages that processes share count in each."""
    fields = stat_fields(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if fields else 0.0


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
