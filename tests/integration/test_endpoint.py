"""What a member's agent shows to others over HTTP: its witness, its mirror, and what gossip finds out."""

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import urllib3

from serai.agent.endpoint import Endpoint, Gossip
from serai.agent.mirror import Mirror
from serai.charter.statements import MemberWithdraw
from serai.errors import Unverified
from serai.kernel.ids import MemberId
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import Checkpoint, LogSigner, verify_cosignature, witness_key
from serai.ledger.merkle import leaf_hash, prove_consistency, reader_of, root_of
from serai.ledger.note import parse_note
from serai.ledger.witnessing import AddCheckpoint
from serai.state import digest_state
from serai.storage.log import LogStore
from serai.testing.faults import Forked, see_through
from serai.testing.federation import Federation

TOOL = Path(__file__).parents[2] / "tools" / "audit_log.py"
MEMBERS = ("bern", "lima", "oslo")


def rows(seed):
    generator = np.random.default_rng(seed)
    return [[*map(float, generator.normal(size=3)), float(number % 2)] for number in range(12)]


@pytest.fixture
def bloc(tmp_path):
    made = Federation(tmp_path, {name: rows(seed) for seed, name in enumerate(MEMBERS)})
    made.found()
    return made


@pytest.fixture
def served(bloc):
    """bern's endpoint on the loopback."""
    with Endpoint(bloc.members["bern"].zone).serve("127.0.0.1:0") as server:
        yield server.url


def request(method, url, body=None):
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request(method, url, body=body)


def ask(url, bloc, size, old, *, entries=None, log=None, proof=None):
    """Ask the witness at an endpoint to cosign the head of a size."""
    leaves = [leaf_hash(entry) for entry in (entries or bloc.entries)][:size]
    if proof is None:
        proof = prove_consistency(min(old, size), size, reader_of(leaves))
    note = parse_note((log or bloc.log).sign(size, root_of(leaves)))
    return request("POST", f"{url}/add-checkpoint", AddCheckpoint(old, proof, note).encode().encode())


def cosigned(bloc):
    return bloc.members["bern"].zone.mirror.cosigned(bloc.log.origin)[0]


def test_a_log_gets_its_cosignature_and_the_size_that_was_cosigned_where_it_is_wrong_about_it(bloc, served):
    bloc.agree()
    size, old = len(bloc.entries), cosigned(bloc)
    wrong = ask(served, bloc, size, old - 1)
    assert (wrong.status, wrong.data, wrong.headers["content-type"]) == (409, b"%d\n" % old, "text/x.tlog.size")

    done = ask(served, bloc, size, old)
    assert (done.status, cosigned(bloc)) == (200, size)
    body = Checkpoint(bloc.log.origin, size, root_of([leaf_hash(entry) for entry in bloc.entries])).body()
    public = bloc.members["bern"].zone.keys.signer("witness").public
    key = witness_key(bloc.log.origin, MemberId("bern"), public)
    assert verify_cosignature(body, done.data.decode(), key) == bloc.now_ms // 1000

    # The same again, with a fresh time; and what monitors are shown.
    bloc.tick(5000)
    assert verify_cosignature(body, ask(served, bloc, size, size).data.decode(), key) == bloc.now_ms // 1000
    monitored = request("GET", f"{served}/{hashlib.sha256(bloc.log.origin.encode()).hexdigest()}/checkpoint").data
    assert parse_note(monitored.decode()).verify([bloc.log.key, key])[key] == bloc.now_ms // 1000


def test_every_other_status_code_of_the_specification(bloc, served):
    size, old = len(bloc.entries), cosigned(bloc)
    other = LogSigner("other.example/log", bloc.operator)
    thief = LogSigner(bloc.log.origin, bloc.signer("lima", "zone"))
    assert ask(served, bloc, size, size + 1, proof=()).status == 400
    assert request("POST", f"{served}/add-checkpoint", b"old").status == 400
    assert ask(served, bloc, size, old, log=other).status == 404
    assert ask(served, bloc, size, old, log=thief).status == 403
    assert ask(served, bloc, size, old, proof=(bytes(32),)).status == 422
    assert request("POST", f"{served}/add-checkpoint", bytes(2**21)).status == 413
    assert request("POST", f"{served}/elsewhere", b"").status == 404
    assert bloc.members["bern"].zone.mirror.view.halt is None
    assert cosigned(bloc) == old


def test_after_a_restart_the_witness_knows_what_it_cosigned(bloc):
    old = cosigned(bloc)
    bloc.members["bern"].is_up = False
    bloc.agree()
    size = len(bloc.entries)
    with Endpoint(bloc.members["bern"].zone).serve("127.0.0.1:0") as server:
        assert ask(server.url, bloc, size, old).status == 200  # further than its mirror reaches
    bloc.restart("bern")
    with Endpoint(bloc.members["bern"].zone).serve("127.0.0.1:0") as server:
        assert ask(server.url, bloc, size, old).status == 409
        assert ask(server.url, bloc, size, size).status == 200


def test_a_second_history_is_not_cosigned_and_its_checkpoint_kept_as_evidence(bloc, served):
    size, old = len(bloc.entries), cosigned(bloc)
    bent = [*bloc.entries[:-1], bloc.entries[0]]
    assert ask(served, bloc, size, old, entries=bent).status == 422
    mirror = bloc.members["bern"].zone.mirror
    assert "another history" in mirror.view.halt
    notes = [parse_note(note) for note in mirror.evidence["notes"]]
    assert all(bloc.log.key in note.verify([bloc.log.key]) for note in notes)
    assert ask(served, bloc, size, old).status == 503  # a zone that has halted cosigns nothing


@pytest.mark.parametrize(
    "path",
    ["/../zone.toml", "/tile/../../keys/root", "/tile/0/x001/000", "/keys/root", "/tile/0/%2e%2e", "/journal.sqlite"],
)
def test_nothing_is_shown_but_the_published_log(served, path):
    host = urllib3.util.parse_url(served)
    with urllib3.HTTPConnectionPool(host.host, host.port) as pool:
        assert pool.urlopen("GET", path, assert_same_host=False, retries=False).status == 404


def test_the_mirror_is_shown_again_as_a_log_that_the_auditor_accepts(bloc, served):
    bloc.agree()
    view = bloc.members["bern"].zone.mirror.follow(bloc.center, 0, 0)
    command = [sys.executable, str(TOOL), served, "--genesis", bloc.state.charter.genesis, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["entries"] == view.witnessed_size
    assert request("GET", f"{served}/head").data.decode() == view.note


def test_a_member_that_the_center_keeps_in_the_dark_learns_from_a_peer(bloc, served):
    lima = bloc.members["lima"]
    lima.is_up = False
    bloc.agree()
    assert lima.zone.mirror.view.size < bloc.state.size
    Gossip(lima.zone, [served]).ask(is_urgent=False)
    assert lima.zone.mirror.view.size == bloc.state.size
    assert digest_state(lima.zone.mirror.view.state) == digest_state(bloc.state)


def test_a_member_that_was_shown_another_history_finds_out_when_it_talks_to_a_peer(bloc, served):
    bent = [*bloc.entries, sign_body(MemberWithdraw(), bloc.signer("oslo", "delegate"))]
    bloc.deceive("lima", see_through(lambda center: Forked(center, bloc.log, bent)))
    bloc.step_member("lima")
    bloc.agree()  # what everybody else sees
    lima = bloc.members["lima"].zone
    assert lima.mirror.view.size == len(bent)
    assert lima.mirror.view.halt is None
    Gossip(lima, [served]).ask(is_urgent=False)
    assert "another history" in lima.mirror.view.halt or "does not begin" in lima.mirror.view.halt
    for note in lima.mirror.evidence["notes"]:
        assert bloc.log.key in parse_note(note).verify([bloc.log.key])


def test_a_peer_that_is_away_or_talks_nonsense_changes_nothing(bloc, served):
    before = bloc.members["lima"].zone.mirror.view
    gossip = Gossip(bloc.members["lima"].zone, ["http://127.0.0.1:9", served + "/nowhere"])
    gossip.ask(is_urgent=False)
    gossip.ask(is_urgent=True)
    assert bloc.members["lima"].zone.mirror.view == before


def half(data):
    return data[: len(data) // 2]


def bent(data):
    place = len(data) * 9 // 10  # in an entry that lima lacks
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [half, bent])
def test_a_peers_damaged_tiles_are_not_taken_and_its_next_start_repairs_them(bloc, damage):
    lima, bern = bloc.members["lima"], bloc.members["bern"].zone
    lima.is_up = False
    bloc.agree()
    size = lima.zone.mirror.view.size
    with Endpoint(bern).serve("127.0.0.1:0") as server:
        request("GET", f"{server.url}/head")  # which publishes
        (bundle,) = (bern.settings.home / "public" / "tile" / "entries" / "000.p").iterdir()
        true = bundle.read_bytes()
        bundle.write_bytes(damage(true))
        Gossip(lima.zone, [server.url]).ask(is_urgent=True)
    assert lima.zone.mirror.view.size == size
    assert lima.zone.mirror.view.halt is None, "damage is no fork"
    with Endpoint(bern).serve("127.0.0.1:0") as server:
        Gossip(lima.zone, [server.url]).ask(is_urgent=True)
    assert bundle.read_bytes() == true
    assert lima.zone.mirror.view.size == bloc.state.size


def test_a_bit_bent_anywhere_in_a_mirror_is_named_and_nothing_is_built_on_it(bloc):
    bloc.agree()
    lima = bloc.members["lima"]
    path = lima.zone.settings.home / "mirror.sqlite"
    size = lima.zone.mirror.view.size
    lima.zone.mirror._store.close()
    for place in range(0, size, 3):
        with closing(sqlite3.connect(path)) as connection, connection:
            (entry,) = connection.execute("SELECT entry FROM entries WHERE position = ?", (place,)).fetchone()
            connection.execute("UPDATE entries SET entry = ? WHERE position = ?", (bent(entry), place))
        store = LogStore(path)
        with pytest.raises(Unverified, match="mirror the log anew") as caught:
            Mirror(store, bloc.charter)
        assert caught.value.code == "mirror-damaged"
        store.close()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE entries SET entry = ? WHERE position = ?", (entry, place))
    assert Mirror(LogStore(path), bloc.charter).view.size == size
