"""A new center: its key, its settings, and the charter that the founders are asked to sign."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serai.agent.session import CHARTER_FILE
from serai.center.settings import SETTINGS_FILE
from serai.charter.constitution import Charter, genesis_of
from serai.charter.members import MemberRecord
from serai.charter.presets import PRESETS, with_window
from serai.errors import Conflict, Malformed
from serai.kernel.ids import Digest
from serai.kernel.keys import Role, Suite
from serai.ledger.checkpoint import LogSigner
from serai.storage.keyring import Keyring
from serai.storage.record_files import write_record

DEFAULT_NOTICE_MS: Final = 90 * 24 * 3600 * 1000
DEFAULT_COOLING_MS: Final = 14 * 24 * 3600 * 1000

_CENTER_TOML: Final = """\
# The settings of the center "{name}". The origin never changes: it names the log.
origin = "{origin}"
host = "{host}"
port = {port}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCenter:
    """What the founders settle before there is a center.

    Attributes:
        name: for people.
        origin: the log's name, such as ``center.example/serai``.
        preset: which table of articles the charter starts from.
        window_s: one window for every ballot in place of the preset's; None keeps them.
        weights: voting weights by table and member, where the preset counts by weight.
        faulty: how many members' witnesses may be faulty; None for the most that can be borne.
        notice_ms: how long duties outlast a withdrawal.
        suites: what the members' keys may be.
        cooling_ms: how long old root keys may object to a recovery.

    """

    name: str
    origin: str
    members: tuple[MemberRecord, ...]
    host: str
    port: int
    preset: str = "consensus"
    window_s: int | None = None
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    faulty: int | None = None
    notice_ms: int = DEFAULT_NOTICE_MS
    suites: tuple[Suite, ...] = (Suite.ED25519,)
    cooling_ms: int = DEFAULT_COOLING_MS


@dataclass(frozen=True, slots=True)
class Founded:
    """A charter, its digest, and the file it lies in."""

    charter: Charter
    genesis: Digest
    path: Path


def found_center(folder: Path, new: NewCenter) -> Founded:
    """Make a center's folder: the operator's key, ``center.toml`` and ``charter.json``.

    Raises:
        Conflict: the folder is a center already; its key is never overwritten.
        Malformed: the founders and articles do not make a charter; the message says why.

    """
    if (folder / SETTINGS_FILE).exists():
        raise Conflict("center-exists", f"{folder} is a center already; name an empty folder, or start that one")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    operator = Keyring.create(folder / "keys", [Role.OPERATOR]).signer(Role.OPERATOR)
    articles = PRESETS[new.preset]
    try:
        charter = Charter(
            name=new.name,
            origin=new.origin,
            log_key=LogSigner(new.origin, operator).key.encode(),
            operator=operator.public,
            members=new.members,
            articles=articles if new.window_s is None else with_window(articles, new.window_s * 1000),
            weights=new.weights,
            faulty=(len(new.members) - 1) // 3 if new.faulty is None else new.faulty,
            notice_ms=new.notice_ms,
            suites=new.suites,
            cooling_ms=new.cooling_ms,
        )
        for record in new.members:
            charter.require_suites(record)
    except ValueError as error:
        raise Malformed("charter-form", f"these founders and articles make no charter: {error}") from error
    path = folder / CHARTER_FILE
    write_record(path, charter)
    text = _CENTER_TOML.format(name=new.name, origin=new.origin, host=new.host, port=new.port)
    (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")
    return Founded(charter, genesis_of(charter), path)
