"""The center's host is destroyed at a random moment of a run: whether a member takes over, and what it costs.

Usage: python benchmarks/takeover.py [--trials 5] [--seed 0] [--folder DIR] [--results]

Five members train ``newton`` in processes of their own. At a moment that a seed
draws, the center gets SIGKILL and its folder is deleted. One member runs `serai
center adopt`, three sign with `serai zone appoint`, the fifth is told by `serai
zone follow`. The run must end with the model that the members' rows make,
computed in this process without center, log or masks; every sum must hold all
five; and every entry that a quorum had witnessed, as far as any member's mirror
knows, must stand where it stood. Seconds are wall time, so they grow with the load
of the machine, which is printed beside them.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from serai.aggregation.state import current_round, find_round
from serai.errors import Unavailable
from serai.kernel.ids import Digest
from serai.testing.processes import ProcessBloc

MEMBERS = ("almaty", "bern", "cusco", "dakar", "lima")
SIGNERS = ("almaty", "cusco", "dakar")
ROUNDS = 15
PARAMS = {"features": "3", "damping": "0.1"}
LATEST_S = 6.0  # the kill comes between the plan and this; a run of an idle machine is longer
PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One center destroyed.

    Attributes:
        number: of the trial.
        in_round: the round under way; -1 before the first.
        witnessed: entries that a quorum had witnessed.
        kept: how many of them the successor has where they stood.
        open_s: from the kill to the successor's first answer as a center.
        end_s: from the kill to the end of the run.
        same_model: whether the run came to the model that was computed here.
        whole_sums: rounds whose sum holds all five members.
        load: of the machine, at the end.

    """

    number: int
    in_round: int
    witnessed: int
    kept: int
    open_s: float
    end_s: float
    same_model: bool
    whole_sums: int
    load: float

    @property
    def holds(self) -> bool:
        """Whether nothing was lost."""
        return self.same_model and self.kept == self.witnessed and self.whole_sums == ROUNDS


def table(seed: int, rows: int = 60) -> list[list[float]]:
    """A member's rows, a little apart from the others'."""
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (rows, 3))
    label = x @ [1, -1, 0.5] + generator.normal(0, 0.5, rows) > 0
    joined: list[list[float]] = np.column_stack((x, label)).tolist()
    return joined


def destroy(number: int, folder: Path, draw: random.Random) -> Trial:
    """Destroy a center once, and see what comes of its run."""
    with ProcessBloc(folder, {member: table(seed) for seed, member in enumerate(MEMBERS)}) as bloc:
        run = bloc.train(bloc.agree(), "newton", ROUNDS, PARAMS)
        time.sleep(draw.uniform(0, LATEST_S))
        bloc.kill("center")
        killed_s = time.monotonic()
        shutil.rmtree(folder / "center")
        bloc.forget_sessions()
        views = {member: bloc.session(member).mirror.view for member in MEMBERS}
        best = max(MEMBERS, key=lambda member: views[member].witnessed_size)
        known = bloc.session(best).entries(0, views[best].witnessed_size)
        this = current_round(views[best].state.rounds, run)
        bloc.adopt("successor", "bern", SIGNERS)
        open_s = time.monotonic() - killed_s
        bloc.follow("lima")
        try:
            model = bloc.wait_for_model(run, PATIENCE_S)
        except Unavailable:
            model = Digest("")
        end_s = time.monotonic() - killed_s
        state = bloc.state()
        log = bloc.session(MEMBERS[0]).entries(0, state.size)
        rounds = [find_round(state.rounds, run, index) for index in range(ROUNDS)]
        return Trial(
            number=number,
            in_round=-1 if this is None else this.body.number,
            witnessed=len(known),
            kept=sum(mine == theirs for mine, theirs in zip(known, log, strict=False)),
            open_s=round(open_s, 1),
            end_s=round(end_s, 1),
            same_model=model == bloc.model_of_rows(state.runs.plans[run].plan),
            whole_sums=sum(found is not None and found.summed == set(MEMBERS) for found in rounds),
            load=round(os.getloadavg()[0], 1),
        )


def trials(count: int, seed: int, folder: Path) -> Iterator[Trial]:
    """Destroy so many centers, one after another."""
    draw = random.Random(seed)  # noqa: S311  # draws moments, not secrets
    for number in range(count):
        yield destroy(number, folder / str(number), draw)


def print_results(done: list[Trial]) -> None:
    """The trials as results to record."""
    name = f"center's host destroyed during a run with {len(MEMBERS)} members, {len(done)} trials"
    held, lost = sum(trial.holds for trial in done), sum(trial.witnessed - trial.kept for trial in done)
    loads = f"load {min(trial.load for trial in done):g} to {max(trial.load for trial in done):g}"
    open_s, end_s = (statistics.median(getattr(trial, field) for trial in done) for field in ("open_s", "end_s"))
    rows = [
        (f"{name}: same model", held, f"of {len(done)}", f"{len(done)} of {len(done)}", held == len(done)),
        (f"{name}: witnessed statements lost", lost, "", "none", lost == 0),
        (f"{name}: until the successor answers, median", round(open_s, 1), "s", "", None),
        (f"{name}: until the run has ended, median", round(end_s, 1), "s", "", None),
    ]
    for what, value, unit, bar, holds in rows:
        row = {"issue": 4, "name": what, "value": value, "unit": unit, "bar": bar, "holds": holds}
        print(json.dumps({**row, "peer": "", "limit": loads}), flush=True)


def main() -> int:
    """Run from the command line; 0 if every trial holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    done: list[Trial] = []
    with tempfile.TemporaryDirectory() as temporary:
        for trial in trials(options.trials, options.seed, options.folder or Path(temporary)):
            done.append(trial)
            print(json.dumps(asdict(trial)), file=sys.stderr if options.results else sys.stdout, flush=True)
    held = sum(trial.holds for trial in done)
    if options.results:
        print_results(done)
    else:
        print(f"{held} of {len(done)} runs ended as if nothing had happened")
    return 0 if held == len(done) else 1


if __name__ == "__main__":
    sys.exit(main())
