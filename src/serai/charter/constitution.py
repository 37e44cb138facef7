"""The charter: who the members are, by which articles they decide, and who keeps the log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from serai.charter.articles import Base, Mode, Rule
from serai.charter.members import OPERATOR_ID, KeyHolder, MemberRecord
from serai.kernel.canonical import canonical
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import ED25519_KEY_BYTES, Role, Suite, find_suite
from serai.kernel.records import to_json

CHARTER: Final = "charter"
ACCESSION: Final = "accession"
STANDING: Final = "standing"
AGREEMENT: Final = "agreement"
PROJECT: Final = "project"
OPERATIONS: Final = "operations"
RECOVERY: Final = "recovery"

TOPICS: Final = (CHARTER, ACCESSION, STANDING, AGREEMENT, PROJECT, OPERATIONS)
"""Topics that every charter has a rule for; it may add its own."""

_STAND_IN: Final = {RECOVERY: STANDING}
"""Topics that another's rule decides where the charter has none for them."""

SPOKEN_TOPICS: Final = (CHARTER, ACCESSION, STANDING, AGREEMENT, RECOVERY)
"""Topics that silence never decides: who belongs, by which rules, and the use of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What the founders sign; its digest is the center's genesis.

    Attributes:
        name: the center's name.
        origin: the log's origin line (C2SP tlog-checkpoint).
        log_key: the log's verifier key (C2SP signed-note vkey).
        operator: the center's raw Ed25519 public key.
        members: the founders, and whoever acceded since.
        articles: the rule of each topic.
        weights: tables of voting weights: table name to member to weight; a member
            that a table does not name weighs 0 in it.
        faulty: how many members' witnesses may be faulty; 3 * faulty < members.
        notice_ms: how long duties outlast a withdrawal.
        suites: what new keys of members may be; cosignatures and what the center
            signs are Ed25519 in any case.
        cooling_ms: how long a member's old root keys may object after others have
            decided to give it new keys.

    """

    name: str
    origin: str
    log_key: str
    operator: bytes
    members: tuple[MemberRecord, ...]
    articles: Mapping[str, Rule]
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    faulty: int = 0
    notice_ms: int = 90 * 24 * 3600 * 1000
    suites: tuple[Suite, ...] = (Suite.ED25519,)
    cooling_ms: int = 14 * 24 * 3600 * 1000

    def __post_init__(self) -> None:
        """Refuse a charter with shared keys, missing articles or a deciding silence."""
        self._check_members()
        for topic in TOPICS:
            if topic not in self.articles:
                raise ValueError(f"the charter needs an article for {topic!r}")
        for topic, rule in self.articles.items():
            self._check_article(topic, rule)
        for table, weights in self.weights.items():
            if any(weight < 0 for weight in weights.values()):
                raise ValueError(f"weights table {table!r} has a negative weight")
        if min(self.notice_ms, self.cooling_ms) < 0:
            raise ValueError(f"expected notice_ms and cooling_ms >= 0, got {self.notice_ms} and {self.cooling_ms}")
        if not self.suites or len(set(self.suites)) != len(self.suites):
            raise ValueError("the charter needs suites for its members' keys, each named once")

    def holders(self) -> Iterator[KeyHolder]:
        """Every key that the charter knows, the center's included."""
        yield KeyHolder(OPERATOR_ID, Role.OPERATOR, self.operator)
        for member in self.members:
            yield from member.holders()

    def find_rule(self, topic: str) -> Rule | None:
        """The rule of a topic; of ``recovery``, where it has none, the rule of ``standing``."""
        return self.articles.get(topic) or self.articles.get(_STAND_IN.get(topic, ""))

    def require_suites(self, record: MemberRecord) -> None:
        """Insist that a member's keys are of suites that this charter takes.

        Raises:
            ValueError: one is not, and which.

        """
        for holder in record.holders():
            suite = find_suite(holder.public)
            if holder.role is not Role.WITNESS and suite not in self.suites:
                raise ValueError(
                    f"the {holder.role} key of {record.id} is of suite {suite}; the charter takes {', '.join(self.suites)}"
                )

    def with_member(self, member: MemberRecord) -> "Charter":
        """The charter with one more member, or with another record of a member it has.

        Raises:
            ValueError: the member's keys do not fit the charter or its other members.

        """
        self.require_suites(member)
        others = {record.id: record for record in self.members}
        return replace(self, members=tuple({**others, member.id: member}.values()))

    def with_change(self, change: "CharterChange") -> "Charter":
        """The charter with the given articles, weights and numbers in place of its own.

        Raises:
            ValueError: the result would not be a valid charter.

        """
        return replace(
            self,
            articles={**self.articles, **change.articles},
            weights={**self.weights, **change.weights},
            faulty=self.faulty if change.faulty is None else change.faulty,
            notice_ms=self.notice_ms if change.notice_ms is None else change.notice_ms,
            suites=self.suites if change.suites is None else change.suites,
            cooling_ms=self.cooling_ms if change.cooling_ms is None else change.cooling_ms,
        )

    def _check_members(self) -> None:
        ids = [member.id for member in self.members]
        if not ids or len(set(ids)) != len(ids):
            raise ValueError("the charter needs members, each named once")
        if len(self.operator) != ED25519_KEY_BYTES:
            raise ValueError(f"expected an operator key of {ED25519_KEY_BYTES} bytes, got {len(self.operator)}")
        keys = [holder.public for holder in self.holders()]
        if len(set(keys)) != len(keys):
            raise ValueError("one key has one holder and one role; a key appears twice in the charter")
        if not 0 <= 3 * self.faulty < len(ids):
            raise ValueError(f"expected 0 <= 3 * faulty < {len(ids)} members, got faulty {self.faulty}")

    def _check_article(self, topic: str, rule: Rule) -> None:
        members = {member.id for member in self.members}
        for part in rule.chain():
            if topic in SPOKEN_TOPICS and part.mode is Mode.SILENCE:
                raise ValueError(f"silence never decides {topic!r}; use a vote or a consensus")
            if topic in SPOKEN_TOPICS and part.mode is Mode.CONSENSUS and not (part.quorum or part.min_yes):
                raise ValueError(f"a consensus on {topic!r} needs a quorum or min_yes, or silence would decide it")
            for measure in part.measures():
                if measure.table is not None and measure.table not in self.weights:
                    raise ValueError(f"article {topic!r} counts by weights table {measure.table!r}, which is missing")
            strangers = sorted(set(part.vetoes) - members)
            if strangers:
                raise ValueError(f"article {topic!r} gives a veto to {strangers[0]}, which is no member")


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterChange:
    """What an amendment of the charter puts in place of what it had.

    Attributes:
        articles: rules by topic, replacing or adding.
        weights: weights tables by name, replacing or adding.
        faulty: how many members' witnesses may be faulty, if it changes.
        notice_ms: how long duties outlast a withdrawal, if it changes.
        suites: what new keys may be, if it changes; keys that there are stay.
        cooling_ms: how long old root keys may object to a recovery, if it changes.

    """

    articles: Mapping[str, Rule] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    faulty: int | None = None
    notice_ms: int | None = None
    suites: tuple[Suite, ...] | None = None
    cooling_ms: int | None = None


def genesis_of(charter: Charter) -> Digest:
    """The digest that names a center for ever: SHA-256 of its founding charter."""
    return digest_of(canonical(to_json(charter)))


def needs_participants(rule: Rule) -> bool:
    """Whether a rule or one of its fallbacks counts the participants apart."""
    return any(measure.base is Base.PARTICIPANTS for part in rule.chain() for measure in part.measures())


def weights_of(charter: Charter, member: MemberId) -> dict[str, int]:
    """A member's weight in each table of the charter."""
    return {table: weights.get(member, 0) for table, weights in charter.weights.items()}
