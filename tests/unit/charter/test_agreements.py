"""An agreement's life is computed: drafted, adopted, signed, in force, and its several ends."""

import pytest

from serai.charter.agreements import Clause, Life, Term
from serai.charter.decision import Result
from serai.charter.state import next_deadline_ms, obliged_by
from serai.charter.statements import (
    AgreementChange,
    AgreementSign,
    AgreementWithdraw,
    MemberWithdraw,
    ProposalOpen,
    ProposalWithdraw,
    StandingChange,
)


def change(center, agreement, action):
    body = AgreementChange(agreement=agreement, action=action)
    center.decide(center.open("agreement", status=body))


def test_from_draft_to_in_force(center, make_text):
    agreement = center.open("agreement", agreement=make_text(effective_ms=1_500))
    assert center.life(agreement) is Life.DRAFT
    assert "it is draft" in center.refuse("a", AgreementSign(agreement=agreement)).reason
    center.decide(agreement)
    assert center.life(agreement) is Life.OPEN_FOR_SIGNATURE
    center.do("a", AgreementSign(agreement=agreement))
    assert center.life(agreement) is Life.OPEN_FOR_SIGNATURE
    center.do("b", AgreementSign(agreement=agreement))
    assert center.life(agreement) is Life.ADOPTED
    assert next_deadline_ms(center.state, center.at) == 1_500
    center.wait(399)
    assert center.life(agreement) is Life.ADOPTED
    center.wait(1)
    assert center.life(agreement) is Life.IN_FORCE
    assert center.parties(agreement) == {"a", "b"}


def test_it_binds_only_those_who_signed_and_others_may_join_later(center):
    agreement = center.agreement("a", "b")
    assert center.life(agreement) is Life.IN_FORCE
    assert "c" not in center.parties(agreement)
    center.wait(500)
    center.do("c", AgreementSign(agreement=agreement))
    assert center.parties(agreement) == {"a", "b", "c"}
    assert "signed it already" in center.refuse("c", AgreementSign(agreement=agreement)).reason


def test_a_yes_in_the_decision_is_no_signature(center):
    agreement = center.agreement()
    assert center.life(agreement) is Life.OPEN_FOR_SIGNATURE
    assert center.parties(agreement) == frozenset()


@pytest.mark.parametrize("end", ["vote", "withdrawal"])
def test_a_draft_that_fails_is_rejected_for_ever(center, make_text, end):
    agreement = center.open("agreement", agreement=make_text())
    if end == "vote":
        assert center.decide(agreement, "no").result is Result.REJECTED
    else:
        center.do("a", ProposalWithdraw(proposal=agreement))
    assert center.life(agreement) is Life.REJECTED
    denied = center.refuse("a", AgreementSign(agreement=agreement))
    assert denied.article == f"agreement {agreement[:12]}"


def test_only_the_invited_sign(center):
    agreement = center.agreement("a", "b", invited=("a", "b"))
    assert "invites a, b, not c" in center.refuse("c", AgreementSign(agreement=agreement)).reason


def test_withdrawal_stops_data_at_once_and_duties_after_the_notice(center):
    agreement = center.agreement("a", "b", "c")
    center.do("c", AgreementWithdraw(agreement=agreement, reason="new law"))
    assert center.parties(agreement) == {"a", "b"}
    assert obliged_by(center.state, agreement, center.at) == {"a", "b", "c"}
    center.wait(50)
    assert obliged_by(center.state, agreement, center.at) == {"a", "b"}
    assert "not party" in center.refuse("c", AgreementWithdraw(agreement=agreement)).reason


def test_a_member_that_left_an_agreement_may_return(center):
    agreement = center.agreement("a", "b", "c")
    center.do("c", AgreementWithdraw(agreement=agreement))
    center.do("c", AgreementSign(agreement=agreement))
    assert center.parties(agreement) == {"a", "b", "c"}
    center.wait(50)
    assert obliged_by(center.state, agreement, center.at) == {"a", "b", "c"}


def test_leaving_the_center_leaves_every_agreement(center):
    agreement = center.agreement("a", "b", "c")
    center.do("c", MemberWithdraw())
    assert center.parties(agreement) == {"a", "b"}
    assert "c" in obliged_by(center.state, agreement, center.at)
    center.wait(50)
    assert "c" not in obliged_by(center.state, agreement, center.at)


def test_it_stays_in_force_when_parties_fall_below_the_number_that_ratified(center):
    agreement = center.agreement("a", "b")
    center.do("b", AgreementWithdraw(agreement=agreement))
    assert center.life(agreement) is Life.IN_FORCE
    center.do("a", AgreementWithdraw(agreement=agreement))
    assert center.life(agreement) is Life.TERMINATED


@pytest.mark.parametrize("how", ["agreement", "center", "suspension"])
def test_it_does_not_enter_into_force_when_a_ratifier_is_gone_before_its_date(center, how):
    agreement = center.agreement("a", "b", effective_ms=2_000)
    assert center.life(agreement) is Life.ADOPTED
    if how == "agreement":
        center.do("b", AgreementWithdraw(agreement=agreement))
    elif how == "center":
        center.do("b", MemberWithdraw())
    else:
        body = StandingChange(member="b", action="suspend")
        center.decide(center.open("standing", concerned=("b",), standing=body), members=("a", "c", "d"))
    assert center.life(agreement) is Life.OPEN_FOR_SIGNATURE
    center.wait(2_000)
    assert center.life(agreement) is Life.OPEN_FOR_SIGNATURE
    center.do("c", AgreementSign(agreement=agreement))
    assert center.life(agreement) is Life.IN_FORCE


def test_it_expires_on_its_day(center):
    agreement = center.agreement("a", "b", expires_ms=3_000)
    assert next_deadline_ms(center.state, center.at) == 3_000
    center.wait(1_899)
    assert center.life(agreement) is Life.IN_FORCE
    center.wait(1)
    assert center.life(agreement) is Life.EXPIRED
    assert "it is expired" in center.refuse("c", AgreementSign(agreement=agreement)).reason
    assert next_deadline_ms(center.state, center.at) is None


def test_a_decision_suspends_resumes_and_terminates_it(center):
    agreement = center.agreement("a", "b")
    change(center, agreement, "suspend")
    assert center.life(agreement) is Life.SUSPENDED
    change(center, agreement, "resume")
    assert center.life(agreement) is Life.IN_FORCE
    change(center, agreement, "terminate")
    assert center.life(agreement) is Life.TERMINATED


@pytest.mark.parametrize("action", ["resume", "suspend", "terminate"])
def test_a_change_that_does_not_fit_its_life_is_refused(center, make_text, action):
    draft = center.open("agreement", agreement=make_text())
    for agreement in (draft, "0" * 64):
        body = AgreementChange(agreement=agreement, action=action)
        denied = center.refuse("a", ProposalOpen(topic="agreement", title="T", text="t", status=body))
        assert f"cannot {action}" in denied.reason


def test_an_amended_text_takes_its_place_once_it_is_in_force_itself(center, make_text):
    old = center.agreement("a", "b")
    new = center.open("agreement", agreement=make_text(title="Second text"), amends=old)
    center.decide(new)
    center.do("a", AgreementSign(agreement=new))
    assert center.life(old) is Life.IN_FORCE
    center.do("c", AgreementSign(agreement=new))
    assert (center.life(old), center.life(new)) == (Life.AMENDED, Life.IN_FORCE)
    assert center.parties(new) == {"a", "c"}
    change(center, new, "terminate")
    assert center.life(old) is Life.AMENDED
    assert "it is amended" in center.refuse("d", AgreementSign(agreement=old)).reason


def test_only_an_adopted_agreement_is_amended(center, make_text):
    draft = center.open("agreement", agreement=make_text())
    proposal = ProposalOpen(topic="agreement", title="T", text="t", agreement=make_text(), amends=draft)
    assert "only an adopted one" in center.refuse("a", proposal).reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"invited": ("a", "z")}, "z, which is no member"),
        ({"expires_ms": 900}, "expired before"),
    ],
)
def test_a_text_that_nobody_could_keep_is_refused(center, make_text, fields, reason):
    proposal = ProposalOpen(topic="agreement", title="T", text="t", agreement=make_text(**fields))
    assert reason in center.refuse("a", proposal).reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"scope": ("spy",)}, "scope"),
        ({"terms": (Term(name="min_cohort", value=10, clause="9"),)}, "clause '9'"),
        ({"clauses": (Clause(id="1", text="x"), Clause(id="1", text="y"))}, "appears twice"),
        ({"ratifications": 3, "invited": ("a", "a", "b")}, "only 2 are invited"),
        ({"ratifications": -1}, ">= 0"),
        ({"effective_ms": 10, "expires_ms": 10}, "expire after"),
    ],
)
def test_a_text_that_contradicts_itself_cannot_be_written(make_text, fields, reason):
    with pytest.raises(ValueError, match=reason):
        make_text(**fields)
