"""Articles: the rules by which a body decides, as data in exact fractions.

One ``Rule`` covers how real bodies decide; a charter maps each topic to one.
Three modes: a *vote* passes when every criterion holds; a *consensus* passes
unless someone objects; a *silence* procedure passes unless someone breaks it
before the window ends. Division is never rounded and a tie never passes.

Sources: SCO Charter Art. 16; CERN Convention Art. V; WTO Agreement Art. IX;
UN Charter Art. 18; TEU Art. 16(4); OSCE Rules of Procedure (2006) Annex 1(A).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from serai.kernel.ids import MemberId

HEADS: Final = "heads"
WEIGHT_PREFIX: Final = "weight:"
MAX_RULES: Final = 3  # a rule and two fallbacks; more would nest a charter too deep to encode
HALF: Final = Fraction(1, 2)


class Mode(StrEnum):
    """How a question is put."""

    VOTE = "vote"
    CONSENSUS = "consensus"
    SILENCE = "silence"


class Base(StrEnum):
    """What a share is a share of."""

    CAST = "cast"  # yes and no
    PRESENT = "present"  # yes, no and abstain
    ELIGIBLE = "eligible"  # everyone who may vote, absent or not
    PARTICIPANTS = "participants"  # those who may vote and take part in the programme


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A share that must be reached.

    Attributes:
        share: between 0 and 1, exact.
        strict: more than the share, rather than at least it.
        unit: ``heads``, or ``weight:<table>`` for a weights table of the charter.
        base: what the share is taken of.
        group: count only members of this group.

    """

    share: Fraction
    strict: bool = True
    unit: str = HEADS
    base: Base = Base.CAST
    group: str | None = None

    def __post_init__(self) -> None:
        """Refuse a share that nothing, or everything, would meet."""
        if not 0 <= self.share <= 1 or (self.strict and self.share == 1):
            raise ValueError(f"expected a share within 0 and 1 that can be met, got {self.describe()}")
        if self.unit != HEADS and not (self.unit.startswith(WEIGHT_PREFIX) and self.table):
            raise ValueError(f"expected unit 'heads' or 'weight:<table>', got {self.unit!r}")

    @property
    def table(self) -> str | None:
        """Name of the weights table, or None when heads are counted."""
        return None if self.unit == HEADS else self.unit.removeprefix(WEIGHT_PREFIX)

    @property
    def fails_ties(self) -> bool:
        """Whether as many against as for can never meet this criterion."""
        return self.share > HALF or (self.share == HALF and self.strict)

    def describe(self) -> str:
        """The criterion for a person, such as ``more than 1/2 of heads cast``."""
        size = "more than" if self.strict else "at least"
        group = f" in group {self.group}" if self.group else ""
        return f"{size} {self.share} of {self.unit} {self.base}{group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one kind of question is decided.

    Attributes:
        mode: vote, consensus or silence.
        window_ms: how long ballots are accepted.
        notice_ms: how long the text is on the table before ballots are accepted.
        criteria: of a vote; all must hold.
        quorum: share of members that must have cast a ballot of any kind.
        max_objections: of a consensus; more than this many objections break it.
        blocking_min: of a vote; when fewer members than this withhold their yes,
            the weight criteria are deemed met (TEU Art. 16(4)).
        vetoes: members whose no alone rejects.
        exclude_concerned: the member concerned has no part in the decision.
        min_yes: how many must say yes, such as the seconders of a silence procedure.
        early_close: ballots are final, and the question closes once all have voted.
        fallback: rule of a fresh round of ballots when consensus or silence is broken.

    """

    mode: Mode
    window_ms: int
    notice_ms: int = 0
    criteria: tuple[Criterion, ...] = ()
    quorum: Criterion | None = None
    max_objections: int = 0
    blocking_min: int | None = None
    vetoes: tuple[MemberId, ...] = ()
    exclude_concerned: bool = False
    min_yes: int = 0
    early_close: bool = False
    fallback: "Rule | None" = None

    def __post_init__(self) -> None:
        """Refuse a rule that could pass a tie, never close, or mean two things."""
        if self.window_ms < 1 or min(self.notice_ms, self.max_objections, self.min_yes) < 0:
            raise ValueError("expected window_ms >= 1 and notice_ms, max_objections, min_yes >= 0")
        if self.quorum and self.quorum.base in (Base.CAST, Base.PRESENT):
            raise ValueError(f"expected a quorum of eligible or participants, got one of {self.quorum.base}")
        if len(list(self.chain())) > MAX_RULES:
            raise ValueError(f"expected at most {MAX_RULES - 1} fallbacks")
        if self.mode is Mode.VOTE:
            self._check_vote()
        elif self.criteria or self.blocking_min is not None:
            raise ValueError(f"criteria and blocking_min belong to a vote, not to {self.mode}")
        if self.max_objections and self.mode is not Mode.CONSENSUS:
            raise ValueError(f"max_objections belongs to a consensus, not to {self.mode}")

    def chain(self) -> Iterator["Rule"]:
        """This rule, its fallback, that one's fallback, and so on."""
        rule: Rule | None = self
        while rule is not None:
            yield rule
            rule = rule.fallback

    def measures(self) -> Iterator[Criterion]:
        """Every criterion and quorum of this rule, without its fallbacks."""
        yield from self.criteria
        if self.quorum:
            yield self.quorum

    def _check_vote(self) -> None:
        if not any(criterion.fails_ties for criterion in self.criteria):
            raise ValueError("expected a vote to have a criterion of more than 1/2, so that a tie fails")
        if self.fallback is not None:
            raise ValueError("a vote is decided by its ballots and has no fallback")
        if self.blocking_min is not None:
            # A small blocking minority waives the weight criteria: heads alone must then fail a tie.
            by_heads = any(criterion.table is None and criterion.fails_ties for criterion in self.criteria)
            if self.blocking_min < 1 or not by_heads:
                raise ValueError("expected blocking_min >= 1 beside a criterion of more than 1/2 in heads")
