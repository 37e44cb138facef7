"""How long one masked round takes between real processes, what it moves, and what it needs.

Usage: python benchmarks/exchange.py [--members 4] [--mb 0.01 1 10 100 400] [--rounds 8] [--clear] [--results]

Starts a center and K agents on loopback, runs the ``probe`` recipe (a float32
model in 20 tensors to which each member adds a constant) and prints, for each
size, the median time from the opening of a round to the opening of the next,
the bytes over loopback and the CPU time a round, and the peak memory of the
center, of a member's agent and of its worker.

Peak memory is what a process holds for itself: anonymous and shared memory
(RssAnon + RssShmem), looked at twenty times a second. Pages of files that it
has mapped are the system's to take back and do not count.

The center keeps the uploads of two rounds (``keep_rounds`` of center.toml), as one would in a long run.

With ``--clear`` each size is measured again by members who add no masks, with
everything else as it was; ``unmasked.py`` beside this file starts them. The sums
must be the same to the bit.
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from serai.aggregation.state import RoundsState
from serai.kernel.ids import Digest
from serai.testing.processes import ProcessBloc

_UNMASKED = Path(__file__).with_name("unmasked.py")
_LOOK_S = 0.05  # ten times as often cost a tenth of the time that was measured
_PAIRS = 3  # runs masked and in the clear in turns, so that both see the same disturbances
ROWS = [[float(n % 7), float(n % 3), n % 2] for n in range(40)]


def loopback_bytes() -> int:
    """Bytes that passed over the loopback device so far."""
    for line in Path("/proc/net/dev").read_text(encoding="utf-8").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    return 0


def own_mb(pid: int) -> float:
    """Memory that a process holds for itself, MB of 10^6 bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) * 1024 / 1e6


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have: of an agent, its worker and the fence around it."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text(encoding="ascii").split())
    return [*found, *(below for child in found for below in descendants(child))]


class Peaks:
    """The most memory that each of some processes was seen to hold, looked at by a thread of its own.

    Args:
        find: the processes by name; asked each time, for workers come and go.

    """

    def __init__(self, find: Callable[[], Mapping[str, Sequence[int]]]) -> None:
        self._find = find
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.mb: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_S):
            for name, pids in self._find().items():
                self.mb[name] = max(self.mb.get(name, 0.0), *(own_mb(pid) for pid in pids), 0.0)


def cpu_s(pid: int) -> float:
    """User and system time that a process has used, seconds; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bloc(ProcessBloc):
    """A bloc whose center keeps the uploads of two rounds, so that a disk does not fill up with a long run."""

    center_settings = "keep_rounds = 2\n"


class ClearBloc(Bloc):
    """A bloc whose members add no masks: what the same codec costs in the clear."""

    def program(self, name: str) -> list[str]:
        """Members start without masks."""
        return super().program(name) if name == "center" else [sys.executable, str(_UNMASKED)]


def opened(rounds: RoundsState, run: Digest) -> int:
    """How many rounds of a run were opened."""
    progress = rounds.runs.get(run)
    return progress.opened if progress else 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one run took.

    Attributes:
        figures: by name, medians over its rounds but the first.
        totals: digest of each round's sum, as the members state it.
        model: digest of the last model.
        upload_bytes: of one member, one round.

    """

    figures: dict[str, float]
    totals: list[Digest]
    model: Digest
    upload_bytes: int


def measure(members: int, mb: float, rounds: int) -> dict[str, float]:
    """One bloc, one run; medians over its rounds but the first."""
    return observe(members, mb, rounds).figures


def observe(members: int, mb: float, rounds: int, make: type[Bloc] = Bloc) -> Found:
    """One bloc, one run."""
    tables = {f"m{number}": ROWS for number in range(members)}
    with tempfile.TemporaryDirectory() as folder, make(Path(folder), tables) as bloc:
        agents, center = [bloc.pid(member) for member in bloc.members], bloc.pid("center")

        def workers() -> list[int]:
            return [worker for agent in agents for worker in descendants(agent)]

        run = bloc.train(bloc.agree(), "probe", rounds, {"size": str(max(20, round(mb * 1e6 / 4)))})
        with Peaks(lambda: {"center": [center], "member": agents[:1], "worker": descendants(agents[0])}) as peaks:
            steps = follow(bloc, run, rounds, lambda: [cpu_s(center), sum(map(cpu_s, [*agents, *workers()]))])
            model = bloc.wait_for_model(run)
        seconds, moved, center_s, members_s = zip(
            *([late - early for early, late in zip(*pair, strict=True)] for pair in itertools.pairwise(steps[1:])),
            strict=True,
        )
        state = bloc.state()
        done = [this for this in state.rounds.rounds.values() if this.body.run == run and this.results]
        return Found(
            figures={
                "members": members,
                "mb": mb,
                "seconds": round(statistics.median(seconds), 4),
                "loopback_mb": round(statistics.median(moved) / 1e6, 3),
                "center_cpu_s": round(statistics.median(center_s), 3),
                "members_cpu_s": round(statistics.median(members_s), 3),
                **{f"{name}_peak_mb": round(most, 1) for name, most in peaks.mb.items()},
            },
            totals=[
                next(iter(this.results.values())).total for this in sorted(done, key=lambda this: this.body.number)
            ],
            model=model,
            upload_bytes=state.runs.plans[run].plan.codec.upload_bytes,
        )


def follow(bloc: ProcessBloc, run: Digest, rounds: int, cpu: Callable[[], list[float]]) -> list[list[float]]:
    """Time, bytes over loopback and CPU time used, so far, at the opening of each round."""
    session = bloc.session(bloc.members[0])
    steps: list[list[float]] = []
    while len(steps) < rounds:
        state = session.mirror.follow(session.center, session.mirror.view.size, 10.0).state
        if opened(state.rounds, run) > len(steps):
            steps.append([time.perf_counter(), loopback_bytes(), *cpu()])
    return steps


def machine_limit(moved_mb: float) -> str:
    """What moving so many bytes over loopback takes here at the least, by one plain socket pair."""
    gb_per_s = loopback_gb_per_s()
    return f"{moved_mb:,.1f} MB over loopback at {gb_per_s:.1f} GB/s measured: {moved_mb / 1e3 / gb_per_s:.3f} s"


def loopback_gb_per_s(total: int = 2**30, block: int = 2**20) -> float:
    """Throughput of one TCP connection over loopback, GB/s."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()

    def send() -> None:
        data = bytes(block)
        for _ in range(total // block):
            sender.sendall(data)
        sender.close()

    thread = threading.Thread(target=send)
    start = time.perf_counter()
    thread.start()
    buffer = bytearray(block)
    while receiver.recv_into(buffer):
        pass
    thread.join()
    receiver.close()
    return total / (time.perf_counter() - start) / 1e9


PROMISED = {0.01: 0.2, 10: 0.4, 100: 1.5, 400: 6.0, 1000: 15.0}
PEERS = {
    0.01: "NVIDIA FLARE 2.9: 2.5 s, Flower 1.41: 9.8 s (unmasked)",
    1: "NVIDIA FLARE 2.9: 2.5 s, Flower 1.41: 9.9 s (unmasked); Flower SecAgg+: 31.6 s",
    10: "NVIDIA FLARE 2.9: 3.0 s, Flower 1.41: 12.2 s (unmasked); Flower SecAgg+: 53 s",
    100: "NVIDIA FLARE 2.9: 7.1 s, Flower 1.41: 18.0 s (unmasked)",
    400: "NVIDIA FLARE 2.9: 25.5 s, Flower 1.41: 46.4 s (unmasked)",
}
PEER_MEMORY = {
    100: "NVIDIA FLARE 2.9: 1,729 MB, Flower 1.41: 2,695 MB",
    400: "NVIDIA FLARE 2.9: 5,401 MB, Flower 1.41: 8,113 MB",
}


def compare(members: int, mb: float, rounds: int) -> None:
    """Print what masks add to an exchange in the clear: results to record.

    Raises:
        SystemExit: a sum, or the model, is another one.

    """
    pairs = [(observe(members, mb, rounds), observe(members, mb, rounds, ClearBloc)) for _ in range(_PAIRS)]
    if len({(tuple(found.totals), found.model) for pair in pairs for found in pair}) != 1:
        raise SystemExit("masks changed a sum or the model: expected the same digests")
    masked, clear = pairs[0]
    medians = [
        {name: statistics.median(found.figures[name] for found in runs) for name in masked.figures}
        for runs in zip(*pairs, strict=True)
    ]
    name = f"secure aggregation against the same codec in the clear, K={members}, {mb:g} MB float32, 16-bit ring"
    spare = (members - 1).bit_length()
    rows = [
        (f"{name}: sums and models that differ", 0, f"of {len(masked.totals)} rounds", 0, "the same bits"),
        (
            f"{name}: bytes of an upload more",
            masked.upload_bytes - clear.upload_bytes,
            "bytes",
            0,
            f"{spare} of 16 bits are head-room for the sum of {members}, with masks or without",
        ),
        *(
            (f"{name}: {what}", round(medians[0][key] / medians[1][key], 3), "times", most, _absolute(medians, key))
            for what, key, most in (
                ("time of a round", "seconds", 1.2),
                ("CPU of the members", "members_cpu_s", None),
                ("bytes over loopback", "loopback_mb", None),
            )
        ),
    ]
    for what, value, unit, most, note in rows:
        promise = {"bar": "" if most is None else f"at most {most:g}", "holds": None if most is None else value <= most}
        result = {"issue": 3, "name": what, "value": value, "unit": unit, **promise, "peer": "", "limit": note}
        print(json.dumps(result), flush=True)


def _absolute(medians: Sequence[Mapping[str, float]], key: str) -> str:
    return f"masked {medians[0][key]:g}, in the clear {medians[1][key]:g}; medians of {_PAIRS} runs in turns"


def print_results(found: dict[str, float]) -> None:
    """The figures of one size as results to record."""
    mb, members = found["mb"], found["members"]
    name = f"masked round, K={members:g}, {mb:g} MB float32, 16-bit ring"
    bar = PROMISED.get(mb)
    # The others were measured with four members.
    peer, peer_memory = (PEERS.get(mb, ""), PEER_MEMORY.get(mb, "")) if members == 4 else ("", "")
    rows = [
        (name, found["seconds"], "s", bar, peer, machine_limit(found["loopback_mb"])),
        (
            f"{name}: bytes over loopback",
            found["loopback_mb"],
            "MB",
            None,
            "",
            f"{members * mb:g} MB: each upload once, each sum once",
        ),
        (f"{name}: peak memory of the center", found["center_peak_mb"], "MB", 300, peer_memory, ""),
        (
            f"{name}: peak memory of a member's agent",
            found["member_peak_mb"],
            "MB",
            mb + 100,
            "",
            f"{mb:g} MB: the model itself",
        ),
        (
            f"{name}: peak memory of a member's worker",
            found["worker_peak_mb"],
            "MB",
            None,
            "",
            f"{mb:g} MB: the vector; the recipe reads no model",
        ),
    ]
    for what, value, unit, most, peer, limit in rows:
        promise = {"bar": f"at most {most:g} {unit}" if most else "", "holds": value <= most if most else None}
        result = {"issue": 2, "name": what, "value": value, "unit": unit, **promise, "peer": peer, "limit": limit}
        print(json.dumps(result), flush=True)


def main() -> None:
    """Measure and print, one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--mb", type=float, nargs="+", default=[0.01, 1, 10, 100, 400, 1000])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--clear", action="store_true", help="compare with members who add no masks")
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    for mb in options.mb:
        if options.clear:
            compare(options.members, mb, options.rounds)
            continue
        found = measure(options.members, mb, options.rounds)
        if options.results:
            print_results(found)
        else:
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
