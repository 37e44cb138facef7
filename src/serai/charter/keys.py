"""The members' keys over time: who may sign what, from which log index to which.

Theory of operation
-------------------
A key is judged at the index of what it signs, so whether a statement holds never
changes afterwards. Keys change in three ways:

- *Rotation.* A member's root keys name its next whole set of keys, as many of the
  present ones as the present threshold asks and as many of the new ones as the
  new threshold asks (TUF 5.3.4). The new set is in force from the next entry on.
- *Revocation.* Somebody else may have a key. It ends at once; what it said since
  the index that the member names is *disputed*: it stands in the log for ever,
  what is still open of it is undone, what is finished keeps the mark.
- *Recovery.* The member has no root keys left, or a thief has them. The others
  decide on a new set, and it enters into force when the old root keys have been
  silent for the charter's cooling-off time.

No key that has ended comes back, and no key ever has two holders or two roles.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from immutables import Map

from serai.charter.members import KeyHolder, MemberRecord
from serai.charter.statements import MemberRotate, Recovery
from serai.kernel.canonical import canonical
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.records import to_json
from serai.kernel.statement import Said

Keys = Map[KeyId, KeyHolder]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """What a revoked key may have said without its member.

    Attributes:
        key: the revoked key.
        member: whose it was.
        role: what it could sign.
        start: log index from which on its statements are disputed.
        end: log index from which on it could say nothing any more.
        reason: for the record.

    """

    key: KeyId
    member: MemberId
    role: Role
    start: int
    end: int
    reason: str


class RecoveryStage(StrEnum):
    """Where a recovery stands after the others have decided it."""

    COOLING = "cooling"  # the old root keys may still object
    EFFECTIVE = "effective"
    OBJECTED = "objected"  # the old root keys have: the member has them after all, or a thief does
    OVERTAKEN = "overtaken"  # the member's keys or standing have changed meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryRecord:
    """A decided recovery.

    Attributes:
        proposal: the decision.
        body: the new keys.
        ends_ms: log time at which the cooling-off ends.
        stage: where it stands.

    """

    proposal: Digest
    body: Recovery
    ends_ms: int
    stage: RecoveryStage = RecoveryStage.COOLING


def word_of(said: Said[Any]) -> Digest:
    """What a member's root keys have in common when they say the same: the words, without signer and nonce."""
    return digest_of(canonical([said.member, said.body.KIND, to_json(said.body)]))


def has_enough(keys: Keys, record: MemberRecord, body: Any, words: frozenset[KeyId]) -> bool:
    """Whether enough root keys have said the same for it to be the member's word."""
    if len(words & root_keys(keys, record)) < record.root_threshold:
        return False
    if not isinstance(body, MemberRotate):
        return True
    return len(words & {key_id(public) for public in body.keys[Role.ROOT]}) >= body.root_threshold


def root_keys(keys: Keys, record: MemberRecord) -> frozenset[KeyId]:
    """The root keys with which a member can speak now."""
    ids = (key_id(public) for public in record.keys[Role.ROOT])
    return frozenset(key for key in ids if key in keys and keys[key].until is None)


def next_record(record: MemberRecord, change: MemberRotate | Recovery) -> MemberRecord:
    """The member with its next set of keys.

    Raises:
        ValueError: with these it could not sign, vote or witness.

    """
    return replace(record, keys=change.keys, root_threshold=change.root_threshold, version=record.version + 1)


def find_clash(keys: Keys, record: MemberRecord) -> str | None:
    """Why a member cannot have the keys of a record, or None."""
    for holder in record.holders():
        known = keys.get(key_id(holder.public))
        if known is None:
            continue
        name = f"the {holder.role} key {key_id(holder.public)[:12]}"
        if known.until is not None:
            return f"{name} ended at index {known.until}, and no key comes back; make a new one"
        if (known.member, known.role) != (holder.member, holder.role):
            return f"{name} is a {known.role} key of {known.member}; a key has one holder and one role"
    return None


def with_record(keys: Keys, record: MemberRecord, index: int) -> Keys:
    """The keys after a member's have become those of a record, from a log index on."""
    current = {key_id(holder.public): holder for holder in record.holders()}
    ended = {
        key: replace(holder, until=index)
        for key, holder in keys.items()
        if holder.member == record.id and holder.until is None and key not in current
    }
    fresh = {key: replace(holder, since=index) for key, holder in current.items() if key not in keys}
    return keys.update({**ended, **fresh})


def revoked(keys: Keys, key: KeyId, start: int, at_index: int, reason: str) -> tuple[Keys, Dispute]:
    """The keys without one, from the next entry on, and what it may have said before.

    Args:
        keys: every key there ever was.
        key: which one ends.
        start: log index from which on its statements are disputed.
        at_index: log index of the first entry that it can no longer sign.
        reason: for the record.

    """
    holder = keys[key]
    end = at_index if holder.until is None else holder.until
    dispute = Dispute(key=key, member=holder.member, role=holder.role, start=start, end=end, reason=reason)
    return keys.set(key, replace(holder, until=end, revoked=True)), dispute
