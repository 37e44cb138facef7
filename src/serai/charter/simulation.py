"""How votes, past or imagined, would come out under other rules.

``simulate`` is ``decide`` applied to a rule that was not there: it assumes that
everybody had cast the same ballots, and that where consensus or silence is
broken each member would say the same again under the fallback. Real bodies
talk in between, so this shows what rules do, not what members would have done.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from serai.charter.articles import Rule
from serai.charter.decision import Choice, Electorate, Outcome, Result, Voter, decide
from serai.charter.motions import Proposal
from serai.charter.state import CharterState
from serai.kernel.ids import Digest, MemberId

UNDECIDABLE: Final = "not decidable"
"""The article of an outcome that is missing because the rules lack an article or a weights table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked, who could answer, and what they said.

    Attributes:
        topic: the article that decides it.
        title: for lists.
        electorate: who may vote.
        ballots: the current ballot of each member that cast one.
        id: the proposal, where the question stands in a log.
        decided: what became of it there; None for an imagined one and while it is open.

    """

    topic: str
    title: str
    electorate: Electorate
    ballots: Mapping[MemberId, Choice]
    id: Digest | None = None
    decided: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """Rules to try, and the weights they count by.

    Attributes:
        name: for the table.
        articles: the rule of each topic.
        weights: tables of voting weights, in place of those that the electorate brings.

    """

    name: str
    articles: Mapping[str, Rule]
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def questions_of(state: CharterState) -> Iterator[Question]:
    """Every proposal in a log as a question, in the order of opening.

    The ballots are those of its last stage. Members who have left or been
    suspended since count as they did at the opening.
    """
    for proposal in sorted(state.proposals.values(), key=lambda item: (item.opened, item.id)):
        yield _question(proposal)


def simulate(question: Question, rules: RuleBook) -> Outcome:
    """What the ballots would have come to under other rules, after every fallback.

    Returns:
        A rejection or adoption; *open* with article ``UNDECIDABLE`` where the rules
        have no article for the topic, or count by a table of weights that nobody gave.

    """
    rule = rules.articles.get(question.topic)
    if rule is None:
        return Outcome(Result.OPEN, f"no article decides topic {question.topic!r}", UNDECIDABLE)
    electorate = _weighed(question.electorate, rules.weights)
    if missing := _missing_table(rule, electorate):
        return Outcome(Result.OPEN, f"it counts by weights table {missing!r}, which nobody gave", UNDECIDABLE)
    reasons: list[str] = []
    for part in rule.chain():
        outcome = decide(part, electorate, question.ballots, closed=True)
        reasons.append(outcome.reason)
        if outcome.result is not Result.FALLBACK:
            return replace(outcome, reason="; ".join(reasons))
    raise AssertionError("a rule without a fallback does not fall back")


def _question(proposal: Proposal) -> Question:
    body = proposal.body
    concerned = {*body.concerned, *([body.standing.member] if body.standing else [])}
    return Question(
        id=proposal.id,
        topic=body.topic,
        title=body.title,
        electorate=Electorate(
            voters=proposal.voters,
            concerned=frozenset(concerned),
            # An article that does not count participants apart lets a proposal name none.
            participants=proposal.participants or frozenset(proposal.voters),
        ),
        ballots={member: vote.choice for member, vote in sorted(proposal.votes.items())},
        decided=proposal.decided.outcome if proposal.decided else None,
    )


def _weighed(electorate: Electorate, tables: Mapping[str, Mapping[str, int]]) -> Electorate:
    def weighed(member: MemberId, voter: Voter) -> Voter:
        given = {table: weights.get(member, 0) for table, weights in tables.items()}
        return replace(voter, weights={**voter.weights, **given})

    return replace(electorate, voters={member: weighed(member, voter) for member, voter in electorate.voters.items()})


def _missing_table(rule: Rule, electorate: Electorate) -> str | None:
    known = {table for voter in electorate.voters.values() for table in voter.weights}
    tables = [measure.table for part in rule.chain() for measure in part.measures() if measure.table]
    return next((table for table in tables if table not in known), None)
