"""Members: their keys by role, their groups, and their standing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serai.kernel.ids import MemberId
from serai.kernel.keys import Role

OPERATOR_ID: Final = MemberId("operator")
"""The member id under which the center's own key speaks; no member may take it."""

KEY_BYTES: Final = 32  # a raw Ed25519 public key (RFC 8032 5.1.5)

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
    """Whose key it is and what it may sign.

    Attributes:
        member: the member, or ``operator``.
        role: the key's only role.
        public: the raw Ed25519 public key, 32 bytes.

    """

    member: MemberId
    role: Role
    public: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """A member as the charter names it.

    Attributes:
        id: short name.
        name: full name, in the member's own script.
        keys: raw public keys by role; at least one root and one delegate key, and
            exactly one witness key.
        groups: constituencies that a criterion may count apart.

    """

    id: MemberId
    name: str
    keys: Mapping[str, tuple[bytes, ...]]
    groups: tuple[str, ...] = ()

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
        if any(len(holder.public) != KEY_BYTES for holder in self.holders()):
            raise ValueError(f"member {self.id} has a key that is not {KEY_BYTES} bytes")

    def holders(self) -> Iterator[KeyHolder]:
        """Every key of this member with its role."""
        for role in sorted(self.keys):
            for public in self.keys[role]:
                yield KeyHolder(self.id, Role(role), public)
