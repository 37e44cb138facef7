"""How much of their time members compute, over links of 300 ms, 10 Mbit/s and 1 % loss.

Usage: python benchmarks/netem.py [--members 2] [--rtt-ms 300] [--mbit 10] [--loss 0.01] [--congestion bbr]
                                  [--link auto] [--rounds 7] [--results]

Makes a network namespace for the center and one for each member, links between
them (``links``), and a bloc of real processes in them, of which members only dial
out. They train the ``language_model`` recipe on synthetic text, in two runs: one in
which members wait for each exchange, which may take a tenth of a round, and one
in which they train on meanwhile. Nobody sets the number of local steps: members
measure their steps and their exchange, say so in the log, and the openings of the
rounds follow (``training.state.steps_of``). The first rounds, in which that is found
out, are not counted. What is reported is the share of the counted rounds' wall time
in which a member's recipe ran: of the member that computes longest, which the
link alone keeps waiting, and of the mean.

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

from exchange import opened
from links import Links, Shape, inside, obstacle_to, run
from serai.aggregation.state import Round, current_round, find_round
from serai.kernel.ids import Digest
from serai.testing.processes import ProcessBloc
from serai.training.statements import Pace
from trees import children_by_parent, tree

MODEL = {"width": "128", "layers": "4", "heads": "4", "context": "64", "batch": "8"}
SAMPLE_S = 0.02
DOCUMENTS, WORDS = 400, 120  # of each member
UNCOUNTED = 4  # rounds in which members find their pace
BAR = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to train over the link.

    Attributes:
        name: in the results.
        ahead: whether members train on while their vectors travel.
        pace: how local steps follow from what members measured.

    """

    name: str
    ahead: bool
    pace: Pace


ARMS = (
    Arm(name="waiting for each sum", ahead=False, pace=Pace(exchange_permille=100, least=8, most=100_000)),
    Arm(name="training on while vectors travel", ahead=True, pace=Pace(exchange_permille=333, least=8, most=100_000)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means of a run's counted rounds and, for each, of the members.

    Attributes:
        steps: local steps a round, of each member.
        round_s: from the opening of a round to that of the next.
        shares: of it, each member's recipe runs.
        bytes_up: a member sends.
        bytes_down: a member receives.

    """

    steps: Sequence[int]
    round_s: float
    shares: Sequence[float]
    bytes_up: float
    bytes_down: float


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


def synthetic_text(seed: int) -> str:
    """Documents of made-up words."""
    chance = random.Random(seed)  # noqa: S311  # text to train on guards nothing
    words = ["".join(chance.choices("aeioulnrst", k=chance.randint(2, 8))) for _ in range(300)]
    return "\n\n".join(" ".join(chance.choices(words, k=WORDS)) for _ in range(DOCUMENTS))


def measure(bloc: FarBloc, agreement: Digest, arm: Arm, rounds: int) -> Measured:
    """One run."""
    params = {
        **MODEL,
        "steps": "8",
        "ahead": "8" if arm.ahead else "0",
        "rounds": str(rounds),
        "evaluated_bytes": "4096",
    }
    planned = bloc.train(agreement, "language_model", rounds, params, pace=arm.pace)
    session, members = bloc.session(bloc.members[0]), len(bloc.members)
    starts: list[float] = []
    moved: list[tuple[float, float]] = []
    with Watch([bloc.pid(member) for member in bloc.members]) as watch:
        while len(starts) < rounds:
            state = session.mirror.follow(session.center, session.mirror.view.size, 10.0).state
            if opened(state.rounds, planned) > len(starts):
                starts.append(time.monotonic())
                moved.append(device_bytes(members))
                this = current_round(state.rounds, planned)
                print(
                    f"{arm.name}: round {len(starts) - 1}, {this and dict(this.body.steps)}",
                    file=sys.stderr,
                    flush=True,
                )
        bloc.wait_for_model(planned, 600)
    counted = rounds - 1 - UNCOUNTED  # nothing is trained ahead of the last round's sum
    first = this_round(bloc, planned, UNCOUNTED)
    return Measured(
        steps=[first.body.steps[member] for member in bloc.members],
        round_s=(starts[-1] - starts[UNCOUNTED]) / counted,
        shares=watch.shares(starts[UNCOUNTED], starts[-1]),
        bytes_up=(moved[-1][0] - moved[UNCOUNTED][0]) / counted,
        bytes_down=(moved[-1][1] - moved[UNCOUNTED][1]) / counted,
    )


def this_round(bloc: FarBloc, run: Digest, number: int) -> Round:
    """A round by its number."""
    found = find_round(bloc.state().rounds, run, number)
    assert found is not None
    return found


def measure_inside(options: argparse.Namespace) -> None:
    """The part that runs in the center's namespace."""
    texts = {f"m{number}": synthetic_text(number) for number in range(options.members)}
    with tempfile.TemporaryDirectory() as name, FarBloc(Path(name), texts, options.spaces, options.addresses) as bloc:
        agreement = bloc.agree()
        for arm in ARMS:
            print_found(options, arm, measure(bloc, agreement, arm, options.rounds))


def print_found(options: argparse.Namespace, arm: Arm, found: Measured) -> None:
    """An arm as results to record."""
    link = f"{options.rtt_ms:g} ms, {options.mbit:g} Mbit/s, {options.loss:.0%} loss, {options.congestion}"
    setting = f"{arm.name}, H={'/'.join(map(str, found.steps))} derived, rounds of {found.round_s:.1f} s"
    megabytes = (found.bytes_up + found.bytes_down) / 1e6
    wire_s = 8 * megabytes / options.mbit
    limit = f"{megabytes:.2f} MB at the link's rate: {wire_s:.1f} s a round; load {os.getloadavg()[0]:.1f}"
    for what, share, is_bound in (
        ("busiest member", max(found.shares), True),
        ("mean", statistics.fmean(found.shares), False),
    ):
        row = {
            "issue": 3,
            "name": f"compute utilisation over {link}, K={options.members}, {setting}, {what}",
            "value": round(share, 4),
            "unit": "of a round",
            "bar": "at least 90 %" if is_bound else "",
            "holds": share >= BAR if is_bound else None,
            "peer": "",
            "limit": limit,
        }
        print(json.dumps(row), flush=True)


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
    parser.add_argument("--rounds", type=int, default=7, help="at least 6; the first four and the last are not counted")
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
