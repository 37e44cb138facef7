"""Long, narrow, lossy links between network namespaces of this machine: by netem, or by a program of ours.

Linux's netem shapes packets where the kernel has it. Where it has not, each link
is a pair of TUN devices, one in the center's namespace and one in the member's,
and a process that hands packets from one to the other: it loses each with the
same chance, sends them out one after another at the rate, and delivers them
after the delay. TCP on both sides is the kernel's own either way. Nothing
leaves the namespaces, and the end of ``Links`` removes them.
"""

import collections
import contextlib
import fcntl
import multiprocessing
import os
import random
import select
import signal
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TUN = Path("/dev/net/tun")
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MAX_PACKET = 65_536
QUEUE_PACKETS = 1000  # that wait for the wire; further ones are lost, as netem's default has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One direction of a link.

    Attributes:
        delay_s: from one end to the other.
        rate_bps: bits a second.
        loss: share of packets lost.

    """

    delay_s: float
    rate_bps: float
    loss: float


class Links:
    """A namespace for the center and one for each member, linked star-wise.

    Args:
        members: how many.
        shape: of each direction of each link.
        kind: ``netem`` or ``program``.

    """

    def __init__(self, members: int, shape: Shape, kind: str) -> None:
        prefix = f"serai-{os.getpid()}"
        self.center = f"{prefix}-center"
        self.members = [f"{prefix}-m{number}" for number in range(members)]
        self.addresses = [f"10.77.{number}.1" for number in range(members)]
        self._shape, self._kind = shape, kind
        self._made: list[str] = []
        self._pumps: list[multiprocessing.Process] = []
        self._devices: list[int] = []

    def __enter__(self) -> Self:
        """Make namespaces and links."""
        try:
            for name in (self.center, *self.members):
                run("ip", "netns", "add", name)
                self._made.append(name)
                run("ip", "-n", name, "link", "set", "lo", "up")
            for number in range(len(self.members)):
                (self._link_by_netem if self._kind == "netem" else self._link_by_program)(number)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Remove them."""
        self.close()

    def close(self) -> None:
        """End what still runs in the namespaces, then remove these; every device in them goes too."""
        for name in reversed(self._made):
            for pid in pids_in(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pump in self._pumps:
            pump.terminate()
            pump.join()
        for device in self._devices:
            os.close(device)
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "delete", name], check=False)  # noqa: S607  # as PATH has it
        self._made, self._pumps, self._devices = [], [], []

    def _link_by_netem(self, number: int) -> None:
        ends = ((self.center, f"m{number}", 1), (self.members[number], "center", 2))
        (near, near_device, _), (far, far_device, _) = ends
        run("ip", "-n", near, "link", "add", near_device, "type", "veth", "peer", "name", far_device, "netns", far)
        for namespace, device, host in ends:
            self._raise_end(namespace, device, (number, host))
            add_netem(namespace, device, self._shape)

    def _link_by_program(self, number: int) -> None:
        devices = []
        for namespace, device, host in ((self.center, f"m{number}", 1), (self.members[number], "center", 2)):
            alias = f"serai{os.getpid() % 10**6}.{number}{host}"  # unlike any other on the way to its namespace
            devices.append(open_tun(alias))
            self._devices.append(devices[-1])
            run("ip", "link", "set", alias, "netns", namespace, "name", device)
            self._raise_end(namespace, device, (number, host))
        pump = multiprocessing.get_context("fork").Process(target=carry, args=(*devices, self._shape), daemon=True)
        pump.start()
        self._pumps.append(pump)

    def _raise_end(self, namespace: str, device: str, place: tuple[int, int]) -> None:
        number, host = place
        run("ip", "-n", namespace, "address", "add", f"10.77.{number}.{host}/30", "dev", device)
        run("ip", "-n", namespace, "link", "set", device, "up")


class Direction:
    """Packets on their way one way.

    Args:
        shape: of the way.
        chance: what loses packets.

    """

    def __init__(self, shape: Shape, chance: random.Random) -> None:
        self._shape, self._chance = shape, chance
        self._free_s = 0.0  # when the wire has sent all that waits
        self._under_way: collections.deque[tuple[float, bytes]] = collections.deque()
        self._waiting: collections.deque[float] = collections.deque()

    def send(self, packet: bytes, now_s: float) -> None:
        """Put a packet on the wire, or lose it."""
        while self._waiting and self._waiting[0] <= now_s:
            self._waiting.popleft()
        if len(self._waiting) >= QUEUE_PACKETS or self._chance.random() < self._shape.loss:
            return
        self._free_s = max(now_s, self._free_s) + 8 * len(packet) / self._shape.rate_bps
        self._waiting.append(self._free_s)
        self._under_way.append((self._free_s + self._shape.delay_s, packet))

    def next_s(self) -> float:
        """When the next packet arrives; infinity if none is under way."""
        return self._under_way[0][0] if self._under_way else float("inf")

    def arrived(self, now_s: float) -> list[bytes]:
        """The packets that have arrived by now."""
        packets = []
        while self._under_way and self._under_way[0][0] <= now_s:
            packets.append(self._under_way.popleft()[1])
        return packets


def carry(near: int, far: int, shape: Shape) -> None:
    """Hand packets between two TUN devices until terminated; the work of a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this ends it
    ways = {
        near: (far, Direction(shape, random.Random(1))),  # noqa: S311  # loses packets, guards nothing
        far: (near, Direction(shape, random.Random(2))),  # noqa: S311  # as above
    }
    while True:
        soonest = min(way.next_s() for _, way in ways.values())
        pause = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
        for device in select.select([near, far], [], [], pause)[0]:
            ways[device][1].send(os.read(device, MAX_PACKET), time.monotonic())
        for target, way in ways.values():
            for packet in way.arrived(time.monotonic()):
                with contextlib.suppress(OSError):  # its device is gone or its queue is full: the packet is lost
                    os.write(target, packet)


def open_tun(name: str) -> int:
    """Make a TUN device in this namespace; it lasts as long as the descriptor."""
    descriptor = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def add_netem(namespace: str, device: str, shape: Shape) -> None:
    """Shape what a device sends."""
    words = f"delay {shape.delay_s * 1e3:g}ms loss {shape.loss * 100:g}% rate {shape.rate_bps:.0f}bit"
    command = f"tc -n {namespace} qdisc add dev {device} root netem limit {QUEUE_PACKETS} {words}"
    run(*command.split())


def pids_in(namespace: str) -> list[int]:
    """The processes in a namespace."""
    command = ["ip", "netns", "pids", namespace]
    said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return [int(word) for word in said.split()]


def obstacle_to(kind: str) -> str | None:
    """Why links of a kind cannot be made here; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        if kind == "program" and not TUN.exists():
            return f"{TUN} is not here"
        with Links(1, Shape(delay_s=0.001, rate_bps=1e9, loss=0.0), kind):
            return None
    except FileNotFoundError as error:
        return f"{error.filename} is not here: apt-get install -y iproute2"
    except (OSError, RuntimeError) as error:
        return str(error)


def run(*command: str) -> None:
    """Run one of iproute2's programs.

    Raises:
        RuntimeError: it refused, and what it said.

    """
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise RuntimeError(message)


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """A command that runs in a namespace; the process is the command's own."""
    return ["ip", "netns", "exec", namespace, *command]
