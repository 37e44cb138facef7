"""The decision: what a rule makes of an electorate and its ballots.

Theory of operation: ``decide`` is a pure function of a rule, those who may vote
and one current ballot each. The order in which ballots came cannot matter,
because it never sees one. Until the question is closed the only answer other
than *open* is a broken silence: in every other mode a member may still replace
its ballot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from serai.charter.articles import Base, Criterion, Mode, Rule
from serai.kernel.ids import MemberId


class Choice(StrEnum):
    """What a ballot says."""

    YES = "yes"
    NO = "no"
    ABSTAIN = "abstain"
    OBJECT = "object"  # no, with a reason on record
    RESERVE = "reserve"  # yes, with an opinion on record


class Result(StrEnum):
    """What became of a question."""

    ADOPTED = "adopted"
    REJECTED = "rejected"
    OPEN = "open"
    FALLBACK = "fallback"  # broken; the rule's fallback decides by fresh ballots


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result with its reason.

    Attributes:
        result: what became of the question.
        reason: one sentence for a person.
        article: the part of the rule that says so, such as ``quorum`` or ``criterion 2``.

    """

    result: Result
    reason: str
    article: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """What counting needs to know of one member.

    Attributes:
        groups: the constituencies it belongs to.
        weights: its weight by table; a missing table weighs 0.

    """

    groups: frozenset[str] = frozenset()
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Electorate:
    """Who may vote on one question.

    Attributes:
        voters: as frozen when the question was opened.
        concerned: whom the question concerns.
        absent: members who have left or been suspended since.
        participants: who takes part in the programme it is about.

    """

    voters: Mapping[MemberId, Voter]
    concerned: frozenset[MemberId] = frozenset()
    absent: frozenset[MemberId] = frozenset()
    participants: frozenset[MemberId] = frozenset()

    def eligible(self, rule: Rule) -> frozenset[MemberId]:
        """Members whose ballots count under a rule."""
        excluded = self.absent | self.concerned if rule.exclude_concerned else self.absent
        return frozenset(self.voters) - excluded


@dataclass(frozen=True, slots=True)
class Tally:
    """The eligible members, by what they said.

    Attributes:
        eligible: everyone whose ballot counts, whether or not it came.
        yes: yes and reserve.
        no: no and object.
        abstained: abstain.

    """

    eligible: frozenset[MemberId]
    yes: frozenset[MemberId]
    no: frozenset[MemberId]
    abstained: frozenset[MemberId]

    @property
    def present(self) -> frozenset[MemberId]:
        """Everyone who cast a ballot of any kind."""
        return self.yes | self.no | self.abstained


def tally(rule: Rule, electorate: Electorate, ballots: Mapping[MemberId, Choice]) -> Tally:
    """Sort the ballots that count; those of anyone not eligible are ignored."""
    eligible = electorate.eligible(rule)

    def said(*choices: Choice) -> frozenset[MemberId]:
        return frozenset(member for member in eligible if ballots.get(member) in choices)

    return Tally(eligible, said(Choice.YES, Choice.RESERVE), said(Choice.NO, Choice.OBJECT), said(Choice.ABSTAIN))


def decide(rule: Rule, electorate: Electorate, ballots: Mapping[MemberId, Choice], *, closed: bool) -> Outcome:
    """What a rule makes of the ballots.

    Args:
        rule: how the question is decided.
        electorate: who may vote.
        ballots: the current ballot of each member that cast one.
        closed: no ballot can be cast or replaced any more.

    """
    count = tally(rule, electorate, ballots)
    if rule.mode is Mode.SILENCE and count.no:
        return _broken(rule, "silence", f"silence was broken by {_names(count.no)}")
    if not closed:
        return Outcome(Result.OPEN, "ballots may still be cast", "window")
    if not count.eligible:
        return Outcome(Result.REJECTED, "no member may vote on it", "electorate")
    vetoes = count.no & frozenset(rule.vetoes)
    if vetoes:
        return Outcome(Result.REJECTED, f"vetoed by {_names(vetoes)}", "veto")
    if rule.quorum and not _holds(rule.quorum, electorate, count, count.present):
        return Outcome(Result.REJECTED, f"no quorum: it takes ballots from {rule.quorum.describe()}", "quorum")
    if len(count.yes) < rule.min_yes:
        return Outcome(Result.REJECTED, f"it takes {rule.min_yes} members to say yes, {len(count.yes)} did", "support")
    return _by_mode(rule, electorate, count)


def _by_mode(rule: Rule, electorate: Electorate, count: Tally) -> Outcome:
    if rule.mode is Mode.VOTE:
        return _vote(rule, electorate, count)
    if rule.mode is Mode.CONSENSUS and len(count.no) > rule.max_objections:
        return _broken(rule, "objection", f"{_names(count.no)} objected")
    return Outcome(Result.ADOPTED, f"adopted by {rule.mode}: {_counts(count)}", rule.mode)


def _vote(rule: Rule, electorate: Electorate, count: Tally) -> Outcome:
    failed = [
        (number, criterion)
        for number, criterion in enumerate(rule.criteria, start=1)
        if not _holds(criterion, electorate, count, count.yes)
    ]
    if failed and not _is_blocking_minority_too_small(rule, count, [criterion for _, criterion in failed]):
        number, criterion = failed[0]
        return Outcome(
            Result.REJECTED, f"it takes yes from {criterion.describe()}: {_counts(count)}", f"criterion {number}"
        )
    return Outcome(Result.ADOPTED, f"adopted by vote: {_counts(count)}", "blocking minority" if failed else "criteria")


def _is_blocking_minority_too_small(rule: Rule, count: Tally, failed: list[Criterion]) -> bool:
    """TEU Art. 16(4): too few members against cannot block by their weight alone."""
    return (
        rule.blocking_min is not None
        and len(count.eligible - count.yes) < rule.blocking_min
        and all(criterion.table is not None for criterion in failed)
    )


def _holds(criterion: Criterion, electorate: Electorate, count: Tally, counted: frozenset[MemberId]) -> bool:
    bases = {
        Base.CAST: count.yes | count.no,
        Base.PRESENT: count.present,
        Base.ELIGIBLE: count.eligible,
        Base.PARTICIPANTS: count.eligible & electorate.participants,
    }
    base = bases[criterion.base]
    if criterion.group is not None:
        base = frozenset(member for member in base if criterion.group in electorate.voters[member].groups)
    whole = _amount(base, criterion, electorate)
    part = _amount(counted & base, criterion, electorate)
    if whole == 0:
        return False  # a share of nothing is reached by nobody
    return part > criterion.share * whole if criterion.strict else part >= criterion.share * whole


def _amount(members: frozenset[MemberId], criterion: Criterion, electorate: Electorate) -> Fraction:
    table = criterion.table
    if table is None:
        return Fraction(len(members))
    return Fraction(sum(electorate.voters[member].weights.get(table, 0) for member in members))


def _broken(rule: Rule, article: str, reason: str) -> Outcome:
    if rule.fallback is None:
        return Outcome(Result.REJECTED, reason, article)
    return Outcome(Result.FALLBACK, f"{reason}; decided by {rule.fallback.mode} instead", article)


def _names(members: frozenset[MemberId]) -> str:
    return ", ".join(sorted(members))


def _counts(count: Tally) -> str:
    missing = len(count.eligible) - len(count.present)
    return f"{len(count.yes)} yes, {len(count.no)} no, {len(count.abstained)} abstaining, {missing} silent"
