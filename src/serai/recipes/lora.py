"""Fine-tune a language model that every member has on its disk: low-rank adapters are trained and sent, nothing else.

The base model is a folder in the form of Hugging Face, which each zone lists under
``[models]`` in ``zone.toml``; the plan names it and pins its digest. It stays frozen;
beside some of its layers lie adapters (LoRA, arXiv:2106.09685), which are the shared
model: a hundredth of the base, or less.

Training and evaluating need PyTorch and transformers, ``pip install 'serai[lora]'``.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed, Missing, Refused
from serai.recipes.base_model import DOWN, UP, BaseModel, open_base_model
from serai.recipes.engines.adapter import TextEngine, write_all
from serai.recipes.equipment import BASE, DEFAULTS, Equipment
from serai.recipes.low_communication import LowCommunication, Train, read_lowcomm, read_pace, read_start, trained_by
from serai.recipes.text_windows import cut, draw
from serai.training.fragments import Layout
from serai.training.lowcomm import LowComm
from serai.training.methods import Context, Data
from serai.training.parameters import Parameters
from serai.training.tensors import Model

Tokens: TypeAlias = npt.NDArray[np.int32]

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_LAYERS: Final = r"[A-Za-z0-9_]{1,64}(,[A-Za-z0-9_]{1,64}){0,31}"
_ANY: Final = Layout(shapes={"any": (2**20,)})  # stands in for adapters where only settings are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """Which adapters a plan trains.

    Attributes:
        base: name of the base model.
        digest: of its folder.
        rank: inner size of an adapter.
        alpha: an adapter's output counts alpha / rank.
        targets: last parts of the names of the layers that get one.

    """

    base: str
    digest: str
    rank: int
    alpha: Fraction
    targets: tuple[str, ...]

    def shapes(self, base: BaseModel) -> dict[str, tuple[int, ...]]:
        """Their shapes by name.

        Raises:
            Malformed: the base model has no layer of a target's name.

        """
        found: dict[str, tuple[int, ...]] = {}
        matrices = base.matrices()
        for target in self.targets:
            layers = {name: shape for name, shape in matrices.items() if name.rpartition(".")[2] == target}
            if not layers:
                have = ", ".join(sorted({name.rpartition(".")[2] for name in matrices}))
                raise Malformed("lora-target", f"{self.base} has no layer {target}; it has {have[:400]}")
            for name, (outputs, inputs) in layers.items():
                found |= {name + DOWN: (self.rank, inputs), name + UP: (outputs, self.rank)}
        return found


def read_adapters(settings: Parameters) -> Adapters:
    """Read ``base``, ``base_digest``, ``rank``, ``alpha`` and ``targets``.

    Raises:
        Malformed: a setting is missing or of another form.

    """
    return Adapters(
        base=settings.word(BASE, None, _NAME),
        digest=settings.word("base_digest", None, "[0-9a-f]{64}"),
        rank=settings.integer("rank", 8, 1, 1024),
        alpha=settings.number("alpha", "16", Fraction(1, 1000), Fraction(10**6)),
        targets=tuple(dict.fromkeys(settings.word("targets", "q_proj,v_proj", _LAYERS).split(","))),
    )


class TextEncoder(Protocol):
    """Turns text into tokens."""

    def encode(self, text: npt.NDArray[np.uint8]) -> Tokens:
        """The tokens of a text."""


class Lora(LowCommunication):
    """Local AdamW on adapters of a frozen base model, and low-communication rounds.

    The model: for each adapted layer ``LAYER.lora_A (rank, inputs)`` and ``LAYER.lora_B
    (outputs, rank)``, float32, and what low-communication rounds keep.

    Settings: ``base`` and ``base_digest``; ``rank``, ``alpha``, ``targets`` (names of
    layers, with commas); ``context`` tokens and ``batch`` sequences a step; ``seed`` of the
    start; ``evaluated_bytes`` at most; and those of ``low_communication``.
    Inputs: ``start``, adapters to start from.

    Args:
        params: the settings.
        inputs: the input models.
        equipment: where base models lie, and what trains.

    Raises:
        Missing: PyTorch or transformers is not installed here.
        Malformed: a setting or an input does not fit.

    """

    name: ClassVar[str] = "lora"
    outputs: ClassVar[tuple[str, ...]] = ("model", "metrics")

    def __init__(self, params: Mapping[str, str], inputs: Mapping[str, Model], equipment: Equipment = DEFAULTS) -> None:
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise Missing(
                "recipe-extra", f"{self.name} needs PyTorch and transformers, not here: pip install 'serai[lora]'"
            )
        self._given, self._equipment = (params, inputs), equipment
        settings = Parameters(self.name, params)
        self._adapters = read_adapters(settings)
        self._context = settings.integer("context", 128, 1, 2**20)
        self._batch = settings.integer("batch", 8, 1, 2**16)
        self._evaluated = settings.integer("evaluated_bytes", 2**18, 1, 2**40)
        self._seed = settings.integer("seed", 0, 0, 2**63)
        self._pace = read_pace(settings, "0.001")
        read_lowcomm(settings, _ANY, self._pace)
        settings.finish()

    def equipped(self, equipment: Equipment) -> "Lora":
        """The same recipe with a zone's base models and device."""
        return Lora(*self._given, equipment)

    def initial(self) -> Model:
        """The adapters to start from, or such as change nothing yet."""
        return self._lowcomm.initial(
            read_start(self._given[1], self._layout, "adapters") or _start_of(self._layout, self._seed)
        )

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Held-back text: ``n`` documents, ``predicted`` tokens of them, and their loss in ``micronats``."""
        text = data.test_text if len(data.test_text) <= self._evaluated else data.test_text[: self._evaluated]
        nats, predicted = self._engine(model).nats(cut(self._tokeniser.encode(text), self._context))
        return {"n": len(data.test_x), "predicted": predicted, "micronats": round(nats * 10**6)}

    @functools.cached_property
    def _base(self) -> BaseModel:
        """The base model that the plan means, if it is what lies here.

        Raises:
            Missing: the zone lists none of that name.
            Refused: the folder holds another one.

        """
        wanted = self._adapters
        folder = self._equipment.models.get(wanted.base)
        if folder is None:
            raise Missing("base-model", f"expected the base model {wanted.base!r} under [models] in zone.toml")
        base = open_base_model(Path(folder))
        if base.digest != wanted.digest:
            raise Refused(
                "base-model-digest",
                f"the plan means the base model {wanted.digest[:12]}, {folder} holds {base.digest[:12]}",
            )
        return base

    @functools.cached_property
    def _layout(self) -> Layout:
        return Layout(shapes=self._adapters.shapes(self._base))

    @functools.cached_property
    def _lowcomm(self) -> LowComm:  # type: ignore[override]  # made when first asked for: it hangs on the base model
        return read_lowcomm(Parameters(self.name, self._given[0]), self._layout, self._pace)

    @functools.cached_property
    def _tokeniser(self) -> TextEncoder:
        from serai.recipes.engines.tokeniser import Tokeniser  # noqa: PLC0415  # takes seconds to load

        return Tokeniser(self._base)

    @functools.cached_property
    def _loaded(self) -> TextEngine[Tokens]:
        """The base model in memory, for as long as the recipe lives: it may be large, and never changes."""
        from serai.recipes.engines.device import choose_compute  # noqa: PLC0415  # as above
        from serai.recipes.engines.lora_torch import LoraModel  # noqa: PLC0415  # as above

        scale = float(self._adapters.alpha / self._adapters.rank)
        return LoraModel(self._base, self._layout.shapes, scale, choose_compute(self._equipment))

    def _engine(self, model: Model) -> TextEngine[Tokens]:
        write_all(self._loaded, model)
        return self._loaded

    def _trainer(self, model: Model, data: Data, context: Context) -> Train:
        return trained_by(self._engine(model), self._batches(data, context), context.memory)

    def _batches(self, data: Data, context: Context) -> Iterator[Tokens]:
        generator, tokens = context.generator(), self._tokeniser.encode(data.text)
        while True:
            yield draw(tokens, self._batch, self._context, generator)


def _start_of(layout: Layout, seed: int) -> Model:
    """Adapters that add nothing: A uniform up to 1 / sqrt(inputs), as in the library peft, B zero."""
    generator = np.random.Generator(np.random.PCG64(seed))
    found = {}
    for name in layout.names:
        shape = layout.shapes[name]
        drawn = (generator.random(shape) * 2 - 1) / math.sqrt(shape[1])
        found[name] = (drawn if name.endswith(DOWN) else np.zeros(shape)).astype(np.float32)
    return found
