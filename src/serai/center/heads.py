"""The log's recent heads and the cosignatures that each has gathered."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from serai.errors import Malformed, Misconfigured, Unverified
from serai.kernel.ids import MemberId
from serai.ledger.note import Note, parse_note, parse_signature
from serai.ledger.policy import Witnesses, require_quorum

MAX_RECENT_HEADS: Final = 1_024  # heads that witnesses may still cosign; at full load about a minute's


@dataclass(frozen=True, slots=True)
class Head:
    """The log at one size.

    Attributes:
        size: number of entries.
        root: RFC 6962 root, 32 bytes.
        note: the signed checkpoint; for a witnessed head, with its cosignatures.

    """

    size: int
    root: bytes
    note: str


@dataclass(slots=True)
class _Gathered:
    """A head with its cosignatures: time in Unix seconds and line, by member."""

    head: Head
    lines: dict[MemberId, tuple[int, str]] = field(default_factory=dict)


class RecentHeads:
    """Heads that may still be cosigned, oldest forgotten first. Holds no lock."""

    def __init__(self) -> None:
        self._heads: OrderedDict[int, _Gathered] = OrderedDict()

    def add(self, head: Head) -> None:
        """Remember a head."""
        self._heads.setdefault(head.size, _Gathered(head))
        while len(self._heads) > MAX_RECENT_HEADS:
            self._heads.popitem(last=False)

    def find(self, size: int) -> Head | None:
        """Find the head of a size, or None."""
        gathered = self._heads.get(size)
        return None if gathered is None else gathered.head

    def cosign(self, member: MemberId, line: str, size: int, time_s: int) -> bool:
        """Remember a verified cosignature, the latest of each member.

        Returns:
            Whether it is new and its head is still recent.

        """
        gathered = self._heads.get(size)
        if gathered is None or time_s <= gathered.lines.get(member, (-1, ""))[0]:
            return False
        gathered.lines[member] = (time_s, line)
        return True

    def witnessed(self, size: int, witnesses: Witnesses) -> Head | None:
        """Return the head of a size with its cosignatures, or None while they make no quorum."""
        gathered = self._heads[size]
        plain = parse_note(gathered.head.note)
        lines = tuple(parse_signature(gathered.lines[member][1]) for member in sorted(gathered.lines))
        note = Note(plain.text, plain.signatures + lines)
        try:
            if len(gathered.lines) < witnesses.quorum:  # spares verifying them all again with each one that comes
                return None
            require_quorum(note, witnesses)
        except (Malformed, Misconfigured, Unverified):
            return None
        return Head(size, gathered.head.root, note.encode())
