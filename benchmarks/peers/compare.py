"""A masked round of serai beside an unmasked round of Flower and of NVIDIA FLARE, on this machine, one after the other.

Usage: python benchmarks/peers/compare.py [--members 4] [--mb 0.01 1 10 100] [--rounds 6] [--results]
                                          [--environments build/peers] [--engines Flower "NVIDIA FLARE"]

Every engine runs the way it is deployed, in processes of its own on loopback:
K members, a float32 model in 20 tensors, training adds a number that differs by
member, FedAvg, no evaluation; the final mean is checked. A round lasts from its
start to the start of the next, stamped at the server. Peers are installed into
environments of their own; one that cannot be installed or fails is named with
the reason, and the others go on.

Not equal in some respects: serai's sum is masked and every step is in a log;
Flower runs without TLS, FLARE with its mutual TLS, serai with signed requests.
The memory of a peer's server is summed over its processes, shared pages in each.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import environments
import exchange
import flare_rounds
import flower_rounds
from setting import Rounds, Setting

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A peer.

    Attributes:
        distribution: its name for pip.
        version: which to ask for.
        measure: runs it.

    """

    distribution: str
    version: str
    measure: Callable[[Path, Setting], Rounds]


ENGINES = {
    "Flower": Engine(distribution="flwr", version="1.41.0", measure=flower_rounds.measure),
    "NVIDIA FLARE": Engine(distribution="nvflare", version="2.9.0", measure=flare_rounds.measure),
}


def install(names: list[str], folder: Path) -> dict[str, tuple[str, Path]]:
    """The peers that could be installed: version and folder of programs by name."""
    installed = {}
    for name in names:
        engine = ENGINES[name]
        try:
            programs = environments.ensure(folder / engine.distribution, f"{engine.distribution}=={engine.version}")
            installed[name] = (environments.version(programs, engine.distribution), programs)
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
    return installed


def measure_peers(installed: dict[str, tuple[str, Path]], setting: Setting) -> dict[str, Rounds]:
    """A run of each peer, by name and version; without those that fail."""
    found = {}
    for name, (version, programs) in installed.items():
        try:
            found[f"{name} {version}"] = ENGINES[name].measure(programs, setting)
        except RuntimeError as error:
            print(f"{name}, {setting.mb:g} MB, is left out: {error}", file=sys.stderr, flush=True)
    return found


def print_found(setting: Setting, ours: dict[str, float], peers: dict[str, Rounds]) -> None:
    """What was measured and the ratios, for a person or a script."""
    load = os.getloadavg()[0]
    own = {"seconds": round(ours["seconds"], 3), "server_mb": ours["center_peak_mb"]}
    rows: dict[str, dict[str, float]] = {"serai": own}
    for name, peer in peers.items():
        ratios = {"times_serai": round(peer.seconds / ours["seconds"], 1)}
        ratios["times_serai_memory"] = round(peer.server_mb / ours["center_peak_mb"], 1)
        rows[name] = {"seconds": round(peer.seconds, 3), "server_mb": round(peer.server_mb), **ratios}
    print(json.dumps({"members": setting.members, "mb": setting.mb, "load": load, **rows}), flush=True)


def print_results(setting: Setting, ours: dict[str, float], peers: dict[str, Rounds]) -> None:
    """What was measured as results to record."""
    name = f"masked round beside peers in one run, K={setting.members}, {setting.mb:g} MB float32"
    times = ", ".join(f"{peer}: {found.seconds:.3g} s" for peer, found in peers.items())
    sizes = ", ".join(f"{peer}: {found.server_mb:,.0f} MB" for peer, found in peers.items())
    fastest = min((found.seconds for found in peers.values()), default=None)
    least = min((found.server_mb for found in peers.values()), default=None)
    rows = [
        (name, ours["seconds"], "s", fastest, f"{times} (unmasked)" if times else ""),
        (f"{name}: peak memory of the server", ours["center_peak_mb"], "MB", least, sizes),
    ]
    for what, value, unit, most, peer in rows:
        bar = "" if most is None else f"below every peer, {most:.3g} {unit}"
        result = {"issue": 3, "name": what, "value": value, "unit": unit, "bar": bar}
        holds = None if most is None else value < most
        print(json.dumps({**result, "holds": holds, "peer": peer, "limit": ""}), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--mb", type=float, nargs="+", default=[0.01, 1, 10, 100])
    parser.add_argument("--rounds", type=int, default=6, help="at least 3; the first is not counted")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error("expected at least 3 rounds: the first is not counted")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    installed = install(options.engines, options.environments.resolve())
    for mb in options.mb:
        setting = Setting(members=options.members, mb=mb, rounds=options.rounds)
        peers = measure_peers(installed, setting)
        ours = exchange.measure(setting.members, mb, setting.rounds)
        (print_results if options.results else print_found)(setting, ours, peers)


if __name__ == "__main__":
    main()
