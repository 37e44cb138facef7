"""Agreements: their text and terms, who is party, and the life that follows from it.

An agreement permits; it never compels. It binds those who signed it, from the
day that its text names and once enough of them have signed, until it expires,
is terminated, or an amended text enters into force. Nobody declares any of
this: it is computed from the log.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from immutables import Map

from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant

ACTIONS: Final = ("train", "evaluate", "statistics", "release")
"""What an agreement can permit."""


class Life(StrEnum):
    """Where an agreement stands; only ``IN_FORCE`` permits anything."""

    UNKNOWN = "unknown"  # no agreement of that id
    DRAFT = "draft"  # proposed, not decided
    REJECTED = "rejected"  # its proposal was rejected or withdrawn
    OPEN_FOR_SIGNATURE = "open-for-signature"  # adopted, waiting for signatures
    ADOPTED = "adopted"  # signed by enough, waiting for its date
    IN_FORCE = "in-force"
    SUSPENDED = "suspended"
    AMENDED = "amended"  # a later text has entered into force in its place
    EXPIRED = "expired"
    TERMINATED = "terminated"


class AgreementAction(StrEnum):
    """What a decision may do to an agreement."""

    SUSPEND = "suspend"
    RESUME = "resume"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One numbered clause, for people to read and refusals to quote."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition that a zone checks; ``serai.zones.terms`` knows the names.

    Attributes:
        name: which condition, such as ``min_cohort``.
        value: what it demands.
        clause: id of the clause that says so.

    """

    name: str
    value: str | int | tuple[str, ...]
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementText:
    """What parties sign.

    Attributes:
        title: for lists.
        language: BCP 47 tag of the text.
        text: the full text, or what it is about where the clauses say it all.
        clauses: numbered clauses.
        terms: what zones check, each under a clause.
        scope: permitted actions, of ``ACTIONS``.
        invited: members who may sign; empty for every member.
        ratifications: how many must sign before it enters into force.
        effective_ms: not in force before this log time.
        expires_ms: not in force from this log time on; None for no end.

    """

    title: str
    language: str
    text: str
    scope: tuple[str, ...]
    clauses: tuple[Clause, ...] = ()
    terms: tuple[Term, ...] = ()
    invited: tuple[MemberId, ...] = ()
    ratifications: int = 1
    effective_ms: int = 0
    expires_ms: int | None = None

    def __post_init__(self) -> None:
        """Refuse a text that could never be in force or whose terms quote nothing."""
        unknown = sorted(set(self.scope) - set(ACTIONS))
        if unknown:
            raise ValueError(f"expected a scope of {', '.join(ACTIONS)}, got {unknown[0]!r}")
        clauses = [clause.id for clause in self.clauses]
        if len(set(clauses)) != len(clauses):
            raise ValueError("each clause has its own id; one appears twice")
        for term in self.terms:
            if term.clause not in clauses:
                raise ValueError(f"term {term.name!r} quotes clause {term.clause!r}, which the text does not have")
        if self.invited and len(set(self.invited)) < self.ratifications:
            raise ValueError(f"{self.ratifications} must ratify, but only {len(set(self.invited))} are invited")
        if min(self.ratifications, self.effective_ms) < 0:
            raise ValueError("expected ratifications and effective_ms >= 0")
        if self.expires_ms is not None and self.expires_ms <= self.effective_ms:
            raise ValueError("expected the agreement to expire after it takes effect")

    def invites(self, member: MemberId) -> bool:
        """Whether a member may sign."""
        return not self.invited or member in self.invited


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """An agreement and what has been said about it.

    Attributes:
        id: statement id of the proposal that carries it.
        text: what was proposed.
        amends: the agreement whose place it takes.
        adopted_ms: log time of its adoption.
        rejected: its proposal failed or was withdrawn.
        signatures: members who signed and did not leave, with the log time of it.
        signed_at: log index of each of those signatures.
        leaving: members who withdrew, with the log time at which their duties end.
        ratified_ms: log time at which enough had signed; once it has entered into
            force, later withdrawals no longer undo that.
        suspended: by decision, until resumed.
        terminated: by decision, or because the last party left.
        amended_by: adopted agreements that amend this one.

    """

    id: Digest
    text: AgreementText
    amends: Digest | None = None
    adopted_ms: int | None = None
    rejected: bool = False
    signatures: Map[MemberId, int] = field(default_factory=Map)
    signed_at: Map[MemberId, int] = field(default_factory=Map)
    leaving: Map[MemberId, int] = field(default_factory=Map)
    ratified_ms: int | None = None
    suspended: bool = False
    terminated: bool = False
    amended_by: tuple[Digest, ...] = ()

    def has_entered(self, time_ms: int) -> bool:
        """Whether it has entered into force by then, whatever became of it later."""
        return self.adopted_ms is not None and self.ratified_ms is not None and time_ms >= self.text.effective_ms

    def life(self, time_ms: int, *, replaced: bool) -> Life:
        """Where it stands at a log time; ``replaced`` if an amended text has entered into force."""
        if self.rejected:
            return Life.REJECTED
        if self.adopted_ms is None:
            return Life.DRAFT
        if self.terminated:
            return Life.TERMINATED
        if self.text.expires_ms is not None and time_ms >= self.text.expires_ms:
            return Life.EXPIRED
        if replaced:
            return Life.AMENDED
        if self.suspended:
            return Life.SUSPENDED
        if self.ratified_ms is None:
            return Life.OPEN_FOR_SIGNATURE
        return Life.IN_FORCE if self.has_entered(time_ms) else Life.ADOPTED

    def with_count(self, signers: int, time_ms: int) -> "Agreement":
        """The agreement after its valid signatures were counted again.

        A treaty in force does not end because parties fall below the number that
        its entry into force needed (Vienna Convention on the Law of Treaties Art. 55).
        """
        if self.has_entered(time_ms):
            return self
        if signers < self.text.ratifications:
            return replace(self, ratified_ms=None)
        return self if self.ratified_ms is not None else replace(self, ratified_ms=time_ms)

    def with_signature(self, member: MemberId, at: Instant) -> "Agreement":
        """The agreement with one more party."""
        leaving = self.leaving.delete(member) if member in self.leaving else self.leaving
        signatures, signed_at = self.signatures.set(member, at.time_ms), self.signed_at.set(member, at.index)
        return replace(self, signatures=signatures, signed_at=signed_at, leaving=leaving)

    def without_signatures(self, indices: Collection[int], time_ms: int) -> "Agreement":
        """The agreement without what was signed at some log indices, unless it has entered into force."""
        undone = [member for member in self.signatures if self.signed_at[member] in indices]
        if not undone or self.has_entered(time_ms):
            return self
        signatures = Map({member: when_ms for member, when_ms in self.signatures.items() if member not in undone})
        return replace(self, signatures=signatures)

    def with_withdrawal(self, member: MemberId, time_ms: int, notice_ms: int) -> "Agreement":
        """The agreement without one party, whose duties last for the notice.

        When the last party leaves an agreement that was in force, it is over.
        """
        signatures = self.signatures.delete(member)
        return replace(
            self,
            signatures=signatures,
            leaving=self.leaving.set(member, time_ms + notice_ms),
            terminated=self.terminated or (not signatures and self.has_entered(time_ms)),
        )
