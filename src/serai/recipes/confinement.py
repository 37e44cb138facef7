"""How a recipe's worker gives up, for good, whatever computing does not need.

Theory of operation. The agent starts the worker in a place that shows it
little (see ``serai.agent.sandbox``); here the worker binds its own hands before
it loads a line that did not come with serai. What it gives up it cannot take
back: limits are hard limits, and a filter of system calls (seccomp, Linux 3.17)
holds for every thread and every program it might become. The filter lets pass
what computing needs, threads included, and answers "not permitted" to

- sockets, so that no network is reached even where the network is in sight;
- new processes and programs, so that none outlives the worker, and a bomb of
  forks is one failed call;
- signals to others, tracing, and reading other processes' memory;
- memory that no limit counts: files in memory, System V segments, io_uring;
- mounts, namespaces, keyrings, kernel modules, BPF, and opening by handle.

Where a processor or system has no such filter, the list that ``confine`` returns
says so, and the agent decides.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_OPEN_FILES: Final = 256

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_FILTER_ALL_THREADS: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC
_CLONE_THREAD: Final = 0x00010000
_X32: Final = 0x40000000  # the third call table of x86-64, which the numbers below do not cover

# linux/bpf_common.h and linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _DENY, _UNKNOWN = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM; ENOSYS, on which libc tries another way
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data


@dataclass(frozen=True, slots=True)
class _Calls:
    """A processor's numbers of system calls (asm/unistd_64.h, asm-generic/unistd.h)."""

    architecture: int
    seccomp: int
    clone: int
    capset: int
    denied: tuple[int, ...]


_CLONE3: Final = 435
_DENIED_EVERYWHERE: Final = (
    *(424, 425, 426, 427, 434, 438, 447),  # pidfd_send_signal, io_uring_*, pidfd_open, pidfd_getfd, memfd_secret
    *(428, 429, 430, 431, 432, 433, 442),  # the newer calls around mounts
)
_CALLS: Final = {
    "x86_64": _Calls(
        architecture=0xC000003E,
        seccomp=317,
        clone=56,
        capset=126,
        denied=(
            *(41, 42, 43, 49, 50, 288),  # socket, connect, accept, bind, listen, accept4
            *(57, 58, 59, 322),  # fork, vfork, execve, execveat
            *(62, 129, 200, 234, 297),  # kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo
            *(101, 310, 311, 312),  # ptrace, process_vm_readv, process_vm_writev, kcmp
            *(29, 68, 240, 319),  # shmget, msgget, mq_open, memfd_create
            *(155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
            *(175, 176, 246, 313, 320),  # init_module, delete_module, kexec_load, finit_module, kexec_file_load
            *(248, 249, 250, 298, 303, 304, 321, 323),  # keyrings, perf, handles, bpf, userfaultfd
        ),
    ),
    "aarch64": _Calls(
        architecture=0xC00000B7,
        seccomp=277,
        clone=220,
        capset=91,
        denied=(
            *(198, 200, 201, 202, 203, 242),
            *(221, 281),
            *(129, 138, 130, 131, 240),
            *(117, 270, 271, 272),
            *(194, 186, 180, 279),
            *(41, 51, 40, 39, 97, 268),
            *(105, 106, 104, 273, 294),
            *(217, 218, 219, 241, 264, 265, 280, 282),
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a worker may use, in bytes; 0 sets no bound.

    Attributes:
        memory_bytes: address space.
        data_bytes: writable private memory, for drivers that reserve address space without using it.
        file_bytes: size of any one file it writes.

    """

    memory_bytes: int
    data_bytes: int
    file_bytes: int


def confine(bounds: Bounds) -> tuple[str, ...]:
    """Give up what computing does not need; for this whole process, for ever.

    Returns:
        What could not be given up, in words; empty where everything was.

    """
    limits = {
        resource.RLIMIT_AS: bounds.memory_bytes,
        resource.RLIMIT_DATA: bounds.data_bytes,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
    }
    for which, value in limits.items():
        if value:
            resource.setrlimit(which, (value, value))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    if sys.platform != "linux":
        return (f"{sys.platform} has no filter of system calls",)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return ("the kernel cannot promise that no program gains privileges",)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return (f"there is no filter of system calls for {platform.machine()}",)
    _drop_capabilities(libc.syscall, calls)
    return _filter_calls(libc.syscall, calls)


def die_with_parent(parent: int) -> None:
    """Let the kernel end this process when the one that started it ends; at once if it has ended.

    Args:
        parent: process id that the starter has in this process's sight; 0 if it has none there.

    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:
        sys.exit(1)


def _drop_capabilities(syscall: Callable[..., int], calls: _Calls) -> None:
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    syscall(calls.capset, header, bytes(24))


def _filter_calls(syscall: Callable[..., int], calls: _Calls) -> tuple[str, ...]:
    program = b"".join(struct.pack("=HBBI", *step) for step in _program(calls))
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count, padding to a pointer, the address.
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    if syscall(calls.seccomp, 1, _FILTER_ALL_THREADS, described):
        return (f"the kernel takes no filter of system calls: {os.strerror(ctypes.get_errno())}",)
    return ()


def _program(calls: _Calls) -> Iterator[tuple[int, int, int, int]]:
    """The filter, as (code, jump if true, jump if false, value)."""
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    yield (_EQUAL, 1, 0, calls.architecture)
    yield (_RETURN, 0, 0, _DENY)
    yield (_LOAD, 0, 0, _NUMBER)
    yield (_AT_LEAST, 0, 1, _X32)
    yield (_RETURN, 0, 0, _DENY)
    for number in sorted({*calls.denied, *_DENIED_EVERYWHERE}):
        yield (_EQUAL, 0, 1, number)
        yield (_RETURN, 0, 0, _DENY)
    yield (_EQUAL, 0, 1, _CLONE3)  # its flags lie behind a pointer, out of a filter's sight
    yield (_RETURN, 0, 0, _UNKNOWN)
    yield (_EQUAL, 0, 3, calls.clone)
    yield (_LOAD, 0, 0, _FIRST_ARGUMENT)
    yield (_ANY_BIT, 1, 0, _CLONE_THREAD)
    yield (_RETURN, 0, 0, _DENY)
    yield (_RETURN, 0, 0, _ALLOW)
