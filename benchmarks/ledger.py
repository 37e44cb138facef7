"""How fast the log takes entries durably, and how fast a member replays them.

Usage: python benchmarks/ledger.py [--entries 20000] [--results]

Entries are signed ballots of about 600 bytes. Appends go through the
sequencer: parsed, signature checked, deduplicated, committed with a full sync,
published as tiles, in batches as they come. Replay folds the same entries.
"""

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.center.sequencer import Sequencer
from serai.charter.decision import Choice
from serai.charter.statements import Ballot
from serai.kernel.envelope import Envelope
from serai.kernel.ids import Digest, digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import LogSigner
from serai.ledger.policy import Witnesses
from serai.state import advance
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore
from serai.storage.tile_files import TileFiles
from serai.testing.federation import Federation
from serai.zones.statements import Approval


def signed_ballots(count: int, keyring: Keyring) -> list[bytes]:
    """Statements of a usual size, all different."""
    signer = keyring.signer(Role.DELEGATE)
    ballot = Ballot(proposal=Digest("ab" * 32), choice=Choice.YES, reason="as our capital decided")
    return [sign_body(ballot, signer, nonce=number.to_bytes(8)) for number in range(count)]


def appends_per_s(entries: list[bytes], folder: Path, keyring: Keyring) -> float:
    """Durable appends per second, from the first submission to the last answer."""
    public = keyring.signer(Role.DELEGATE).public

    def admit(envelope: Envelope) -> None:
        envelope.verify(public)

    log = LogSigner("center.test/serai", keyring.signer(Role.OPERATOR))
    store = LogStore(folder / "log.sqlite")
    sequencer = Sequencer(store, TileFiles(folder / "public"), log, admit, lambda: Witnesses({}))
    sequencer.start()
    start = time.perf_counter()
    futures = [sequencer.submit(entry) for entry in entries]
    for future in futures:
        future.result(60)
    elapsed = time.perf_counter() - start
    sequencer.close()
    store.close()
    return len(entries) / elapsed


def replayed_per_s(count: int, folder: Path) -> float:
    """Entries folded per second, each with effect: parsed, signature checked, judged, applied."""
    bloc = Federation(folder, {name: [[0.0, 0], [1.0, 1]] for name in ("bern", "lima", "oslo")})
    bloc.found()
    signer = Keyring(folder / "bern" / "keys").signer(Role.STEWARD)
    approvals = (Approval(subject=digest_of(number.to_bytes(8)), comment="seen") for number in range(count))
    entries = [sign_body(approval, signer) for approval in approvals]
    state = bloc.state
    start = time.perf_counter()
    for entry in entries:
        state = advance(state, entry)
    elapsed = time.perf_counter() - start
    if state.void:
        sys.exit("the entries to replay have no effect; the figure would mean nothing")
    return count / elapsed


def syncs_per_s(folder: Path, count: int = 200) -> float:
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
    return count / elapsed


def verifications_per_s(count: int = 4000) -> float:
    """Ed25519 verifications a second on one core."""
    key = Ed25519PrivateKey.generate()
    message = os.urandom(600)
    signature, public = key.sign(message), key.public_key()
    start = time.perf_counter()
    for _ in range(count):
        public.verify(signature, message)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keyring = Keyring.create(folder / "keys", [Role.DELEGATE, Role.OPERATOR])
        entries = signed_ballots(options.entries, keyring)
        appends = round(appends_per_s(entries, folder, keyring))
        syncs, verifications = round(syncs_per_s(folder)), round(verifications_per_s())
        replays = round(replayed_per_s(options.entries, folder / "bloc"))
    if not options.results:
        print(f"appends {appends}/s, replay {replays}/s, disk {syncs} commits/s, Ed25519 {verifications}/s")
        return
    limit = f"{verifications:,} Ed25519 verifications/s on one core; {syncs:,} one-row commits/s on this disk"
    peer = "Tessera (Go): 2,927/s on disks, 10,567/s on NVMe, with HTTP and deduplication"
    for what, value, other in (
        ("durable appends to the log, in batches, signatures checked", appends, peer),
        ("replay of statements with effect, signatures checked", replays, ""),
    ):
        result = {"issue": 2, "name": what, "value": value, "unit": "entries/s", "bar": "", "holds": None}
        print(json.dumps({**result, "peer": other, "limit": limit}), flush=True)


if __name__ == "__main__":
    main()
