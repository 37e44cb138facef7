"""The gate of a release: permission, the agreed model, its terms, and everybody's evaluation."""

from dataclasses import replace

import pytest

from serai.charter.agreements import Clause, Term
from serai.charter.members import Standing
from serai.hub.rules import judge, missing_evaluations
from serai.hub.state import HubState, apply, find_release
from serai.hub.statements import STATEMENTS, Release
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.statements import Approval

AT = Instant(50, 2_000)
OTHER = Digest("ff" * 32)


def said(body, member="almaty"):
    return Said(Digest("5e" * 32), body, MemberId(member), Role.DELEGATE, KeyId("00" * 32), Digest("11" * 32))


def denied(verdict, article, says):
    assert isinstance(verdict, Denied), verdict
    assert (verdict.article, says in verdict.reason) == (article, True), verdict


def test_a_model_that_all_agreed_on_and_evaluated_is_released(evidence, body):
    assert judge(evidence, HubState(), said(body), AT) == GRANTED
    assert judge(evidence, HubState(), said(replace(body, size_bytes=1)), AT) == GRANTED
    hub = apply(HubState(), said(body), AT)
    record = find_release(hub, body.model)
    assert (record.id, record.member, record.body, record.at) == (Digest("5e" * 32), "almaty", body, AT)
    assert find_release(hub, OTHER) is None


def test_a_model_is_released_once(evidence, body):
    hub = apply(HubState(), said(body), AT)
    denied(judge(evidence, hub, said(replace(body, title="Heart 2"), "bern"), AT), "hub 7", "was released as 5e5e")


def test_the_agreement_must_be_in_force_and_permit_release(evidence, body, make):
    train_only = replace(evidence, charter=make.charter(make.agreement(scope=("train",))))
    denied(judge(train_only, HubState(), said(body), AT), "hub 1", "permits train, not release")
    expired = replace(evidence, charter=make.charter(make.agreement(expires_ms=2_000)))
    denied(judge(expired, HubState(), said(body), AT), "hub 1", "is expired")
    assert judge(expired, HubState(), said(body), Instant(50, 1_999)) == GRANTED
    unknown = replace(evidence, run=replace(evidence.run, agreement=OTHER))
    denied(judge(unknown, HubState(), said(body), AT), "hub 1", "is unknown")


def test_only_a_party_in_good_standing_releases(evidence, body, make):
    denied(judge(evidence, HubState(), said(body, "delhi"), AT), "hub 2", "delhi is not a party")
    suspended = replace(evidence, charter=make.charter(make.agreement(), almaty=Standing.SUSPENDED))
    denied(judge(suspended, HubState(), said(body), AT), "hub 2", "almaty")


def test_the_model_is_the_one_the_finished_run_agreed_on(evidence, body):
    running = replace(evidence, run=replace(evidence.run, model=None))
    denied(judge(running, HubState(), said(body), AT), "hub 3", "has not finished")
    denied(judge(evidence, HubState(), said(replace(body, model=OTHER)), AT), "hub 3", "agreed on model 0d0d")
    denied(judge(replace(evidence, run=None), HubState(), said(body), AT), "hub 3", "no run")
    statistics = replace(evidence, run=replace(evidence.run, outputs=("aggregate",)))
    denied(judge(statistics, HubState(), said(body), AT), "hub 3", "declared aggregate as output, no model")
    silent = replace(evidence, run=replace(evidence.run, outputs=()))
    denied(judge(silent, HubState(), said(body), AT), "hub 3", "declared nothing as output")


def test_terms_of_the_agreement_hold_for_the_model_too(evidence, body, make):
    clauses = (Clause(id="1", text="Only sums leave."),)
    sums_only = make.agreement(clauses=clauses, terms=(Term(name="outputs", value=("aggregate",), clause="1"),))
    verdict = judge(replace(evidence, charter=make.charter(sums_only)), HubState(), said(body), AT)
    denied(verdict, "hub 4", "agreement a9a9a9a9a9a9, clause 1")
    fewer = replace(evidence, run=replace(evidence.run, minimum=2))
    denied(judge(fewer, HubState(), said(body), AT), "hub 4", "needs sums of at least 3 members")


def test_parties_approve_the_model_where_the_agreement_asks_for_it_and_an_embargo_holds(evidence, body, make):
    clauses = (Clause(id="1", text="Two look at it first."),)
    terms = (
        Term(name="release_approvals", value=2, clause="1"),
        Term(name="embargo_until_ms", value=2_000, clause="1"),
    )
    asked = replace(evidence, charter=make.charter(make.agreement(clauses=clauses, terms=terms)))
    one = replace(asked, approvals=frozenset({MemberId("almaty"), MemberId("delhi")}))  # delhi is no party
    two = replace(asked, approvals=frozenset({MemberId("almaty"), MemberId("bern")}))
    denied(judge(one, HubState(), said(body), AT), "hub 4", "needs 2 members that approve the model, 1 did")
    assert judge(two, HubState(), said(body), AT) == GRANTED
    denied(judge(two, HubState(), said(body), Instant(50, 1_999)), "hub 4", "nothing before 2000 ms")


def test_every_participant_has_evaluated_the_model_before_its_release(evidence, body, make):
    two = replace(evidence, analytics=make.evaluations([MemberId("almaty"), MemberId("bern")]))
    denied(judge(two, HubState(), said(body), AT), "hub 5", "missing: cusco")
    assert missing_evaluations(two.analytics, two.run) == ("cusco",)
    assert missing_evaluations(evidence.analytics, evidence.run) == ()
    assert missing_evaluations(evidence.analytics, replace(evidence.run, model=None)) == ("almaty", "bern", "cusco")


def test_a_release_may_not_leave_out_a_bad_result_or_cite_a_stranger(evidence, body):
    short = replace(body, evaluations=body.evaluations[:2])
    denied(judge(evidence, HubState(), said(short), AT), "hub 5", "leaves out the evaluations of cusco")
    more = replace(body, evaluations=(*body.evaluations, OTHER))
    denied(judge(evidence, HubState(), said(more), AT), "hub 5", "no participant's evaluation")
    twice = replace(body, evaluations=(*body.evaluations, body.evaluations[0]))
    denied(judge(evidence, HubState(), said(twice), AT), "hub 5", "once")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": ""}, "needs a title"),
        ({"license": ""}, "needs a license"),
        ({"format": ""}, "needs a format"),
        ({"format": "../../etc/passwd"}, "a-z 0-9"),
        ({"size_bytes": 0}, "at least one byte"),
    ],
)
def test_a_release_without_its_papers_is_refused(evidence, body, changes, says):
    denied(judge(evidence, HubState(), said(replace(body, **changes)), AT), "hub 6", says)


def test_what_is_no_release_changes_nothing_here(evidence):
    other = said(Approval(subject=OTHER, comment=""))
    assert apply(HubState(), other, AT) == HubState()
    assert isinstance(judge(evidence, HubState(), other, AT), Denied)


def test_a_release_survives_its_json_and_only_a_delegate_says_it(body):
    assert from_json(Release, to_json(body)) == body
    assert [body.KIND for body in STATEMENTS] == [Release.KIND]
    assert sorted(Release.ROLES) == sorted({Role.DELEGATE})
