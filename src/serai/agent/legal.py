"""Legal profiles: what a member's own people read in the law on some day, as data with an end.

A profile is a file that the member owns; nothing of any state's law stands in
the code. It holds from the day that it is dated to the day that it is to be
read again, by log time: a profile that nobody has looked at since denies, as
does one from the future, for then a clock is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from serai.agent.toml_files import read_toml
from serai.charter.agreements import Term
from serai.kernel.ids import MemberId, parse_member_id
from serai.zones.transfers import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentNote:
    """A legal instrument as a file has it.

    Attributes:
        name: as ``transfer_basis`` terms spell it.
        to: jurisdictions that it covers.
        until: the last day on which it is in force, in UTC.
        since: the first; from ever if empty.

    """

    name: str
    to: tuple[str, ...]
    until: str
    since: str = ""

    def __post_init__(self) -> None:
        """Refuse an instrument that has no name, covers nothing, or has a bent day.

        Raises:
            ValueError: as above.

        """
        if not self.name or not self.to or not all(self.to):
            raise ValueError("an instrument needs a name, and in `to` the jurisdictions that it covers")
        for day in (self.until, self.since or self.until):
            _day(day)

    @property
    def instrument(self) -> Instrument:
        """The same in log time."""
        since_ms = _ms(_day(self.since)) if self.since else 0
        return Instrument(name=self.name, to=frozenset(self.to), since_ms=since_ms, until_ms=_end_ms(self.until))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a member's people read in one law, or in the rules of one house.

    Attributes:
        title: what it is, in one line.
        dated: the day on which it was read.
        until: the last day on which it counts, in UTC; read the law again before.
        notice: for whoever reads the file, such as that it is no legal advice.
        sources: where it can be looked up.
        terms: what follows from it.
        members: jurisdictions of other members, as this member's people see them.
        instruments: legal instruments for sending outputs abroad.

    """

    title: str
    dated: str
    until: str
    terms: tuple[Term, ...] = ()
    notice: str = ""
    sources: tuple[str, ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)
    instruments: tuple[InstrumentNote, ...] = ()

    def __post_init__(self) -> None:
        """Refuse days that are none, or in the wrong order.

        Raises:
            ValueError: as above.

        """
        if _day(self.dated) > _day(self.until):
            raise ValueError(f"dated {self.dated} is after until {self.until}; read the law again, then set both")
        _check_members(self.members)

    @property
    def limits(self) -> tuple[Term, ...]:
        """Its terms, and that it counts only from its day to its end."""
        clause = f"{self.title}, read on {self.dated}, to be read again by {self.until}"
        return (
            *self.terms,
            Term(name="embargo_until_ms", value=max(1, _ms(_day(self.dated))), clause=clause),
            Term(name="expires_ms", value=_end_ms(self.until), clause=clause),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A table of ``zone.toml`` that limits what jobs may do: terms in place, in a profile by path, or both.

    Attributes:
        profile: the profile's file.
        terms: further terms.
        members: jurisdictions of other members.
        instruments: further instruments.

    """

    profile: str | None = None
    terms: tuple[Term, ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)
    instruments: tuple[InstrumentNote, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that no member can have.

        Raises:
            ValueError: as above.

        """
        _check_members(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What such a table adds up to, its profile read.

    Attributes:
        terms: every term that holds.
        places: jurisdictions of other members.
        instruments: in log time.
        profile: the profile's file, if there is one.

    """

    terms: tuple[Term, ...] = ()
    places: Mapping[MemberId, str] = field(default_factory=dict)
    instruments: tuple[Instrument, ...] = ()
    profile: Path | None = None


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        Misconfigured: the file is missing, not TOML, or not a profile; the message names the place.

    """
    return read_toml(Profile, path, "write it, or start from `serai policy template`")


def resolve(rules: Rules, home: Path) -> Resolved:
    """Read what a table names and put it together; a place in ``zone.toml`` goes before one in the profile.

    Raises:
        Misconfigured: as ``read_profile``.

    """
    path = None if rules.profile is None else home / Path(rules.profile).expanduser()
    profile = None if path is None else read_profile(path)
    notes = (*rules.instruments, *(profile.instruments if profile else ()))
    placed = {**(profile.members if profile else {}), **rules.members}
    return Resolved(
        terms=(*rules.terms, *(profile.limits if profile else ())),
        places={MemberId(name): place for name, place in placed.items()},
        instruments=tuple(note.instrument for note in notes),
        profile=path,
    )


def _check_members(members: Mapping[str, str]) -> None:
    """Refuse names that no member can have, and members in no place.

    Raises:
        ValueError: as above.
        Malformed: the name has another form.

    """
    for name, place in members.items():
        parse_member_id(name)
        if not place:
            raise ValueError(f"members.{name} needs a jurisdiction; leave the line out if it is not known")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected a day such as 2027-06-30, got {text[:40]!r}") from None


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _end_ms(text: str) -> int:
    return _ms(_day(text)) + int(timedelta(days=1).total_seconds()) * 1000
