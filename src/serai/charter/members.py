"""Members: their keys by role, their groups, and their standing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serai.kernel.ids import MemberId
from serai.kernel.keys import ED25519_KEY_BYTES, Role, Suite, find_suite

OPERATOR_ID: Final = MemberId("operator")
"""The member id under which the center's own key speaks; no member may take it."""

_MEMBER_ROLES: Final = frozenset(Role) - {Role.OPERATOR}
_NEEDED_ROLES: Final = (Role.ROOT, Role.DELEGATE, Role.WITNESS)


class Standing(StrEnum):
    """A member's standing in the center."""

    UNKNOWN = "unknown"  # no member of that name
    INVITED = "invited"  # its accession is adopted, and it has not acceded yet
    GOOD = "good"
    SUSPENDED = "suspended"  # bound by its duties, without its rights
    WITHDRAWN = "withdrawn"
    EXPELLED = "expelled"


class StandingAction(StrEnum):
    """What a decision may do to a member's standing."""

    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    EXPEL = "expel"


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key it is, what it may sign, and for how long.

    Attributes:
        member: the member, or ``operator``.
        role: the key's only role.
        public: the public key; its length tells its suite.
        since: log index of the first entry it may sign.
        until: log index of the first entry it may no longer sign; None while it may.
        revoked: whether it ended because somebody else may have it.

    """

    member: MemberId
    role: Role
    public: bytes
    since: int = 0
    until: int | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """A member as the charter names it.

    Attributes:
        id: short name.
        name: full name, in the member's own script.
        keys: public keys by role; at least one root and one delegate key, and
            exactly one witness key.
        groups: constituencies that a criterion may count apart.
        root_threshold: how many root keys must say the same before it is said.
        version: of its keys; 1 at first, one more each time they change.

    """

    id: MemberId
    name: str
    keys: Mapping[str, tuple[bytes, ...]]
    groups: tuple[str, ...] = ()
    root_threshold: int = 1
    version: int = 1

    def __post_init__(self) -> None:
        """Refuse a member that could not sign, vote or witness."""
        unknown = sorted(set(self.keys) - _MEMBER_ROLES)
        if unknown:
            raise ValueError(f"member {self.id} has keys for {unknown[0]!r}; known roles: {sorted(_MEMBER_ROLES)}")
        if self.id == OPERATOR_ID:
            raise ValueError(f"the name {OPERATOR_ID} is the center's own; give the member another")
        for role in _NEEDED_ROLES:
            if not self.keys.get(role):
                raise ValueError(f"member {self.id} needs a {role} key")
        if len(self.keys[Role.WITNESS]) != 1:
            raise ValueError(f"member {self.id} needs exactly one witness key: a quorum counts members, not keys")
        if any(find_suite(holder.public) is None for holder in self.holders()):
            raise ValueError(f"member {self.id} has a key of no known suite; known: {', '.join(Suite)}")
        if len(self.keys[Role.WITNESS][0]) != ED25519_KEY_BYTES:
            raise ValueError(f"member {self.id} needs an Ed25519 witness key: cosignatures have no other form")
        if not 1 <= self.root_threshold <= len(set(self.keys[Role.ROOT])):
            raise ValueError(f"member {self.id} has {len(self.keys[Role.ROOT])} root keys, not {self.root_threshold}")
        if self.version < 1:
            raise ValueError(f"expected version >= 1 of the keys of {self.id}, got {self.version}")

    def holders(self) -> Iterator[KeyHolder]:
        """Every key of this member with its role."""
        for role in sorted(self.keys):
            for public in self.keys[role]:
                yield KeyHolder(self.id, Role(role), public)
