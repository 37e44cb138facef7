"""The same votes under other rules: what changes is the rules, never what was said."""

from dataclasses import replace

import pytest

from serai.charter.articles import Mode, Rule
from serai.charter.decision import Choice, Electorate, Result, Voter
from serai.charter.presets import PRESETS
from serai.charter.simulation import UNDECIDABLE, Question, RuleBook, questions_of, simulate
from serai.charter.statements import StandingChange

BOOKS = {name: RuleBook(name=name, articles=articles) for name, articles in PRESETS.items()}
WEIGHTS = {
    "votes": {"a": 40, "b": 30, "c": 20, "d": 10},
    "population": {"a": 10, "b": 10, "c": 10, "d": 70},
}


def asked(topic="agreement", members="abcd", **ballots):
    voters = {member: Voter() for member in members}
    return Question(
        topic=topic,
        title="T",
        electorate=Electorate(voters=voters, participants=frozenset(voters)),
        ballots={member: Choice(choice) for member, choice in ballots.items()},
    )


@pytest.mark.parametrize(
    ("rules", "result", "article"),
    [
        ("consensus", Result.REJECTED, "objection"),
        ("cern", Result.ADOPTED, "criteria"),
        ("eurohpc", Result.ADOPTED, "criteria"),
        ("eu", Result.ADOPTED, "blocking minority"),
        ("consortium", Result.ADOPTED, "criteria"),
    ],
)
def test_one_objection_of_a_small_voter_stops_only_consensus(rules, result, article):
    outcome = simulate(asked(a="yes", b="yes", c="yes", d="object"), replace(BOOKS[rules], weights=WEIGHTS))
    assert (outcome.result, outcome.article) == (result, article)


def test_a_broken_silence_goes_on_under_the_fallback_as_if_all_said_the_same_again():
    outcome = simulate(
        asked("operations", a="yes", b="yes", c="yes", d="no"), replace(BOOKS["eurohpc"], weights=WEIGHTS)
    )
    assert outcome.result is Result.ADOPTED
    assert outcome.reason.startswith("d objected; decided by vote instead; adopted by vote")


def test_rules_that_count_weights_nobody_gave_decide_nothing():
    outcome = simulate(asked(a="yes"), BOOKS["eurohpc"])
    assert (outcome.result, outcome.article) == (Result.OPEN, UNDECIDABLE)
    assert "weights table 'votes'" in outcome.reason


def test_rules_without_an_article_for_the_topic_decide_nothing():
    outcome = simulate(asked("budget", a="yes"), BOOKS["consensus"])
    assert (outcome.result, outcome.article) == (Result.OPEN, UNDECIDABLE)
    assert "'budget'" in outcome.reason


def test_given_weights_take_the_place_of_those_that_voters_bring():
    question = asked(a="yes", b="yes", c="no", d="no")
    heavy = RuleBook(name="x", articles=PRESETS["eurohpc"], weights={"votes": {"a": 80, "c": 20}})
    light = replace(heavy, weights={"votes": {"a": 70, "c": 30}})
    assert simulate(question, heavy).result is Result.ADOPTED
    assert simulate(question, light).result is Result.REJECTED


def test_past_votes_come_out_under_their_own_rules_as_they_did(center):
    adopted = center.open()
    center.decide(adopted)
    rejected = center.open()
    center.vote(rejected, "no", "a", "b", "c")
    center.decide(rejected, "yes", ("d",))
    own = RuleBook(name="own", articles=center.state.charter.articles)
    first, second = questions_of(center.state)
    assert (first.id, second.id) == (adopted, rejected)
    assert [simulate(question, own).result for question in (first, second)] == [Result.ADOPTED, Result.REJECTED]
    assert [question.decided.result for question in (first, second)] == [Result.ADOPTED, Result.REJECTED]


def test_a_member_whose_standing_was_asked_about_is_left_out_where_rules_say_so(center):
    proposal = center.open("standing", concerned=("e",), standing=StandingChange(member="e", action="suspend"))
    center.vote(proposal, "yes", "a", "b", "c", "d")
    (question,) = questions_of(center.state)
    without = replace(question, ballots={**question.ballots, "e": Choice.OBJECT})
    assert simulate(without, BOOKS["consensus"]).result is Result.ADOPTED
    with_it = Rule(mode=Mode.CONSENSUS, window_ms=1)
    assert simulate(without, RuleBook(name="x", articles={"standing": with_it})).result is Result.REJECTED


def test_a_question_still_open_has_no_decision_yet(center):
    center.open()
    (question,) = questions_of(center.state)
    assert question.decided is None
