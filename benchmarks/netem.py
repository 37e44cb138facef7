"""How much of their time members compute, over links of 300 ms, 10 Mbit/s and 1 % loss.

Usage: python benchmarks/netem.py [--members 2] [--rtt-ms 300] [--mbit 10] [--loss 0.01] [--congestion bbr]
                                  [--link auto] [--probe-steps 10] [--rounds 4] [--results]

Makes a network namespace for the center and one for each member, links between
them (``links``), and a bloc of real processes in them, of which members only dial
out. They train the ``language_model`` recipe on synthetic text, twice: first with a
few local steps a round, to measure the step, the bytes and the waiting; then
with H from ``serai.training.pace``, planned for 90 % compute utilisation. What is
reported is the share of a round's wall time in which a member's recipe ran: of the
member that computes longest, which the link alone keeps waiting, and of the mean.

Needs root, iproute2, PyTorch, and netem in the kernel or /dev/net/tun; without
them it says what is missing and measures nothing. Nothing of this machine's
network is touched, and the namespaces are removed at the end.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from exchange import cpu_s, opened
from links import Links, Shape, inside, obstacle_to, run
from serai.kernel.ids import Digest
from serai.recipes.registry import build
from serai.testing.processes import ProcessBloc
from serai.training.pace import Link, Overheads, exchange_s, steps_per_round, utilisation
from trees import children_by_parent, tree

MODEL = {"width": "128", "layers": "4", "heads": "4", "context": "64", "batch": "8"}
SAMPLE_S = 0.02
DOCUMENTS, WORDS = 400, 120  # of each member
ROUND_TRIPS = 6.0
"""Requests of a round that wait for each other: news, upload, its announcement, news, release, result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means of a run's rounds but the first and, for each, of the members.

    Attributes:
        steps: H.
        round_s: from the opening of a round to that of the next.
        computing_s: of it, the recipe runs.
        busiest_s: of it, the recipe of the member runs that computes longest; the others wait for it too.
        cpu_s: processor time that a member's recipe used; less than the time it ran where others wanted the cores.
        bytes_up: a member sends.
        bytes_down: a member receives.

    """

    steps: int
    round_s: float
    computing_s: float
    busiest_s: float
    cpu_s: float
    bytes_up: float
    bytes_down: float

    @property
    def share(self) -> float:
        """Compute utilisation."""
        return self.computing_s / self.round_s

    @property
    def step_s(self) -> float:
        """A local step at its quickest here: a plan made while the machine is busy must hold when it is not."""
        return min(self.computing_s, self.cpu_s) / self.steps


class FarBloc(ProcessBloc):
    """A bloc whose members live in namespaces of their own; this process is in the center's.

    Args:
        folder: where they keep their files.
        texts: each member's text.
        spaces: the members' namespaces.
        addresses: the center's address as each member sees it.

    """

    host = "0.0.0.0"  # noqa: S104  # every address of its own namespace: nothing else is there

    def __init__(self, folder: Path, texts: dict[str, str], spaces: Sequence[str], addresses: Sequence[str]) -> None:
        super().__init__(folder, texts, round_ms=900_000)
        self._spaces = dict(zip(texts, spaces, strict=True))
        self._addresses = dict(zip(texts, addresses, strict=True))

    def program(self, name: str) -> list[str]:
        """Members' processes start in their namespaces, each on a core of its own while there are enough."""
        own = super().program(name)
        if name not in self._spaces:
            return own
        core = list(self._spaces).index(name) % (os.cpu_count() or 1)
        # More threads than cores would wait for each other, which members on their own machines do not.
        return inside(self._spaces[name], ["taskset", "-c", str(core), *own])

    def center_url(self, member: str) -> str:
        """The center as the member sees it."""
        return f"http://{self._addresses[member]}:{self.url.rsplit(':', 1)[-1]}"


class Watch:
    """Notices, many times a second, whether the recipes of some agents run.

    A recipe runs in a worker below its agent, which sleeps between calls; so
    runnable means computing, or waiting for a core to compute on.

    Args:
        agents: process ids.

    """

    def __init__(self, agents: Sequence[int]) -> None:
        self._agents = agents
        self._stop = threading.Event()
        self._seen: list[tuple[float, list[bool]]] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def shares(self, start: float, end: float) -> list[float]:
        """Of each agent, the share of a time in which its recipe ran."""
        seen = [running for when, running in self._seen if start <= when < end]
        return [statistics.fmean(column) for column in zip(*seen, strict=True)]

    def _watch(self) -> None:
        workers: list[list[int]] = []
        looked = 0.0
        while not self._stop.wait(SAMPLE_S):
            now = time.monotonic()
            if now - looked > 1:
                children, looked = children_by_parent(), now
                workers = [list(tree(agent, children))[1:] for agent in self._agents]
            running = [any(map(is_running, pids)) for pids in workers]
            self._seen.append((now, running))


def is_running(pid: int) -> bool:
    """Whether a thread of a process computes or waits for a core; its first one may sleep while others do."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        states = [(thread / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] for thread in threads]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "R" in states


def device_bytes(members: int) -> tuple[float, float]:
    """Bytes that came from and went to a member so far, the mean of all; counted at the center's ends."""
    up = down = 0
    for line in Path("/proc/net/dev").read_text(encoding="utf-8").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip().startswith("m"):
            fields = numbers.split()
            up, down = up + int(fields[0]), down + int(fields[8])
    return up / members, down / members


def recipe_cpu_s(bloc: FarBloc) -> float:
    """Processor time that the recipes of all members have used so far."""
    children = children_by_parent()
    return sum(cpu_s(pid) for member in bloc.members for pid in list(tree(bloc.pid(member), children))[1:])


def synthetic_text(seed: int) -> str:
    """Documents of made-up words."""
    chance = random.Random(seed)  # noqa: S311  # text to train on guards nothing
    words = ["".join(chance.choices("aeioulnrst", k=chance.randint(2, 8))) for _ in range(300)]
    return "\n\n".join(" ".join(chance.choices(words, k=WORDS)) for _ in range(DOCUMENTS))


def measure(bloc: FarBloc, agreement: Digest, steps: int, rounds: int) -> Measured:
    """One run."""
    params = {**MODEL, "steps": str(steps), "rounds": str(rounds), "evaluated_bytes": "4096"}
    members = len(bloc.members)
    planned = bloc.train(agreement, "language_model", rounds, params)
    session = bloc.session(bloc.members[0])
    starts: list[float] = []
    moved: list[tuple[float, float]] = []
    used: list[float] = []
    with Watch([bloc.pid(member) for member in bloc.members]) as watch:
        while len(starts) < rounds:
            state = session.mirror.follow(session.center, session.mirror.view.size, 10.0).state
            if opened(state.rounds, planned) > len(starts):
                starts.append(time.monotonic())
                moved.append(device_bytes(members))
                used.append(recipe_cpu_s(bloc) / members)
        bloc.wait_for_model(planned, 600)
    counted, round_s = rounds - 2, (starts[-1] - starts[1]) / (rounds - 2)
    shares = watch.shares(starts[1], starts[-1])
    return Measured(
        steps=steps,
        round_s=round_s,
        computing_s=round_s * statistics.fmean(shares),
        busiest_s=round_s * max(shares),
        cpu_s=(used[-1] - used[1]) / counted,
        bytes_up=(moved[-1][0] - moved[1][0]) / counted,
        bytes_down=(moved[-1][1] - moved[1][1]) / counted,
    )


def measure_inside(options: argparse.Namespace) -> None:
    """The part that runs in the center's namespace."""
    link = Link(
        up_bps=options.mbit * 1e6,
        down_bps=options.mbit * 1e6,
        rtt_s=options.rtt_ms / 1e3,
        loss=options.loss,
        is_loss_bound=options.congestion != "bbr",
    )
    overheads = Overheads(round_trips=ROUND_TRIPS)
    texts = {f"m{number}": synthetic_text(number) for number in range(options.members)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with FarBloc(folder, texts, options.spaces, options.addresses) as bloc:
            agreement = bloc.agree()
            short = measure(bloc, agreement, options.probe_steps, options.rounds)
            steps = steps_per_round(short.bytes_up, short.bytes_down, link, short.step_s, overheads)
            print(f"H = {steps} from a step of {short.step_s:.3f} s", file=sys.stderr, flush=True)
            long = measure(bloc, agreement, steps, options.rounds)
    upload_bytes = (
        build("language_model", {**MODEL, "steps": "1", "rounds": "1"}, {}).codec(options.members).upload_bytes
    )
    planned = exchange_s(short.bytes_up, short.bytes_down, link, overheads)
    what = {"upload_bytes": upload_bytes, "step_s": short.step_s, "planned_wait_s": planned, "load": os.getloadavg()[0]}
    if options.results:
        print_results(options, [short, long], what)
        return
    for found in (short, long):
        wait_s = found.round_s - found.computing_s
        row = {
            name: getattr(found, name)
            for name in ("steps", "round_s", "computing_s", "busiest_s", "cpu_s", "bytes_up", "bytes_down")
        }
        said = {"utilisation": found.share, "wait_s": wait_s, **row, **what}
        print(json.dumps({key: round(value, 4) for key, value in said.items()}), flush=True)


def print_results(options: argparse.Namespace, found: Sequence[Measured], what: dict[str, float]) -> None:
    """Both runs as results to record."""
    link = f"{options.rtt_ms:g} ms, {options.mbit:g} Mbit/s, {options.loss:.0%} loss, {options.congestion}"
    for run_found, bar in zip(found, (None, 0.9), strict=True):
        wait_s = run_found.round_s - run_found.busiest_s
        ideal = utilisation(run_found.steps, what["step_s"], what["planned_wait_s"] / 2)
        name = f"compute utilisation over {link}, K={options.members}, H={run_found.steps}"
        limit = f"{ideal:.3f} with {(run_found.bytes_up + run_found.bytes_down) / 1e6:.2f} MB at the link's rate"
        rows = [
            (f"{name}, busiest member", run_found.busiest_s / run_found.round_s, bar, limit),
            (f"{name}, mean of the members", run_found.share, None, limit),
        ]
        for what_found, value, most, bound in rows:
            result = {
                "issue": 3,
                "name": what_found,
                "value": round(value, 4),
                "unit": f"of a round of {run_found.round_s:.1f} s ({wait_s:.1f} s for exchange)",
                "bar": f"at least {most:.0%}" if most else "",
                "holds": value >= most if most else None,
                "peer": "",
                "limit": bound,
            }
            print(json.dumps(result), flush=True)


def pick_link(wanted: str) -> str | None:
    """Which kind of link can be made here; None, with the reasons printed, if none."""
    for kind in ("netem", "program") if wanted == "auto" else (wanted,):
        obstacle = obstacle_to(kind)
        if obstacle is None:
            return kind
        print(f"no links by {kind}: {obstacle}", file=sys.stderr, flush=True)
    return None


def main() -> int:
    """Make the namespaces and measure inside; 0 also where that cannot be done here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--rtt-ms", type=float, default=300.0)
    parser.add_argument("--mbit", type=float, default=10.0)
    parser.add_argument("--loss", type=float, default=0.01, help="share of packets, each way")
    parser.add_argument("--congestion", choices=["bbr", "cubic", "reno"], default="bbr", help="of TCP at both ends")
    parser.add_argument("--link", choices=["auto", "netem", "program"], default="auto")
    parser.add_argument("--probe-steps", type=int, default=10, help="local steps a round of the first run")
    parser.add_argument("--rounds", type=int, default=4, help="at least 3; the first is not counted")
    parser.add_argument("--results", action="store_true", help="print results to record")
    parser.add_argument("--spaces", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--addresses", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was made is removed
    if options.spaces:
        measure_inside(options)
        return 0
    if find_spec("torch") is None:
        print("skipped: the members train with PyTorch, which is not here", file=sys.stderr)
        return 0
    kind = pick_link(options.link)
    if kind is None:
        print("skipped: no such link can be made here", file=sys.stderr)
        return 0
    shape = Shape(delay_s=options.rtt_ms / 2e3, rate_bps=options.mbit * 1e6, loss=options.loss)
    with Links(options.members, shape, kind) as links:
        for space in (links.center, *links.members):
            run(*inside(space, ["sysctl", "-qw", f"net.ipv4.tcp_congestion_control={options.congestion}"]))
        again = [sys.executable, __file__, *sys.argv[1:], "--spaces", *links.members, "--addresses", *links.addresses]
        return subprocess.run(inside(links.center, again), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
