"""Scale features by moments that a secure sum found, and keep the scale inside the model.

A model that carries its own scale can be released and used alone; a model
without one takes its data as they are.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed, Refused
from serai.training.tensors import Model, Tensor

MOMENTS: Final = "moments"
"""Name under which a plan's inputs give the model of a ``moments`` run."""

_MEAN: Final = "input/mean"
_STD: Final = "input/std"


def scale_from(inputs: Mapping[str, Model], features: int) -> dict[str, Tensor]:
    """The scale a recipe puts into its initial model; empty without moments.

    Raises:
        Malformed: the moments are of another number of features, or not usable.

    """
    moments = inputs.get(MOMENTS)
    if moments is None:
        return {}
    mean, std = moments.get("mean"), moments.get("std")
    if mean is None or std is None or mean.shape != (features,) or std.shape != (features,):
        raise Malformed("recipe-input", f"expected moments with mean and std of {features} features")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise Malformed("recipe-input", "expected finite means and positive standard deviations")
    return {_MEAN: mean, _STD: std}


def scaled(model: Model, x: npt.NDArray[np.float64], features: int) -> npt.NDArray[np.float64]:
    """Rows as a model takes them, ``(n, features) float64``.

    Raises:
        Refused: the data have another number of features.

    """
    if x.ndim != 2 or x.shape[1] != features:
        raise Refused("features", f"the recipe is for {features} features, the data have shape {x.shape}")
    if _MEAN not in model:
        return x
    result: npt.NDArray[np.float64] = (x - model[_MEAN]) / model[_STD]
    return result
