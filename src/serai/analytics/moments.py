"""Means and products about the means, from sums and cross products."""

import numpy as np

from serai.training.statistics.columns import Array
from serai.training.tensors import Model


def moments(model: Model) -> tuple[Array, Array]:
    """Means ``(w,)``, and sums of products about them ``(w, w)``, on the scale of the bounds.

    Args:
        model: of a ``CrossProducts`` recipe.

    """
    n, count = max(float(model["rows"][0]), 1.0), len(model["sum"])
    products = np.zeros((count, count))
    upper = np.triu_indices(count)
    products[upper] = model["product"]
    products.T[upper] = model["product"]
    means = model["sum"] / n
    return means, products - np.outer(means, means) * n
