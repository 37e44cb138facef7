"""Members come, are suspended, come back and leave; and what each of it does to their voice."""

import pytest

from serai.charter.agreements import Life
from serai.charter.articles import HALF, Base, Criterion
from serai.charter.decision import Choice, Result
from serai.charter.members import Standing
from serai.charter.state import (
    holder_of,
    in_good_standing,
    members_in_good_standing,
    standing_of,
    tally_of,
    witness_faults,
    witness_keys,
)
from serai.charter.statements import (
    AgreementChange,
    AgreementSign,
    AgreementWithdraw,
    Ballot,
    MemberAccede,
    MemberWithdraw,
    ProposalOpen,
    StandingChange,
)
from serai.kernel.keys import Role, key_id


def change(center, member, action, voters=("a", "b", "c", "d")):
    body = StandingChange(member=member, action=action)
    proposal = center.open("standing", concerned=(member,), standing=body)
    center.decide(proposal, members=voters)
    return proposal


def standing(center, member):
    return standing_of(center.state, member, center.at)


def test_a_suspended_member_has_no_voice_until_it_is_reinstated(center):
    change(center, "e", "suspend")
    assert standing(center, "e") is Standing.SUSPENDED
    assert not in_good_standing(center.state, "e", center.at)
    proposal = center.open()
    assert "e is suspended" in center.refuse("e", Ballot(proposal=proposal, choice=Choice.YES)).reason
    assert "e is suspended" in center.refuse("e", ProposalOpen(topic="project", title="T", text="t")).reason
    change(center, "e", "reinstate")
    assert standing(center, "e") is Standing.GOOD
    center.vote(center.open(), "yes", "e")


def test_a_vote_cast_before_the_suspension_no_longer_counts(center):
    suspension = center.open("standing", concerned=("e",), standing=StandingChange(member="e", action="suspend"))
    center.vote(suspension, "yes", *"abcd")
    center.wait(10)
    proposal = center.open("consensus")
    center.vote(proposal, "object", "e")
    center.wait(90)
    assert standing(center, "e") is Standing.SUSPENDED
    center.wait(10)
    assert center.outcome(proposal).result is Result.ADOPTED
    assert tally_of(center.state, proposal, center.at).no == frozenset()


def test_a_deadline_is_heeded_in_its_order_though_the_log_notices_all_at_once(center):
    suspension = center.open("standing", concerned=("e",), standing=StandingChange(member="e", action="suspend"))
    center.vote(suspension, "yes", *"abcd")
    center.wait(1)
    proposal = center.open("consensus")
    center.vote(proposal, "object", "e")
    center.wait(9_999)
    assert center.outcome(proposal).result is Result.ADOPTED


def test_a_vote_that_closed_before_the_suspension_still_counted(center):
    proposal = center.open("consensus")
    center.vote(proposal, "object", "e")
    center.wait(1)
    suspension = center.open("standing", concerned=("e",), standing=StandingChange(member="e", action="suspend"))
    center.vote(suspension, "yes", *"abcd")
    center.wait(9_999)
    assert standing(center, "e") is Standing.SUSPENDED
    assert center.outcome(proposal).result is Result.REJECTED


def test_the_member_concerned_has_no_part_in_its_own_suspension(center):
    body = StandingChange(member="e", action="suspend")
    proposal = center.open("standing", concerned=("e",), standing=body)
    assert "e is concerned" in center.refuse("e", Ballot(proposal=proposal, choice=Choice.NO)).reason
    assert center.decide(proposal, members=("a", "b", "c")).result is Result.ADOPTED


@pytest.mark.parametrize("concerned", [(), ("b",), ("b", "e")])
def test_nobody_can_be_left_out_by_naming_them_as_concerned(center, concerned):
    body = StandingChange(member="e", action="suspend")
    proposal = ProposalOpen(topic="standing", title="T", text="t", concerned=concerned, standing=body)
    assert "name e as concerned" in center.refuse("a", proposal).reason


@pytest.mark.parametrize(
    ("member", "action"), [("e", "reinstate"), ("z", "suspend"), ("z", "expel"), ("operator", "suspend")]
)
def test_a_standing_that_cannot_change_so_is_left_alone(center, member, action):
    body = StandingChange(member=member, action=action)
    proposal = ProposalOpen(topic="standing", title="T", text="t", concerned=(member,), standing=body)
    denied = center.refuse("a", proposal)
    assert "is no member" in denied.reason or "cannot reinstate" in denied.reason


def test_an_expelled_member_says_nothing_more(center):
    change(center, "e", "expel")
    assert standing(center, "e") is Standing.EXPELLED
    denied = center.refuse("e", MemberWithdraw())
    assert (denied.article, denied.reason) == ("charter, membership", "e is expelled and no longer a member")
    assert (
        "cannot suspend"
        in center.refuse(
            "a",
            ProposalOpen(
                topic="standing",
                title="T",
                text="t",
                concerned=("e",),
                standing=StandingChange(member="e", action="suspend"),
            ),
        ).reason
    )


def test_an_expulsion_after_a_withdrawal_changes_nothing(center):
    body = StandingChange(member="e", action="expel")
    proposal = center.open("standing", concerned=("e",), standing=body)
    center.vote(proposal, "yes", *"abcd")
    center.do("e", MemberWithdraw(reason="a new government"))
    center.wait(100)
    assert center.outcome(proposal).result is Result.ADOPTED
    assert standing(center, "e") is Standing.WITHDRAWN


def test_a_suspended_member_witnesses_and_one_that_left_does_not(center):
    change(center, "e", "suspend")
    assert set(witness_keys(center.state)) == set("abcde")
    center.do("d", MemberWithdraw())
    assert set(witness_keys(center.state)) == set("abce")
    assert witness_faults(center.state) == 1
    center.do("c", MemberWithdraw())
    assert witness_faults(center.state) == 0


def test_a_suspended_member_can_still_leave_an_agreement_and_the_center(center):
    agreement = center.agreement("a", "b", "e")
    change(center, "e", "suspend")
    assert center.parties(agreement) == {"a", "b"}
    assert "e is suspended" in center.refuse("e", AgreementSign(agreement=agreement)).reason
    center.do("e", AgreementWithdraw(agreement=agreement))
    center.do("e", MemberWithdraw())
    assert standing(center, "e") is Standing.WITHDRAWN


def test_a_new_member_is_invited_by_a_decision_and_accedes_with_its_own_root_key(center, make_record):
    newcomer = make_record("f")
    accession = center.open("accession", accession=newcomer)
    root = key_id(newcomer.keys["root"][0])
    assert holder_of(center.state, root, None) is None
    center.decide(accession)
    assert holder_of(center.state, root, None).member == "f"
    assert standing(center, "f") is Standing.INVITED
    assert "f" not in witness_keys(center.state)
    assert "has not acceded" in center.refuse("f", ProposalOpen(topic="project", title="T", text="t")).reason
    center.do("f", MemberAccede(accession=accession), Role.ROOT)
    assert members_in_good_standing(center.state, center.at) == set("abcdef")
    assert "f" in witness_keys(center.state)
    assert center.state.version == 2
    center.vote(center.open(), "yes", "f")


def test_nobody_accedes_without_an_invitation_or_by_another_proposal(center, make_record):
    accession = center.open("accession", accession=make_record("f"))
    other = center.open()
    center.decide(accession)
    assert "naming the adopted proposal" in center.refuse("f", MemberAccede(accession=other), Role.ROOT).reason
    assert "naming the adopted proposal" in center.refuse("a", MemberAccede(accession=accession), Role.ROOT).reason


def test_of_two_accessions_under_one_name_the_first_adopted_stands(center, make_record):
    first = center.open("accession", accession=make_record("f", groups=("coastal",)))
    second = center.open("accession", accession=make_record("f", groups=("inland",)))
    center.vote(second, "yes", *"abcd")
    center.decide(first)
    assert center.outcome(second).result is Result.ADOPTED
    assert center.state.members["f"].groups == ("coastal",)
    assert "naming the adopted proposal" in center.refuse("f", MemberAccede(accession=second), Role.ROOT).reason
    center.do("f", MemberAccede(accession=first), Role.ROOT)


def test_a_newcomer_brings_its_own_name_and_keys(center, make_record):
    taken = ProposalOpen(topic="accession", title="T", text="t", accession=make_record("a"))
    assert "is taken" in center.refuse("a", taken).reason
    borrowed = make_record("f")
    borrowed = type(borrowed)(id="f", name="F", keys=make_record("a").keys)
    assert (
        "key appears twice"
        in center.refuse("a", ProposalOpen(topic="accession", title="T", text="t", accession=borrowed)).reason
    )


def test_participants_are_named_where_the_article_counts_them(make_center, make_charter, make_majority, make_text):
    programme = make_majority(
        criteria=(Criterion(share=HALF), Criterion(share=HALF, base=Base.PARTICIPANTS)), quorum=None
    )
    articles = {**make_charter().articles, "project": programme, "agreement": programme}
    center = make_center(make_charter(articles=articles)).found()
    assert "name those who take part" in center.refuse("a", ProposalOpen(topic="project", title="T", text="t")).reason
    project = center.open(participants=("d", "e"))
    center.vote(project, "yes", "a", "b", "c", "d")
    center.wait(100)
    assert center.outcome(project).article == "articles.project, criterion 2"
    agreement = center.open("agreement", agreement=make_text(invited=("d", "e")))
    assert center.decide(agreement).result is Result.REJECTED
    padded = ProposalOpen(
        topic="agreement", title="T", text="t", participants=("a",), agreement=make_text(invited=("d", "e"))
    )
    assert "those it invites" in center.refuse("a", padded).reason


def test_a_member_that_acceded_after_the_opening_is_not_in_its_electorate(center, make_record):
    accession = center.open("accession", accession=make_record("f"))
    center.vote(accession, "yes", *"abcd")
    center.wait(50)
    proposal = center.open()
    center.wait(50)
    center.do("f", MemberAccede(accession=accession), Role.ROOT)
    denied = center.refuse("f", Ballot(proposal=proposal, choice=Choice.YES))
    assert denied.reason == "the electorate was frozen at the opening, and f is not in it"


def test_participants_of_a_change_to_an_agreement_are_its_parties(make_center, make_charter, make_majority):
    programme = make_majority(
        criteria=(Criterion(share=HALF), Criterion(share=HALF, base=Base.PARTICIPANTS)), quorum=None
    )
    center = make_center(make_charter(articles={**make_charter().articles, "agreement": programme})).found()
    agreement = center.agreement("d", "e")
    end = AgreementChange(agreement=agreement, action="terminate")
    padded = ProposalOpen(topic="agreement", title="T", text="t", participants=("a",), status=end)
    assert "the agreement's parties" in center.refuse("a", padded).reason
    termination = center.open("agreement", status=end)
    center.vote(termination, "no", "e")
    assert center.decide(termination, members=("a", "b", "c")).article == "articles.agreement, criterion 2"
    assert center.life(agreement) is Life.IN_FORCE
