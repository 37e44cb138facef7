"""A dry run: a recipe goes through all its rounds over mock rows of every offer, in this process, and nothing is said."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from serai.aggregation.codec import check, decode, encode
from serai.aggregation.job import Form
from serai.client.mock import mock_table
from serai.errors import Refused, SeraiError
from serai.kernel.ids import MemberId
from serai.training.methods import Context, Data, Recipe, Sent, Vector, columns_of
from serai.training.statements import RunPlan
from serai.training.tensors import Model, Tensor
from serai.zones.statements import Offer

MOST_ROWS: Final = 1_000  # of each member; an offer of fewer rows has as many mock rows
_WORDS: Final = b"alpha beta gamma delta epsilon zeta eta theta iota kappa "


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a dry run showed.

    Attributes:
        length: values in a member's vector; in the last round it may have another number.
        upload_bytes: what one member would send in each round.
        round_s: seconds that each round took here, all members one after the other.
        slowest_s: the longest contribution of one member.
        clipped: values that were larger than the codec allows, in all rounds together.
        counts: what each member's evaluation counted.

    """

    length: int
    upload_bytes: tuple[int, ...]
    round_s: tuple[float, ...]
    slowest_s: float
    clipped: int
    counts: Mapping[MemberId, Mapping[str, int]]


@dataclass(slots=True)
class _Member:
    """A member in a dry run: its mock rows, and what its recipe remembers."""

    data: Data
    memory: dict[str, Tensor] = field(default_factory=dict)
    sent: Sent | None = None


def rehearse(plan: RunPlan, recipe: Recipe, offers: Mapping[MemberId, Offer], seed: int = 0) -> Rehearsal:
    """Go through a plan's rounds with plain sums in the plan's codec: no masks, no log.

    Args:
        plan: the plan as it would be said.
        recipe: its program.
        offers: each member's offer.
        seed: of the mock rows and of the recipe's own randomness.

    Raises:
        Refused: the recipe fails; the message says in which round, and over whose rows.

    """
    members = {name: _Member(_mock_data(plan, recipe, name, offer, seed)) for name, offer in sorted(offers.items())}
    forms = [Form(codec=plan.codec, length=plan.length)] * plan.rounds
    if plan.last is not None:
        forms[-1] = plan.last
    model, round_s, clipped, slowest_s = recipe.initial(), [], 0, 0.0
    for number, form in enumerate(forms):
        check(form.codec, len(members))
        began_s = time.perf_counter()
        lanes = form.codec.ring.zeros(form.codec.lanes)
        for name, member in members.items():
            with _telling(f"round {number}, over mock rows of {name}"):
                member_s = time.perf_counter()
                vector = _contribute(plan, recipe, model, (name, member), (number, seed))
                slowest_s = max(slowest_s, time.perf_counter() - member_s)
                own, beyond = encode(form.codec, vector)
            form.codec.ring.add(lanes, own)
            clipped += beyond
        with _telling(f"round {number}, taking the common step"):
            model = recipe.combine(model, decode(form.codec, lanes), float(len(members)))
        round_s.append(time.perf_counter() - began_s)
    return Rehearsal(
        length=plan.length,
        upload_bytes=tuple(form.codec.upload_bytes for form in forms),
        round_s=tuple(round_s),
        slowest_s=slowest_s,
        clipped=clipped,
        counts=dict(_evaluate(recipe, model, members)),
    )


def _contribute(
    plan: RunPlan, recipe: Recipe, model: Model, who: tuple[MemberId, _Member], when: tuple[int, int]
) -> Vector:
    (name, member), (number, seed) = who, when
    context = Context(
        round=number,
        seed=hashlib.sha256(f"{seed}/{name}/{number}".encode()).digest(),
        member=name,
        memory=member.memory,
        secret=bytes(32),
        done=number,
        rounds=plan.rounds,
        steps=plan.pace.least if plan.pace else 0,
        sent=member.sent,
    )
    vector = recipe.contribute(model, member.data, context)
    member.sent = Sent(summed=True)
    return vector[0 : vector.shape[0]]


def _evaluate(
    recipe: Recipe, model: Model, members: Mapping[MemberId, _Member]
) -> Iterator[tuple[MemberId, Mapping[str, int]]]:
    for name, member in members.items():
        with _telling(f"the evaluation over mock rows of {name}"):
            yield name, dict(recipe.evaluate(model, member.data))


@contextmanager
def _telling(where: str) -> Iterator[None]:
    """Say where in the run a recipe failed, whatever it raised.

    Raises:
        Refused: it did.

    """
    try:
        yield
    except SeraiError as error:
        raise Refused("rehearsal-failed", f"{where}: {error.message}") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Refused("rehearsal-failed", f"{where}: {type(error).__name__}: {error}") from error


def _mock_data(plan: RunPlan, recipe: Recipe, name: MemberId, offer: Offer, seed: int) -> Data:
    """Mock rows as the recipe would see a member's: the columns it names, or features, label and text.

    Raises:
        Refused: the offer lacks a column that the recipe reads.

    """
    random = np.random.Generator(np.random.PCG64([seed, *name.encode()]))
    rows = max(1, min(MOST_ROWS, offer.rows))
    if wanted := columns_of(recipe):
        known = {column.name: column for column in offer.columns}
        if lacking := [column for column in wanted if column not in known]:
            raise Refused("column", f"{name} offers no column {lacking[0]!r}; it offers {', '.join(known) or 'none'}")
        nothing, none = np.zeros((rows, 0)), np.zeros(0)
        table = mock_table([known[column] for column in wanted], rows, random)
        return Data(x=nothing, y=none, test_x=nothing[:0], test_y=none, names=(), table=table)
    width = plan.params.get("features", "0")
    features = int(width) if width.isdecimal() else 0
    x, y = random.normal(size=(rows, features)), random.integers(0, 2, rows).astype(np.float64)
    held_back = max(1, rows // 3)
    text = np.frombuffer(_WORDS * max(20, rows), np.uint8) if not offer.columns else np.zeros(0, np.uint8)
    return Data(
        x=x[held_back:],
        y=y[held_back:],
        test_x=x[:held_back],
        test_y=y[:held_back],
        names=tuple(f"x{number}" for number in range(features)),
        text=text,
        test_text=text,
    )
