"""The four methods behind which any framework trains a model: names, read, write, inner steps."""

from collections.abc import Iterable, MutableMapping
from typing import Protocol, TypeVar

from serai.training.tensors import Model, Tensor

Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Engine(Protocol[Batch_contra]):
    """A model inside some framework, seen as named float32 arrays."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, sorted."""

    def read(self, name: str) -> Tensor:
        """A parameter's present value, float32, on the CPU."""

    def write(self, name: str, values: Tensor) -> None:
        """Set a parameter."""

    def inner_steps(
        self, batches: Iterable[Batch_contra], rates: Iterable[float], memory: MutableMapping[str, Tensor]
    ) -> float:
        """One step of the local optimizer for each batch, from the present values.

        Args:
            batches: what each step sees.
            rates: the learning rate of each step, as many as there are batches.
            memory: holds the optimizer's state from round to round, under the same
                names in every engine of an architecture, so that a member may change its engine; changed.

        Returns:
            The mean over the steps of the loss before each step, nats.

        """


class TextEngine(Engine[Batch_contra], Protocol[Batch_contra]):
    """An engine whose model predicts text."""

    def nats(self, batches: Iterable[Batch_contra]) -> tuple[float, int]:
        """The summed loss over some text, and how many bytes or tokens were predicted."""


def write_all(engine: Engine[Batch_contra], model: Model) -> None:
    """Set every parameter from a model that has them by name."""
    for name in engine.names:
        engine.write(name, model[name])


def read_all(engine: Engine[Batch_contra]) -> Model:
    """The present parameters."""
    return {name: engine.read(name) for name in engine.names}
