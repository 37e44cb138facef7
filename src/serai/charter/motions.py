"""Proposals: what was frozen when each was opened, its ballots, and its outcome.

A proposal keeps the rule, the charter's version and the electorate of the
moment it was opened; members who leave or are suspended since no longer count.
When consensus or silence is broken and the rule has a fallback, a new stage
opens under the fallback with fresh ballots: having sought consensus, or having
kept silent, is not having voted.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from immutables import Map

from serai.charter.articles import Rule
from serai.charter.decision import Choice, Electorate, Outcome, Result, Tally, Voter, decide, tally
from serai.charter.statements import ProposalOpen
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant


@dataclass(frozen=True, slots=True)
class Vote:
    """A member's current ballot.

    Attributes:
        choice: its position.
        reason: its opinion on record.
        statement: id of the ballot.
        at: where in the log it was cast.

    """

    choice: Choice
    reason: str
    statement: Digest
    at: Instant


@dataclass(frozen=True, slots=True)
class Decided:
    """The end of a proposal.

    Attributes:
        outcome: adopted or rejected, and why.
        time_ms: log time at which it was decided.

    """

    outcome: Outcome
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A question, from its opening to its outcome.

    Attributes:
        id: statement id of its opening; of the ballot, for an amendment.
        body: what was asked.
        opener: who asked.
        opened: where in the log.
        version: version of the charter in force at the opening.
        rule: the rule of the current stage.
        voters: the electorate as frozen at the opening.
        participants: who takes part in the programme it is about.
        opens_ms: log time from which ballots are accepted.
        closes_ms: log time from which they no longer are.
        stage: 0 under the topic's rule, one more for each fallback.
        votes: the current ballot of each member in this stage.
        decided: the end, once there is one.

    """

    id: Digest
    body: ProposalOpen
    opener: MemberId
    opened: Instant
    version: int
    rule: Rule
    voters: Map[MemberId, Voter]
    participants: frozenset[MemberId]
    opens_ms: int
    closes_ms: int
    stage: int = 0
    votes: Map[MemberId, Vote] = field(default_factory=Map)
    decided: Decided | None = None

    @property
    def article(self) -> str:
        """Name of the article that decides it."""
        return f"articles.{self.body.topic}"

    def electorate(self, absent: frozenset[MemberId]) -> Electorate:
        """Who may vote, given who has left or been suspended since."""
        concerned = frozenset(self.body.concerned)
        return Electorate(voters=self.voters, concerned=concerned, absent=absent, participants=self.participants)

    def tally(self, absent: frozenset[MemberId]) -> Tally:
        """How the members that count have voted in this stage."""
        return tally(self.rule, self.electorate(absent), self._choices())

    def outcome(self, absent: frozenset[MemberId], time_ms: int) -> Outcome:
        """What the ballots of this stage come to at a log time."""
        electorate = self.electorate(absent)
        eligible = electorate.eligible(self.rule)
        complete = self.rule.early_close and eligible <= frozenset(self.votes)
        closed = complete or time_ms >= self.closes_ms
        outcome = decide(self.rule, electorate, self._choices(), closed=closed)
        return replace(outcome, article=f"{self.article}, {outcome.article}")

    def with_vote(self, member: MemberId, vote: Vote) -> "Proposal":
        """The proposal with a ballot; it replaces the member's earlier one."""
        return replace(self, votes=self.votes.set(member, vote))

    def without_votes(self, indices: Collection[int]) -> "Proposal":
        """The proposal without the ballots that were cast at some log indices; their members may vote again."""
        return replace(self, votes=Map({who: vote for who, vote in self.votes.items() if vote.at.index not in indices}))

    def with_fallback(self, time_ms: int) -> "Proposal":
        """The next stage, opening now, under the rule's fallback and with fresh ballots."""
        fallback = self.rule.fallback
        assert fallback is not None
        opens_ms = time_ms + fallback.notice_ms
        return replace(
            self,
            rule=fallback,
            opens_ms=opens_ms,
            closes_ms=opens_ms + fallback.window_ms,
            stage=self.stage + 1,
            votes=Map(),
        )

    def with_end(self, outcome: Outcome, time_ms: int) -> "Proposal":
        """The proposal, decided."""
        return replace(self, decided=Decided(outcome, time_ms))

    def withdrawn(self, time_ms: int) -> "Proposal":
        """The proposal, taken back by whoever opened it."""
        reason = f"withdrawn by {self.opener}"
        return self.with_end(Outcome(Result.REJECTED, reason, f"{self.article}, withdrawal"), time_ms)

    def disowned(self, time_ms: int) -> "Proposal":
        """The proposal, ended because the key that opened it is revoked from before then."""
        reason = f"the key that opened it for {self.opener} is revoked from before then"
        return self.with_end(Outcome(Result.REJECTED, reason, f"{self.article}, keys"), time_ms)

    def _choices(self) -> Mapping[MemberId, Choice]:
        return {member: vote.choice for member, vote in self.votes.items()}
