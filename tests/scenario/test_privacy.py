"""A bloc that counts what its data give away: budgets reserved, charged in the log, and kept."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from serai.aggregation.codec import Block, Codec
from serai.aggregation.noise import SumNoise
from serai.charter.agreements import Term
from serai.errors import Refused
from serai.kernel.envelope import parse_envelope
from serai.kernel.keys import Role
from serai.testing.faults import Crash, deadly
from serai.testing.federation import Terms
from serai.training.statements import RunCancel
from serai.zones.facts import Unit
from serai.zones.state import charges_of

pytest.importorskip("dp_accounting", reason="dp-accounting is an extra: pip install 'serai[privacy]'")

PRIVATE = {"features": "3", "batch": "8", "steps": "5", "lr": "0.5", "clip": "1", "noise": "8", "delta": "1e-6"}
LONG = {"steps": "25"}  # two rounds of so many steps cost more than half of the limit
LIMIT = Term(name="dp", value=("record", "2", "1e-5"), clause="5: one patient stays unknown")
MEMBERS = ("bern", "lima", "oslo")


@pytest.fixture
def bounded(story):
    """The story, and an agreement whose offers set a privacy budget."""
    return story, story.bloc.agree(Terms(offer=(LIMIT,)))


def ledger(bloc, member):
    (dataset,) = {offer.body.dataset for offer in bloc.state.zones.offers.values() if offer.member == member}
    return dict(charges_of(bloc.state.zones, member, dataset))


def kinds(bloc):
    return [parse_envelope(entry).kind for entry in bloc.entries]


def train(bloc, agreement, rounds=2, **changed):
    run = bloc.train(agreement, "local_sgd", rounds, {**PRIVATE, **changed})
    bloc.settle()
    return run


def test_a_run_is_charged_to_each_dataset_before_anything_is_released(bounded):
    story, agreement = bounded
    run = train(story.bloc, agreement)
    assert story.final(run) is not None
    for member in MEMBERS:
        (cost,) = ledger(story.bloc, member).values()
        assert cost.unit is Unit.RECORD
        assert 0 < cost.epsilon_millionths < 2_000_000
        assert cost.delta_trillionths == 10**6
    order = [kind for kind in kinds(story.bloc) if kind in {"privacy.charge", "round.release"}]
    assert order.count("privacy.charge") == 3  # once for the run, not once a round
    assert order.count("round.release") == 6
    assert order[0] == "privacy.charge"


def test_runs_are_admitted_until_the_budget_is_spent_and_then_declined_by_the_clause(bounded):
    story, agreement = bounded
    runs = [train(story.bloc, agreement, **LONG) for _ in range(2)]
    answers = [bool(story.run(run).keys) for run in runs]
    assert answers[0]
    assert not answers[-1]
    refused = story.run(runs[-1])
    assert set(refused.declines) == set(MEMBERS)
    for reasons in refused.declines.values():
        (reason,) = reasons
        assert reason.article.endswith("clause 5: one patient stays unknown")
        assert "epsilon_millionths per record" in reason.text
    spent = sum(cost.epsilon_millionths for cost in ledger(story.bloc, "bern").values())
    assert spent <= 2_000_000


def test_a_run_without_noise_is_declined_and_so_are_exact_counts(bounded):
    story, agreement = bounded
    run = train(story.bloc, agreement, clip="0", noise="0")
    reasons = {reason.text for found in story.run(run).declines.values() for reason in found}
    assert any("only a run that adds noise" in text for text in reasons)
    plan = replace(story.bloc.plan(agreement, "local_sgd", 2, PRIVATE), outputs=("model", "metrics"))
    run = story.bloc.say("bern", plan)
    story.bloc.settle()
    assert all("without metrics" in found[0].text for found in story.run(run).declines.values())


def test_a_run_that_is_cancelled_before_its_first_release_costs_nothing(bounded):
    story, agreement = bounded
    bloc = story.bloc
    run = bloc.train(agreement, "local_sgd", 2, {**PRIVATE, **LONG})
    story.step_until(lambda: len(story.run(run).keys) == 3)
    assert bloc.members["bern"].zone.journal.budgets.others("another", dataset_of(bloc, "bern"))
    bloc.say("bern", RunCancel(plan=run, reason="a mistake"))
    bloc.settle()
    assert ledger(bloc, "bern") == {}
    assert story.run(train(bloc, agreement, **LONG)).keys


def test_a_run_that_is_cancelled_after_a_release_stays_charged(bounded):
    story, agreement = bounded
    bloc = story.bloc
    run = bloc.train(agreement, "local_sgd", 2, {**PRIVATE, **LONG})
    story.step_until(lambda: len(ledger(bloc, "bern")) == 1)
    bloc.say("bern", RunCancel(plan=run, reason="enough"))
    bloc.settle()
    assert "bern" in story.run(train(bloc, agreement, **LONG)).declines
    assert list(ledger(bloc, "bern")) == [run]


def test_failed_rounds_are_releases_too(bounded):
    """A round that fails after bern released is tried again: bern has then shown one noisy vector more than planned."""
    story, agreement = bounded
    bloc = story.bloc
    run = bloc.train(agreement, "local_sgd", 1, PRIVATE)
    story.step_until(lambda: story.round(run) and story.round(run).closed)
    bloc.members["oslo"].is_up = False
    bloc.settle()
    planned = ledger(bloc, "bern")[run]
    bloc.tick(200_000)
    bloc.settle()
    bloc.members["oslo"].is_up = True
    bloc.restart("oslo")
    bloc.settle()
    assert story.round(run).body.number > 0
    assert ledger(bloc, "bern")[run].epsilon_millionths > planned.epsilon_millionths
    assert ledger(bloc, "oslo")[run].epsilon_millionths == planned.epsilon_millionths


def test_the_log_keeps_the_ledger_of_a_zone_that_lost_its_own(bounded):
    story, agreement = bounded
    bloc = story.bloc
    train(bloc, agreement, **LONG)
    bloc.members["bern"].zone.journal.close()
    for path in (bloc.folder / "bern").glob("journal.sqlite*"):
        path.unlink()
    bloc.restart("bern")
    assert "bern" in story.run(train(bloc, agreement, **LONG)).declines


def test_an_agent_killed_while_it_works_sends_the_same_noisy_bytes(bounded):
    story, agreement = bounded
    bloc = story.bloc
    deaths = Counter()
    bloc.deceive("bern", lambda zone: deadly(zone, deaths))
    run = bloc.train(agreement, "local_sgd", 1, PRIVATE)
    for _ in range(1_000):
        try:
            bloc.settle()
            break
        except Crash as crash:
            bloc.restart(crash.member)
    assert story.final(run) is not None
    uploads = [kind for kind in kinds(bloc) if kind == "round.upload"]
    assert len(uploads) == 3
    assert len(ledger(bloc, "bern")) == 1
    assert any(mark.startswith("seed") for mark in deaths)


def test_the_noise_cannot_be_computed_from_the_log(bounded):
    """Two zones with the same rows, settings and public seed would send different vectors."""
    story, agreement = bounded
    run = train(story.bloc, agreement, 1)
    secrets = {bloc.zone.journal.secret(story.round(run).id, lambda: b"?" * 32) for bloc in story.bloc.members.values()}
    assert len(secrets) == 3
    assert b"?" * 32 not in secrets


# Noise on sums


def noisy_plan(bloc, agreement, noise, rounds=1):
    plan = bloc.plan(agreement, "moments", rounds, {"features": "3"})
    codec = Codec(
        bits=40,
        limit=2**30,
        blocks=(Block(length=1, step=Fraction(1)), Block(length=6, step=Fraction(1, 16))),
    )
    return replace(plan, codec=codec, minimum=3, noise=noise)


def test_sums_with_noise_hide_each_member_and_are_charged_as_such(story):
    term = replace(LIMIT, value=("member", "10", "1e-4"))
    agreement = story.bloc.agree(Terms(offer=(term,)))
    plan = story.bloc.plan(agreement, "probe", 1, {"size": "40"})
    step = Block(length=40, step=Fraction(1, 2**10))
    noise = SumNoise(norm=2**9, variance=Fraction(2**18), delta=Fraction(1, 10**5))
    plan = replace(plan, codec=Codec(bits=40, limit=2**30, blocks=(step,)), minimum=3)
    run = story.bloc.say("bern", replace(plan, noise=noise))
    story.bloc.settle()
    assert story.final(run) is not None
    for member in MEMBERS:
        (cost,) = ledger(story.bloc, member).values()
        assert cost.unit is Unit.MEMBER
        assert 3_000_000 < cost.epsilon_millionths < 6_000_000
    exact = story.bloc.say("bern", plan)
    story.bloc.settle()
    assert set(story.run(exact).declines) == set(MEMBERS)


def test_small_noise_leaves_statistics_nearly_right(story):
    agreement = story.bloc.agree()
    noise = SumNoise(norm=2**20, variance=Fraction(1))
    run = story.bloc.say("bern", noisy_plan(story.bloc, agreement, noise))
    story.bloc.settle()
    rows = story.pooled()
    assert float(story.model(story.final(run))["n"][0]) == pytest.approx(len(rows.x), abs=12)
    np.testing.assert_allclose(story.model(story.final(run))["mean"], rows.x.mean(axis=0), atol=0.15)
    assert ledger(story.bloc, "bern") == {}  # nobody asked for a budget, and nothing was counted


def test_a_plan_whose_noise_has_no_room_in_the_ring_is_void(story):
    agreement = story.bloc.agree()
    noise = SumNoise(norm=2**30, variance=Fraction(1))
    with pytest.raises(Refused, match="need a limit"):
        story.bloc.say("bern", noisy_plan(story.bloc, agreement, noise), Role.DELEGATE)


def dataset_of(bloc, member):
    return bloc.members[member].zone.vault.digest("rows")
