"""Evaluations: who may report them, which counts can be true, and what they add up to."""

from dataclasses import replace

import pytest
from immutables import Map

from serai.analytics.rules import MAX_COUNTS, find_contradiction, judge
from serai.analytics.state import AnalyticsState, apply, evaluations_of
from serai.analytics.statements import STATEMENTS, Evaluation
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.state import OfferRecord, ZonesState
from serai.zones.statements import Approval, Offer

BERN, CUSCO, ZUG = MemberId("bern"), MemberId("cusco"), MemberId("zug")
RUN, MODEL, OFFER, THEIRS = (Digest(part * 32) for part in ("01", "0d", "0f", "0e"))
AT = Instant(30, 1_000)
BODY = Evaluation(run=RUN, model=MODEL, offer=OFFER, counts={"n": 10, "tp": 4, "fp": 1, "tn": 3, "fn": 2})


def offer(id_, member):
    body = Offer(
        dataset=Digest("da" * 32), title="t", description="d", rows=10, columns=(), jurisdiction="CH", terms=()
    )
    return OfferRecord(id=id_, member=member, body=body, at=Instant(1, 1))


FULL = {"n": 4, **{f"label{number}": 1 for number in range(MAX_COUNTS - 1)}}
ZONES = ZonesState(offers=Map({OFFER: offer(OFFER, BERN), THEIRS: offer(THEIRS, CUSCO)}))


def participants_of(run):
    return frozenset({BERN, CUSCO}) if run == RUN else frozenset()


def said(member, body, id_="e1"):
    return Said(Digest(id_ * 32), body, member, Role.ZONE, KeyId("00" * 32), Digest("11" * 32))


def judged(member, body, analytics=None, zones=ZONES):
    return judge(participants_of, zones, analytics or AnalyticsState(), said(member, body), AT)


def test_a_participant_reports_what_it_measured_on_its_own_offer():
    assert judged(BERN, BODY) == GRANTED
    analytics = apply(AnalyticsState(), said(BERN, BODY), AT)
    record = evaluations_of(analytics, RUN, MODEL)[BERN]
    assert (record.id, record.body, record.at) == (Digest("e1" * 32), BODY, AT)
    assert analytics.evaluations[record.id] == record
    assert evaluations_of(analytics, RUN, OFFER) == {}


@pytest.mark.parametrize(
    ("member", "changes", "article"),
    [
        (ZUG, {}, "analytics 1"),
        (BERN, {"run": MODEL}, "analytics 1"),
        (BERN, {"offer": THEIRS}, "analytics 2"),
        (BERN, {"offer": RUN}, "analytics 2"),
        (BERN, {"counts": {"n": 0}}, "analytics 3"),
    ],
)
def test_others_runs_others_data_and_impossible_counts_are_refused(member, changes, article):
    verdict = judged(member, replace(BODY, **changes))
    assert isinstance(verdict, Denied)
    assert verdict.article == article


def test_an_offer_that_was_withdrawn_is_evaluated_on_no_longer():
    withdrawn = replace(ZONES, offers=ZONES.offers.set(OFFER, replace(offer(OFFER, BERN), withdrawn=AT)))
    assert judged(BERN, BODY, zones=withdrawn).article == "analytics 2"


def test_a_result_is_not_replaced_by_a_better_one():
    analytics = apply(AnalyticsState(), said(BERN, BODY), AT)
    better = replace(BODY, counts={"n": 10, "correct": 10})
    assert judged(BERN, better, analytics).article == "analytics 4"
    assert judged(BERN, replace(better, model=OFFER), analytics) == GRANTED
    assert judged(CUSCO, replace(better, offer=THEIRS), analytics) == GRANTED


def test_members_are_listed_in_order_whoever_reported_first():
    analytics = apply(AnalyticsState(), said(CUSCO, replace(BODY, offer=THEIRS), "e2"), AT)
    analytics = apply(analytics, said(BERN, BODY, "e1"), AT)
    assert list(evaluations_of(analytics, RUN, MODEL)) == [BERN, CUSCO]


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({}, "count n"),
        ({"n": -1}, "count n"),
        ({"n": 5, "errors": -1}, "errors is -1"),
        ({"n": 5, "correct": 6}, "at most n = 5"),
        ({"n": 5, "tp": 5}, "all of tp, fp, tn, fn or none, got tp"),
        ({"n": 5, "tp": 1, "fp": 1, "tn": 1, "fn": 1}, "= n = 5, got 4"),
        ({"n": 4, "correct": 3, "tp": 1, "fp": 1, "tn": 1, "fn": 1}, "tp + tn = 2, got 3"),
        ({"n": 4, "brier_millionths": 4 * 10**6 + 1, "brier_squares_millionths": 9}, "at most 1000000"),
        ({"n": 4, "u2": 3}, "beside u2"),
        ({"n": 4, "tp": 1, "fp": 1, "tn": 1, "fn": 1, "u2": 9}, "u2 of at most 8, got 9"),
        ({"n": 4, "bin0_n": 4, "bin0_yes": 1}, "each bin"),
        ({"n": 4, "mia_in": 4}, "all of mia_in"),
        ({"n": 4, **{f"label{number}": 1 for number in range(MAX_COUNTS)}}, "at most"),
    ],
)
def test_counts_that_cannot_all_be_true_are_told_apart(counts, says):
    assert says in find_contradiction(counts)


@pytest.mark.parametrize(
    "counts", [{"n": 1}, {"n": 5, "correct": 5}, BODY.counts, {**BODY.counts, "correct": 7}, {"n": 5, "sse": 0}, FULL]
)
def test_counts_that_can_be_true_are_let_through(counts):
    assert find_contradiction(counts) is None


def test_what_is_no_evaluation_changes_nothing_here():
    other = said(BERN, Approval(subject=RUN, comment=""))
    assert apply(AnalyticsState(), other, AT) == AnalyticsState()
    assert isinstance(judge(participants_of, ZONES, AnalyticsState(), other, AT), Denied)


def test_an_evaluation_survives_its_json_and_only_a_zone_says_it():
    assert from_json(Evaluation, to_json(BODY)) == BODY
    assert [body.KIND for body in STATEMENTS] == [Evaluation.KIND]
    assert sorted(Evaluation.ROLES) == sorted({Role.ZONE})
