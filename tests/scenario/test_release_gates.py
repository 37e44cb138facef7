"""What stands between a model and its release: nobody is worse off than alone, and it does not know its rows by heart."""

import tempfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from serai.agent.journal import alone
from serai.aggregation.codec import decode, encode
from serai.analytics.comparison import own_models
from serai.analytics.membership import exposure_of
from serai.analytics.quality import measure
from serai.analytics.state import evaluations_of
from serai.analytics.statements import Evaluation
from serai.charter.agreements import Term
from serai.cli.card import write_card
from serai.errors import Refused
from serai.hub.statements import Release
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.recipes.registry import build
from serai.state import outcome_of
from serai.testing.faults import Crash, deadly
from serai.testing.federation import Federation, Terms
from serai.training.methods import Context
from serai.training.tensors import digest_model
from serai.zones.statements import GrantRevoke

MEMORY = Path("/dev/shm")
FEATURES = {"features": "3"}
NOBODY_WORSE = Term(name="no_member_worse", value=("auc", "20"), clause="1")
CAUTIOUS = Term(name="membership_advantage", value=100, clause="1")


def table(seed, weights=(1, -1, 0.5), count=160):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (count, 3))
    y = x @ np.array(weights) + generator.normal(0, 0.7, count) > 0
    return [[*map(float, values), float(label)] for values, label in zip(x, y, strict=True)]


def noise_table(seed, features=60, count=120):
    """Rows whose answers follow from nothing: whoever gets them right has learnt them by heart."""
    generator = np.random.default_rng(seed)
    return [[*map(float, generator.normal(size=features)), float(number % 2)] for number in range(count)]


ALIKE = {"bern": table(1), "lima": table(2), "oslo": table(3)}
# In oslo the signs are the other way round, and the others have ten times as many rows.
ODD = {"bern": table(1, count=800), "lima": table(2, count=800), "oslo": table(3, weights=(-1, 1, -0.5), count=160)}


@pytest.fixture
def make():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:

        def make_(tables):
            bloc = Federation(Path(home), tables)
            bloc.found()
            return bloc

        yield make_


def train(bloc, agreement, rounds=3, params=FEATURES, recipe="newton"):
    run = bloc.train(agreement, recipe, rounds, params)
    bloc.settle()
    return run, outcome_of(bloc.state, run, bloc.state.now).model


def release(bloc, run, model, member="bern"):
    evaluations = evaluations_of(bloc.state.analytics, run, model).values()
    body = Release(
        run=run,
        model=model,
        size_bytes=bloc.center_parts.blobs.size(model),
        format="safetensors",
        title="Ours",
        card=digest_of(b"# Ours"),
        license="MIT",
        evaluations=tuple(record.id for record in evaluations),
    )
    return bloc.say(member, body)


def card_of(bloc, run):
    header = {"title": "Ours", "text": "Words.", "format": "safetensors", "license": "MIT"}
    return write_card(bloc.state, outcome_of(bloc.state, run, bloc.state.now), header)


def set_zone(bloc, member, **changes):
    zone = bloc.members[member].zone
    bloc.deceive(member, lambda one: replace(one, settings=replace(one.settings, **changes)))
    return zone


def test_a_model_that_leaves_nobody_worse_off_is_released(make):
    bloc = make(ALIKE)
    run, model = train(bloc, bloc.agree(Terms(agreement=(NOBODY_WORSE,))))

    own = own_models(bloc.state.analytics, run, model)
    assert set(own) == set(ALIKE)
    for name, (record,) in own.items():
        data = bloc.members[name].zone.vault.load("rows")
        recipe = build("newton", FEATURES, {})
        by_hand = recipe.initial()
        for number in range(3):
            context = Context(round=number, seed=bytes(32), member=name)
            by_hand = recipe.combine(by_hand, recipe.contribute(by_hand, data, context), 1.0)
        counts = recipe.evaluate(by_hand, data)
        assert {key: record.body.counts[key] for key in counts} == counts
        # Its digest and counts are told; the model itself is nowhere but at home.
        assert bloc.members[name].zone.blobs.has(record.body.model)
        assert not bloc.center_parts.blobs.has(record.body.model)
    assert len({record.body.model for (record,) in own.values()}) == 3
    release(bloc, run, model)
    assert model in bloc.state.hub.by_model
    card = card_of(bloc, run)
    joint = {
        name: measure(record.body.counts) for name, record in evaluations_of(bloc.state.analytics, run, model).items()
    }
    for name in ALIKE:
        auc, alone_auc = joint[name]["auc"], measure(own[name][0].body.counts)["auc"]
        assert f"{float(auc.value):.3f} ({float(auc.interval.low):.3f} to {float(auc.interval.high):.3f})" in card
        assert f"{float(auc.value):.3f} / {float(alone_auc.value):.3f}" in card
    worst = min(joint, key=lambda name: joint[name]["auc"].value)
    assert f"Worst for {worst}, by AUC" in card
    assert "This is one attack on these rows and no bound" in card
    assert "Missing:" not in card


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "is_probability"), [({}, True), ({"loss": "squared_error", "label_low": "0", "label_high": "1"}, False)]
)
def test_trees_are_grown_alone_too_and_only_probabilities_are_counted_as_such(loss, is_probability, make):
    bloc = make(ALIKE)
    trees = {
        **FEATURES,
        "max_iter": "2",
        "max_depth": "1",
        "max_bins": "8",
        "edge_rounds": "1",
        "min_samples_leaf": "5",
    }
    tolerant = replace(NOBODY_WORSE, value=("accuracy", "300"))
    run, model = train(bloc, bloc.agree(Terms(agreement=(tolerant,))), 3, {**trees, "rows": "1000", **loss}, "boosting")

    own = own_models(bloc.state.analytics, run, model)
    assert set(own) == set(ALIKE)
    for record in evaluations_of(bloc.state.analytics, run, model).values():
        assert ({"u2", "bin0_n", "mia_u2"} <= record.body.counts.keys()) is is_probability
    for name, (record,) in own.items():
        recipe, by_hand = build("boosting", {**trees, "rows": "1000", **loss}, {}), None
        memory = {}
        for number in range(3):
            by_hand = recipe.initial() if by_hand is None else by_hand
            context = Context(round=number, seed=bytes(32), member=name, memory=memory)
            by_hand = recipe.combine(
                by_hand, recipe.contribute(by_hand, bloc.members[name].zone.vault.load("rows"), context), 1.0
            )
        assert record.body.model == digest_model(by_hand)
    release(bloc, run, model)


def test_a_model_by_which_one_member_loses_is_refused_and_the_refusal_names_it(make):
    bloc = make(ODD)
    run, model = train(bloc, bloc.agree(Terms(agreement=(NOBODY_WORSE,))))

    joint = evaluations_of(bloc.state.analytics, run, model)
    own = own_models(bloc.state.analytics, run, model)
    areas = {
        name: (measure(joint[name].body.counts)["auc"].value, measure(own[name][0].body.counts)["auc"].value)
        for name in ODD
    }
    assert areas["oslo"][0] < Fraction(1, 2)
    assert areas["oslo"][1] > Fraction(7, 10)
    assert all(areas[name][0] > areas[name][1] - 0.02 for name in ("bern", "lima"))
    with pytest.raises(Refused, match="oslo loses 0") as refused:
        release(bloc, run, model)
    assert refused.value.article == "hub 8"
    assert "clause 1" in refused.value.message
    assert model not in bloc.state.hub.by_model


def test_the_card_names_who_is_missing_and_says_where_nothing_was_measured(make):
    bloc = make({name: rows[:24] for name, rows in ALIKE.items()})
    set_zone(bloc, "oslo", policy=(Term(name="purpose", value=("teaching",), clause="house 1"),))
    run, model = train(bloc, bloc.agree())
    card = card_of(bloc, run)
    assert "Missing: oslo, declined (zone policy, clause house 1: purpose: allows teaching" in card
    assert "Not measured: the recipe gives no probabilities, the rows are too few" in card
    assert "alone" not in card
    assert card.count("| bern |") == 1
    assert f"- model: `{model}`" in card


def test_without_the_term_the_same_model_is_released_and_no_zone_trains_alone(make):
    bloc = make(ODD)
    run, model = train(bloc, bloc.agree())
    assert own_models(bloc.state.analytics, run, model) == {}
    release(bloc, run, model)
    assert model in bloc.state.hub.by_model


def test_where_one_zone_may_work_no_more_its_own_model_is_missing_and_nothing_is_released(make):
    bloc = make(ALIKE)
    cap = (Term(name="compute_cap_s", value=60, clause="house 1"),)
    set_zone(bloc, "lima", policy=cap)
    agreement = bloc.agree(Terms(agreement=(NOBODY_WORSE,)))
    run = bloc.train(agreement, "newton", 3, FEATURES)
    zone = bloc.members["lima"].zone
    for _ in range(200):
        bloc.step()
        # The last of its vectors is sent; from there on it has worked enough.
        this = [one for one in bloc.state.rounds.rounds.values() if one.body.number == 2 and "lima" in one.releases]
        if this and zone.journal.worked_ms(run) < 60_000:
            zone.journal.add_work(run, 60_000)
            break
    bloc.settle()

    model = outcome_of(bloc.state, run, bloc.state.now).model
    assert "lima" not in own_models(bloc.state.analytics, run, model)
    with pytest.raises(Refused, match="missing: lima"):
        release(bloc, run, model)


def test_a_zone_that_asks_by_itself_keeps_back_its_word_where_it_would_lose(make):
    bloc = make(ODD)
    set_zone(bloc, "oslo", policy=(NOBODY_WORSE,))
    run, model = train(bloc, bloc.agree())

    assert set(evaluations_of(bloc.state.analytics, run, model)) == {"bern", "lima"}
    waits = bloc.members["oslo"].runner._troubles[run]
    assert "oslo loses 0" in waits
    assert "zone policy, clause 1" in waits
    with pytest.raises(Refused, match="missing: oslo"):
        release(bloc, run, model)


def test_a_zone_that_asks_by_itself_speaks_where_it_gains(make):
    bloc = make(ALIKE)
    set_zone(bloc, "oslo", policy=(NOBODY_WORSE, replace(CAUTIOUS, value=500)))
    run, model = train(bloc, bloc.agree())
    assert set(evaluations_of(bloc.state.analytics, run, model)) == set(ALIKE)
    assert set(own_models(bloc.state.analytics, run, model)) == {"oslo"}
    release(bloc, run, model)


def test_a_model_that_knows_its_rows_by_heart_is_refused_where_the_agreement_minds(make):
    bloc = make({name: noise_table(seed) for seed, name in enumerate(ALIKE)})
    by_heart = {"features": "60", "ridge": "1e-3"}
    run, model = train(bloc, bloc.agree(Terms(agreement=(CAUTIOUS,))), 4, by_heart)

    exposures = [
        exposure_of(record.body.counts) for record in evaluations_of(bloc.state.analytics, run, model).values()
    ]
    assert all(exposure.advantage > Fraction(1, 10) for exposure in exposures)
    with pytest.raises(Refused, match=r"an attacker an advantage of 0\.100, a member measured 0") as refused:
        release(bloc, run, model)
    assert refused.value.article == "hub 8"


def test_a_model_that_learnt_what_all_rows_have_in_common_gives_no_member_away(make):
    bloc = make({name: table(seed, count=800) for seed, name in enumerate(ALIKE)})
    run, model = train(bloc, bloc.agree(Terms(agreement=(CAUTIOUS,))))
    for record in evaluations_of(bloc.state.analytics, run, model).values():
        exposure = exposure_of(record.body.counts)
        assert abs(exposure.advantage) < 0.1
        assert exposure.interval.low < 0 < exposure.interval.high
    release(bloc, run, model)


@pytest.mark.slow
def test_however_often_the_zone_is_killed_its_own_model_comes_out_the_same(make):
    bloc = make(ALIKE)
    deaths, agreement = Counter(), bloc.agree(Terms(agreement=(NOBODY_WORSE,)))
    bloc.deceive("oslo", lambda zone: deadly(zone, deaths))
    params = {**FEATURES, "lr": "0.1", "steps": "5", "batch": "16"}
    run = bloc.train(agreement, "local_sgd", 2, params)
    for _ in range(1_000):
        try:
            bloc.settle()
            break
        except Crash as crash:
            bloc.restart(crash.member)

    model = outcome_of(bloc.state, run, bloc.state.now).model
    ((record,),) = [records for name, records in own_models(bloc.state.analytics, run, model).items() if name == "oslo"]
    recipe, data = build("local_sgd", params, {}), bloc.members["oslo"].zone.vault.load("rows")
    codec, by_hand = bloc.state.runs.plans[run].plan.codec, recipe.initial()
    for number in range(2):
        seed = bytes.fromhex(digest_of(f"{run} oslo alone {number}".encode()))
        vector = recipe.contribute(by_hand, data, Context(round=number, seed=seed, member="oslo"))
        by_hand = recipe.combine(by_hand, decode(codec, encode(codec, vector)[0]), 1.0)
    assert record.body.model == digest_model(by_hand)
    assert any(mark.startswith("record_progress") and "alone" in mark for mark in deaths)


@pytest.mark.parametrize("terms", [(), (NOBODY_WORSE,)])
def test_a_grant_that_ends_when_all_is_said_holds_up_nothing(terms, make):
    bloc = make(ALIKE)
    run, _ = train(bloc, bloc.agree(Terms(agreement=terms)))
    (grant,) = [id_ for id_, found in bloc.state.zones.grants.items() if found.member == "oslo"]
    bloc.say("oslo", GrantRevoke(grant=grant), Role.STEWARD)
    bloc.restart("oslo")
    bloc.settle()
    runner = bloc.members["oslo"].runner
    assert not runner.has_trouble
    assert run in runner._over


def test_its_own_model_is_deleted_with_what_else_the_run_left(make):
    bloc = make(ALIKE)
    zone = set_zone(bloc, "oslo", retention_days=3)
    run, model = train(bloc, bloc.agree(Terms(agreement=(NOBODY_WORSE,))))
    (record,) = own_models(bloc.state.analytics, run, model)["oslo"]
    assert zone.blobs.has(record.body.model)
    assert zone.journal.progress(alone(run)) is not None
    bloc.pass_time(3 * 86_400_000)
    assert not zone.blobs.has(record.body.model)
    assert zone.journal.progress(alone(run)) is None


def test_a_member_may_not_compare_itself_on_other_rows(make):
    bloc = make(ALIKE)
    run, model = train(bloc, bloc.agree(Terms(agreement=(NOBODY_WORSE,))))
    before = own_models(bloc.state.analytics, run, model)
    counts = dict(before["lima"][0].body.counts)
    on_more = {"n": counts["n"] + 1, "correct": counts["n"] + 1}
    body = Evaluation(run=run, model=digest_of(b"other"), offer=before["lima"][0].body.offer, counts=on_more)
    bloc.say("lima", body, Role.ZONE)
    assert own_models(bloc.state.analytics, run, model) == before
    # A better one on the same rows counts, though: the best of a member's own is what the joint one has to match.
    perfect = {"n": counts["n"], "tp": counts["tp"] + counts["fn"], "tn": counts["tn"] + counts["fp"], "fp": 0, "fn": 0}
    perfect["u2"] = 2 * perfect["tp"] * perfect["tn"]
    bloc.say("lima", replace(body, model=digest_of(b"best"), counts=perfect), Role.ZONE)
    with pytest.raises(Refused, match="lima loses 0"):
        release(bloc, run, model)
