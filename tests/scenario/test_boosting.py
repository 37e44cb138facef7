"""Trees over members who are masked, killed and lost: every round is one sum, and every tree is of the same members' rows."""

from collections import Counter

import pytest

from serai.recipes.registry import build
from serai.testing.faults import Crash, deadly
from serai.training.methods import Context
from serai.training.tensors import digest_model

PARAMS = {
    "features": "3",
    "max_iter": "2",
    "max_depth": "2",
    "max_bins": "8",
    "edge_rounds": "2",
    "min_samples_leaf": "5",
    "rows": "1000",
}
ROUNDS = 2 + 2 * 2
ROUND_MS = 60_000
SECOND_MS = 1_000


def simulated(story, *members_of_rounds, params=PARAMS):
    """The digest of the model that these members' vectors add up to, without zones, log or masks."""
    recipe = build("boosting", params, {})
    model = recipe.initial()
    for number, members in enumerate(members_of_rounds):
        vectors = (
            recipe.contribute(model, story.data(name), Context(round=number, seed=bytes(32), member=name))
            for name in members
        )
        model = recipe.combine(model, sum(vectors), len(members))
    return digest_model(model)


def test_a_run_of_masked_sums_makes_the_trees_of_all_rows(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "boosting", ROUNDS, PARAMS)
    story.bloc.settle()
    assert story.final(run) == simulated(story, *[sorted(story.bloc.members)] * ROUNDS)
    model = story.model(story.final(run))
    assert model["trees"].tolist() == [2]
    recipe = story.recipe(run)
    counts = [evaluation.body.counts for evaluation in story.bloc.state.analytics.evaluations.values()]
    assert len(counts) == 3
    assert sum(count["correct"] for count in counts) > 0.7 * sum(count["n"] for count in counts)
    assert recipe.rounds == ROUNDS


def test_a_member_killed_before_and_after_every_step_it_takes_changes_nothing(agreed):
    story, agreement = agreed
    bloc, deaths, few = story.bloc, Counter(), {**PARAMS, "edge_rounds": "1", "max_depth": "1"}
    bloc.deceive("lima", lambda zone: deadly(zone, deaths))
    run = bloc.train(agreement, "boosting", 3, few)
    for _ in range(1_000):
        try:
            bloc.settle()
            break
        except Crash as crash:
            bloc.restart(crash.member)
    assert sum(deaths.values()) > 2 * 3
    assert story.final(run) == simulated(story, *[sorted(bloc.members)] * 3, params=few)


@pytest.mark.parametrize(("lost_in", "trees"), [(3, 1), (4, 2)], ids=["within a tree", "at its root"])
def test_a_lost_member_costs_the_tree_in_hand_its_rounds_and_no_tree_its_truth(agreed, lost_in, trees):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "boosting", ROUNDS, PARAMS)
    story.step_until(lambda: story.round(run, lost_in))
    bloc.members["lima"].is_up = False
    while story.final(run) is None:
        bloc.tick(ROUND_MS + SECOND_MS)
        bloc.settle()
    took_part = [sorted(story.round(run, number).summed) for number in range(ROUNDS)]
    assert took_part == [["bern", "lima", "oslo"]] * lost_in + [["bern", "oslo"]] * (ROUNDS - lost_in)
    assert story.final(run) == simulated(story, *took_part)
    assert story.model(story.final(run))["trees"].tolist() == [trees]
