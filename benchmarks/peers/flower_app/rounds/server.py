"""FedAvg over a synthetic model; writes down when each round starts and how far the end is from the right mean."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

TENSORS = 20
app = ServerApp()


class StampedFedAvg(FedAvg):
    """FedAvg that remembers when it began each round."""

    def __init__(self, members: int) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=members, min_available_nodes=members)
        self.starts: list[float] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Called first in each round."""
        self.starts.append(time.time())
        return super().configure_train(server_round, arrays, config, grid)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, check, write."""
    config = context.run_config
    members, rounds = int(config["members"]), int(config["rounds"])
    generator = np.random.default_rng(1)
    start = [generator.standard_normal(int(config["values"]), np.float32) for _ in range(TENSORS)]
    strategy = StampedFedAvg(members)
    result = strategy.start(grid, ArrayRecord(start), num_rounds=rounds)
    grown = rounds * sum(range(1, members + 1)) / members
    ends = zip(result.arrays.to_numpy_ndarrays(), start, strict=True)
    error = max(float(np.abs(end - before - grown).max()) for end, before in ends)
    found = Path(str(config["found"]))
    whole = found.with_suffix(".part")
    whole.write_text(json.dumps({"starts": strategy.starts, "error": error}), encoding="utf-8")
    whole.replace(found)
