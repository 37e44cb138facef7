"""A zone's own settings, read from ``zone.toml`` in its home folder.

The file belongs to the member alone: nobody else reads it, and the center never
sees it. It is read strictly: a key this version does not know is an error, for a
misspelt limit that is silently ignored would be a limit that does not hold.

Layout of a home folder::

    zone.toml      this file
    keys/          private keys, one per role
    STOP           the kill switch: while this file exists the zone runs nothing
    profiles/      legal profiles, dated, one TOML file each (by convention)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from serai.agent.datasets import DatasetSettings
from serai.agent.legal import Rules, resolve
from serai.agent.toml_files import read_toml
from serai.charter.agreements import Term
from serai.errors import Misconfigured
from serai.kernel.ids import Digest, MemberId
from serai.ledger.statements import LEAST_WAIT_MS
from serai.recipes.equipment import AUTO, DEFAULTS, EngineName, Equipment, Precision
from serai.transport.connection import MAX_FLOWS
from serai.zones.transfers import Instrument

SETTINGS_FILE: Final = "zone.toml"
STOP_FILE: Final = "STOP"
DEFAULT_WITHHELD_S: Final = 60  # far above any round trip, far below the window of any vote
DEFAULT_MAX_STALENESS_S: Final = 600  # ten minutes without a quorum's cosignature and the zone stops starting work


class SandboxMode(StrEnum):
    """Where recipes run."""

    REQUIRED = "required"  # in a worker behind a whole sandbox, or not at all
    PREFERRED = "preferred"  # in a worker, behind the best that this machine has
    OFF = "off"  # those that come with serai run in the agent itself


class ForeignCode(StrEnum):
    """What becomes of recipes that do not come with serai, once something permits them."""

    SANDBOXED = "sandboxed"  # they run behind a whole sandbox, or not at all
    LIMITED = "limited"  # they also run in a worker that could read files of this user
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one recipe's worker may use.

    Attributes:
        memory_mb: memory, in MiB.
        call_s: seconds that one call (a round's contribution, an evaluation) may take.
        scratch_mb: files that it may write, in MiB; they die with it.
        devices: device files that it may use, such as ``/dev/nvidia0``.

    """

    memory_mb: int = 8192
    call_s: int = 1800
    scratch_mb: int = 256
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse limits under which no recipe could run.

        Raises:
            ValueError: a limit is too small, or a device is not named by its path.

        """
        for name, least in (("memory_mb", 256), ("call_s", 1), ("scratch_mb", 1)):
            if not least <= getattr(self, name) <= 2**31:
                raise ValueError(f"limits.{name} must be from {least} to 2^31, got {getattr(self, name)}")
        if bent := [device for device in self.devices if not device.startswith("/dev/") or ".." in device]:
            raise ValueError(f"limits.devices must be paths under /dev, got {bent[0]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where, within what limits, and with what equipment recipes run in this zone."""

    mode: SandboxMode = SandboxMode.PREFERRED
    foreign: ForeignCode = ForeignCode.SANDBOXED
    limits: Limits = Limits()
    equipment: Equipment = DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """What trains, and on what."""

    engine: EngineName = EngineName.AUTO
    device: str = AUTO
    precision: Precision = Precision.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class _ZoneFile:
    """The keys that ``zone.toml`` may hold."""

    member: MemberId
    jurisdiction: str
    name: str = ""
    center_url: str = ""
    genesis: str = ""
    max_staleness_s: int = DEFAULT_MAX_STALENESS_S
    flows: int = 0
    listen: str = ""
    peers: tuple[str, ...] = ()
    withheld_s: int = DEFAULT_WITHHELD_S
    sandbox: SandboxMode = SandboxMode.PREFERRED
    foreign_code: ForeignCode = ForeignCode.SANDBOXED
    limits: Limits = Limits()
    training: _Training = _Training()
    models: Mapping[str, str] = field(default_factory=dict)
    retention_days: int | None = None
    policy: Rules = field(default_factory=Rules)
    legal: Rules = field(default_factory=Rules)
    datasets: Mapping[str, DatasetSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """What one zone was told by its own member.

    Attributes:
        home: the zone's folder, absolute.
        center_url: where the center answers; empty before ``serai zone join``.
        genesis: digest of the charter the member adopted; empty before joining.
        max_staleness_s: oldest acceptable age of the newest witnessed checkpoint.
        policy: the zone's own standing limits.
        legal: the limits of the law it lives under, as it declares them.
        places: jurisdictions of members, as this member's people see them; its own is among them.
        instruments: legal instruments that it holds for sending outputs abroad.
        profiles: the files that policy and legal limits were read from, beside ``zone.toml``.
        retention_days: days after a run by which what it derived from the data is deleted here; None keeps it.
        sandbox: where, within what limits, and with what equipment recipes run.
        flows: connections to the center that carry one long blob at once; 0 chooses by its size and the link.
        listen: ``host:port`` where the agent shows its mirror and cosigns for others; nowhere if empty.
        peers: addresses where other members' agents do.
        withheld_s: how long a statement may take to show in the log, before peers are asked to carry it.

    """

    home: Path
    member: MemberId
    name: str
    jurisdiction: str
    center_url: str
    genesis: Digest | None
    max_staleness_s: int
    policy: tuple[Term, ...]
    legal: tuple[Term, ...]
    datasets: Mapping[str, DatasetSettings]
    sandbox: SandboxSettings = SandboxSettings()
    flows: int = 0
    listen: str = ""
    peers: tuple[str, ...] = ()
    places: Mapping[MemberId, str] = field(default_factory=dict)
    instruments: tuple[Instrument, ...] = ()
    profiles: tuple[Path, ...] = ()
    retention_days: int | None = None
    withheld_s: int = DEFAULT_WITHHELD_S

    @property
    def keys_folder(self) -> Path:
        """Where the member's private keys lie."""
        return self.home / "keys"

    @property
    def stop_file(self) -> Path:
        """The kill switch: while this file exists the zone runs nothing."""
        return self.home / STOP_FILE

    @property
    def is_stopped(self) -> bool:
        """Whether the kill switch is on, asked of the disk each time."""
        return self.stop_file.exists()

    @property
    def stopped(self) -> str | None:
        """Why the zone runs nothing, in words that may stand in the log; None while it does."""
        return "its kill switch is on" if self.is_stopped else None


def load_settings(home: Path) -> ZoneSettings:
    """Read ``zone.toml`` in a home folder.

    Raises:
        Misconfigured: the file is missing, too large, not TOML, or holds an
            unknown key or a value of the wrong type; the message names the place.

    """
    home = home.expanduser().absolute()
    path = home / SETTINGS_FILE
    parsed = read_toml(_ZoneFile, path, f"`serai zone init --home {home}` writes it")
    genesis = _genesis(parsed.genesis, path)
    _check(parsed, path)
    policy, legal = resolve(parsed.policy, home), resolve(parsed.legal, home)
    return ZoneSettings(
        home=home,
        member=parsed.member,
        name=parsed.name or parsed.member,
        jurisdiction=parsed.jurisdiction,
        center_url=parsed.center_url,
        genesis=genesis,
        max_staleness_s=parsed.max_staleness_s,
        policy=policy.terms,
        legal=legal.terms,
        datasets={name: _with_absolute_paths(dataset, home) for name, dataset in parsed.datasets.items()},
        sandbox=SandboxSettings(
            mode=parsed.sandbox,
            foreign=parsed.foreign_code,
            limits=parsed.limits,
            equipment=_equipment(parsed, path),
        ),
        flows=parsed.flows,
        listen=parsed.listen,
        peers=parsed.peers,
        places={**policy.places, **legal.places, parsed.member: parsed.jurisdiction},
        instruments=(*policy.instruments, *legal.instruments),
        profiles=tuple(found.profile for found in (policy, legal) if found.profile is not None),
        retention_days=parsed.retention_days,
        withheld_s=parsed.withheld_s,
    )


def with_pins(text: str, center_url: str, genesis: Digest) -> str:
    """Write the center's address and the adopted charter's digest into a ``zone.toml``.

    The file is edited as text, so that the member's comments and order survive.
    """
    lines = text.splitlines()
    # Keys after the first [table] belong to that table, so only the lines before it are ours.
    top = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    for key, value in (("genesis", genesis), ("center_url", center_url)):
        pin = f'{key} = "{value}"'
        places = [number for number in range(top) if re.match(rf"\s*{key}\s*=", lines[number])]
        if places:
            lines[places[0]] = pin
        else:
            lines.insert(top, pin)
            top += 1
    return "\n".join(lines) + "\n"


def _check(parsed: _ZoneFile, path: Path) -> None:
    """Refuse values out of their range."""
    if parsed.max_staleness_s <= 0:
        raise Misconfigured("settings-value", f"{path}: max_staleness_s must be positive, got {parsed.max_staleness_s}")
    if not 0 <= parsed.flows <= MAX_FLOWS:
        raise Misconfigured("settings-value", f"{path}: flows must be from 0 to {MAX_FLOWS}, got {parsed.flows}")
    if not LEAST_WAIT_MS <= 1000 * parsed.withheld_s <= 86_400_000:
        least = LEAST_WAIT_MS // 1000
        raise Misconfigured("settings-value", f"{path}: withheld_s must be {least} to 86400, got {parsed.withheld_s}")
    if parsed.listen and not re.fullmatch(r"[^\s/]+:[0-9]{1,5}", parsed.listen):
        raise Misconfigured("settings-value", f"{path}: listen must be host:port, got {parsed.listen!r}")
    if bad := [url for url in parsed.peers if not re.fullmatch(r"https?://[^\s/?#]+/?", url)]:
        raise Misconfigured("settings-value", f"{path}: peers must be http(s)://host:port, got {bad[0]!r}")
    if parsed.retention_days is not None and parsed.retention_days < 0:
        raise Misconfigured("settings-value", f"{path}: retention_days must be at least 0, got {parsed.retention_days}")


def _equipment(parsed: _ZoneFile, path: Path) -> Equipment:
    models = {name: str(path.parent / Path(folder).expanduser()) for name, folder in parsed.models.items()}
    chosen = parsed.training
    try:
        return Equipment(engine=chosen.engine, device=chosen.device, precision=chosen.precision, models=models)
    except ValueError as error:
        raise Misconfigured("settings-value", f"{path}: training: {error}") from error


def _genesis(text: str, path: Path) -> Digest | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Misconfigured(
            "settings-value", f"{path}: genesis must be 64 lower-case hex characters, as `serai zone join` writes it"
        )
    return Digest(text)


def _with_absolute_paths(dataset: DatasetSettings, home: Path) -> DatasetSettings:
    def absolute(path: str) -> str:
        return str(home / Path(path).expanduser()) if path else ""

    return replace(dataset, path=absolute(dataset.path), service_file=absolute(dataset.service_file))
