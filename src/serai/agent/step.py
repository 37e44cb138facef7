"""The common step: what a released sum makes of the model of a run.

Most recipes combine a whole sum with a model into another model. One that is
``Piecewise`` takes the sum stretch by stretch into the model where it lies, so
that neither the sum nor a second model is ever held. It begins once all of the
sum is in the zone's store and verified; if it breaks off all the same, the model
is torn, and the run is taken up again from what is stored.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from serai.agent.active import Active
from serai.agent.programs import combines_here, find_piecewise
from serai.agent.rounds import bring_sum, read_sum, sum_dtype, take_sum
from serai.aggregation.job import Job
from serai.aggregation.state import Round, share_of
from serai.kernel.ids import Digest
from serai.training.methods import Piecewise, Vector
from serai.training.tensors import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stepping:
    """A model as a place to decode a sum into: each stretch of the sum moves its part at once."""

    recipe: Piecewise
    model: Model
    members: float
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __setitem__(self, place: slice, values: Vector) -> None:
        self.recipe.take(self.model, place.start, values.astype(self.dtype, copy=False), self.members)


def take_step(active: Active, job: Job, this: Round) -> tuple[Model, Digest]:
    """The model that a released sum makes, and the digest of the sum's integers.

    Where members may object to a sum, the model before it is kept beside the new one.

    Raises:
        Unverified: the masked sum is not the one in the close.
        Missing: the center does not have it.

    """
    zone, recipe = active.zone, active.prepared.recipe
    members = share_of(this.body.steps, this.summed) if this.body.steps else float(len(this.summed))
    piecewise = None if job.is_guarded else find_piecewise(recipe)
    if piecewise is not None:
        return active.model, _take(active, job, this, piecewise, members)
    with active.watch.exchanging():
        total, digest = read_sum(zone, job, this)
    if not combines_here(recipe):
        active.wait_ahead()
    return recipe.combine(active.model, total, members), digest


def _take(active: Active, job: Job, this: Round, recipe: Piecewise, members: float) -> Digest:
    """Take the step in the model itself, once; the digest of the sum's integers."""
    if active.taken is None or active.taken[0] != this.id:
        active.wait_ahead()  # for steps ahead read the model
        with active.watch.exchanging():
            bring_sum(active.zone, job, this)
        into = _Stepping(
            recipe=recipe, model=active.model, members=members, shape=(job.length,), dtype=sum_dtype(job.codec)
        )
        active.is_torn = True
        active.taken = (this.id, take_sum(active.zone, job, this, into))
        active.is_torn = False
    return active.taken[1]
