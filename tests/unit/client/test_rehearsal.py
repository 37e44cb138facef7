"""A dry run takes a recipe through the rounds of its plan, and says where it fails."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from serai.aggregation.codec import Block, Codec
from serai.client.rehearsal import MOST_ROWS, rehearse
from serai.errors import Refused
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.recipes.registry import build
from serai.testing.documents import run_plan
from serai.zones.statements import Column, Offer

AGE = Column(name="age", kind="number", unit="a", description="", low="0", high="120")
SEX = Column(name="sex", kind="category", unit="", description="", levels=("female", "male"))


def offer(rows=50, columns=(AGE, SEX)):
    return Offer(
        dataset=digest_of(b""),
        title="t",
        description="",
        rows=rows,
        columns=columns,
        jurisdiction="CH",
        terms=(),
    )


OFFERS = {MemberId("bern"): offer(), MemberId("lima"): offer(rows=10**7)}


@dataclass
class Counting:
    """A recipe that counts, and does worse where it is told to."""

    columns: tuple[str, ...] = ("sex",)
    fails_in: int = -1
    sends: float = 0.0
    name: str = "counting"
    length: int = 3
    outputs: tuple[str, ...] = ("aggregate",)

    def codec(self, _members):
        return Codec(bits=32, limit=10**6, blocks=(Block(length=3, step=Fraction(1)),))

    def initial(self):
        return {"total": np.zeros(3)}

    def contribute(self, _model, data, context):
        if context.round == self.fails_in:
            raise KeyError("height")
        places, _ = data.table.category("sex")
        context.memory["seen"] = context.memory.get("seen", np.zeros(1)) + 1
        return np.array([data.table.rows, (places >= 0).sum(), context.memory["seen"][0] + self.sends])

    def combine(self, _model, total, members):
        return {"total": total / members}

    def evaluate(self, model, _data):
        return {"rows": int(model["total"][0]), "seen": int(model["total"][2])}


def plan(name, params, rounds):
    offers = dict.fromkeys(OFFERS, Digest("0" * 64))
    return run_plan(digest_of(b"a"), offers, name, params, rounds=rounds, round_ms=1000)


def plan_of(recipe, rounds=3):
    return replace(plan("moments", {"features": "1"}, rounds), codec=recipe.codec(2), length=recipe.length, params={})


def test_every_round_is_gone_through_and_what_a_recipe_remembers_goes_on():
    recipe = Counting()
    shown = rehearse(plan_of(recipe), recipe, OFFERS)
    assert (shown.length, len(shown.round_s), shown.clipped) == (3, 3, 0)
    assert shown.upload_bytes == (recipe.codec(2).upload_bytes,) * 3
    assert shown.counts["bern"] == {"rows": (50 + MOST_ROWS) // 2, "seen": 3}
    assert 0 < shown.slowest_s <= sum(shown.round_s)


def test_the_round_and_the_member_at_which_it_fails_are_named():
    recipe = Counting(fails_in=1)
    with pytest.raises(Refused, match="round 1, over mock rows of bern: KeyError: 'height'"):
        rehearse(plan_of(recipe), recipe, OFFERS)


def test_a_vector_of_another_length_is_named_too():
    recipe = Counting()
    planned = plan_of(recipe)
    recipe.contribute = lambda *_: np.zeros(2)
    with pytest.raises(Refused, match="round 0, over mock rows of bern: "):
        rehearse(planned, recipe, OFFERS)


def test_values_beyond_the_codec_are_counted():
    recipe = Counting(sends=1e9)
    assert rehearse(plan_of(recipe), recipe, OFFERS).clipped == 2 * 3


def test_an_offer_that_lacks_a_column_is_named():
    recipe = Counting(columns=("sex", "height"))
    with pytest.raises(Refused, match="bern offers no column 'height'; it offers age, sex"):
        rehearse(plan_of(recipe), recipe, OFFERS)


@pytest.mark.parametrize(
    ("name", "params", "rounds"),
    [
        ("newton", {"features": "3"}, 2),
        ("moments", {"features": "2"}, 1),
        ("local_sgd", {"features": "2", "steps": "3"}, 2),
        ("mlp", {"features": "2", "hidden": "3", "steps": "2", "rounds": "2"}, 2),
    ],
)
def test_recipes_that_come_with_serai_get_through(name, params, rounds):
    recipe, offers = build(name, params, {}), {MemberId("bern"): offer(), MemberId("lima"): offer(rows=30)}
    shown = rehearse(plan(name, params, rounds), recipe, offers)
    assert len(shown.round_s) == rounds
    assert shown.counts["lima"]["n"] == (20 if name == "moments" else 10)  # of 30, a third is held back
