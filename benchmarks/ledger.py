"""How fast the log takes entries, members replay them, and everybody is back after a restart.

Usage: python benchmarks/ledger.py [--entries 20000] [--long 100000] [--only WHAT] [--results]

``store``: signed ballots of about 600 bytes go through the sequencer in this
process: parsed, signature checked, deduplicated, committed with a full sync,
published as tiles, in batches as they come. ``http``: four clients, a process
each, send statements of their members to a center's process, eight at once;
one in ten is sent again and has to come to the same place. ``replay``: what a bloc
of four says while it agrees, grants, plans, trains and evaluates is folded; one
entry in eighteen is a clock with five signatures. ``decision``: a zone judges a plan
after such a log, with the facts gathered anew each time. ``restart``: a center and
an agent start on such a log, in processes of their own, until they say that they
are ready: from a snapshot, and without one.

Seconds are wall time and grow with the load of the machine, which is printed
beside them, as is the time of a processor.
"""

import argparse
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger_processes import MEMBERS, appends, restarts
from serai.agent.admission import judge_run
from serai.center.sequencer import Sequencer
from serai.charter.decision import Choice
from serai.charter.statements import Ballot
from serai.kernel.envelope import Envelope
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import Checkpoint, LogSigner
from serai.ledger.policy import Witnessed, Witnesses
from serai.state import State, digest_state, fold
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore
from serai.storage.snapshots import SnapshotFile
from serai.storage.tile_files import TileFiles
from serai.testing.federation import ORIGIN, Federation
from serai.testing.long_log import LongLog

DECISIONS = 500
WHAT = ("store", "http", "replay", "decision", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure.

    Attributes:
        name: what was measured.
        value: the figure.
        unit: of the figure.
        bar: what is promised; "" for nothing.
        holds: whether it is kept; None where nothing is promised.
        limit: what the machine could do, or what else to know.
        peer: what comparable software does.

    """

    name: str
    value: float
    unit: str
    bar: str = ""
    holds: bool | None = None
    limit: str = ""
    peer: str = ""


def stored(folder: Path, count: int) -> Iterator[Result]:
    """Durable appends per second, from the first submission to the last answer."""
    keyring = Keyring.create(folder / "keys", [Role.DELEGATE, Role.OPERATOR])
    signer = keyring.signer(Role.DELEGATE)
    ballot = Ballot(proposal=Digest("ab" * 32), choice=Choice.YES, reason="as our capital decided")
    entries = [sign_body(ballot, signer, nonce=number.to_bytes(8)) for number in range(count)]

    def admit(envelope: Envelope) -> None:
        envelope.verify(signer.public)

    log = LogSigner("center.test/serai", keyring.signer(Role.OPERATOR))
    store = LogStore(folder / "log.sqlite")
    sequencer = Sequencer(store, TileFiles(folder / "public"), log, admit, lambda: Witnesses({}))
    sequencer.start()
    start = time.perf_counter()
    futures = [sequencer.submit(entry) for entry in entries]
    for future in futures:
        future.result(60)
    per_s = len(entries) / (time.perf_counter() - start)
    sequencer.close()
    store.close()
    yield Result(
        name="durable appends to the log, in batches, signatures checked",
        value=round(per_s),
        unit="entries/s",
        bar="at least 4,000/s",
        holds=per_s >= 4000,
        limit=f"{verifications_per_s():,} Ed25519 verifications/s on one core; "
        f"{syncs_per_s(folder):,} one-row commits/s on this disk",
        peer="Tessera (Go): 2,927/s on disks, 10,567/s on NVMe, with HTTP and deduplication",
    )


def over_http(folder: Path, count: int) -> Iterator[Result]:
    """Appends per second that a center's process answers."""
    found = appends(folder, count)
    yield Result(
        name="durable appends over HTTP, four clients, signatures checked, deduplicated",
        value=round(found.per_s),
        unit="entries/s",
        bar="at least 1,500/s",
        holds=found.per_s >= 1500,
        limit=f"each takes {found.center_us:.0f} us of the center's processor and {found.clients_us:.0f} us of its client's, "
        f"here on one machine with {os.cpu_count()} cores",
        peer="Tessera (Go): 2,927/s on disks, 10,567/s on NVMe, with HTTP and deduplication",
    )


def replayed(folder: Path, count: int) -> Iterator[Result]:
    """Entries folded per second, each with effect: parsed, signature checked, judged, applied."""
    bloc, base = bloc_in(folder)
    work = LongLog(base, bloc.log, bloc.signer)
    work.grow(count)
    start, cpu_s = time.perf_counter(), time.process_time()
    state = fold(base, work.entries)
    per_s, cpu_s = len(work.entries) / (time.perf_counter() - start), time.process_time() - cpu_s
    assert digest_state(state) == digest_state(work.state)
    assert not state.void, "entries without an effect would make the figure mean less"
    yield Result(
        name="replay of a bloc's statements, all with effect, signatures checked",
        value=round(per_s),
        unit="entries/s",
        bar="at least 5,000/s",
        holds=per_s >= 5000,
        limit=f"{len(work.entries) / cpu_s:,.0f}/s by time of the processor; "
        f"{verifications_per_s():,} Ed25519 verifications/s on one core",
    )


def decided(folder: Path, count: int) -> Iterator[Result]:
    """Microseconds for a zone's decision about a plan, after the replay of a long log, and for a snapshot of that."""
    bloc, _ = bloc_in(folder)
    run = bloc.train(bloc.agree(), "newton", 1, {"features": "1"})
    bloc.settle()
    zone = bloc.members[next(iter(bloc.members))].zone
    work = LongLog(bloc.state, bloc.log, bloc.signer)
    work.grow(count)
    state, bloc.now_ms = work.state, work.state.time_ms
    checkpoint = Checkpoint(ORIGIN, state.size, state.frontier.root())
    witnessed = Witnessed(checkpoint, dict.fromkeys(bloc.members, state.time_ms // 1000))
    view = replace(zone.mirror.view, state=state, frontier=state.frontier, witnessed=witnessed)
    plan = state.runs.plans[run]
    assert judge_run(zone, plan, view).allowed, "a refusal may come after the first of sixteen steps"
    cpu_s, times_us = time.process_time(), []
    for _ in range(DECISIONS):
        start = time.perf_counter()
        judge_run(zone, plan, view)
        times_us.append(1e6 * (time.perf_counter() - start))
    wall_us, cpu_us = statistics.median(times_us), 1e6 * (time.process_time() - cpu_s) / DECISIONS
    yield Result(
        name=f"a zone's decision about a plan after {count:,} statements, every fact gathered anew, median",
        value=round(wall_us),
        unit="us",
        bar="under 1,000 us",
        holds=wall_us < 1000,
        limit=f"{cpu_us:.0f} us of a processor",
    )
    yield from _written(folder, state)


def _written(folder: Path, state: State) -> Iterator[Result]:
    assert state.charter.genesis is not None
    start, cpu_s = time.perf_counter(), time.process_time()
    SnapshotFile(folder / "state.snapshot", state.charter.genesis).write(state)
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_s
    yield Result(
        name=f"a snapshot after {state.size:,} statements, written beside all else",
        value=round(wall_s, 2),
        unit="s",
        limit=f"{cpu_s:.2f} s of a processor; {(folder / 'state.snapshot').stat().st_size / 1e6:.0f} MB",
    )


def restarted(folder: Path, count: int) -> Iterator[Result]:
    """Seconds until a center and an agent are ready again."""
    found = restarts(folder, count)
    for name, start in found.items():
        is_promised = "without" not in name
        yield Result(
            name=f"start at {count:,} statements: {name.replace(MEMBERS[0], 'an agent')}",
            value=round(start.wall_s, 2),
            unit="s",
            bar="under 3 s" if is_promised else "",
            holds=start.wall_s < 3 if is_promised else None,
            limit=f"{start.cpu_s:.2f} s of a processor",
        )


def bloc_in(folder: Path) -> tuple[Federation, State]:
    """A bloc of four in this process, founded, at some time; and what its log adds up to."""
    bloc = Federation(folder / "bloc", {name: [[float(n), n % 2] for n in range(16)] for name in MEMBERS})
    bloc.found()
    bloc.pass_time(1000)
    return bloc, bloc.state


def syncs_per_s(folder: Path, count: int = 200) -> int:
    """How many one-row SQLite commits this disk makes durable a second."""
    connection = sqlite3.connect(folder / "sync.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (value BLOB)")
    start = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO rows VALUES (?)", (os.urandom(600),))
    elapsed = time.perf_counter() - start
    connection.close()
    return round(count / elapsed)


def verifications_per_s(count: int = 4000) -> int:
    """Ed25519 verifications a second on one core."""
    key = Ed25519PrivateKey.generate()
    message = os.urandom(600)
    signature, public = key.sign(message), key.public_key()
    start = time.perf_counter()
    for _ in range(count):
        public.verify(signature, message)
    return round(count / (time.perf_counter() - start))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=20_000, help="for store, http and replay")
    parser.add_argument("--long", type=int, default=100_000, help="statements, for decision and restart")
    parser.add_argument("--only", choices=WHAT, help="measure nothing else")
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    for what, measure in zip(WHAT, (stored, over_http, replayed, decided, restarted), strict=True):
        if options.only not in (None, what):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for found in measure(Path(folder), options.long if what in ("decision", "restart") else options.entries):
                _print(found, is_result=options.results)


def _print(found: Result, *, is_result: bool) -> None:
    load = f"load {os.getloadavg()[0]:.0f}"
    if is_result:
        row = {"issue": 4, "name": found.name, "value": found.value, "unit": found.unit, "bar": found.bar}
        limit = "; ".join(part for part in (found.limit, load) if part)
        print(json.dumps({**row, "holds": found.holds, "peer": found.peer, "limit": limit}), flush=True)
        return
    promise = f" ({found.bar}: {'yes' if found.holds else 'no'})" if found.bar else ""
    print(f"{found.name}: {found.value:,} {found.unit}{promise}; {found.limit}; {load}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
