"""The demo's stage: a center, four zones and their borders, as real processes in one folder."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from serai.agent.session import Session
from serai.agent.settings import SETTINGS_FILE, load_settings, with_pins
from serai.center.settings import SETTINGS_FILE as CENTER_FILE
from serai.cli.charters import Founded, NewCenter, found_center
from serai.cli.demo.border import Border
from serai.cli.demo.hospitals import HOSPITALS, Hospital, find_csv, write_settings
from serai.cli.demo.processes import Processes
from serai.cli.founding import NewMember, init_zone, join_center
from serai.client.voice import Spoken, open_session
from serai.errors import Conflict
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import KeyId

ORIGIN: Final = "demo.serai.example/heart"
AGREEMENT_FILE: Final = "agreement.md"
REPORT_JSON: Final = "report.json"
REPORT_HTML: Final = "report.html"
LOG_FOLDER: Final = "log"
_CENTER: Final = "center"
_LEFTOVERS: Final = frozenset(
    {
        AGREEMENT_FILE,
        REPORT_JSON,
        REPORT_HTML,
        LOG_FOLDER,
        *(name for member in (_CENTER, *(hospital.id for hospital in HOSPITALS)) for name in (member, f"{member}.log")),
    }
)


@dataclass(frozen=True, slots=True)
class Actor:
    """One member on the stage: who it is, its home, its own session, and its border."""

    hospital: Hospital
    home: Path
    session: Session
    border: Border


class Stage:
    """Sets up the center and the zones; leaving the block ends every process.

    Args:
        folder: where everything lies; emptied of an earlier demo.

    Raises:
        Conflict: the folder holds something that no demo made.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.csv = find_csv()
        self.actors: dict[str, Actor] = {}
        self._stack = ExitStack()
        clear(self.folder, _LEFTOVERS)
        self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        """Nothing runs before ``found`` and ``open``."""
        self._processes = self._stack.enter_context(Processes(self.folder))
        return self

    def __exit__(self, *error: object) -> None:
        """End processes and borders."""
        self._stack.close()

    def found(self) -> Founded:
        """Each member makes its keys and settings; the center's charter names them all."""
        members = []
        for hospital in HOSPITALS:
            home = self.folder / hospital.id
            new = NewMember(id=hospital.id, name=hospital.name, jurisdiction=hospital.jurisdiction)
            members.append(init_zone(home, new))
            write_settings(home, hospital, self.csv)
        return found_center(
            self.folder / _CENTER,
            NewCenter(
                name="Heart disease, four hospitals",
                origin=ORIGIN,
                members=tuple(members),
                host="127.0.0.1",
                port=0,
                window_s=3600,
            ),
        )

    def open(self, charter: Path) -> Spoken:
        """Start the center, have every founder sign through its border, start the zones; the last signature."""
        center = self._processes.start(_CENTER, ["center", "start", "--home", str(self.folder / _CENTER)])
        self.url = center.wait_ready()
        address = urlsplit(self.url)
        assert address.hostname is not None
        assert address.port is not None
        index: int | None = None  # of the last founder's signature
        borders = {}
        for hospital in HOSPITALS:
            borders[hospital.id] = self._stack.enter_context(Border(address.hostname, address.port))
            index = join_center(self.folder / hospital.id, charter, borders[hospital.id].url).index
        for hospital in HOSPITALS:
            self.start_zone(hospital.id)
        for hospital in HOSPITALS:
            self._processes[hospital.id].wait_ready()
            home = self.folder / hospital.id
            self.actors[hospital.id] = Actor(hospital, home, open_session(home), borders[hospital.id])
        # It looks on without crossing any border, so that watching costs no member a byte.
        self.observer = Session(replace(load_settings(self.folder / HOSPITALS[0].id), center_url=self.url))
        assert index is not None, "a hospital's root key lies in its zone"
        return self.spoken(index)

    def start_zone(self, member: str) -> None:
        """Start a member's agent, for the first time or again."""
        self._processes.start(member, ["zone", "start", "--home", str(self.folder / member)])

    def wait_zone(self, member: str) -> None:
        """Wait until a member's agent works."""
        self._processes[member].wait_ready()

    def kill_zone(self, member: str) -> None:
        """Kill a member's agent, without warning."""
        self._processes[member].kill()

    def spoken(self, index: int) -> Spoken:
        """An entry by its index, as something said."""
        state = self.observer.state()
        (entry,) = self.observer.entries(index, index + 1)
        return Spoken(parse_envelope(entry).id, index, state)

    def signer(self, index: int) -> KeyId:
        """Which key signed the entry at an index."""
        (entry,) = self.observer.entries(index, index + 1)
        return parse_envelope(entry).signer

    def settle(self) -> None:
        """Point zones and center at each other without the borders, which end with the demo."""
        genesis = self.observer.settings.genesis
        assert genesis is not None
        for actor in self.actors.values():
            path = actor.home / SETTINGS_FILE
            path.write_text(with_pins(path.read_text(encoding="utf-8"), self.url, genesis), encoding="utf-8")
        path = self.folder / _CENTER / CENTER_FILE
        port = urlsplit(self.url).port
        path.write_text(path.read_text(encoding="utf-8").replace("port = 0", f"port = {port}"), encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove everything but the report and the published log, which anybody may check again."""
    (folder / _CENTER / "public").rename(folder / LOG_FOLDER)
    clear(folder, _LEFTOVERS - {REPORT_JSON, REPORT_HTML, LOG_FOLDER})


def clear(folder: Path, names: frozenset[str]) -> None:
    """Remove these names from a folder.

    Raises:
        Conflict: the folder holds something that no demo made.

    """
    if not folder.exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in _LEFTOVERS)
    if foreign:
        raise Conflict(
            "demo-folder", f"{folder} holds {foreign[0]}, which no demo made; name another folder with --dir"
        )
    for path in folder.iterdir():
        if path.name in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
