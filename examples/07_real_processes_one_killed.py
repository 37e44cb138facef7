"""Real processes: a center and two zones on loopback; two of the three are killed, and not one bit changes."""

import tempfile
from pathlib import Path

import numpy as np

from serai.aggregation.state import current_round
from serai.kernel.ids import Digest
from serai.state import State
from serai.testing.processes import ProcessBloc

ROUNDS = 10
SETTINGS = {"features": "3", "damping": "0.1"}  # short steps, so that a lost or doubled round would show


def table(seed: int) -> list[list[float]]:
    """A member's rows of three features and a label."""
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (40, 3))
    rows: list[list[float]] = np.column_stack((x, x @ [1, -1, 0.5] + generator.normal(0, 0.5, 40) > 0)).tolist()
    return rows


def main() -> None:
    """Train the same thing twice: once in peace, once with kill -9."""
    tables = {name: table(seed) for seed, name in enumerate(("almaty", "bern"))}
    with tempfile.TemporaryDirectory() as folder, ProcessBloc(Path(folder), tables) as bloc:
        agreement = bloc.agree()
        undisturbed = bloc.wait_for_model(bloc.train(agreement, "newton", ROUNDS, SETTINGS))
        print(f"in peace: {ROUNDS} rounds, model {undisturbed[:12]}")

        run = bloc.train(agreement, "newton", ROUNDS, SETTINGS)
        reached = wait_for_round(bloc, run, 3)
        bloc.kill("bern")
        bloc.kill("center")
        print(f"round {reached}: kill -9 for bern's agent, and for the center")
        bloc.start("center")
        bloc.start("bern")
        print("both started again from what lay on their disks")
        model = bloc.wait_for_model(run)
        print(f"disturbed: {ROUNDS} rounds, model {model[:12]}")

        state = bloc.state()
        assert model == undisturbed
        assert not state.void
    print(f"proved: killed in round {reached} and back, the run ends with the very bits of the run in peace")


def wait_for_round(bloc: ProcessBloc, run: Digest, number: int) -> int:
    """Follow the log until a round has been opened; which one is open by then."""

    def is_there(state: State) -> bool:
        this = current_round(state.rounds, run)
        return this is not None and this.body.number >= number

    this = current_round(bloc.wait_until(is_there).rounds, run)
    assert this is not None
    return this.body.number


if __name__ == "__main__":
    main()
