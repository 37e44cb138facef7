"""A proposal's story: opened, voted on, decided by log time, and what was frozen on the way."""

import pytest

from serai.charter.articles import Mode, Rule
from serai.charter.constitution import CharterChange
from serai.charter.decision import Choice, Result
from serai.charter.state import get_proposal, next_deadline_ms, outcome_of, settle, tally_of
from serai.charter.statements import Ballot, MemberWithdraw, ProposalOpen, ProposalWithdraw, StandingChange
from serai.errors import Missing
from serai.kernel.units import Instant


def test_a_majority_adopts_when_the_window_closes(center):
    proposal = center.open()
    center.vote(proposal, "yes", "a", "b", "c")
    center.wait(99)
    assert center.outcome(proposal).result is Result.OPEN
    center.wait(1)
    outcome = center.outcome(proposal)
    assert outcome.result is Result.ADOPTED
    assert outcome.article == "articles.project, criteria"
    assert get_proposal(center.state, proposal).decided.time_ms == 1_100


def test_a_ballot_at_the_closing_time_comes_too_late(center):
    proposal = center.open()
    center.wait(100)
    denied = center.refuse("a", Ballot(proposal=proposal, choice=Choice.YES))
    assert "rejected already" in denied.reason
    assert denied.article == "articles.project, quorum"


def test_a_later_ballot_replaces_an_earlier_one_until_close(center):
    proposal = center.open()
    center.vote(proposal, "no", "a", "b", "c")
    center.vote(proposal, "yes", "a", "b")
    center.vote(proposal, "yes", "d")
    assert center.decide(proposal, members=()).result is Result.ADOPTED
    assert tally_of(center.state, proposal, center.at).no == {"c"}


def test_an_objection_to_consensus_can_be_lifted_before_the_window_closes(center):
    proposal = center.open("consensus")
    center.vote(proposal, "object", "b")
    assert center.outcome(proposal).result is Result.OPEN
    center.vote(proposal, "abstain", "b")
    assert center.decide(proposal, members=()).result is Result.ADOPTED


def test_a_reservation_counts_as_yes_and_stays_on_record(center):
    proposal = center.open()
    center.vote(proposal, "reserve", "a", "b", "c")
    assert center.decide(proposal, members=()).result is Result.ADOPTED
    assert get_proposal(center.state, proposal).votes["a"].reason == "on record"


@pytest.mark.parametrize("choice", [Choice.OBJECT, Choice.RESERVE])
def test_objecting_or_reserving_takes_a_reason(center, choice):
    proposal = center.open()
    assert "takes a reason" in center.refuse("a", Ballot(proposal=proposal, choice=choice, reason=" ")).reason


def test_a_quick_rule_closes_once_all_have_voted_and_its_ballots_are_final(center):
    proposal = center.open("quick")
    center.vote(proposal, "yes", "a", "b", "c", "d")
    assert "ballots are final" in center.refuse("a", Ballot(proposal=proposal, choice=Choice.NO)).reason
    assert center.outcome(proposal).result is Result.OPEN
    center.vote(proposal, "no", "e")
    assert center.outcome(proposal).result is Result.ADOPTED
    assert get_proposal(center.state, proposal).decided.time_ms == center.at.time_ms


def test_a_rule_that_is_not_quick_waits_though_all_have_voted(center):
    proposal = center.open()
    center.vote(proposal, "yes", *"abcde")
    assert center.outcome(proposal).result is Result.OPEN


def test_a_quick_rule_does_not_wait_for_a_member_that_leaves(center):
    proposal = center.open("quick")
    center.vote(proposal, "yes", "a", "b", "c", "d")
    center.do("e", MemberWithdraw())
    assert center.outcome(proposal).result is Result.ADOPTED


def test_ballots_wait_for_the_notice_and_the_window_starts_after_it(center):
    proposal = center.open("noticed")
    assert "from log time 1010" in center.refuse("a", Ballot(proposal=proposal, choice=Choice.YES)).reason
    assert center.outcome(proposal).article == "articles.noticed, notice"
    assert next_deadline_ms(center.state, center.at) == 1_010
    center.wait(10)
    assert next_deadline_ms(center.state, center.at) == 1_110
    assert center.decide(proposal).result is Result.ADOPTED


def test_whoever_opened_a_proposal_may_take_it_back_while_it_is_open(center):
    proposal = center.open()
    assert "only a" in center.refuse("b", ProposalWithdraw(proposal=proposal)).reason
    center.do("a", ProposalWithdraw(proposal=proposal))
    outcome = center.outcome(proposal)
    assert (outcome.result, outcome.article) == (Result.REJECTED, "articles.project, withdrawal")
    assert "already" in center.refuse("a", ProposalWithdraw(proposal=proposal)).reason
    assert next_deadline_ms(center.state, center.at) is None


def test_silence_kept_adopts_without_a_word(center):
    proposal = center.open("operations")
    assert center.decide(proposal, members=()).article == "articles.operations, silence"


def test_broken_silence_goes_to_a_vote_with_fresh_ballots(center):
    proposal = center.open("operations")
    center.vote(proposal, "yes", "a", "b", "c")
    center.wait(60)
    center.vote(proposal, "object", "e")
    outcome = center.outcome(proposal)
    assert outcome.result is Result.OPEN
    assert outcome.reason == "ballots are accepted under fallback 1 until log time 1160"
    assert tally_of(center.state, proposal, center.at).present == frozenset()
    center.vote(proposal, "yes", "a", "b", "c")
    center.wait(99)
    assert center.outcome(proposal).result is Result.OPEN
    center.wait(1)
    assert center.outcome(proposal).result is Result.ADOPTED


def test_silence_after_a_broken_silence_adopts_nothing(center):
    proposal = center.open("operations")
    center.vote(proposal, "object", "e")
    center.wait(100)
    assert center.outcome(proposal).article == "articles.operations, quorum"


def test_a_fallback_vote_opens_when_the_log_notices_the_deadline_so_that_nobody_misses_it(make_center, make_charter):
    founding = make_charter()
    consensus = Rule(mode=Mode.CONSENSUS, window_ms=100, fallback=founding.articles["project"])
    center = make_center(make_charter(articles={**founding.articles, "matters": consensus})).found()
    proposal = center.open("matters")
    center.vote(proposal, "object", "b")
    center.wait(5_000)
    assert "until log time 6100" in center.outcome(proposal).reason
    assert center.decide(proposal).result is Result.ADOPTED


def test_an_amendment_breaks_silence_and_opens_as_a_proposal_of_its_own(center):
    proposal = center.open("operations")
    center.wait(50)
    objection = Ballot(proposal=proposal, choice=Choice.OBJECT, reason="too soon", amendment="Shall we, in May?")
    amended = center.do("e", objection)
    found = get_proposal(center.state, amended)
    assert (found.body.text, found.opener, found.closes_ms) == ("Shall we, in May?", "e", 1_150)
    assert found.rule.mode is Mode.SILENCE
    center.wait(100)
    assert center.outcome(amended).result is Result.ADOPTED
    assert center.outcome(proposal).result is Result.REJECTED


@pytest.mark.parametrize(("topic", "choice"), [("project", Choice.OBJECT), ("operations", Choice.YES)])
def test_an_amendment_comes_only_with_an_objection_to_silence(center, topic, choice):
    proposal = center.open(topic)
    ballot = Ballot(proposal=proposal, choice=choice, reason="r", amendment="Other text")
    assert "an amendment comes with" in center.refuse("b", ballot).reason


def test_the_rule_is_frozen_at_the_opening(center, make_majority):
    before = center.open()
    change = CharterChange(articles={"project": make_majority(window_ms=10, min_yes=5)})
    amendment = center.open("charter", charter=change)
    center.vote(amendment, "yes", "a", "b", "c")
    center.vote(before, "yes", "a", "b", "c")
    center.wait(100)
    assert center.outcome(amendment).result is Result.ADOPTED
    assert center.outcome(before).result is Result.ADOPTED
    assert center.state.version == 2
    after = center.open()
    center.vote(after, "yes", "a", "b", "c")
    center.wait(10)
    assert center.outcome(after).article == "articles.project, support"
    assert [get_proposal(center.state, item).version for item in (before, after)] == [1, 2]


def test_weights_are_frozen_at_the_opening(make_center, make_charter, make_majority):
    founding = make_charter()
    criterion = {"share": founding.articles["project"].criteria[0].share, "unit": "weight:votes"}
    weighted = make_majority(criteria=(type(founding.articles["project"].criteria[0])(**criterion),), quorum=None)
    articles = {**founding.articles, "budget": weighted}
    center = make_center(make_charter(articles=articles, weights={"votes": {"a": 3, "b": 2}})).found()
    before = center.open("budget")
    amendment = center.open("charter", charter=CharterChange(weights={"votes": {"a": 1, "b": 2}}))
    center.vote(before, "yes", "a")
    center.vote(before, "no", "b")
    center.decide(amendment)
    assert center.outcome(before).result is Result.ADOPTED
    after = center.open("budget")
    center.vote(after, "yes", "a")
    center.vote(after, "no", "b")
    assert center.decide(after, members=()).result is Result.REJECTED


def test_a_member_that_joins_after_the_opening_has_no_vote_in_it(center, make_record):
    accession = center.open("accession", accession=make_record("f"))
    center.decide(accession)
    before = center.open()
    from_root = center.at
    assert from_root.time_ms == 1_100
    denied = center.refuse("f", Ballot(proposal=before, choice=Choice.YES))
    assert "has not acceded" in denied.reason


def test_nobody_proposes_before_the_log_has_a_time(make_center, make_charter):
    center = make_center(make_charter())
    center.at = Instant(0, 0)
    center.found()
    denied = center.refuse("a", ProposalOpen(topic="operations", title="T", text="t"))
    assert denied.article == "charter, log time"


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        ({"topic": "weather"}, "no article decides topic 'weather'"),
        ({"topic": "project", "concerned": ("z",)}, "z is no member"),
        ({"topic": "project", "participants": ("z",)}, "z is no member"),
        ({"topic": "project", "standing": StandingChange(member="b", action="suspend")}, "under topic 'standing'"),
        ({"topic": "operations", "charter": CharterChange()}, "under topic 'charter'"),
        ({"topic": "agreement", "amends": "0" * 64}, "carries the new text"),
        (
            {
                "topic": "standing",
                "concerned": ("b",),
                "standing": StandingChange(member="b", action="suspend"),
                "charter": CharterChange(),
            },
            "one effect",
        ),
    ],
)
def test_a_proposal_that_does_not_fit_the_charter_is_refused(center, proposal, reason):
    denied = center.refuse("a", ProposalOpen(title="T", text="t", **proposal))
    assert reason in denied.reason


def test_silence_cannot_carry_an_agreement(center, make_text):
    proposal = ProposalOpen(topic="operations", title="T", text="t", agreement=make_text())
    assert "under topic 'agreement'" in center.refuse("a", proposal).reason


def test_an_amendment_that_would_let_silence_decide_is_refused(center):
    silence = Rule(mode=Mode.SILENCE, window_ms=1)
    change = CharterChange(articles={"agreement": silence})
    proposal = ProposalOpen(topic="charter", title="T", text="t", charter=change)
    assert "silence never decides" in center.refuse("a", proposal).reason


def test_a_ballot_on_nothing_is_refused(center):
    assert "no proposal" in center.refuse("a", Ballot(proposal="0" * 64, choice=Choice.YES)).reason


def test_asking_after_an_unknown_proposal_says_so(center):
    with pytest.raises(Missing, match="no proposal"):
        outcome_of(center.state, "0" * 64, center.at)


def test_asking_ahead_of_time_changes_nothing(center):
    proposal = center.open()
    center.vote(proposal, "yes", "a", "b", "c")
    later = Instant(center.at.index + 9, center.at.time_ms + 1_000)
    before = center.state
    assert outcome_of(center.state, proposal, later).result is Result.ADOPTED
    assert center.state is before
    assert center.outcome(proposal).result is Result.OPEN


def test_settling_twice_is_settling_once(center):
    proposal = center.open()
    center.vote(proposal, "yes", "a", "b", "c")
    later = Instant(center.at.index, center.at.time_ms + 100)
    once = settle(center.state, later)
    assert settle(once, later) is once
    assert once.due_ms is None


def test_the_next_deadline_is_the_earliest(center):
    assert next_deadline_ms(center.state, center.at) is None
    center.open()
    center.wait(30)
    second = center.open("operations")
    assert next_deadline_ms(center.state, center.at) == 1_100
    center.wait(70)
    assert next_deadline_ms(center.state, center.at) == 1_130
    center.vote(second, "object", "b")
    assert next_deadline_ms(center.state, center.at) == 1_200
