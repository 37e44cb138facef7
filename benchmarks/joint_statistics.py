"""How long joint statistics take between real processes: a round, and a question from asking to its answer.

Usage: python benchmarks/joint_statistics.py [--members 4] [--rows 10000] [--results]

Starts a center and K agents on loopback, each with its own rows of six columns.
``quantiles`` over five of them runs for several rounds; a round's time is that from its
opening to the opening of the next, the median over all but the first. ``describe`` over the
five, with histograms and correlations, is asked several times: its time is that from the question to
the answer read, planning, guards, masks and log included.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exchange import cpu_s, descendants, follow
from serai.client.asking import Question, Scope, ask
from serai.testing.processes import ProcessBloc

ROUNDS = 9
QUESTIONS = 7
COLUMNS = 5
PROMISED_S = 0.5


def tables(members: int, rows: int) -> dict[str, Sequence[Sequence[float]]]:
    """Each member's rows: five numbers within -4 and 4, and a label."""
    made = {}
    for number in range(members):
        draw = np.random.default_rng(number)
        values = np.clip(draw.normal(number / members, 1, (rows, COLUMNS)), -4, 4).round(3)
        made[f"m{number}"] = [[*map(float, row), float(row[0] > 0)] for row in values]
    return made


def measure(members: int, rows: int) -> dict[str, float]:
    """One bloc: seconds of a round, of a question, and the processors' seconds of a round."""
    bounds = ",".join(f"x{number}=-4:4" for number in range(COLUMNS))
    with tempfile.TemporaryDirectory() as folder, ProcessBloc(Path(folder), tables(members, rows)) as bloc:
        agreement, agents = bloc.agree(), [bloc.pid(member) for member in bloc.members]

        def spent() -> list[float]:
            workers = [worker for agent in agents for worker in descendants(agent)]
            return [cpu_s(bloc.pid("center")), sum(map(cpu_s, [*agents, *workers]))]

        run = bloc.train(agreement, "quantiles", ROUNDS, {"bounds": bounds})
        steps = follow(bloc, run, ROUNDS, spent)
        bloc.wait_for_model(run)
        seconds, _, center_s, members_s = zip(
            *([late - early for early, late in zip(*pair, strict=True)] for pair in itertools.pairwise(steps[1:])),
            strict=True,
        )
        session, scope = bloc.session(bloc.members[0]), Scope(agreement=agreement, purpose="research")
        asked = []
        for number in range(QUESTIONS):
            question = Question(title="", recipe="describe", params={"bounds": bounds, "bins": str(20 + number)})
            start = time.perf_counter()
            answer = ask(session, scope, question)
            asked.append(time.perf_counter() - start)
            assert sum(row[1] for row in answer.result.frame("groups").rows) == members * rows
        return {
            "round_s": statistics.median(seconds),
            "center_cpu_s": statistics.median(center_s),
            "members_cpu_s": statistics.median(members_s),
            "question_s": statistics.median(asked[1:]),
        }


def main() -> None:
    """Measure, and print for people or as results to record."""
    options = argparse.ArgumentParser(description="Joint statistics between real processes.")
    options.add_argument("--members", type=int, default=4)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--results", action="store_true")
    chosen = options.parse_args()
    found = measure(chosen.members, chosen.rows)
    if not chosen.results:
        print(json.dumps(found, indent=2))
        return
    of = f"K={chosen.members}, {chosen.rows:,} rows each"
    spent = (
        f"{found['center_cpu_s']:.3f} s of the center's processor and {found['members_cpu_s']:.3f} s of the members'"
    )
    rows = [
        (f"statistics round (quantiles of {COLUMNS} columns), {of}", found["round_s"], PROMISED_S, spent),
        (
            f"statistics question (describe {COLUMNS} columns) from asking to answer, {of}",
            found["question_s"],
            None,
            "",
        ),
    ]
    for name, value, most, limit in rows:
        promise = {"bar": f"at most {most:g} s" if most else "", "holds": value <= most if most else None}
        result = {
            "issue": 5,
            "name": name,
            "value": round(value, 4),
            "unit": "s",
            **promise,
            "peer": "",
            "limit": limit,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
