"""The size of a transformer, its parameters' shapes, and where they start, without PyTorch."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from serai.training.tensors import Model

VOCABULARY: Final = 256
_SPREAD: Final = 0.02  # standard deviation of a weight at the start, as in GPT-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The size of a transformer.

    Attributes:
        width: of the residual stream; a multiple of ``heads``.
        layers: blocks of attention and MLP.
        heads: of each attention.
        context: bytes that it looks back at most.

    """

    width: int
    layers: int
    heads: int
    context: int


def shapes_of(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The parameters of a transformer: shapes by name."""
    width = shape.width
    found: dict[str, tuple[int, ...]] = {"embedding": (VOCABULARY, width), "position": (shape.context, width)}
    for layer in range(shape.layers):
        found |= {
            f"blocks.{layer:03d}.attention": (3 * width, width),
            f"blocks.{layer:03d}.attention_norm": (width,),
            f"blocks.{layer:03d}.attention_out": (width, width),
            f"blocks.{layer:03d}.mlp_down": (width, 4 * width),
            f"blocks.{layer:03d}.mlp_norm": (width,),
            f"blocks.{layer:03d}.mlp_up": (4 * width, width),
        }
    return dict(sorted((found | {"norm": (width,)}).items()))


def hidden_matrices(shape: Shape) -> frozenset[str]:
    """The names of the matrices between layers, which Muon is for: all but embedding and position."""
    return frozenset(name for name, size in shapes_of(shape).items() if name.startswith("blocks.") and len(size) == 2)


def start_of(shape: Shape, seed: int) -> Model:
    """Parameters to begin with: weights uniform with a standard deviation of 0.02, norms 1.

    Uniform, because a normal distribution takes ``exp`` and ``log``, and members
    must begin with the same bits. What adds to the residual stream is smaller by
    the root of how often that happens, as in GPT-2.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    found: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
    for name, size in shapes_of(shape).items():
        width = _SPREAD * math.sqrt(12)
        if name.endswith(("attention_out", "mlp_down")):
            width /= math.sqrt(2 * shape.layers)
        drawn = (generator.random(size) - 0.5) * width
        found[name] = (np.ones(size) if name.endswith("norm") else drawn).astype(np.float32)
    return found
