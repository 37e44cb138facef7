"""What a zone trains with: its engine, its device, its precision, and the base models that lie on its disk.

A zone says so in ``zone.toml``, for itself alone. No plan can: members of one run
may each have another chip and another framework, and what they send adds up all the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from serai.training.methods import Recipe

BASE: Final = "base"
"""The setting by which a plan names a base model; a worker sees no other of the zone's."""

AUTO: Final = "auto"
_DEVICE: Final = re.compile(r"[a-z]{1,16}(:[0-9]{1,3})?")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class EngineName(StrEnum):
    """What trains, in recipes that have a choice."""

    AUTO = "auto"  # PyTorch where the zone names a device other than the CPU, else numpy
    NUMPY = "numpy"
    TORCH = "torch"
    SKLEARN = "sklearn"


class Precision(StrEnum):
    """What PyTorch multiplies in; parameters, moments and losses are float32 whatever it is."""

    AUTO = "auto"  # bfloat16 on an accelerator that has it, else float32
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What a zone trains with.

    Attributes:
        engine: for recipes that have a choice.
        device: as PyTorch names it, such as ``cuda``, ``xpu:1`` or ``npu``; ``auto``
            for the accelerator that PyTorch finds, else the CPU.
        precision: of matrix products in PyTorch.
        models: folders of base models, absolute, by the names that plans give them.

    """

    engine: EngineName = EngineName.AUTO
    device: str = AUTO
    precision: Precision = Precision.AUTO
    models: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what names no device and no model.

        Raises:
            ValueError: a name has another form.

        """
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be auto, or as PyTorch names one (cpu, cuda, xpu:1), got {self.device!r}")
        if bent := [name for name in self.models if not _NAME.fullmatch(name)]:
            raise ValueError(f"a model's name is ASCII letters, digits, '.', '_' and '-', got {bent[0][:80]!r}")

    @property
    def table_engine(self) -> EngineName:
        """The engine of recipes on tables."""
        if self.engine is not EngineName.AUTO:
            return self.engine
        return EngineName.NUMPY if self.device in {AUTO, "cpu"} else EngineName.TORCH

    def only_for(self, params: Mapping[str, str]) -> "Equipment":
        """The same without the base models that a plan with these settings does not name."""
        named = params.get(BASE)
        return replace(self, models={name: path for name, path in self.models.items() if name == named})


DEFAULTS: Final = Equipment()
"""What a zone trains with that says nothing."""


@runtime_checkable
class Equippable(Protocol):
    """A recipe to which it matters what its zone trains with."""

    def equipped(self, equipment: Equipment) -> Recipe:
        """The same recipe with this equipment.

        Raises:
            Missing: the equipment names what is not here.

        """


def equip(recipe: Recipe, equipment: Equipment) -> Recipe:
    """A recipe with a zone's equipment; itself where it makes no difference.

    Raises:
        Missing: the equipment names what is not here.

    """
    return recipe.equipped(equipment) if isinstance(recipe, Equippable) else recipe
