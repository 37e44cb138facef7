"""How long one masked round takes between real processes, what it moves, and what it needs.

Usage: python benchmarks/exchange.py [--members 4] [--mb 0.01 1 10 100 400] [--rounds 8] [--results]

Starts a center and K agents on loopback, runs the ``probe`` recipe (a float32
model in 20 tensors to which each member adds a constant) and prints, for each
size, the median time from the opening of a round to the opening of the next,
the bytes over loopback a round, and the peak memory of center and member.
"""

import argparse
import itertools
import json
import os
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from serai.aggregation.state import RoundsState
from serai.kernel.ids import Digest
from serai.testing.processes import ProcessBloc

ROWS = [[float(n % 7), float(n % 3), n % 2] for n in range(40)]


def loopback_bytes() -> int:
    """Bytes that passed over the loopback device so far."""
    for line in Path("/proc/net/dev").read_text(encoding="utf-8").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    return 0


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process, MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_s(pid: int) -> float:
    """User and system time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def opened(rounds: RoundsState, run: Digest) -> int:
    """How many rounds of a run were opened."""
    progress = rounds.runs.get(run)
    return progress.opened if progress else 0


def measure(members: int, mb: float, rounds: int) -> dict[str, float]:
    """One bloc, one run; medians over its rounds but the first."""
    tables = {f"m{number}": ROWS for number in range(members)}
    with tempfile.TemporaryDirectory() as folder, ProcessBloc(Path(folder), tables) as bloc:
        agreement = bloc.agree()
        size = max(20, round(mb * 1e6 / 4))
        run = bloc.train(agreement, "probe", rounds, {"size": str(size)})
        session = bloc.session("m0")
        times: list[float] = []
        used: list[tuple[float, float]] = []
        moved: list[int] = []
        while len(times) < rounds:
            before = session.mirror.view
            state = session.mirror.follow(session.center, before.size, 10.0).state
            if opened(state.rounds, run) > len(times):
                times.append(time.perf_counter())
                moved.append(loopback_bytes())
                used.append((cpu_s(bloc.pid("center")), sum(cpu_s(bloc.pid(member)) for member in bloc.members)))
        bloc.wait_for_model(run)
        return {
            "members": members,
            "mb": mb,
            "seconds": round(statistics.median(b - a for a, b in itertools.pairwise(times[1:])), 4),
            "loopback_mb": round(statistics.median(b - a for a, b in itertools.pairwise(moved[1:])) / 1e6, 3),
            "center_cpu_s": round((used[-1][0] - used[1][0]) / (rounds - 2), 3),
            "members_cpu_s": round((used[-1][1] - used[1][1]) / (rounds - 2), 3),
            "center_peak_mb": round(peak_mb(bloc.pid("center")), 1),
            "member_peak_mb": round(max(peak_mb(bloc.pid(member)) for member in bloc.members), 1),
        }


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


PROMISED = {0.01: 0.25, 100: 3.0}
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
        (f"{name}: peak memory of a member", found["member_peak_mb"], "MB", None, "", f"{mb:g} MB: the model itself"),
    ]
    for what, value, unit, most, peer, limit in rows:
        promise = {"bar": f"at most {most:g} {unit}" if most else "", "holds": value <= most if most else None}
        result = {"issue": 2, "name": what, "value": value, "unit": unit, **promise, "peer": peer, "limit": limit}
        print(json.dumps(result), flush=True)


def main() -> None:
    """Measure and print, one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--mb", type=float, nargs="+", default=[0.01, 1, 10, 100, 400])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    for mb in options.mb:
        found = measure(options.members, mb, options.rounds)
        if options.results:
            print_results(found)
        else:
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
