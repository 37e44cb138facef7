"""A language model on bytes: each member trains it for many steps a round and sends a few bits a parameter.

Training and evaluating need PyTorch, ``pip install 'serai[torch]'``. It is
loaded when a member first trains, so that whoever only lists recipes, or
recomputes a sum, does not wait for it.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from importlib.util import find_spec
from typing import ClassVar, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed, Missing
from serai.recipes.engines.adapter import TextEngine, write_all
from serai.recipes.equipment import DEFAULTS, Equipment
from serai.recipes.low_communication import (
    LowCommunication,
    Train,
    read_lowcomm,
    read_pace,
    read_start,
    trained_by,
)
from serai.recipes.text_windows import cut, draw
from serai.recipes.transformer_shape import Shape, hidden_matrices, shapes_of, start_of
from serai.training.fragments import Layout
from serai.training.methods import Context, Data
from serai.training.parameters import Parameters
from serai.training.tensors import Model

Text: TypeAlias = npt.NDArray[np.uint8]

ANCHOR: Final = "anchor"
"""Name under which a plan's inputs give public text, as one array ``text`` of bytes."""


class LanguageModel(LowCommunication):
    """Local AdamW or Muon on a byte-level transformer, and low-communication rounds.

    The model: the parameters of ``transformer_shape.shapes_of``, float32, and
    what low-communication rounds keep. A member's moments stay in its memory
    from round to round and are never sent (averaging them, or starting them anew, costs loss).

    Settings: ``width``, ``layers``, ``heads``, ``context``; ``inner``, the local optimizer,
    ``adamw`` or ``muon`` (for the matrices between layers; AdamW for the rest); ``batch`` sequences a step;
    ``anchor_fraction`` of them from the public text; ``seed`` of the start;
    ``evaluated_bytes`` at most; and those of ``low_communication``.
    Inputs: ``start``, a model to start from; ``anchor``, public text.

    Args:
        params: the settings.
        inputs: the input models.
        equipment: what trains it.

    Raises:
        Missing: PyTorch is not installed here.
        Malformed: a setting or an input does not fit.

    """

    name: ClassVar[str] = "language_model"
    outputs: ClassVar[tuple[str, ...]] = ("model", "metrics")

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model], equipment: Equipment = DEFAULTS) -> None:
        if find_spec("torch") is None:
            raise Missing("recipe-extra", f"{self.name} needs PyTorch, which is not here: pip install 'serai[torch]'")
        self._given, self._equipment = (params, inputs), equipment
        settings = Parameters(self.name, params)
        self._shape = _read_shape(settings)
        self._batch = settings.integer("batch", 32, 1, 2**16)
        anchor_fraction = settings.number("anchor_fraction", "0", Fraction(0), Fraction(1))
        self._anchored = int(self._batch * anchor_fraction + Fraction(1, 2))
        self._evaluated = settings.integer("evaluated_bytes", 2**18, 1, 2**40)
        inner = settings.choice("inner", "adamw", ("adamw", "muon"))
        self._muon = hidden_matrices(self._shape) if inner == "muon" else frozenset[str]()
        self._pace = read_pace(settings, "0.001")
        layout = Layout(shapes=shapes_of(self._shape), by_row=frozenset({"embedding"}))
        self._lowcomm = read_lowcomm(settings, layout, self._pace)
        seed = settings.integer("seed", 0, 0, 2**63)
        settings.finish()
        self._anchor = _anchor_from(inputs, self._shape, needed=self._anchored > 0)
        self._start = read_start(inputs, layout) or start_of(self._shape, seed)

    def equipped(self, equipment: Equipment) -> "LanguageModel":
        """The same recipe with a zone's device."""
        return LanguageModel(*self._given, equipment)

    def initial(self) -> Model:
        """The model to start from, or a fresh one."""
        return self._lowcomm.initial(self._start)

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Held-back text: ``n`` documents, ``predicted`` bytes of them, and their loss in ``micronats``."""
        nats, predicted = self._engine(model).nats(cut(data.test_text[: self._evaluated], self._shape.context))
        return {"n": len(data.test_x), "predicted": predicted, "micronats": round(nats * 10**6)}

    def _trainer(self, model: Model, data: Data, context: Context) -> Train:
        return trained_by(self._engine(model), self._batches(data, context), context.memory)

    def _engine(self, model: Model) -> TextEngine[Text]:
        from serai.recipes.engines.device import choose_compute  # noqa: PLC0415  # torch takes seconds to load
        from serai.recipes.engines.local_optimizer import Inner  # noqa: PLC0415  # as above
        from serai.recipes.transformer import Transformer  # noqa: PLC0415  # as above

        engine = Transformer(self._shape, choose_compute(self._equipment), Inner(muon=self._muon))
        write_all(engine, model)
        return engine

    def _batches(self, data: Data, context: Context) -> Iterator[Text]:
        generator = context.generator()
        while True:
            own = draw(data.text, self._batch - self._anchored, self._shape.context, generator)
            public = draw(self._anchor, self._anchored, self._shape.context, generator)
            yield np.concatenate((own, public))


def _read_shape(settings: Parameters) -> Shape:
    heads = settings.integer("heads", 4, 1, 256)
    width = settings.integer("width", 128, 1, 2**15)
    if width % heads:
        raise Malformed("recipe-param", f"expected a width that is a multiple of {heads} heads, got {width}")
    layers, context = settings.integer("layers", 4, 1, 999), settings.integer("context", 64, 1, 2**20)
    return Shape(width=width, layers=layers, heads=heads, context=context)


def _anchor_from(inputs: Mapping[str, Model], shape: Shape, *, needed: bool) -> Text:
    text = inputs.get(ANCHOR, {}).get("text")
    if text is None and not needed:
        return np.zeros(0, np.uint8)
    if text is None or text.dtype != np.uint8 or text.ndim != 1 or text.size <= shape.context:
        raise Malformed(
            "recipe-input",
            f"expected the input {ANCHOR!r} to hold one array text, uint8, of over {shape.context} bytes",
        )
    return text
