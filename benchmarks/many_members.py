"""How the time of a masked round grows with the number of members.

Usage: python benchmarks/many_members.py [--members 16 32 64] [--mb 1] [--rounds 4] [--results]

As ``exchange``: a center and K agents, each a process of its own on this one
machine, and the ``probe`` recipe. All K share its cores, which members of a real
center do not; so the CPU time of one member in one round stands beside the wall
time, to carry over to machines of their own.
"""

import argparse
import json
import os

from exchange import measure

MOST_S = {64: 3.0}
"""The longest round that is promised, seconds, by number of members."""


def print_results(found: dict[str, float]) -> None:
    """The figures of one number of members as results to record."""
    members, cores = int(found["members"]), os.cpu_count() or 1
    name = f"masked round, {found['mb']:g} MB float32, K={members}, all on {cores} cores"
    cpu_s = found["center_cpu_s"] + found["members_cpu_s"]
    most = MOST_S.get(members)
    promise = {"bar": f"at most {most:g} s" if most else "", "holds": found["seconds"] <= most if most else None}
    limit = f"{cpu_s:.2f} CPU s in all on {cores} cores: {cpu_s / cores:.2f} s"
    rows = [
        (name, found["seconds"], "s", promise, limit),
        (f"{name}: CPU of the center", found["center_cpu_s"], "s", {}, ""),
        (f"{name}: CPU of one member", round(found["members_cpu_s"] / members, 4), "s", {}, ""),
        (f"{name}: bytes over loopback", found["loopback_mb"], "MB", {}, ""),
    ]
    for what, value, unit, promised, bound in rows:
        blank = {"issue": 3, "bar": "", "holds": None, "peer": "", "limit": bound}
        print(json.dumps({**blank, "name": what, "value": value, "unit": unit, **promised}), flush=True)


def main() -> None:
    """Measure and print, one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--mb", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=4, help="at least 3; the first is not counted")
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    for members in options.members:
        found = measure(members, options.mb, options.rounds)
        if options.results:
            print_results(found)
        else:
            print(json.dumps({**found, "load": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()
