"""The log between real processes: appends over HTTP, and how long center and agent need to start.

``ledger.py`` runs these and prints what they find.
"""

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role, Signer
from serai.kernel.statement import sign_body
from serai.storage.keyring import Keyring
from serai.storage.snapshots import SNAPSHOT_FILE
from serai.testing.long_log import lengthen
from serai.testing.processes import ProcessBloc
from serai.transport.client import HttpCenter
from serai.zones.statements import Approval, Column, Offer

MEMBERS = ("bern", "cusco", "dakar", "lima")
THREADS = 8  # requests that a client has under way at once
REPEATED = 10  # one in so many is sent twice, as after a lost answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a process, until it says that it is ready.

    Attributes:
        wall_s: by the clock on the wall.
        cpu_s: of the process.

    """

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Appends:
    """Entries that clients got into the log of a center over HTTP.

    Attributes:
        per_s: requests answered per second, from the first request to the last answer.
        center_us: time of a processor that the center took for each, microseconds.
        clients_us: the same, of its client.

    """

    per_s: float
    center_us: float
    clients_us: float


def bloc_in(folder: Path) -> ProcessBloc:
    """A bloc of processes, not yet started."""
    return ProcessBloc(folder, {name: [[float(n), 1.0, n % 2] for n in range(16)] for name in MEMBERS})


def appends(folder: Path, count: int) -> Appends:
    """Let clients, a process each, send statements of their members to a center.

    Raises:
        AssertionError: a statement has no effect, or one that was sent twice stands twice.

    """
    with bloc_in(folder) as bloc:
        for name in MEMBERS:
            bloc.end(name)  # its agent: what it takes of this machine is no part of the center's work
        shares = [_statements(folder, name, count // len(MEMBERS)) for name in MEMBERS]
        before = bloc.state()
        with ProcessPoolExecutor(len(MEMBERS), multiprocessing.get_context("spawn")) as pool:
            list(pool.map(_warm_up, range(len(MEMBERS))))
            cpu_s, started = _cpu_s(bloc.pid(bloc.center)), time.perf_counter()
            jobs = [
                pool.submit(_send, bloc.url, folder, name, share) for name, share in zip(MEMBERS, shares, strict=True)
            ]
            done = [job.result() for job in jobs]
            wall_s, cpu_s = time.perf_counter() - started, _cpu_s(bloc.pid(bloc.center)) - cpu_s
        after = bloc.state()
        assert not after.void, "statements without an effect would make the figure mean less"
        assert len(after.zones.offers) + sum(map(len, after.zones.approvals.values())) == sum(map(len, shares))
        assert after.size - before.size >= sum(map(len, shares))
        sent = sum(count for count, _ in done)
        clients_s = sum(client_s for _, client_s in done)
        return Appends(per_s=sent / wall_s, center_us=1e6 * cpu_s / sent, clients_us=1e6 * clients_s / sent)


def restarts(folder: Path, count: int) -> dict[str, Start]:
    """How a center and an agent start on a log of so many entries, by who starts and from what."""
    found: dict[str, Start] = {}
    with bloc_in(folder) as bloc:
        bloc.wait_until(lambda state: state.time_ms > 0)
        for name in (*MEMBERS, bloc.center):
            bloc.end(name)
        lengthen(folder, MEMBERS, count)
        bloc.start(bloc.center)  # writes the tiles, which a center does as its log grows
        for name in (bloc.center, MEMBERS[0]):
            if name == bloc.center:
                bloc.kill(name)
            (folder / name / SNAPSHOT_FILE).unlink(missing_ok=True)
            found[f"{name}, without a snapshot"] = _start(bloc, name)
            _wait_for(folder / name / SNAPSHOT_FILE)
            bloc.end(name)
            found[name] = _start(bloc, name)
    return found


def _wait_for(file: Path) -> None:
    until = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < until, f"{file} was not written"
        time.sleep(0.1)


def _start(bloc: ProcessBloc, name: str) -> Start:
    started = time.perf_counter()
    bloc.start(name)
    return Start(wall_s=time.perf_counter() - started, cpu_s=_cpu_s(bloc.pid(name)))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _statements(folder: Path, member: str, count: int) -> list[bytes]:
    """Half approvals and half offers, each another."""
    signer: Signer = Keyring(folder / member / "keys").signer(Role.STEWARD)
    columns = tuple(Column(name=f"x{n}", kind="number", unit="", description="a feature") for n in range(4))
    made: list[bytes] = []
    for number in range(count):
        name = digest_of(f"{member} {number}".encode())
        offer = Offer(dataset=name, title="rows", description="", rows=9, columns=columns, jurisdiction="XX", terms=())
        made.append(sign_body(offer if number % 2 else Approval(subject=name, comment="seen"), signer))
    return made


def _warm_up(_number: int) -> None:
    """A process has to be there before it is asked to be quick."""
    time.sleep(0.1)


def _send(url: str, folder: Path, member: str, entries: Sequence[bytes]) -> tuple[int, float]:
    """Send a member's entries, some twice; how many were sent, and the time of a processor it took, seconds."""
    before_s = time.process_time()
    center = HttpCenter(url, Keyring(folder / member / "keys").signer(Role.ZONE), MemberId(member))
    repeated = entries[::REPEATED]
    with ThreadPoolExecutor(THREADS) as pool:
        indices = list(pool.map(center.submit, entries))
        assert list(pool.map(center.submit, repeated)) == indices[::REPEATED], "an entry has two places"
    center.close()
    return len(entries) + len(repeated), time.process_time() - before_s
