"""Founding: a member makes its keys, the center writes the charter, each founder checks and signs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from serai.agent.session import CHARTER_FILE
from serai.agent.settings import SETTINGS_FILE, ZoneSettings, load_settings, with_pins
from serai.charter.constitution import Charter, genesis_of
from serai.charter.members import MemberRecord
from serai.charter.statements import CharterAdopt
from serai.errors import Conflict, Malformed, Refused
from serai.kernel.ids import Digest, MemberId, parse_member_id
from serai.kernel.keys import Role, Suite
from serai.kernel.statement import sign_body
from serai.storage.keyring import Keyring
from serai.storage.record_files import read_record, write_record
from serai.transport.client import HttpCenter

T = TypeVar("T")

MEMBER_FILE: Final = "member.json"
MEMBER_ROLES: Final = (Role.ROOT, Role.DELEGATE, Role.STEWARD, Role.ZONE, Role.WITNESS)

_ZONE_TOML: Final = """\
# The settings of {member}'s own zone. Nobody else reads this file.
member = "{member}"
name = {name}
jurisdiction = "{jurisdiction}"

# Without a checkpoint that a quorum of members witnessed within so many seconds,
# the zone starts nothing new.
max_staleness_s = 600

# Limits that hold for every run, whatever an agreement says; serai/zones/terms.py lists the names.
# [[policy.terms]]
# name = "min_participants"
# value = 3
# clause = "house rule 1"

# A table that runs may use, once an offer, a grant and an agreement allow it.
# [datasets.example]
# title = "What it is"
# path = "example.csv"
# label = {{column = "outcome", above = 0}}
# missing = "drop"
# features = [{{name = "age", column = "age", kind = "number"}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """What a member says about itself when it makes its keys.

    Attributes:
        suite: of its keys, but for the witness's; one that the charter will take.
        roots: its public root keys, where they lie elsewhere; empty to make one here.
        root_threshold: how many of them must say the same.

    """

    id: str
    name: str
    jurisdiction: str
    groups: tuple[str, ...] = ()
    suite: Suite = Suite.ED25519
    roots: tuple[bytes, ...] = ()
    root_threshold: int = 1


@dataclass(frozen=True, slots=True)
class Joined:
    """A charter: its digest, and where the signature stands in the log; None where the root key lies elsewhere."""

    genesis: Digest
    index: int | None
    charter: Charter


def init_zone(home: Path, member: NewMember) -> MemberRecord:
    """Make a zone's folder: keys for every role, ``zone.toml`` and ``member.json``.

    Raises:
        Conflict: the folder is a zone already; keys are never overwritten.
        Malformed: the member's id has another form, or its root keys do not fit.

    """
    if (home / SETTINGS_FILE).exists():
        raise Conflict("zone-exists", f"{home} is a zone already; name an empty folder, or use this one as it is")
    member_id = parse_member_id(member.id)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = Keyring.create(home / "keys", [Role.WITNESS])  # cosignatures are Ed25519 in any case
    Keyring.create(
        home / "keys", set(MEMBER_ROLES) - {Role.WITNESS} - ({Role.ROOT} if member.roots else set()), member.suite
    )
    publics = {role.value: (keys.signer(role).public,) for role in MEMBER_ROLES if role in keys.roles}
    try:
        record = MemberRecord(
            id=member_id,
            name=member.name,
            keys={**publics, **({Role.ROOT.value: member.roots} if member.roots else {})},
            groups=member.groups,
            root_threshold=member.root_threshold,
        )
    except ValueError as error:
        raise Malformed("member-form", f"these keys make no member: {error}") from error
    write_record(home / MEMBER_FILE, record)
    text = _ZONE_TOML.format(member=member_id, name=_toml_text(member.name), jurisdiction=member.jurisdiction)
    (home / SETTINGS_FILE).write_text(text, encoding="utf-8")
    return record


def join_center(home: Path, charter_file: Path, center_url: str) -> Joined:
    """Check the charter, pin it, and sign it with the member's root key, if that lies here.

    Running it again after a failure is safe: the same signature gets the same index.

    Raises:
        Refused: the charter does not name this member with the keys it has here.
        Conflict: the zone has pinned another charter before.

    """
    settings = load_settings(home)
    charter = read_record(Charter, charter_file)
    _check_own_record(settings, charter, Keyring(settings.keys_folder))
    genesis = genesis_of(charter)
    if settings.genesis not in (None, genesis):
        raise Conflict(
            "genesis-pinned",
            f"this zone has pinned charter {settings.genesis}, the file holds {genesis}; a zone belongs to one center",
        )
    write_record(settings.home / CHARTER_FILE, charter)
    path = settings.home / SETTINGS_FILE
    path.write_text(with_pins(path.read_text(encoding="utf-8"), center_url, genesis), encoding="utf-8")
    keys = Keyring(settings.keys_folder)
    if Role.ROOT not in keys.roles:
        return Joined(genesis, None, charter)
    center = HttpCenter(center_url, keys.signer(Role.ZONE), settings.member)
    entry = sign_body(CharterAdopt(charter=charter), keys.signer(Role.ROOT), {"charter": genesis})
    return Joined(genesis, center.submit(entry), charter)


def read_members(files: Sequence[Path]) -> tuple[MemberRecord, ...]:
    """Read the founders' ``member.json`` files.

    Raises:
        Missing, Malformed: a file is not there or holds no member record.

    """
    return tuple(read_record(MemberRecord, path) for path in files)


def _check_own_record(settings: ZoneSettings, charter: Charter, keys: Keyring) -> None:
    own = {member.id: member for member in charter.members}.get(MemberId(settings.member))
    if own is None:
        names = ", ".join(member.id for member in charter.members)
        raise Refused("charter-without-us", f"the charter names {names}, and not {settings.member}; do not sign it")
    given = read_record(MemberRecord, settings.home / MEMBER_FILE)
    for role in MEMBER_ROLES:
        expected = given.keys[role] if role is Role.ROOT else (keys.signer(role).public,)
        if own.keys.get(role, ()) != expected:
            raise Refused(
                "charter-other-key",
                f"the charter gives {settings.member} another {role} key than {settings.keys_folder} holds; do not sign it",
            )


def _toml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
