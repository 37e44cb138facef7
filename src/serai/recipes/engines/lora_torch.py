"""A frozen base model in PyTorch with low-rank adapters beside some of its layers (arXiv:2106.09685).

A layer that computes W x computes W x + (alpha / rank) B A x instead, and only A and B are
trained. The model comes from the library ``transformers``: from a class that is part
of it, a configuration and weights in memory. So no code of the folder's is run, no
pickle is loaded, and nothing is looked for on a network.

It needs the extra ``serai[lora]``.
"""

import os
from collections.abc import Mapping
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is loaded, which is next

import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from serai.errors import Malformed, Refused
from serai.recipes.base_model import DOWN, UP, BaseModel
from serai.recipes.engines.device import Compute
from serai.recipes.engines.local_optimizer import ADAMW
from serai.recipes.engines.torch_engine import TorchTextEngine


class LoraModel(TorchTextEngine):
    """A base model whose adapters are trained.

    Args:
        base: the base model.
        shapes: of the adapters, by layer and ``DOWN`` or ``UP``.
        scale: alpha / rank.
        compute: the device, and the precision in which the base model is held.

    Raises:
        Malformed: the library does not know such a model, or weights are missing.
        Refused: an adapter is for what is no linear layer.

    """

    def __init__(self, base: BaseModel, shapes: Mapping[str, tuple[int, ...]], scale: float, compute: Compute) -> None:
        parameters = {name: nn.Parameter(torch.zeros(shape, device=compute.device)) for name, shape in shapes.items()}
        super().__init__(parameters, ADAMW, compute)
        self._model = _load(base, compute)
        self._scale = scale
        for name in self.names:
            if name.endswith(DOWN):
                self._adapt(name.removesuffix(DOWN))

    def _logits(self, tokens: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._model(input_ids=tokens, use_cache=False).logits
        return found

    def _adapt(self, name: str) -> None:
        down, up = self._parameters[name + DOWN], self._parameters[name + UP]
        try:
            module = self._model.get_submodule(name)
        except AttributeError:
            module = None
        if not isinstance(module, nn.Linear) or module.weight.shape != (up.shape[0], down.shape[1]):
            raise Refused("lora-target", f"expected a linear layer {name} of {up.shape[0]} x {down.shape[1]}")

        def add(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            added = functional.linear(functional.linear(inputs[0].to(down.dtype), down), up)
            return output + (added * self._scale).to(output.dtype)

        module.register_forward_hook(add)


def _load(base: BaseModel, compute: Compute) -> Any:
    # Without its private settings, some of which choose code to fetch.
    config = {name: value for name, value in base.config().items() if not name.startswith("_")}
    kind = config.pop("model_type", None)
    if not isinstance(kind, str) or "quantization_config" in config:
        raise Malformed("base-model", "expected a configuration with a model_type and without quantization_config")
    weights = {name: tensor for path in base.shards for name, tensor in load_file(path).items()}
    transformers.utils.logging.disable_progress_bar()
    try:
        settings = transformers.AutoConfig.for_model(kind, **config)
        model, told = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)].from_pretrained(
            None,
            config=settings,
            state_dict=weights,
            dtype=compute.dtype,
            attn_implementation="sdpa",
            local_files_only=True,
            output_loading_info=True,
        )
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise Malformed("base-model", f"no causal language model {kind[:80]!r}: {str(error)[:200]}") from error
    if lacking := sorted(told["missing_keys"]) + [str(found[0]) for found in told["mismatched_keys"]]:
        raise Malformed("base-model", f"the weights lack {lacking[0][:80]!r}, or have it in another shape")
    return model.to(compute.device).requires_grad_(requires_grad=False).eval()
