"""Where outputs go: the jurisdictions of those who receive them, and the legal instruments for those abroad.

Both are what a zone's own people declare. A member's word about itself is not
asked for, so a recipient that this zone has not placed makes the fact unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serai.kernel.ids import MemberId
from serai.kernel.units import Instant
from serai.zones.facts import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A legal instrument under which outputs may go abroad.

    Attributes:
        name: as ``transfer_basis`` terms spell it.
        to: jurisdictions that it covers.
        since_ms: log time from which it is in force.
        until_ms: log time from which it no longer is.

    """

    name: str
    to: frozenset[str]
    since_ms: int
    until_ms: int


def find_jurisdictions(recipients: Iterable[MemberId], placed: Mapping[MemberId, str]) -> tuple[str, ...] | None:
    """The jurisdictions of all recipients, each once; None if there are none, or one is in no known place."""
    found = {placed.get(recipient) for recipient in recipients}
    known = {place for place in found if place}
    return tuple(sorted(known)) if known and len(known) == len(found) else None


def find_transfers(
    jurisdictions: tuple[str, ...] | None, home: str, instruments: Iterable[Instrument], at: Instant
) -> tuple[Transfer, ...] | None:
    """Each jurisdiction abroad, with the instruments in force for it; None if that cannot be told.

    Args:
        jurisdictions: of the recipients, from ``find_jurisdictions``.
        home: the zone's own.
        instruments: what the zone holds.
        at: log time.

    """
    if jurisdictions is None or at.time_ms <= 0:
        return None
    held = [item for item in instruments if item.since_ms <= at.time_ms < item.until_ms]
    return tuple(
        Transfer(to, tuple(sorted({item.name for item in held if to in item.to}))) for to in jurisdictions if to != home
    )
