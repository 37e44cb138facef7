"""Statistics from end to end: planned, summed under masks by every member's zone, read by everybody alike."""

import numpy as np
import pytest

from serai.aggregation.state import final_model
from serai.analytics.results import read_result
from serai.charter.agreements import Term
from serai.state import Jobs
from serai.testing.federation import Federation, Terms
from serai.training.tensors import read_model
from serai.zones.state import charges_of

PATIENTS = {  # weeks of observation of each, and whether the patient died then
    "bern": [[3, 1], [5, 0], [8, 1], [8, 1], [13, 0], [2, 1]],
    "lima": [[1, 1], [5, 1], [9, 0], [20, 0], [4, 1]],
    "oslo": [[7, 1], [7, 0], [11, 1], [30, 0], [3, 1], [6, 1], [12, 1]],
}
SURVIVAL = {"time": "x0", "event": "label", "until": "24", "step": "1"}
EVERY = np.array([row for rows in PATIENTS.values() for row in rows], float)
LIMIT = Term(name="dp", value=("record", "2", "1e-5"), clause="5: one patient stays unknown")


@pytest.fixture
def bloc(tmp_path):
    made = Federation(tmp_path, PATIENTS)
    made.found()
    return made


def result_of(bloc, run):
    digest = final_model(bloc.state.rounds, Jobs(bloc.state, bloc.state.now)[run])
    assert digest is not None, "the run made no model"
    blobs = bloc.center_parts.blobs
    plan = bloc.state.runs.plans[run].plan
    return read_result(plan.recipe, plan.params, read_model(blobs.read_range(digest, 0, blobs.size(digest))))


def ask(bloc, agreement, recipe, params, rounds=1):
    run = bloc.train(agreement, recipe, rounds, params)
    bloc.settle()
    return run


def test_a_survival_curve_over_three_hospitals(bloc):
    result = result_of(bloc, ask(bloc, bloc.agree(), "kaplan_meier", SURVIVAL))
    ((members, rows, events, *_),) = result.frame("groups").rows
    assert (members, rows, events) == (3, 18, 12)
    share = 1.0
    for row in result.frame("survival").rows[1:]:
        time, at_risk, died, left, survival = row[:5]
        weeks, dead = EVERY.T
        assert at_risk == np.count_nonzero(weeks >= time)
        assert died == np.count_nonzero((weeks == time) & (dead == 1))
        assert left == np.count_nonzero((weeks == time) & (dead == 0))
        share *= 1 - died / at_risk
        assert survival == pytest.approx(share, rel=1e-12)
    assert result.curves[0].y[-1] == pytest.approx(share, rel=1e-12)


def test_columns_of_three_hospitals(bloc):
    result = result_of(bloc, ask(bloc, bloc.agree(), "describe", {"bounds": "x0=0:20,label=0:1", "bins": "4"}))
    weeks, dead = np.minimum(EVERY[:, 0], 20), EVERY[:, 1]
    (name, n, missing, outside, mean, _, variance, *_), other = result.frame("numbers").rows
    assert (name, n, missing, outside) == ("x0", 18, 0, 1)
    assert mean == pytest.approx(weeks.mean(), rel=1e-6)
    assert variance == pytest.approx(weeks.var(ddof=1), rel=1e-6)
    assert other[4] == pytest.approx(dead.mean(), rel=1e-6)
    assert [row[3] for row in result.frame("histograms").rows[:4]] == np.histogram(weeks, 4, (0, 20))[0].tolist()
    assert result.frame("pairs").rows[0][4] == pytest.approx(np.corrcoef(weeks, dead)[0, 1], rel=1e-6)


def test_a_regression_of_several_rounds_ends_where_the_pooled_one_does(bloc):
    params = {"outcome": "label", "bounds": "x0=0:30"}
    found = result_of(bloc, ask(bloc, bloc.agree(), "logistic", params, rounds=5)).frame("coefficients")
    x = np.stack([np.ones(18), EVERY[:, 0]], axis=1)
    p = 1 / (1 + np.exp(-x @ np.array(found.column("estimate"))))
    np.testing.assert_allclose(x.T @ (EVERY[:, 1] - p), 0, atol=1e-5)


def test_a_zone_without_the_column_declines_and_nothing_of_it_is_summed(bloc):
    run = ask(bloc, bloc.agree(), "describe", {"bounds": "height=0:250"})
    assert final_model(bloc.state.rounds, Jobs(bloc.state, bloc.state.now)[run]) is None
    assert not any(rounds.uploads for rounds in bloc.state.rounds.rounds.values() if rounds.body.run == run)


def test_noise_is_charged_to_each_dataset(bloc):
    pytest.importorskip("dp_accounting", reason="dp-accounting is an extra: pip install 'serai[privacy]'")
    agreement = bloc.agree(Terms(offer=(LIMIT,)))
    refused = ask(bloc, agreement, "kaplan_meier", SURVIVAL)
    assert final_model(bloc.state.rounds, Jobs(bloc.state, bloc.state.now)[refused]) is None
    run = ask(bloc, agreement, "kaplan_meier", {**SURVIVAL, "noise": "6", "delta": "1e-6"})
    assert "added noise" in " ".join(result_of(bloc, run).notes)
    for member in PATIENTS:
        (dataset,) = {offer.body.dataset for offer in bloc.state.zones.offers.values() if offer.member == member}
        (cost,) = charges_of(bloc.state.zones, member, dataset).values()
        assert 0 < cost.epsilon_millionths < 2_000_000
