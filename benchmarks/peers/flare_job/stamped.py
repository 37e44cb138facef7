"""FLARE's FedAvg over a synthetic model; writes down when each round starts and how far the end is from the mean."""

import json
import time
from pathlib import Path

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.workflows.fedavg import FedAvg

TENSORS = 20


class StampedFedAvg(FedAvg):
    """FedAvg that remembers when it began each round.

    Args:
        num_clients: K.
        num_rounds: rounds.
        values: values in each tensor.
        found: file to write at the end.

    """

    def __init__(self, num_clients: int, num_rounds: int, values: int, found: str) -> None:
        super().__init__(num_clients=num_clients, num_rounds=num_rounds, persistor_id="", save_filename="")
        self.values = values
        self.found = found
        self.starts = []

    def load_model(self) -> FLModel:
        """The model before round 0."""
        return FLModel(params_type=ParamsType.FULL, params=self._start())

    def sample_clients(self, num_clients: int | None = None) -> list[str]:
        """Called first in each round."""
        self.starts.append(time.time())
        return super().sample_clients(num_clients)

    def save_model(self, model: FLModel) -> None:
        """Called last in each round; writes after the last one."""
        if len(self.starts) < self.num_rounds:
            return
        grown = self.num_rounds * sum(range(1, self.num_clients + 1)) / self.num_clients
        start = self._start()
        error = max(float(np.abs(model.params[name] - start[name] - grown).max()) for name in start)
        whole = Path(self.found).with_suffix(".part")
        whole.write_text(json.dumps({"starts": self.starts, "error": error}), encoding="utf-8")
        whole.replace(self.found)

    def _start(self) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(1)
        return {f"part{number:02}": generator.standard_normal(self.values, np.float32) for number in range(TENSORS)}
