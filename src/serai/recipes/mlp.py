"""A small neural network on tables, in numpy alone or whatever else a member has, trained by low-communication rounds.

One hidden layer (ReLU) and one yes-or-no answer; AdamW (arXiv:1711.05101) inside.
Each member's zone chooses what trains it: numpy, so that members without any
framework take part, PyTorch on any chip, or scikit-learn.
"""

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from importlib.util import find_spec
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from serai.errors import Missing, Refused
from serai.recipes.engines.adamw import Array32
from serai.recipes.engines.adapter import Engine
from serai.recipes.engines.network import Network, NumpyNetwork, Rows, forward
from serai.recipes.equipment import DEFAULTS, EngineName, Equipment
from serai.recipes.low_communication import LowCommunication, Train, read_lowcomm, read_pace, read_start, trained_by
from serai.recipes.standardise import scale_from, scaled
from serai.training.fragments import Layout
from serai.training.methods import Context, Data, classification_counts, probabilities
from serai.training.parameters import Parameters
from serai.training.tensors import Model

_PACKAGES: Final = {EngineName.TORCH: "torch", EngineName.SKLEARN: "sklearn"}


class Mlp(LowCommunication):
    """Local AdamW on a two-layer network, and low-communication rounds.

    The model: ``hidden_weight (features, hidden)``, ``hidden_bias (hidden,)``,
    ``out_weight (hidden,)``, ``out_bias (1,)``, float32, and what low-communication rounds keep.

    Settings: ``features``, ``hidden``; ``batch`` rows a step; ``decay``; ``seed`` of the
    start; and those of ``low_communication``.
    Inputs: ``moments``, to standardise; ``start``, a model to start from.

    Args:
        params: the settings.
        inputs: the input models.
        equipment: what trains it.

    """

    name: ClassVar[str] = "mlp"
    outputs: ClassVar[tuple[str, ...]] = ("model", "metrics")

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model], equipment: Equipment = DEFAULTS) -> None:
        settings = Parameters(self.name, params)
        features = settings.integer("features", None, 1, 1_000_000)
        hidden = settings.integer("hidden", 32, 1, 1_000_000)
        self._network = Network(features=features, hidden=hidden)
        self._batch = settings.integer("batch", 32, 1, 2**20)
        self._decay = float(settings.number("decay", "0.01", Fraction(0), Fraction(1)))
        self._pace = read_pace(settings, "0.01")
        layout = Layout(shapes=self._network.shapes)
        self._lowcomm = read_lowcomm(settings, layout, self._pace)
        seed = settings.integer("seed", 0, 0, 2**63)
        settings.finish()
        self._scale = scale_from(inputs, features)
        self._start = read_start(inputs, layout) or _start_of(layout, seed)
        self._given, self._equipment = (params, inputs), equipment

    def equipped(self, equipment: Equipment) -> "Mlp":
        """The same recipe with a zone's engine and device.

        Raises:
            Missing: the engine is not installed.

        """
        engine = equipment.table_engine
        package = _PACKAGES.get(engine)
        if package is not None and find_spec(package) is None:
            raise Missing(
                "recipe-extra",
                f"zone.toml names the engine {engine.value}, which is not here: pip install 'serai[{engine.value}]'",
            )
        return Mlp(*self._given, equipment)

    def initial(self) -> Model:
        """The model to start from, or small weights."""
        return {**self._lowcomm.initial(self._start), **self._scale}

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Yes where the log-odds are positive."""
        return classification_counts(self._log_odds(model, data.test_x) > 0, data.test_y)

    def scores(self, model: Model, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of yes of each row."""
        return probabilities(self._log_odds(model, x))

    def _log_odds(self, model: Model, x: npt.NDArray[np.float64]) -> Array32:
        return forward(model, scaled(model, x, self._network.features).astype(np.float32))[1]

    def _trainer(self, model: Model, data: Data, context: Context) -> Train:
        if not len(data.x):
            raise Refused("rows-range", "expected at least one training row, got none")
        return trained_by(self._engine(), self._batches(model, data, context), context.memory)

    def _batches(self, model: Model, data: Data, context: Context) -> Iterator[Rows]:
        x, y = scaled(model, data.x, self._network.features).astype(np.float32), data.y.astype(np.float32)
        generator = context.generator()
        while True:
            rows = generator.integers(0, len(x), self._batch)
            yield x[rows], y[rows]

    def _engine(self) -> Engine[Rows]:
        match self._equipment.table_engine:
            case EngineName.TORCH:
                from serai.recipes.engines.device import choose_compute  # noqa: PLC0415  # torch takes seconds to load
                from serai.recipes.engines.network_torch import TorchNetwork  # noqa: PLC0415  # as above

                return TorchNetwork(self._network, self._decay, choose_compute(self._equipment))
            case EngineName.SKLEARN:
                from serai.recipes.engines.network_sklearn import SklearnGradients  # noqa: PLC0415  # an extra

                return NumpyNetwork(self._network, self._decay, SklearnGradients(self._network))
            case _:
                return NumpyNetwork(self._network, self._decay)


def _start_of(layout: Layout, seed: int) -> Model:
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn: dict[str, Array32] = {}
    for name in layout.names:
        shape = layout.shapes[name]
        # Uniform, so that no ``exp`` or ``log`` is in it and members begin with the same bits.
        width = 0.0 if name.endswith("bias") else 2 * math.sqrt(3 / shape[0])
        drawn[name] = ((generator.random(shape) - 0.5) * width).astype(np.float32)
    return drawn
