"""Accuracy alone, joint and pooled: what the members' work comes to, and what it is held against.

``alone`` and ``pooled`` are computed here, from the four members' rows, because
the demo owns all of them. A real bloc could know the first member by member, and
the second not at all. ``joint`` is what the members logged; after each round it
is computed from the logged sums, which anybody can read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from serai.agent.session import Session
from serai.aggregation.exchange import read_total
from serai.aggregation.ring import CHUNK_VALUES
from serai.aggregation.state import Round
from serai.analytics.state import evaluations_of
from serai.cli.audits import released_rounds
from serai.cli.report import Figures, Result, RoundFigures
from serai.client.planning import fetch_models
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.recipes.registry import build
from serai.state import State
from serai.training.methods import Context, Data, Recipe
from serai.training.statements import RunPlan
from serai.training.tensors import Model

Tables = Mapping[str, Data]
"""Each member's rows, by member id."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the references are trained: what differs between one member and all rows in one place.

    Attributes:
        alone: settings of the recipe for one member by itself, beyond the plan's.
        pooled: settings for all rows in one place, beyond the plan's.

    """

    alone: Mapping[str, str]
    pooled: Mapping[str, str]


def result_of(session: Session, run: Digest, model: Digest, tables: Tables, comparison: Comparison) -> Result:
    """Everything that the report says about one run.

    Raises:
        Missing: the center no longer has a sum.

    """
    state = session.state()
    plan = state.runs.plans[run].plan
    joint = {
        member: _share(record.body.counts) for member, record in evaluations_of(state.analytics, run, model).items()
    }
    pooled = _train(plan, _pool(tables), comparison.pooled)
    members = {}
    for member, table in tables.items():
        alone = _train(plan, table, comparison.alone)
        members[member] = Figures(
            n=len(table.test_y),
            alone=_share(alone.recipe.evaluate(alone.model, table)),
            joint=joint[MemberId(member)],
            pooled=_share(pooled.recipe.evaluate(pooled.model, table)),
        )
    return Result(recipe=plan.title, members=members, rounds=[*_rounds(session, state, run, tables)])


@dataclass(frozen=True, slots=True)
class _Trained:
    recipe: Recipe
    model: Model


def _train(plan: RunPlan, data: Data, settings: Mapping[str, str]) -> _Trained:
    """Run a plan's recipe over one table, without sums, masks or codec: the same method, in one place."""
    inputs = {}
    if "moments" in plan.inputs:
        moments = build("moments", {"features": plan.params["features"]}, {})
        vector = moments.contribute(moments.initial(), data, _context(plan, 0))[0 : moments.length]
        inputs = {"moments": moments.combine(moments.initial(), vector, 1)}
    recipe = build(plan.recipe, {**plan.params, **settings}, inputs)
    model = recipe.initial()
    for number in range(plan.rounds):
        vector = recipe.contribute(model, data, _context(plan, number))[0 : recipe.length]
        model = recipe.combine(model, vector.astype(np.float64), 1)
    return _Trained(recipe, model)


def _rounds(session: Session, state: State, run: Digest, tables: Tables) -> Iterator[RoundFigures]:
    plan = state.runs.plans[run].plan
    recipe = build(plan.recipe, plan.params, fetch_models(session, plan.inputs))
    model = recipe.initial()
    for number, this in enumerate(released_rounds(state, run), 1):
        model = recipe.combine(model, _total(session, plan, this), len(this.summed))
        yield RoundFigures(
            round=number, members={member: _share(recipe.evaluate(model, data)) for member, data in tables.items()}
        )


def _total(session: Session, plan: RunPlan, this: Round) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    assert this.closed is not None
    blob, size = this.closed.body.masked_sum, plan.codec.ring.packed_bytes(CHUNK_VALUES)
    total = np.empty(plan.length, np.float64)
    read_total(plan.codec, lambda number: session.center.read_blob(blob, number * size, size), this.masks, total)
    return total


def _pool(tables: Tables) -> Data:
    rows = list(tables.values())
    return replace(
        rows[0],
        x=np.concatenate([data.x for data in rows]),
        y=np.concatenate([data.y for data in rows]),
        test_x=np.concatenate([data.test_x for data in rows]),
        test_y=np.concatenate([data.test_y for data in rows]),
    )


def _context(plan: RunPlan, number: int) -> Context:
    seed = bytes.fromhex(digest_of(f"reference {plan.title} {number}".encode()))
    return Context(round=number, seed=seed, member=MemberId("reference"))


def _share(counts: Mapping[str, int]) -> float:
    return counts["correct"] / counts["n"]
