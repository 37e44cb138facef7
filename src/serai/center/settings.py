"""What the operator of a center sets, read from ``center.toml`` in the center's folder."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from serai.errors import Misconfigured

SETTINGS_FILE: Final = "center.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterSettings:
    """A center's settings and where its things lie.

    Attributes:
        folder: holds everything the center keeps.
        origin: the log's name, such as ``center.example/serai``; never changes.
        host: address to listen on; the loopback unless others shall reach it.
        port: 0 picks a free one.
        max_blob_bytes: largest blob that members may send.
        max_requests: answered at once, waiting long polls included; further ones queue.
        sum_threads: how many add the uploads of a round; 0 for one a processor, four at most.
        keep_rounds: of how many rounds of a run the uploads are kept at least, 2 or more; those of earlier ones go once all
            members in the sum have looked at them, and audits can no longer compute those sums again. 0 keeps all.
        sync_blobs: whether a blob waits for the disk; see ``FileBlobs``.
        log_level: of what is written to standard error: debug, info, warning, error.

    """

    folder: Path = field(metadata={"given": True})
    origin: str
    host: str = "127.0.0.1"
    port: int = 8787
    max_blob_bytes: int = 16 * 2**30
    max_requests: int = 1024
    sum_threads: int = 0
    keep_rounds: int = 0
    sync_blobs: bool = False
    log_level: str = "info"

    def __post_init__(self) -> None:
        _check(0 <= self.port <= 65_535, "port", "0 to 65535", self.port)
        _check(self.max_blob_bytes >= 1, "max_blob_bytes", "at least 1", self.max_blob_bytes)
        _check(self.max_requests >= 16, "max_requests", "at least 16", self.max_requests)
        _check(0 <= self.sum_threads <= 64, "sum_threads", "0 to 64", self.sum_threads)
        _check(self.keep_rounds == 0 or self.keep_rounds >= 2, "keep_rounds", "0, or 2 or more", self.keep_rounds)
        levels = {"debug", "info", "warning", "error"}
        _check(self.log_level in levels, "log_level", "debug, info, warning or error", self.log_level)

    @property
    def keys(self) -> Path:
        """The keyring: the operator's key."""
        return self.folder / "keys"

    @property
    def database(self) -> Path:
        """The log's database."""
        return self.folder / "log.sqlite"

    @property
    def public(self) -> Path:
        """The log as files, for anybody: checkpoint, tiles, entry bundles."""
        return self.folder / "public"

    @property
    def blobs(self) -> Path:
        """Blobs by digest."""
        return self.folder / "blobs"

    @property
    def partials(self) -> Path:
        """Blobs of which pieces have arrived, by sender."""
        return self.folder / "partials"


def read_settings(folder: Path) -> CenterSettings:
    """Read the settings of the center in ``folder``.

    Raises:
        Misconfigured: there is no settings file, or it holds something unexpected.

    """
    path = folder / SETTINGS_FILE
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misconfigured("settings-missing", f"there is no {path}; make a center there first") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured("settings-form", f"expected TOML in {path}: {error}") from error
    _check_types(given, path)
    return CenterSettings(folder=folder, **given)


def _check_types(given: Mapping[str, Any], path: Path) -> None:
    known = {item.name: item.type for item in fields(CenterSettings) if not item.metadata.get("given")}
    for name, value in given.items():
        if name not in known:
            raise Misconfigured("settings-unknown", f"{path} sets {name!r}; known are {', '.join(known)}")
        expected = known[name]
        if type(value) is not expected:
            raise Misconfigured("settings-form", f"{path}: expected {name} to be {expected}, got {value!r}")
    if "origin" not in given:
        raise Misconfigured("settings-form", f"{path} must set origin, the log's name")


def _check(holds: bool, name: str, expected: str, value: object) -> None:  # noqa: FBT001  # reads as an assertion
    if not holds:
        raise Misconfigured("settings-form", f"expected {name} to be {expected}, got {value!r}")
