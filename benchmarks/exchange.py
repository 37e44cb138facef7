"""How long one masked round takes between real processes, what it moves, and what it needs.

Usage: python benchmarks/exchange.py [--members 4] [--mb 0.01 1 10 100] [--rounds 6]

Starts a center and K agents on loopback, runs the ``probe`` recipe (a float32
model in 20 tensors to which each member adds a constant) and prints, for each
size, the median time from the opening of a round to the opening of the next,
the bytes over loopback a round, and the peak memory of center and member.
"""

import argparse
import itertools
import json
import statistics
import tempfile
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
        moved: list[int] = []
        while len(times) < rounds:
            before = session.mirror.view
            state = session.mirror.follow(session.center, before.size, 10.0).state
            if opened(state.rounds, run) > len(times):
                times.append(time.perf_counter())
                moved.append(loopback_bytes())
        bloc.wait_for_model(run)
        return {
            "members": members,
            "mb": mb,
            "seconds": round(statistics.median(b - a for a, b in itertools.pairwise(times[1:])), 4),
            "loopback_mb": round(statistics.median(b - a for a, b in itertools.pairwise(moved[1:])) / 1e6, 3),
            "center_peak_mb": round(peak_mb(bloc.pid("center")), 1),
            "member_peak_mb": round(max(peak_mb(bloc.pid(member)) for member in bloc.members), 1),
        }


def main() -> None:
    """Measure and print, one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--mb", type=float, nargs="+", default=[0.01, 1, 10, 100])
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    for mb in options.mb:
        print(json.dumps(measure(options.members, mb, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
