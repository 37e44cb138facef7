"""One member poisons its vector; the others see it on their held-back rows and reject the round."""

from dataclasses import replace

import numpy as np
import pytest

from serai.aggregation.state import Stage, find_round, stage_of
from serai.analytics.state import evaluations_of
from serai.recipes.local_sgd import LocalSgd
from serai.reports.course import course_of
from serai.state import Jobs, outcome_of
from serai.testing.federation import Federation


def table(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (80, 2))
    return np.column_stack((x, x[:, 0] + 0.5 * x[:, 1] > 0)).tolist()


@pytest.fixture
def bloc(tmp_path):
    bloc = Federation(tmp_path, {name: table(seed) for seed, name in enumerate(("almaty", "bern", "cusco", "dakar"))})
    bloc.found()
    return bloc


def rounds_of(bloc, run):
    number = 0
    while (this := find_round(bloc.state.rounds, run, number)) is not None:
        yield this
        number += 1


def plan(bloc, **changes):
    params = {"features": "2", "steps": "20", "batch": "16", "lr": "0.1"}
    return replace(bloc.plan(bloc.agree(), "local_sgd", 3, params), **changes)


def poisoned(monkeypatch, member, rounds):
    """Make a member send the opposite of what it learnt, and far too much of it."""
    honest = LocalSgd.contribute

    def contribute(self, model, data, context):
        vector = honest(self, model, data, context)
        if context.member == member and context.round in rounds:
            vector = -40 * np.abs(vector)
        return vector

    monkeypatch.setattr(LocalSgd, "contribute", contribute)


def test_a_rejected_round_is_taken_again_from_the_model_before(bloc, monkeypatch):
    poisoned(monkeypatch, "dakar", {1})
    run = bloc.say("almaty", plan(bloc, guard_permille=500))
    bloc.settle()

    first, spoilt, again, last = rounds_of(bloc, run)
    assert [this.done for this in (first, spoilt, again, last)] == [0, 1, 1, 2]
    assert spoilt.is_rejected
    objecting = {member for member, result in spoilt.results.items() if result.objects}
    assert len(objecting) >= 3
    assert again.body.model == spoilt.body.model
    assert stage_of(Jobs(bloc.state, bloc.state.now)[run], last, bloc.state.now) is Stage.FINISHED
    outcome = outcome_of(bloc.state, run, bloc.state.now)
    assert outcome is not None
    evaluations = evaluations_of(bloc.state.analytics, run, outcome.model)
    assert all(said.body.counts["correct"] > 0.7 * said.body.counts["n"] for said in evaluations.values())
    assert not bloc.state.void
    (told,) = course_of(bloc.state, run).failed
    assert told.number == 1
    assert set(told.objectors) == objecting
    assert told.why == f"{', '.join(sorted(objecting))} object: on their held-back rows the sum spoilt the model"


def test_without_a_guard_the_same_sum_stays(bloc, monkeypatch):
    poisoned(monkeypatch, "dakar", {1})
    run = bloc.say("almaty", plan(bloc))
    bloc.settle()
    assert [this.done for this in rounds_of(bloc, run)] == [0, 1, 2]


def test_nobody_objects_where_no_metrics_may_leave(bloc, monkeypatch):
    poisoned(monkeypatch, "dakar", {1})
    run = bloc.say("almaty", plan(bloc, guard_permille=500, outputs=("model",)))
    bloc.settle()
    assert [this.done for this in rounds_of(bloc, run)] == [0, 1, 2]
    assert not any(result.objects for this in rounds_of(bloc, run) for result in this.results.values())


def test_a_guard_lets_an_honest_run_through(bloc):
    run = bloc.say("almaty", plan(bloc, guard_permille=500))
    bloc.settle()
    assert [this.done for this in rounds_of(bloc, run)] == [0, 1, 2]
    assert not any(result.objects for this in rounds_of(bloc, run) for result in this.results.values())


def test_an_upload_shows_figures_where_metrics_may_leave(bloc):
    run = bloc.say("almaty", plan(bloc))
    bloc.settle()
    for this in rounds_of(bloc, run):
        for upload in this.uploads.values():
            assert upload.body.figures["sent_bytes"] == upload.body.size_bytes
            assert upload.body.figures["train_ms"] >= 0


def test_no_figures_leave_where_the_plan_lets_out_no_metrics(bloc):
    run = bloc.say("almaty", plan(bloc, outputs=("model",)))
    bloc.settle()
    assert all(not upload.body.figures for this in rounds_of(bloc, run) for upload in this.uploads.values())
