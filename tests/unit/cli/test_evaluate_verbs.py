import json

import numpy as np
import pytest

from serai.charter.agreements import Term
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.state import outcome_of
from serai.testing.federation import Terms
from serai.training.tensors import model_bytes
from serai.zones.statements import GrantRevoke

PURPOSE = Terms(agreement=(Term(name="purpose", value=("research",), clause="1"),))


def train(desk, agreement, rounds=1):
    run = desk.json(
        "bern", "run", "--agreement", agreement, "--recipe", "newton", "--rounds", rounds, "--param", "features=1"
    )
    desk.bloc.settle()
    return run["run"], outcome_of(desk.state, run["run"], desk.state.now).model


def test_a_model_is_evaluated_and_shown_with_each_members_part(desk):
    agreement = desk.bloc.agree(PURPOSE)
    _, model = train(desk, agreement)
    said = desk.told("bern", "evaluate", model[:12], "--agreement", agreement[:12])
    assert "3 members asked to evaluate model" in said
    desk.bloc.settle()

    told = desk.told("lima", "evaluations", model[:12], "--bins")
    assert told.count("Run ") == 2
    assert told.count("together") == 2
    assert "Summed under masks over 3 members, 6 rows: accuracy" in told
    trained, looked = desk.json("lima", "evaluations", model)
    assert [trained["trained"], looked["trained"]] == [True, False]
    assert looked["missing"] == []
    assert looked["in_the_sum"] == ["bern", "lima", "oslo"]
    assert looked["together"]["counts"]["n"] == looked["sum"]["counts"]["n"] == 6
    for part in looked["members"]:
        metric = part["metrics"]["accuracy"]
        assert metric["low"] <= metric["value"] == part["counts"]["correct"] / part["counts"]["n"] <= metric["high"]
    entry = desk.state.runs.plans[looked["run"]].at.index
    assert "asks 3 members to evaluate model" in desk.told("oslo", "explain", f"#{entry}")


def test_who_is_missing_is_named_and_nothing_is_said_of_all_together(desk):
    agreement = desk.bloc.agree(PURPOSE)
    _, model = train(desk, agreement)
    offers = {grant.member: grant for grant in desk.state.zones.grants.values()}
    asked = [part for grant in offers.values() for part in ("--offer", grant.body.offer)]
    run = desk.json("bern", "evaluate", model, "--agreement", agreement, *asked)["run"]
    desk.bloc.say("oslo", GrantRevoke(grant=offers["oslo"].id), Role.STEWARD)
    desk.bloc.settle()

    told = desk.told("bern", "evaluations", model)
    assert "a mean would hide who is missing: oslo." in told
    assert "oslo declined: guard 10" in told
    looked = desk.json("bern", "evaluations", model)[-1]
    assert (looked["run"], looked["missing"], looked["together"]) == (run, ["oslo"], None)


def test_the_sum_alone_is_told_where_that_was_asked(desk):
    agreement = desk.bloc.agree(PURPOSE)
    _, model = train(desk, agreement)
    desk.told("bern", "evaluate", model, "--agreement", agreement, "--sum-only", "--title", "quietly")
    desk.bloc.settle()
    looked = desk.json("bern", "evaluations", model)[-1]
    assert (looked["title"], looked["sum"]["counts"]["n"]) == ("quietly", 6)
    assert desk.told("bern", "evaluations", model).count("who is missing") == 0
    facts = [json.loads(line) for line in desk.told("bern", "watch", looked["run"], "--once", "--json").splitlines()]
    assert not [fact for fact in facts if fact["fact"] == "evaluation"]
    assert {part["part"] for part in looked["members"]} == {"in the sum only"}


def test_a_leaderboard_has_a_mean_for_the_model_that_all_members_answered_about_and_none_for_the_other(desk):
    agreement = desk.bloc.agree(PURPOSE)
    _, good = train(desk, agreement)
    _, other = train(desk, agreement, rounds=2)
    grants = {grant.member: grant for grant in desk.state.zones.grants.values()}
    two = [part for name in ("bern", "lima") for part in ("--offer", grants[name].body.offer)]
    brought = {"bias": np.zeros(1), "weight": np.ones(1)}
    desk.bloc.center.put_blob(digest_of(model_bytes(brought)), model_bytes(brought))
    newton = ("--recipe", "newton", "--param", "features=1")
    desk.told("bern", "evaluate", digest_of(model_bytes(brought)), "--agreement", agreement, *newton, *two)
    desk.bloc.settle()

    table = desk.told("lima", "leaderboard", "--metric", "accuracy")
    assert "not asked" in table
    board = {row["model"]: row for row in desk.json("lima", "leaderboard", "--metric", "accuracy")}
    assert set(board) == {good, other, digest_of(model_bytes(brought))}
    for row in board.values():
        assert row["rank"] is not None
        assert row["mean"] == pytest.approx(np.mean([part["value"] for part in row["members"].values()]))
        assert row["members"][row["worst"]]["value"] == min(part["value"] for part in row["members"].values())
    # Asked again, oslo too, which lets its data be used for teaching alone: its part is missing, and with it mean and rank.
    desk.bloc.say("oslo", GrantRevoke(grant=grants["oslo"].id), Role.STEWARD)
    desk.bloc.grant("oslo", agreement, (Term(name="purpose", value=("teaching",), clause="offer 2"),))
    offer = next(id_ for id_, found in desk.state.zones.offers.items() if found.body.terms)
    again = [*two, "--offer", offer]
    desk.told("bern", "evaluate", digest_of(model_bytes(brought)), "--agreement", agreement, *newton, *again)
    desk.bloc.settle()
    board = {
        row["model"]: row for row in desk.json("lima", "leaderboard", "--metric", "accuracy", "--purpose", "research")
    }
    row = board[digest_of(model_bytes(brought))]
    assert (row["missing"], row["mean"], row["rank"]) == (["oslo"], None, None)
    assert "none: oslo missing" in desk.told("lima", "leaderboard", "--metric", "accuracy")
    assert desk.json("lima", "leaderboard", "--purpose", "teaching") == []


def test_what_cannot_be_asked_is_refused_in_a_sentence(desk, tmp_path):
    agreement = desk.bloc.agree(PURPOSE)
    _, model = train(desk, agreement)
    both = ("--recipe", "newton", "--recipe-folder", tmp_path)
    assert "either --recipe or" in desk.refused("bern", "evaluate", model, "--agreement", agreement, *both)
    assert "no run made model" in desk.refused("bern", "evaluate", "ab" * 32, "--agreement", agreement)
    assert "no run evaluated model" in desk.refused("bern", "evaluations", "ab" * 32)
    assert "no model has an id" in desk.refused("bern", "evaluations", "feed")
