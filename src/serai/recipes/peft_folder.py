"""Trained adapters as a folder that the library peft, and whatever reads its form, takes up.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``
(huggingface.co/docs/peft, checkpoint format).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from serai.errors import Conflict
from serai.recipes.base_model import DOWN, UP
from serai.recipes.lora import read_adapters
from serai.training.parameters import Parameters
from serai.training.tensors import Model, write_model

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."


def write_peft_folder(folder: Path, params: Mapping[str, str], model: Model) -> None:
    """Write the adapters of a ``lora`` run; the outer optimizer's state stays out.

    Args:
        folder: to be made; its parent exists.
        params: of the run's plan.
        model: as the run ended.

    Raises:
        Malformed: these are no settings of the recipe ``lora``.
        Conflict: there is something at ``folder``.

    """
    adapters = read_adapters(Parameters("lora", params))
    weights = {f"{_PREFIX}{name}.weight": tensor for name, tensor in model.items() if name.endswith((DOWN, UP))}
    config = {
        "base_model_name_or_path": adapters.base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_alpha": float(adapters.alpha),
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": adapters.rank,
        "target_modules": list(adapters.targets),
        "task_type": "CAUSAL_LM",
    }
    try:
        folder.mkdir()
    except FileExistsError:
        raise Conflict("folder-taken", f"expected nothing at {folder}; name a new folder") from None
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    with (folder / WEIGHTS).open("wb") as file:
        for part in write_model(weights):
            file.write(part)
