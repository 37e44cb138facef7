"""A model is scored where the data are: each member's part with its interval, who is missing, and nothing said without all."""

import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from serai.agent.sandbox import find_fence
from serai.agent.settings import Limits, SandboxSettings
from serai.analytics.metrics import pool
from serai.analytics.quality import measure
from serai.analytics.state import evaluations_of
from serai.charter.agreements import Term
from serai.cli.quality import totals_words
from serai.client.evaluating import EvaluationWish, complete, find_model
from serai.client.planning import Wish, make_plan, open_recipe
from serai.errors import Missing, Refused, Unverified
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.recipes.archive import pack
from serai.recipes.evaluation import read_totals
from serai.reports.evaluations import Presence, looks_at
from serai.state import outcome_of
from serai.testing.federation import IN_PROCESS, Federation, Terms
from serai.training.statements import Action
from serai.training.tensors import model_bytes, read_model
from serai.zones.statements import Approval

MEMBERS = ("bern", "lima", "oslo")
MEMORY = Path("/dev/shm")
SANDBOX = SandboxSettings(limits=Limits(memory_mb=1024, call_s=20, scratch_mb=8))
PREDICTOR = b"""
import numpy as np

class Recipe:
    '''Yes where the first feature is high; it knows neither sums nor rounds.'''

    name = "first_feature"

    def __init__(self, params, inputs):
        self.slope = float(params.get("slope", "1"))

    def scores(self, model, x):
        return 1 / (1 + np.exp(-self.slope * x[:, 0]))
"""


PREVALENCE = b"""
from fractions import Fraction
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    name, outputs, length = "prevalence", ("model", "metrics"), 2

    def __init__(self, params, inputs):
        pass

    def codec(self, members):
        return Codec(bits=48, limit=10**9, blocks=(Block(length=2, step=Fraction(1)),))

    def initial(self):
        return {"share": np.zeros(1)}

    def contribute(self, model, data, context):
        return np.array([len(data.y), np.count_nonzero(data.y)], float)

    def combine(self, model, total, members):
        return {"share": total[1:] / total[:1]}

    def evaluate(self, model, data):
        return {"n": len(data.test_y), "correct": int(np.count_nonzero(data.test_y == (model["share"] > 0.5)))}
"""


def table(seed, count=160):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (count, 3))
    y = x @ [1, -1, 0.5] + generator.normal(0, 1, count) > 0
    return [[*map(float, values), float(label)] for values, label in zip(x, y, strict=True)]


@pytest.fixture
def make():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        blocs = []

        def make_(sandbox=IN_PROCESS):
            tables = {name: table(seed) for seed, name in enumerate(MEMBERS)}
            blocs.append(Federation(Path(home), tables, sandbox=sandbox))
            blocs[-1].found()
            return blocs[-1]

        yield make_
        for bloc in blocs:
            for member in bloc.members.values():
                for active in member.runner._active.values():
                    active.prepared.close()


def session(bloc, sandbox=IN_PROCESS):
    settings = SimpleNamespace(sandbox=sandbox, home=bloc.folder)
    return SimpleNamespace(state=lambda: bloc.state, center=bloc.center, settings=settings)


def plan_of(bloc, wish, sandbox=IN_PROCESS):
    seat = session(bloc, sandbox)
    whole = complete(seat, wish)
    with open_recipe(seat, whole) as (recipe, code):
        plan = make_plan(bloc.state, replace(whole, purpose="research"), recipe, code)
    if whole.archive is not None:
        bloc.center.put_blob(code, whole.archive)
    return plan


def ask(bloc, wish, sandbox=IN_PROCESS):
    run = bloc.say("bern", plan_of(bloc, wish, sandbox))
    bloc.settle()
    return run


def trained(bloc, agreement):
    run = bloc.train(agreement, "newton", 3, {"features": "3"})
    bloc.settle()
    return outcome_of(bloc.state, run, bloc.state.now).model


def totals_of(bloc, look):
    blobs = bloc.center_parts.blobs
    return read_totals(read_model(blobs.read_range(look.totals, 0, blobs.size(look.totals))))


def test_a_candidate_is_scored_in_every_zone_and_the_sum_is_that_of_the_parts(make):
    bloc = make()
    agreement = bloc.agree()
    model = trained(bloc, agreement)
    run = ask(bloc, EvaluationWish(model=model, agreement=agreement))

    assert bloc.state.runs.plans[run].plan.action is Action.EVALUATE
    made, look = looks_at(bloc.state, model)
    assert (made.has_trained, look.has_trained, look.run) == (True, False, run)
    assert look.missing == ()
    for name, counts in look.counts.items():
        data = bloc.members[name].zone.vault.load("rows")
        assert counts["n"] == len(data.test_y)
        assert counts["tp"] + counts["fn"] == np.count_nonzero(data.test_y)
        found = measure(counts)["auc"]
        assert found.interval.low < found.value < found.interval.high
        # The one who trained it reported the same, and what it gives away besides.
        trained_counts = made.counts[name]
        assert {key: value for key, value in trained_counts.items() if not key.startswith("mia_")} == dict(counts)
        assert trained_counts["mia_in"] == len(data.y)
    totals = totals_of(bloc, look)
    pooled = pool(look.counts.values())
    assert look.pooled == pooled
    assert {key: totals[key] for key in pooled if not key.startswith("bin")} == {
        key: value for key, value in pooled.items() if not key.startswith("bin")
    }
    assert totals["u2"] == sum(counts["u2"] for counts in look.counts.values())
    assert sum(value for key, value in totals.items() if key.endswith("_yes")) == pooled["tp"] + pooled["fn"]
    # Looking at a model makes none: what the run came to cannot be released, and the models are the same as before.
    assert outcome_of(bloc.state, run, bloc.state.now).model != model
    assert find_model(bloc.state, model[:8]) == model


def test_a_member_that_declines_is_missing_with_its_reasons_and_nothing_is_said_of_all(make):
    bloc = make()
    agreement = bloc.agree()
    model = trained(bloc, agreement)
    narrow = bloc.agree(Terms(scope=("evaluate",)))
    # Oslo offers its data to this agreement for another purpose alone.
    offers = [
        grant.body.offer
        for grant in bloc.state.zones.grants.values()
        if grant.body.agreement == narrow and grant.member != "oslo"
    ]
    offers.append(bloc.grant("oslo", narrow, (Term(name="purpose", value=("teaching",), clause="offer 2"),)))
    bloc.settle()
    ask(bloc, EvaluationWish(model=model, agreement=narrow, offers=tuple(offers)))

    look = looks_at(bloc.state, model)[-1]
    parts = {part.member: part for part in look.parts}
    assert {name: part.presence for name, part in parts.items()} == {
        "bern": Presence.EVALUATED, "lima": Presence.EVALUATED, "oslo": Presence.DECLINED,
    }  # fmt: skip
    assert look.missing == ("oslo",)
    assert look.pooled is None
    assert any("clause offer 2" in reason.article for reason in parts["oslo"].reasons)


def test_where_no_member_may_show_its_own_counts_the_sum_alone_is_told(make):
    bloc = make()
    model = trained(bloc, bloc.agree())
    quiet = bloc.agree(Terms(agreement=(Term(name="outputs", value=("aggregate",), clause="1"),)))
    run = ask(bloc, EvaluationWish(model=model, agreement=quiet, shows_members=False))

    look = looks_at(bloc.state, model)[-1]
    assert {part.presence for part in look.parts} == {Presence.SUM_ONLY}
    assert look.pooled is None
    assert not evaluations_of(bloc.state.analytics, run, model)
    truth = np.concatenate([member.zone.vault.load("rows").test_y for member in bloc.members.values()])
    totals = totals_of(bloc, look)
    assert (totals["n"], totals["tp"] + totals["fn"]) == (len(truth), np.count_nonzero(truth))


def test_however_private_the_training_was_an_evaluation_is_exact_and_a_privacy_budget_forbids_it(make):
    bloc = make()
    model = trained(bloc, bloc.agree())
    bounded = bloc.agree(Terms(offer=(Term(name="dp", value=("record", "2", "1e-5"), clause="5"),)))
    noisy = {"features": "3", "batch": "8", "steps": "5", "clip": "1", "noise": "8"}
    wish = EvaluationWish(model=model, agreement=bounded, recipe="local_sgd", params=noisy, shows_members=False)
    run = ask(bloc, wish)
    declines = bloc.state.runs.plans[run].declines
    assert set(declines) == set(MEMBERS)
    for reasons in declines.values():
        assert "only a run that adds noise has one" in " ".join(reason.text for reason in reasons)


def test_an_agreement_that_permits_no_evaluation_permits_none(make):
    bloc = make()
    model = trained(bloc, bloc.agree())
    only_training = bloc.agree(Terms(scope=("train",)))
    with pytest.raises(Refused) as refused:
        ask(bloc, EvaluationWish(model=model, agreement=only_training))
    assert refused.value.article == "training 2"


def test_an_evaluation_that_would_train_is_no_evaluation(make):
    bloc = make()
    agreement = bloc.agree()
    plan = plan_of(bloc, EvaluationWish(model=trained(bloc, agreement), agreement=agreement))
    for bent, words in (
        (replace(plan, rounds=2), "one round"),
        (replace(plan, outputs=("model", "metrics")), "makes no model"),
        (replace(plan, inputs={}), "names the model"),
    ):
        with pytest.raises(Refused, match=words) as refused:
            bloc.say("bern", bent)
        assert refused.value.article == "training 10"


def test_a_model_that_somebody_brought_needs_a_program_to_be_named(make):
    bloc = make()
    agreement = bloc.agree()
    brought = model_bytes({"bias": np.zeros(1), "weight": np.array([1.0, 0.0, 0.0])})
    model = digest_of(brought)
    bloc.center.put_blob(model, brought)
    with pytest.raises(Missing, match="no run made model"):
        ask(bloc, EvaluationWish(model=model, agreement=agreement))
    ask(bloc, EvaluationWish(model=model, agreement=agreement, recipe="newton", params={"features": "3"}))

    (look,) = looks_at(bloc.state, model)
    for name, counts in look.counts.items():
        data = bloc.members[name].zone.vault.load("rows")
        assert counts["correct"] == np.count_nonzero((data.test_x[:, 0] > 0) == data.test_y)


def test_a_zone_of_few_rows_tells_no_part_that_is_smaller_than_the_cohort_agreed_on(make):
    bloc = make()
    agreement = bloc.agree(Terms(offer=(Term(name="min_cohort", value=25, clause="1"),)))
    model = trained(bloc, agreement)
    for counts in looks_at(bloc.state, model)[0].counts.values():
        assert [value for name, value in counts.items() if name.startswith("bin") and name.endswith("_n")] == [
            counts["n"]
        ]


def test_any_program_that_predicts_is_scored_in_the_sandbox_where_its_digest_is_permitted(make):
    fence = find_fence(Path("/nowhere"), SANDBOX.limits)
    if not fence.is_whole:
        pytest.skip(f"no whole sandbox here: {fence.lacking[0]}")
    bloc = make(SANDBOX)
    agreement, archive = bloc.agree(), pack({"recipe.py": PREDICTOR})
    for name in ("bern", "lima"):
        bloc.say(name, Approval(subject=digest_of(archive), comment="read"), Role.STEWARD)
    bloc.settle()
    model = digest_of(model_bytes({}))
    bloc.center.put_blob(model, model_bytes({}))
    wish = EvaluationWish(model=model, agreement=agreement, archive=archive, params={"slope": "2"})
    ask(bloc, wish, SANDBOX)

    (look,) = looks_at(bloc.state, model)
    assert look.recipe == "first_feature"
    assert look.missing == ("oslo",)
    assert set(look.counts) == {"bern", "lima"}
    for name, counts in look.counts.items():
        data = bloc.members[name].zone.vault.load("rows")
        assert counts["correct"] == np.count_nonzero((data.test_x[:, 0] > 0) == data.test_y)
        assert {"u2", "brier_millionths", "bin0_n"} <= counts.keys()
    assert totals_of(bloc, look)["n"] == sum(counts["n"] for counts in look.counts.values())


@pytest.mark.slow
def test_a_model_of_a_program_that_does_not_come_with_serai_is_evaluated_by_that_very_program(make):
    if not find_fence(Path("/nowhere"), SANDBOX.limits).is_whole:
        pytest.skip("no whole sandbox here")
    bloc, archive = make(SANDBOX), pack({"recipe.py": PREVALENCE})
    agreement = bloc.agree(Terms(agreement=(Term(name="code", value=(digest_of(archive),), clause="1"),)))
    seat = session(bloc, SANDBOX)
    wish = Wish(agreement=agreement, archive=archive, rounds=1, purpose="research")
    with open_recipe(seat, wish) as (recipe, code):
        run = bloc.say("bern", make_plan(bloc.state, wish, recipe, code))
    bloc.center.put_blob(code, archive)
    bloc.settle()
    model = outcome_of(bloc.state, run, bloc.state.now).model

    assert complete(seat, EvaluationWish(model=model, agreement=agreement)).archive == archive
    ask(bloc, EvaluationWish(model=model, agreement=agreement), SANDBOX)
    made, looked = looks_at(bloc.state, model)
    assert made.counts == looked.counts
    assert set(looked.counts) == set(MEMBERS)
    lying = SimpleNamespace(state=seat.state, center=SimpleNamespace(read_blob=lambda *_: archive + b"!"))
    with pytest.raises(Unverified, match="is not it"):
        complete(lying, EvaluationWish(model=model, agreement=agreement))


def test_a_member_that_came_too_late_for_the_sum_shows_its_own_counts_and_is_named_as_not_in_it(make):
    bloc = make()
    agreement = bloc.agree()
    model = trained(bloc, agreement)
    run = bloc.say("bern", plan_of(bloc, EvaluationWish(model=model, agreement=agreement)))
    for _ in range(200):
        bloc.step()
        if len(bloc.state.runs.plans[run].keys) == 3:
            break
    bloc.members["oslo"].is_up = False
    bloc.settle()
    bloc.pass_time(120_000)
    bloc.members["oslo"].is_up = True
    bloc.settle()

    look = looks_at(bloc.state, model)[-1]
    assert look.summed == {"bern", "lima"}
    assert set(look.counts) == set(MEMBERS)
    totals = totals_of(bloc, look)
    assert totals["n"] == look.counts["bern"]["n"] + look.counts["lima"]["n"]
    assert f"over 2 members, without oslo, {totals['n']} rows" in totals_words(totals, look)
