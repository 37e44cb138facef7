from fractions import Fraction

import pytest

from serai.analytics.comparison import gains_of, lacks_own, largest_advantage, own_models, worst_changes
from serai.analytics.state import AnalyticsState, apply
from serai.analytics.statements import Evaluation
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.zones.facts import Change

BERN, LIMA = MemberId("bern"), MemberId("lima")
RUN, JOINT = Digest("01" * 32), Digest("0d" * 32)
OFFERS = {BERN: Digest("b0" * 32), LIMA: Digest("c0" * 32)}


def counts(right, brier, n=100):
    return {"n": n, "correct": right, "brier_millionths": brier, "brier_squares_millionths": brier}


def state_of(*said):
    state = AnalyticsState()
    for number, (member, model, told) in enumerate(said):
        body = Evaluation(run=RUN, model=model, offer=OFFERS[member], counts=told)
        id_ = Digest(f"{number:02x}" * 32)
        state = apply(state, Said(id_, body, member, Role.ZONE, KeyId("00" * 32), id_), Instant(number, 1))
    return state


def own(number):
    return Digest(f"f{number}" * 32)


def test_the_member_for_whom_a_joint_model_compares_worst_is_named_for_each_metric():
    state = state_of(
        (BERN, JOINT, counts(80, 20_000_000)), (BERN, own(0), counts(70, 30_000_000)),
        (LIMA, JOINT, counts(60, 25_000_000)), (LIMA, own(1), counts(65, 24_000_000)),
    )  # fmt: skip
    assert worst_changes(state, RUN, JOINT, {BERN, LIMA}) == (
        Change("accuracy", LIMA, -50_000),
        Change("brier", LIMA, -10_000),
    )
    assert worst_changes(state, RUN, JOINT, {BERN}) == (
        Change("accuracy", BERN, 100_000),
        Change("brier", BERN, 100_000),
    )
    assert worst_changes(state, RUN, JOINT, ()) == ()


def test_the_best_of_a_members_own_models_is_what_the_joint_one_has_to_match():
    told = [counts(70, 30_000_000), counts(90, 31_000_000)]
    assert gains_of(counts(80, 30_000_000), told) == {"accuracy": Fraction(-1, 10), "brier": 0}
    assert gains_of(counts(80, 30_000_000), [*told, {"n": 100, "correct": 1}]) == {"accuracy": Fraction(-1, 10)}
    assert gains_of(counts(80, 30_000_000), []) == {}


def test_a_metric_that_one_member_does_not_tell_is_told_of_nobody():
    state = state_of(
        (BERN, JOINT, counts(80, 20_000_000)), (BERN, own(0), {"n": 100, "correct": 70}),
        (LIMA, JOINT, counts(60, 25_000_000)), (LIMA, own(1), counts(65, 24_000_000)),
    )  # fmt: skip
    assert [change.metric for change in worst_changes(state, RUN, JOINT, {BERN, LIMA})] == ["accuracy"]


def test_an_own_model_on_other_rows_or_without_the_joint_one_beside_it_is_no_comparison():
    state = state_of(
        (BERN, JOINT, counts(80, 20_000_000)), (BERN, own(0), counts(90, 1, n=99)), (LIMA, own(1), counts(65, 1)),
    )  # fmt: skip
    assert own_models(state, RUN, JOINT) == {}
    assert lacks_own(state, RUN, JOINT, {BERN, LIMA}) == (BERN, LIMA)
    assert worst_changes(state, RUN, JOINT, {BERN}) == ()


@pytest.mark.parametrize(("hits", "millionths"), [((10, 10), 0), ((20, 10), 100_000), ((11, 10), 10_000)])
def test_the_largest_advantage_of_any_member_counts_and_one_that_was_not_measured_is_unknown(hits, millionths):
    def told(tp):
        return {"n": 100, "mia_in": 100, "mia_out": 100, "mia_u2": 9, "mia_tp": tp, "mia_fp": 10, "mia_hits": 0}

    state = state_of((BERN, JOINT, told(hits[0])), (LIMA, JOINT, told(hits[1])))
    assert largest_advantage(state, RUN, JOINT, {BERN, LIMA}) == millionths
    assert largest_advantage(state_of((BERN, JOINT, told(5))), RUN, JOINT, {BERN, LIMA}) is None
    assert largest_advantage(state, RUN, JOINT, ()) is None
