"""The published figures that serai reproduces through masked sums, beside what it gets here.

Usage: python benchmarks/published.py [--results]

Runs the golden tests, which need the UCI Heart Disease files kept beside the
repository, and reads what they print.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOSPITAL = re.compile(r"^(\w+) +accuracy, precision: published \(([\d.]+), ([\d.]+)\), here \(([\d.]+), ([\d.]+)\)")
METHOD = re.compile(r"^\.*(\w+) +pooled test: published \(([\d.]+), ([\d.]+)\), here \(([\d.]+), ([\d.]+)\)")


def results(printed: str) -> list[dict[str, object]]:
    """What the golden tests printed, as results."""
    found = []
    for line in printed.splitlines():
        text = line.lstrip(".")
        if match := HOSPITAL.match(text):
            hospital, published, _, here, _ = match.groups()
            found.append(_result(f"Newton, accuracy at {hospital}", here, published, "NVIDIA FLARE hello-lr"))
        elif match := METHOD.match(text):
            method, mean, sd, here, here_sd = match.groups()
            name = f"{method} on Fed-Heart-Disease, accuracy over 5 seeds"
            found.append(_result(name, here, mean, "FLamby"))
            found.append(_result(f"{name}, standard deviation", here_sd, sd, "FLamby"))
    return found


def _result(name: str, here: str, published: str, source: str) -> dict[str, object]:
    return {
        "issue": 2,
        "name": name,
        "value": float(here),
        "unit": "",
        "bar": f"as published: {float(published)}",
        "holds": float(here) == float(published),
        "peer": f"{source}: {float(published)}",
        "limit": "the published figure, to its last digit",
    }


def main() -> int:
    """Run the golden tests and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", "tests/golden"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not options.results:
        print(done.stdout)
        return done.returncode
    for result in results(done.stdout):
        print(json.dumps(result), flush=True)
    if done.returncode:
        print(done.stdout[-2000:], file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
