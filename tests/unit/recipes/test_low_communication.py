"""Rounds around local training: progress made while a vector travels, late members, unequal steps, crashes."""

from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import pytest

from serai.aggregation import statements
from serai.aggregation.codec import decode, encode
from serai.errors import Malformed, Refused
from serai.recipes.low_communication import Pace
from serai.recipes.registry import build
from serai.training.methods import FIGURES, Context, Data, Overlapping, Sent, TwoPhased
from serai.training.offsets import Offsets
from serai.training.tensors import model_bytes, read_model

PARAMS = {"features": "2", "hidden": "48", "steps": "16", "rounds": "40", "lr": "0.02", "warm_steps": "30"}
MEMBERS = 3


def ring(seed, n=600):
    """Rows on a ring or beside it; three quarters of a member's are from one half of the plane."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-1, 1, (n, 2))
    x[:, 0] = np.where(np.arange(n) % 4, np.abs(x[:, 0]) * (1 if seed % 2 else -1), x[:, 0])
    distance = np.hypot(x[:, 0], x[:, 1])
    y = ((distance > 0.35) & (distance < 0.75)).astype(float)
    cut = n * 2 // 3
    return Data(x=x[:cut], y=y[:cut], test_x=x[cut:], test_y=y[cut:], names=("a", "b"))


DATA = [ring(seed) for seed in range(MEMBERS)]


def loss(model):
    """The mean log-loss on everybody's held-back rows, nats."""
    found = []
    for data in DATA:
        hidden = np.maximum(data.test_x @ model["hidden_weight"] + model["hidden_bias"], 0)
        odds = hidden @ model["out_weight"] + model["out_bias"]
        found.append(np.mean(np.logaddexp(0, odds) - data.test_y * odds))
    return float(np.mean(found))


@dataclass
class Member:
    """What a zone knows of its part in a run."""

    memory: dict = field(default_factory=dict)
    sent: Sent | None = None
    figures: dict = field(default_factory=dict)


class Bloc:
    """A run of the network among three members, with whatever befalls them."""

    def __init__(self, **params):
        self.rounds = int((PARAMS | params)["rounds"])
        self.recipe = build("mlp", PARAMS | params, {})
        self.model = self.recipe.initial()
        self.members = [Member() for _ in range(MEMBERS)]
        self.done = self.number = 0

    def context(self, member, **fields):
        given = {"done": self.done, "rounds": self.rounds, "round": self.number} | fields
        mine = self.members[member]
        seed = bytes([member, given["round"]])
        return Context(**{"seed": seed, "member": str(member), "memory": mine.memory, "sent": mine.sent} | given)

    def contribute(self, member, **fields):
        context = self.context(member, **fields)
        vector = self.recipe.contribute(self.model, DATA[member], context)
        self.members[member].figures = context.figures
        return vector

    def round(self, absent=(), late=(), shares=(1.0,) * MEMBERS, steps=(0,) * MEMBERS, *, fails=False):
        """One round: ``absent`` members take no part, of ``late`` ones the vectors are not summed."""
        is_last = self.done + 1 >= self.rounds
        codec = (self.recipe.last_codec(MEMBERS) if is_last else None) or self.recipe.codec(MEMBERS)
        total, counted = codec.ring.zeros(codec.lanes), 0.0
        for number, member in enumerate(self.members):
            if number in absent:
                member.sent = member.sent and replace(member.sent, missed=member.sent.missed + (not fails))
                continue
            vector = self.contribute(number, share=shares[number], steps=steps[number])
            member.sent = Sent(summed=number not in late and not fails, missed=int(number in late and not fails))
            if member.sent.summed:
                codec.ring.add(total, encode(codec, vector)[0])
                counted += shares[number]
        self.number += 1
        if not is_last:
            self.train_ahead(absent, steps)
        if not fails:
            self.model = self.recipe.combine(self.model, decode(codec, total, np.float32), counted)
            self.done += 1

    def train_ahead(self, absent, steps):
        for number in set(range(MEMBERS)) - set(absent):
            context = self.context(number, done=self.done + 1, sent=None, steps=steps[number])
            self.recipe.train_ahead(self.model, DATA[number], context)

    def finish(self):
        while self.done < self.rounds:
            self.round()
        return loss(self.model)


@pytest.fixture(scope="module")
def usual():
    """The loss of forty undisturbed rounds."""
    return Bloc().finish()


def test_the_recipes_train_ahead_and_end_in_their_own_way():
    recipe = build("mlp", PARAMS | {"ahead": "4", "fragments": "2", "last_levels": "7"}, {})
    assert isinstance(recipe, Overlapping)
    assert isinstance(recipe, TwoPhased)
    assert recipe.ahead == 4
    assert recipe.last_length == 48 * 4 + 1 > 1.5 * recipe.length
    assert recipe.last_codec(3).limit == 7
    plain = build("mlp", PARAMS, {})
    assert (plain.ahead, plain.last_codec(3), plain.last_length) == (0, None, plain.length)


@pytest.mark.parametrize(
    "params", [{"ahead": "17"}, {"fragments": "0"}, {"fragments": "194"}, {"last_levels": "4"}, {"warm_momentum": "-1"}]
)
def test_settings_out_of_range_are_refused(params):
    with pytest.raises(Malformed):
        build("mlp", PARAMS | params, {})


def test_members_with_other_steps_have_the_same_rate_at_the_same_time():
    pace = Pace(lr=1.0, steps=8, rounds=5, warm=12)
    usual, slow, fast = (pace.rates(0, steps) + pace.rates(1, steps) + pace.rates(4, steps) for steps in (8, 4, 16))
    assert (len(usual), len(slow), len(fast)) == (24, 12, 48)
    assert fast[::2][8:] == pytest.approx(usual[8:], abs=1 / 12)
    assert fast[32::2] == usual[16:], "the same place in the run, the same rate"
    assert usual[16::2] == slow[8:]
    assert max(slow) == max(fast) == 1.0


def test_progress_made_while_a_vector_travels_is_carried_over(usual):
    """The test fails if what was learnt meanwhile is overwritten, which is the obvious other way."""
    half, whole = Bloc(ahead="8").finish(), Bloc(ahead="16").finish()
    overwriting = Bloc(ahead="8")
    while overwriting.done < overwriting.rounds:
        overwriting.round()
        for member in overwriting.members:
            member.memory.pop("lowcomm/offset")
    assert half < usual + 0.02
    assert whole < usual + 0.02
    assert loss(overwriting.model) > usual + 0.05


def test_members_who_differ_go_on_from_what_the_sum_will_leave_of_their_update(usual, monkeypatch):
    monkeypatch.setattr(Offsets, "response", 1.0)
    assert Bloc(ahead="16").finish() > usual + 0.03


def test_fragments_with_everything_ahead_lose_nearly_nothing(usual):
    assert Bloc(fragments="2", ahead="16", last_levels="7").finish() < usual + 0.02


def test_of_a_round_only_the_steps_not_taken_ahead_are_left():
    bloc = Bloc(ahead="10")
    bloc.round()
    assert int(bloc.members[0].memory["inner/step"][0]) == 26
    bloc.round()
    assert int(bloc.members[0].memory["inner/step"][0]) == 42
    assert bloc.members[0].figures["steps"] == 16


def test_steps_ahead_and_the_rest_see_the_rows_that_the_round_would_have_seen():
    taken, usual = Bloc(ahead="10"), Bloc()
    batches = [list(islice(bloc.recipe._batches(bloc.model, DATA[0], bloc.context(0)), 20)) for bloc in (taken, usual)]
    assert all(np.array_equal(one, other) for (one, _), (other, _) in zip(*batches, strict=True))
    # Where no global step lies between and the member goes on from all of its own update,
    # the model is the same to a rounding as if nothing was taken ahead.
    for bloc in (taken, usual):
        bloc.recipe.contribute(bloc.model, DATA[0], bloc.context(0))
    taken.members[0].memory["lowcomm/response"] = np.ones(1)
    taken.recipe.train_ahead(taken.model, DATA[0], taken.context(0, done=1, round=1))
    for bloc in (taken, usual):
        stays = {**bloc.model, "lowcomm/done": np.array([1])}
        bloc.recipe.contribute(stays, DATA[0], bloc.context(0, done=1, round=1, sent=Sent(summed=False)))
    first, second = taken.members[0].memory, usual.members[0].memory
    np.testing.assert_allclose(first["lowcomm/offset"], second["lowcomm/offset"], atol=1e-6)


def test_a_member_with_more_steps_takes_more_of_them_ahead():
    bloc = Bloc(ahead="8")
    bloc.round(steps=(32, 16, 1))
    taken = [int(member.memory["inner/step"][0]) for member in bloc.members]
    assert taken == [32 + 16, 16 + 8, 1], "half of each"


def test_a_round_shorter_than_what_was_taken_ahead_needs_no_more_steps():
    bloc = Bloc(ahead="16")
    bloc.round()
    vector = bloc.contribute(0, steps=4)
    assert bloc.members[0].figures["steps"] == 16
    assert np.any(vector)


def test_steps_ahead_of_a_member_that_came_too_late_are_taken_again():
    bloc = Bloc(ahead="10")
    bloc.round()
    for missed, left in ((3, 6), (4, 16)):
        memory = dict(bloc.members[0].memory)
        bloc.recipe.contribute(
            bloc.model, DATA[0], bloc.context(0, memory=memory, sent=Sent(summed=True, missed=missed))
        )
        assert int(memory["inner/step"][0]) == 26 + left


def test_a_member_that_misses_rounds_rebases_and_the_run_still_converges(usual):
    for missed in (1, 3, 5):
        bloc = Bloc(ahead="8")
        for number in range(bloc.rounds):
            bloc.round(absent=(1,) if 12 <= number < 12 + missed else ())
        assert loss(bloc.model) < usual + 0.04


def test_vectors_that_are_often_late_cost_little(usual):
    bloc = Bloc(fragments="2", last_levels="7")
    for number in range(bloc.rounds):
        bloc.round(late=(number % 3,) if number % 2 and number < 39 else ())
    assert loss(bloc.model) < usual + 0.04


def test_failed_rounds_lose_no_work(usual):
    bloc = Bloc(rounds="20", steps="16")
    while bloc.done < bloc.rounds:
        bloc.round(fails=True)
        bloc.round()
    assert bloc.number == 40
    # Forty rounds' steps in twenty sums.
    assert loss(bloc.model) < Bloc(rounds="20").finish() - 0.02
    assert loss(bloc.model) < usual + 0.06


def test_a_member_killed_between_two_rounds_loses_only_speed(usual):
    bloc = Bloc(fragments="2", ahead="8", last_levels="7")
    for number in range(bloc.rounds):
        bloc.round()
        if number % 5 == 4:
            bloc.members[number % MEMBERS] = Member()
    assert loss(bloc.model) < usual + 0.04


def test_steps_and_contributions_repeated_after_a_crash_give_the_same_bytes():
    bloc = Bloc(ahead="5", fragments="3")
    for _ in range(4):
        bloc.round()
    member = bloc.members[0]
    bloc.contribute(0)
    journalled, results = model_bytes(member.memory), []
    for _ in range(2):
        member.memory = dict(read_model(journalled))
        bloc.recipe.train_ahead(bloc.model, DATA[0], bloc.context(0, done=5, round=5, sent=None))
        after = {**bloc.model, "lowcomm/done": np.array([5])}
        context = bloc.context(0, done=5, round=5, sent=Sent(summed=True))
        vector = bloc.recipe.contribute(after, DATA[0], context)
        results.append((vector.tobytes(), model_bytes(member.memory), dict(context.figures)))
    assert results[0] == results[1]
    assert model_bytes(dict(read_model(journalled))) == journalled, "nothing that was kept is changed in place"


def test_steps_ahead_that_were_taken_are_not_taken_again():
    bloc = Bloc(ahead="5")
    bloc.contribute(0)
    bloc.train_ahead((1, 2), (0,) * MEMBERS)
    once = model_bytes(bloc.members[0].memory)
    bloc.train_ahead((1, 2), (0,) * MEMBERS)
    assert model_bytes(bloc.members[0].memory) == once


def test_unequal_members_with_weights_by_their_steps_learn_as_equal_ones(usual):
    bloc = Bloc(levels="7")
    while bloc.done < bloc.rounds:
        bloc.round(steps=(8, 16, 24), shares=(0.5, 1.0, 1.5))
    assert bloc.members[2].figures["steps"] == 24
    assert int(bloc.members[0].memory["inner/step"][0]) == 8 * 40
    assert loss(bloc.model) < usual + 0.03


def test_the_figures_tell_the_loss_of_the_steps():
    bloc, told = Bloc(ahead="8"), []
    for _ in range(20):
        bloc.round()
        told.append(bloc.members[0].figures)
    known = {"steps", "micronats", "clipped_ppm", "residual_permille", "gain_permille", "rho_permille"}
    assert set(told[-1]) == known
    assert told[0]["micronats"] / 1e6 == pytest.approx(np.log(2), abs=0.1)
    assert told[-1]["micronats"] < 0.8 * told[0]["micronats"]
    assert told[-1]["gain_permille"] == 1000


def test_training_ahead_that_diverges_is_refused():
    bloc = Bloc(ahead="4")
    bloc.contribute(0)
    broken = {**bloc.model, "hidden_weight": np.full((2, 48), np.nan, np.float32)}
    with pytest.raises(Refused) as caught:
        bloc.recipe.train_ahead(broken, DATA[0], bloc.context(0, done=1, sent=None))
    assert caught.value.code == "not-finite"


def test_an_upload_may_show_every_figure_that_a_recipe_tells():
    assert FIGURES <= statements.FIGURES
