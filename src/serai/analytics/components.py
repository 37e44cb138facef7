"""Principal components and clusters from sums.

Source: Jolliffe, Principal Component Analysis, 1 to 3.
"""

from collections.abc import Mapping

import numpy as np

from serai.analytics.frames import Curve, Frame, Result, ratio, whole
from serai.analytics.moments import moments
from serai.analytics.notes import complete_notes, outside_frame
from serai.training.statistics.components import KmeansSettings, PcaSettings
from serai.training.tensors import Model

_LEAST_SPREAD = 2.0**-40  # of the bounds' width, squared: what rounding of sums can leave of a column that never varies


def pca(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``pca``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = PcaSettings.read(params)
    halves, middles = (np.array([getattr(one, part) for one in settings.numbers]) for part in ("half", "middle"))
    names = [number.name for number in settings.numbers]
    means, cross = moments(model)
    covariance = cross / max(float(model["rows"][0]) - 1, 1.0)
    varies = np.diagonal(covariance) > _LEAST_SPREAD
    deviations = np.sqrt(np.where(varies, np.diagonal(covariance), 0.0))
    scales = np.where(varies, 1 / np.where(varies, deviations, 1.0), 0.0) if settings.is_scaled else halves
    values, vectors = np.linalg.eigh(covariance * np.outer(scales, scales))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    # An eigenvector and its negative are as good: the largest loading is shown as positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    places = range(len(values))
    shares = [ratio(value, values.sum()) for value in values]
    sums = [ratio(value, values.sum()) for value in np.cumsum(values)]
    own = zip(names, middles + halves * means, halves * deviations, strict=True)
    return Result(
        title=f"Principal components of {len(names)} columns",
        frames=(
            Frame(
                "components",
                ("component", "variance", "share", "cumulative"),
                tuple((place + 1, float(values[place]), shares[place], sums[place]) for place in places),
            ),
            Frame(
                "loadings",
                ("component", "column", "loading"),
                tuple(
                    (place + 1, name, float(vectors[row, place])) for place in places for row, name in enumerate(names)
                ),
            ),
            Frame("columns", ("column", "mean", "deviation"), tuple((name, float(m), float(d)) for name, m, d in own)),
            outside_frame(settings.numbers, model),
        ),
        curves=(Curve("variance", tuple(float(place + 1) for place in places), tuple(map(float, values))),),
        x_label="component",
        y_label="variance",
        notes=(
            *complete_notes(model),
            f"of the {'correlation' if settings.is_scaled else 'covariance'} matrix",
            "signs are such that the largest loading of each component is positive",
        ),
    )


def kmeans(params: Mapping[str, str], model: Model) -> Result:
    """The result of ``kmeans``.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    settings = KmeansSettings.read(params)
    size, moved = model["size"], float(model["moved"][0])
    empty = int(np.count_nonzero(size == 0))
    centers = (
        (cluster + 1, number.name, number.middle + number.half * float(model["center"][cluster, place]))
        for cluster in range(settings.clusters)
        for place, number in enumerate(settings.numbers)
    )
    return Result(
        title=f"{settings.clusters} clusters of {len(settings.numbers)} columns",
        frames=(
            Frame(
                "clusters",
                ("cluster", "n", "share"),
                tuple((place + 1, whole(count), ratio(count, size.sum())) for place, count in enumerate(size)),
            ),
            Frame("centers", ("cluster", "column", "center"), tuple(centers)),
            Frame("fit", ("n", "inertia", "moved"), ((whole(size.sum()), float(model["inertia"][0]), moved),)),
            outside_frame(settings.numbers, model),
        ),
        notes=(
            *complete_notes(model),
            "distances are on the scale of the bounds, -1 to 1",
            f"sizes and inertia are of the last assignment; the centers then moved by at most {moved:.2g}",
            *([f"{empty} clusters have no rows: plan with another seed or tighter bounds"] if empty else []),
        ),
    )
