"""The sandbox: a process without keys, network or files of this zone, in which recipes see the data.

Theory of operation
-------------------
One worker per run, started when the run is taken up and kept over its rounds.
Three fences, each of which holds without the others:

1. bubblewrap (``bwrap``) puts the worker into namespaces of its own. It sees
   the interpreter and its packages, read-only, an empty ``/tmp`` of limited
   size, and nothing else: no home, no keys, no network, no other process.
2. The worker binds its own hands before it loads a recipe
   (``serai.recipes.confinement``): hard limits, and a filter of system calls
   without sockets and new processes.
3. Whatever comes back is read as foreign bytes: a bounded frame, and parts of
   declared sizes in a file that can be neither cut nor grown.

Where the first fence cannot be had (no bwrap, or a container that forbids
namespaces), ``Fence.lacking`` says what is missing; the other two stay.

A worker ends with the agent (the kernel kills it), after a call that took too
long, and after an answer that is none. That is a refusal for the run, never the
end of the agent.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import serai
from serai.agent.settings import Limits
from serai.errors import Malformed, Refused, Unavailable
from serai.recipes.frames import Bulk, Message, Outbox, make_file, receive_frame, seal, send_frame, write_parts

ARTICLE: Final = "zone policy"  # what refusals of a sandbox cite: its limits are the zone's own
MAX_TEXT_CHARS: Final = 800
_PROBE_S: Final = 10.0
_SYSTEM: Final = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache")
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# What decides how arithmetic is done: a worker that chose other kernels would differ from the agent in last digits.
_KEPT_ENVIRONMENT: Final = (
    *(
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "MKL_NUM_THREADS",
        "MKL_CBWR",
    ),
    *("NPY_DISABLE_CPU_FEATURES", "ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES"),
    # Which of the zone's accelerators it may use, in each maker's words, and where Ascend's libraries lie.
    *("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "ASCEND_RT_VISIBLE_DEVICES"),
    *("LD_LIBRARY_PATH", "ASCEND_HOME_PATH", "ASCEND_OPP_PATH"),
)
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Fence:
    """What stands around a worker.

    Attributes:
        command: what its own command is put behind.
        lacking: what this machine cannot give, in words; empty for a whole sandbox.

    """

    command: tuple[str, ...]
    lacking: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the worker sees nothing of this zone and no network."""
        return not self.lacking


@functools.cache
def find_fence(home: Path, limits: Limits, models: tuple[Path, ...] = ()) -> Fence:
    """The best fence that this machine has, found by trying; the same for as long as this process lives.

    Args:
        home: the zone's home folder, hidden even where a folder that contains it must be shown.
        limits: sizes and devices.
        models: folders of base models, shown read-only.

    """
    program = shutil.which("bwrap")
    if program is None:
        return _without_bubblewrap("bubblewrap is not installed (Debian: apt-get install bubblewrap)")
    reason = ""
    for namespaces in (("--unshare-user", "--disable-userns"), ()):
        for processes in (("--proc", "/proc"), ("--dir", "/proc")):
            command = (program, "--unshare-all", *namespaces, *processes, *_view(home, limits, models), "--")
            reason = _try(command)
            if not reason:
                return Fence(command, ())
    return _without_bubblewrap(f"bubblewrap does not work here: {reason}")


def sweep(scratch: Path) -> None:
    """Remove the files of workers whose agent was killed; called once at start."""
    for folder in scratch.glob("worker-*-*"):
        owner = int(folder.name.split("-")[1])
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue  # somebody else has that number now; the next start will see


def clean(text: str) -> str:
    """Foreign words, fit for a log: printable, on one line, not long."""
    return json.dumps(text[:MAX_TEXT_CHARS], ensure_ascii=True)[1:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A question to a worker.

    Attributes:
        message: what is asked, by name, with its settings.
        parts: bulk that goes with it.
        capacity: most bytes of bulk in the answer.
        shared: bulk that already lies in a file in memory, handed on as it is; instead of ``parts``.

    """

    message: Message
    parts: tuple[Iterable[Bulk], ...] = ()
    capacity: int = 0
    shared: "Shared | None" = None


@dataclass(frozen=True, slots=True)
class Shared:
    """A sealed file in memory, the sizes of the parts in it, and how far apart they begin."""

    fd: int
    sizes: Sequence[int]
    stride: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker said: checked for its form, not believed."""

    message: Message
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class Duty:
    """What a worker is for.

    Attributes:
        module: the module of serai that it runs.
        is_ours: whether it runs nothing but libraries that the zone chose. Then only its data are bounded: they
            reserve far more address space than they use, and write files in memory longer than any on a disk.

    """

    module: str
    is_ours: bool


RECIPE: Final = Duty("serai.recipes.worker", is_ours=False)
READER: Final = Duty("serai.agent.readers.child", is_ours=True)


class Worker:
    """A running worker.

    Args:
        fence: what stands around it.
        limits: what it may use.
        scratch: where its files lie, where the fence does not give it a place.
        duty: what it is for.

    """

    def __init__(self, fence: Fence, limits: Limits, scratch: Path, duty: Duty = RECIPE) -> None:
        self._limits = limits
        self._channel, theirs = socket.socketpair()
        with theirs:
            folder = (
                None
                if fence.is_whole
                else Path(tempfile.mkdtemp(prefix=f"worker-{os.getpid()}-", dir=_private(scratch)))
            )
            self._process = _start(fence, limits, theirs, folder, duty)
        self._end = weakref.finalize(self, _end, self._process, self._channel, folder)
        self._sent: list[tuple[str, int, int]] = []

    @property
    def pid(self) -> int:
        """Process id of the worker, or of the fence around it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._end.alive

    def close(self) -> None:
        """End it; what it had is gone."""
        for _, outbox, _ in self._sent:
            os.close(outbox)
        self._sent.clear()
        self._end()

    def ask(self, call: Call) -> Answer:
        """Put a question and wait for its answer.

        Raises:
            Refused: the recipe failed, or the worker died, took too long, or
                answered what is no answer; in all but the first case it has ended.

        """
        self.post(call)
        return self.take()

    def post(self, call: Call) -> None:
        """Put a question; ``take`` waits for its answer. One at a time.

        Raises:
            Refused: the worker has died.

        """
        shared = call.shared
        inbox, outbox = make_file() if shared is None else os.dup(shared.fd), make_file(call.capacity)
        self._sent.append((call.message["call"], outbox, call.capacity))
        try:
            if shared is None:
                bulk = {"parts": write_parts(inbox, call.parts), "stride": 0}
                seal(inbox)
            else:
                bulk = {"parts": list(shared.sizes), "stride": shared.stride}
            self._channel.settimeout(self._limits.call_s)
            send_frame(self._channel, {**call.message, **bulk}, (inbox, outbox))
        except OSError:
            raise self._death(call.message["call"]) from None
        finally:
            os.close(inbox)

    def take(self) -> Answer:
        """Wait for the answer to what was posted; see ``ask``."""
        name, outbox, capacity = self._sent[0]
        try:
            message = receive_frame(self._channel, time.monotonic() + self._limits.call_s)
            if "error" not in message:
                fd = os.dup(outbox)
                sealed = Answer(message, Outbox(fd, message.get("parts"), capacity))
                weakref.finalize(sealed.outbox, os.close, fd)
                return sealed
        except Malformed as error:
            self.close()
            raise Refused(
                "sandbox-answer", f"what the worker answers to {name} is no answer: {error.message}", ARTICLE
            ) from None
        except Unavailable as error:
            if error.code == "frame-end":
                raise self._death(name) from None
            self.close()
            raise Refused(
                "sandbox-time",
                f"the recipe took longer than {self._limits.call_s} s to {name}; it was stopped "
                "(zone.toml allows more with call_s under [limits])",
                ARTICLE,
            ) from None
        finally:
            if self._sent:
                os.close(self._sent.pop(0)[1])
        raise self._failure(name, message["error"])

    def _failure(self, name: str, error: object) -> Refused:
        """What went wrong in the recipe, in its own words, cut and cleaned."""
        told = error if isinstance(error, dict) else {}
        text = clean(str(told.get("text", "no reason given")))
        if told.get("kind") == "MemoryError":
            self.close()
            return Refused(
                "sandbox-memory",
                f"the recipe needs more memory to {name} than the {self._limits.memory_mb} MiB that zone.toml allows "
                f"(memory_mb under [limits]): {text}",
                ARTICLE,
            )
        return Refused("recipe-failed", f"the recipe failed to {name}: {text}", ARTICLE)

    def _death(self, name: str) -> Refused:
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        how = _how_it_ended(self._process.returncode)
        self.close()
        return Refused("sandbox-death", f"the recipe's worker died when asked to {name}: {how}", ARTICLE)


def _start(
    fence: Fence, limits: Limits, channel: socket.socket, scratch: Path | None, duty: Duty
) -> "subprocess.Popen[bytes]":
    memory = limits.memory_mb * _MIB
    # Drivers of accelerators reserve far more address space than they use, so with devices only the data count.
    bounds = (0, memory, 0) if duty.is_ours else (0 if limits.devices else memory, memory, memory)
    place = scratch or Path("/tmp")  # noqa: S108  # in the worker's own namespace, empty and its own
    # Behind its fence the worker has another process id space, in which its parent cannot be named.
    parent = 0 if scratch is None else os.getpid()
    numbers = (channel.fileno(), parent, *bounds)
    command = [*fence.command, sys.executable, "-I", "-B", "-m", duty.module, *map(str, numbers)]
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return subprocess.Popen(  # noqa: S603  # our own program, and bubblewrap as the path finds it
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(channel.fileno(),),
        env={**kept, "HOME": str(place), "TMPDIR": str(place), "LANG": "C.UTF-8"},
        cwd=scratch or "/",
        start_new_session=True,
    )


def _end(process: "subprocess.Popen[bytes]", channel: socket.socket, scratch: Path | None) -> None:
    channel.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _view(home: Path, limits: Limits, models: tuple[Path, ...]) -> Iterator[str]:
    """What the worker sees, as bubblewrap's options; later ones lie over earlier ones."""
    yield from ("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "worker", "--chdir", "/")
    yield from ("--size", str(limits.scratch_mb * _MIB), "--tmpfs", "/tmp")  # noqa: S108  # its own
    # Not bubblewrap's own /dev: its /dev/shm would be memory that no limit counts.
    yield from ("--size", "65536", "--tmpfs", "/dev")
    for device in (*_DEVICES, *limits.devices):
        yield from ("--dev-bind-try", device, device)
    shown = [*(path for path in map(Path, _SYSTEM) if path.exists() and not path.is_symlink()), *_interpreter()]
    for path in (path for path in map(Path, _SYSTEM) if path.is_symlink()):
        yield from ("--symlink", str(path.readlink()), str(path))
    for path in shown:
        yield from ("--ro-bind", str(path), str(path))
    if any(home.resolve().is_relative_to(path) for path in shown):
        yield from ("--perms", "0000", "--size", "4096", "--tmpfs", str(home.resolve()))
    for path in models:
        yield from ("--ro-bind-try", str(path), str(path))
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def _interpreter() -> list[Path]:
    """Where Python, its packages and serai lie, without repeating what lies in another of them."""
    places = {
        Path(place).resolve()
        for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, Path(sys.executable).resolve().parent.parent)
    }
    named = {Path(sys.prefix), Path(sys.base_prefix), *places, Path(serai.__file__).parent}
    return [path for path in sorted(named) if path != Path("/") and not path.is_relative_to("/usr")]


def _try(command: Sequence[str]) -> str:
    """Why a command cannot start a Python, or nothing if it can."""
    try:
        done = subprocess.run(  # noqa: S603  # bubblewrap as the path finds it
            [*command, sys.executable, "-I", "-S", "-c", "pass"],
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            env={},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return clean(str(error))
    said = done.stderr.decode("utf-8", "replace").strip()
    return "" if done.returncode == 0 else clean(said or f"exit status {done.returncode}")


def _without_bubblewrap(reason: str) -> Fence:
    """Limits and the filter of calls alone, and a network namespace where that much is possible."""
    program = shutil.which("unshare")
    command = (program, "--net", "--") if program else ()
    if not command or _try(command):
        command = ()
    return Fence(command, (f"{reason}: a recipe could read files that this user can read",))


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "it closed its channel"
    # A fence reports a signal that killed what is behind it as a shell does.
    number = -status if status < 0 else status - 128
    if 0 < number < signal.NSIG:
        return f"killed by {signal.Signals(number).name}"
    return f"exit status {status}"
