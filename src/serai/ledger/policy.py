"""The witness policy: how many members must have cosigned a checkpoint before it counts.

A quorum counts distinct *members*, never keys or signature lines: a log that
shows the same member's cosignature twice, under two names or two keys, has one
witness (compare CVE-2026-49834, where a threshold was met by one log alone).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serai.errors import Unverified
from serai.kernel.ids import MemberId
from serai.kernel.quorum import quorum
from serai.ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, witness_key
from serai.ledger.note import Note, NoteKey, parse_note


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The members whose cosignatures count, each with its one witness key.

    Attributes:
        keys: raw Ed25519 public keys.
        faulty: how many may lie; None for floor((n - 1) / 3).

    """

    keys: Mapping[MemberId, bytes]
    faulty: int | None = None

    @property
    def quorum(self) -> int:
        """How many members must have cosigned.

        Raises:
            Misconfigured: there are too few for the faults to be borne.

        """
        return quorum(len(self.keys), self.faulty)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that a quorum of members has cosigned.

    Attributes:
        checkpoint: what they cosigned.
        times_s: when each did, in Unix seconds.

    """

    checkpoint: Checkpoint
    times_s: Mapping[MemberId, int]

    @property
    def time_ms(self) -> int:
        """The median of the members' times, in Unix milliseconds."""
        return median_time_ms(self.times_s.values())


def count_members(note: Note, witnesses: Mapping[MemberId, bytes]) -> dict[MemberId, int]:
    """Tell which members have cosigned a checkpoint, and when.

    Args:
        note: the checkpoint with its signature lines.
        witnesses: raw public keys; a key given to two members counts for the first.

    Returns:
        Times in Unix seconds, by member.

    Raises:
        Malformed: the note holds no checkpoint.
        Unverified: a line names a known witness key and does not hold.

    """
    origin = parse_checkpoint(note.text).origin
    owners: dict[bytes, MemberId] = {}
    for member in sorted(witnesses):
        owners.setdefault(witnesses[member], member)
    keys = {witness_key(origin, member, public): member for public, member in owners.items()}
    return {keys[key]: time_s for key, time_s in note.verify(keys).items()}


def require_quorum(note: Note, witnesses: Witnesses) -> dict[MemberId, int]:
    """Count the members that cosigned and insist on a quorum of them.

    Returns:
        Times in Unix seconds, by member.

    Raises:
        Malformed: the note holds no checkpoint.
        Misconfigured: there are too few witnesses for the faults to be borne.
        Unverified: a cosignature does not hold, or too few members cosigned.

    """
    times_s = count_members(note, witnesses.keys)
    if len(times_s) < witnesses.quorum:
        raise Unverified(
            "witness-quorum",
            f"expected cosignatures of {witnesses.quorum} of {len(witnesses.keys)} members, "
            f"got {len(times_s)}: {', '.join(sorted(times_s)) or 'none'}",
        )
    return times_s


def open_witnessed(text: str, key: NoteKey, witnesses: Witnesses) -> Witnessed:
    """Read a checkpoint that its log signed and a quorum of members cosigned.

    Raises:
        Malformed: not a checkpoint in a signed note.
        Misconfigured: there are too few witnesses for the faults to be borne.
        Unverified: the log's signature, a cosignature or the quorum is missing or does not hold.

    """
    note = parse_note(text)
    return Witnessed(open_checkpoint(note, key), require_quorum(note, witnesses))


def median_time_ms(times_s: Iterable[int]) -> int:
    """Take the lower median of times in Unix seconds, as Unix milliseconds.

    With a quorum of n = 3f + 1 witnesses, f liars can move it no further than
    between two honest times.

    Raises:
        Unverified: there are no times.

    """
    ordered = sorted(times_s)
    if not ordered:
        raise Unverified("witness-time", "expected at least one member's time, got none")
    return ordered[(len(ordered) - 1) // 2] * 1000
