"""What can be said about the charter, proposals and agreements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from serai.charter.agreements import AgreementAction, AgreementText
from serai.charter.constitution import Charter, CharterChange
from serai.charter.decision import Choice
from serai.charter.members import MemberRecord, StandingAction
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChange:
    """A change of one member's standing, as a proposal carries it."""

    member: MemberId
    action: StandingAction


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementChange:
    """A change of one agreement's life, as a proposal carries it."""

    agreement: Digest
    action: AgreementAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """New keys for a member whose root keys are lost or stolen, as a proposal carries them.

    Attributes:
        member: who gets them.
        keys: its whole next set of public keys, by role.
        root_threshold: how many of the new root keys must say the same.
        from_index: log index from which on statements by the keys that end are
            disputed, where a thief may have them; None where they are only lost.

    """

    member: MemberId
    keys: Mapping[str, tuple[bytes, ...]]
    root_threshold: int = 1
    from_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterAdopt:
    """A founder's root key signs the founding charter."""

    KIND: ClassVar[str] = "charter.adopt"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ROOT})

    charter: Charter


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalOpen:
    """A delegate puts a question; its rule, charter version and electorate freeze here.

    It carries at most one effect, which an adoption brings about by itself.

    Attributes:
        topic: which article decides it.
        title: for lists.
        text: the question.
        concerned: members whom the decision concerns.
        participants: members who take part in the programme it is about; empty
            beside an agreement for those whom that invites.
        agreement: the text to adopt, under topic ``agreement``.
        amends: the agreement whose place that text takes.
        standing: under topic ``standing``.
        charter: an amendment of the charter, under topic ``charter``.
        accession: a new member, under topic ``accession``.
        status: suspend, resume or terminate an agreement, under topic ``agreement``.
        recovery: new keys for a member that cannot name them itself, under topic ``recovery``.

    """

    KIND: ClassVar[str] = "proposal.open"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    topic: str
    title: str
    text: str
    concerned: tuple[MemberId, ...] = ()
    participants: tuple[MemberId, ...] = ()
    agreement: AgreementText | None = None
    amends: Digest | None = None
    standing: StandingChange | None = None
    charter: CharterChange | None = None
    accession: MemberRecord | None = None
    status: AgreementChange | None = None
    recovery: Recovery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalWithdraw:
    """Whoever opened a proposal takes it back while it is open."""

    KIND: ClassVar[str] = "proposal.withdraw"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    proposal: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A member's position on an open proposal.

    Attributes:
        proposal: what it is about.
        choice: the position.
        reason: an opinion on record; required to object or reserve.
        amendment: beside an objection to a silence procedure, the text to put
            instead; it opens as a proposal of its own, named by this ballot's id.

    """

    KIND: ClassVar[str] = "ballot"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    proposal: Digest
    choice: Choice
    reason: str = ""
    amendment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementSign:
    """A member becomes party: it opts in, ratifies, or accedes later."""

    KIND: ClassVar[str] = "agreement.sign"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    agreement: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementWithdraw:
    """A party leaves: its data stop at once, its duties end after the charter's notice."""

    KIND: ClassVar[str] = "agreement.withdraw"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    agreement: Digest
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAccede:
    """An invited member accepts the charter as it stands and becomes a member.

    Attributes:
        accession: the adopted proposal that invites it.

    """

    KIND: ClassVar[str] = "member.accede"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ROOT})

    accession: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberWithdraw:
    """A member leaves the center: its rights and data stop at once."""

    KIND: ClassVar[str] = "member.withdraw"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE, Role.ROOT})

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRotate:
    """A member's next whole set of keys, said by root keys of the present set and of the next.

    Attributes:
        member: whose keys they are.
        version: one more than that of the present set.
        keys: public keys by role.
        root_threshold: how many root keys of the next set must say the same.

    """

    KIND: ClassVar[str] = "member.rotate"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ROOT})

    member: MemberId
    version: int
    keys: Mapping[str, tuple[bytes, ...]]
    root_threshold: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoke:
    """A member's key ends at once, because somebody else may have it.

    Attributes:
        key: id of the key.
        from_index: log index from which on its statements are disputed; no later
            than this statement's own.
        reason: for the record.

    """

    KIND: ClassVar[str] = "key.revoke"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ROOT})

    key: KeyId
    from_index: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryObject:
    """The old root keys object to a recovery of their member, which ends it.

    Attributes:
        proposal: the decision to give the member new keys.
        reason: for the record.

    """

    KIND: ClassVar[str] = "recovery.object"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ROOT})

    proposal: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAppoint:
    """A member appoints who keeps the log from some size on; enough of them make a succession.

    Attributes:
        log_key: the successor's verifier key (C2SP signed-note vkey); its name is the
            successor log's origin and no earlier log's.
        operator: the successor's raw Ed25519 public key.
        url: where it answers.
        size: how many entries it takes over.
        root: their RFC 6962 root, hex.

    """

    KIND: ClassVar[str] = "operator.appoint"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    log_key: str
    operator: bytes
    url: str
    size: int
    root: Digest


STATEMENTS: tuple[type[Body], ...] = (
    CharterAdopt,
    ProposalOpen,
    ProposalWithdraw,
    Ballot,
    AgreementSign,
    AgreementWithdraw,
    MemberAccede,
    MemberWithdraw,
    MemberRotate,
    KeyRevoke,
    RecoveryObject,
    OperatorAppoint,
)
