"""The auditor that owes serai nothing: it accepts a good log and says what is wrong with a bad one."""

import http.server
import json
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.center.sequencer import Sequencer
from serai.charter.constitution import Charter, genesis_of
from serai.charter.members import MemberRecord
from serai.charter.presets import PRESETS
from serai.charter.statements import CharterAdopt, MemberWithdraw, ProposalOpen
from serai.kernel.envelope import sign_statement
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import Checkpoint, LogSigner, cosign, witness_key
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.policy import Witnesses
from serai.ledger.tiles import ENTRIES, Tile, encode_bundle, parse_bundle
from serai.storage.log import LogStore
from serai.storage.tile_files import TileFiles

TOOL = Path(__file__).resolve().parents[2] / "tools" / "audit_log.py"
NAMES = tuple(MemberId(name) for name in ("astana", "bern", "cairo", "delhi"))
ROLES = (Role.ROOT, Role.DELEGATE, Role.WITNESS)


class Key:
    def __init__(self, seed):
        self._key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message):
        return self._key.sign(message)


LOG, OPERATOR = LogSigner("center.example/log", Key(1)), Key(2)
KEYS = {(name, role): Key(100 * a + b) for a, name in enumerate(NAMES, 1) for b, role in enumerate(ROLES)}
NEWCOMER = {role: Key(900 + place) for place, role in enumerate(ROLES)}


def record(name, keys):
    return MemberRecord(id=name, name=name.title(), keys={role: (key.public,) for role, key in keys.items()})


CHARTER = Charter(
    name="Four towns",
    origin=LOG.origin,
    log_key=LOG.key.encode(),
    operator=OPERATOR.public,
    members=tuple(record(name, {role: KEYS[name, role] for role in ROLES}) for name in NAMES),
    articles=PRESETS["consensus"],
    faulty=1,
)
GENESIS = genesis_of(CHARTER)
FOUNDING = [sign_body(CharterAdopt(charter=CHARTER), KEYS[name, Role.ROOT], nonce=name.encode()) for name in NAMES]


def talk(count):
    delegates = [KEYS[name, Role.DELEGATE] for name in NAMES]
    return [
        sign_body(ProposalOpen(topic="project", title=f"Well {number}", text="..."), delegates[number % 4])
        for number in range(count)
    ]


def publish(folder, entries, witnesses=NAMES, log=LOG):
    """A published, witnessed log, made by the real sequencer."""
    store = LogStore(folder / "log.sqlite")
    sequencer = Sequencer(store, TileFiles(folder / "www"), log, lambda _: None, lambda: Witnesses({}))
    for entry in entries:
        sequencer.submit(entry)
    sequencer.close()
    head = sequencer.head()
    body = Checkpoint(log.origin, head.size, head.root).body()
    lines = [cosign(body, name, KEYS[name, Role.WITNESS], 1_767_225_600) for name in witnesses]
    (folder / "www/checkpoint").write_text(head.note + "".join(lines))
    store.close()
    return folder / "www"


def audit(source, *options):
    """The tool as a process of its own, without serai on its path."""
    trust = options or ("--genesis", GENESIS)
    done = subprocess.run(
        [sys.executable, "-I", str(TOOL), str(source), "--json", *trust],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["ok"] is (done.returncode == 0)
    return result


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("good"), FOUNDING + talk(300))


@pytest.fixture
def copy(good, tmp_path):
    """The good log in a folder that a test may spoil."""
    for path in good.rglob("*"):
        target = tmp_path / "www" / path.relative_to(good)
        if path.is_dir():
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "www"


def test_a_good_log_passes_and_is_summed_up(good):
    result = audit(good)

    assert result["entries"] == 304
    assert result["tiles"] == 3
    assert result["genesis"] == GENESIS
    assert result["statements"] == {"charter.adopt": 4, "proposal.open": 300}
    assert result["cosigned"] == {f"{LOG.origin}/witness/{name}": "2026-01-01T00:00:00+00:00" for name in NAMES}


def test_a_good_log_passes_over_http(good):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(good))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert audit(f"http://127.0.0.1:{server.server_port}")["entries"] == 304
        finally:
            server.shutdown()
            thread.join()


def test_the_summary_is_for_people_too(good):
    done = subprocess.run(
        [sys.executable, str(TOOL), str(good), "--genesis", GENESIS], capture_output=True, text=True, check=True
    )

    assert re.search(r"^entries +304$", done.stdout, re.MULTILINE)


def test_it_asks_whom_to_trust(good):
    done = subprocess.run([sys.executable, str(TOOL), str(good)], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "prove nothing" in done.stderr


def test_keys_that_the_auditor_holds_are_used_instead_of_the_charters(good):
    vkeys = [witness_key(LOG.origin, name, KEYS[name, Role.WITNESS].public).encode() for name in NAMES]
    pinned = [option for vkey in vkeys for option in ("--witness", vkey)]

    assert audit(good, "--log-key", LOG.key.encode(), *pinned)["ok"]
    other = witness_key(LOG.origin, NAMES[0], Key(77).public).encode()
    assert (
        "expected 1 of 1 members"
        in audit(good, "--log-key", LOG.key.encode(), "--witness", other, "--faulty", "0")["reason"]
    )


def test_another_charter_or_log_than_the_expected_one_fails(good):
    assert "expected the charter 0000" in audit(good, "--genesis", "0" * 64)["reason"]
    stranger = LogSigner(LOG.origin, Key(5)).key.encode()
    assert "not signed by the key" in audit(good, "--log-key", stranger)["reason"]
    assert "does not fit its key id" in audit(good, "--log-key", stranger.replace("+A", "+B"))["reason"]


def rewrite(folder, index, change):
    """Change one entry in its bundle."""
    for path in (folder / "tile/entries").rglob("*"):
        start = 256 if ".p" in str(path) else 0
        if path.is_file() and start <= index < start + 256:
            entries = list(parse_bundle(path.read_bytes(), 48 if start else 256))
            entries[index - start] = change(entries[index - start])
            path.write_bytes(encode_bundle(entries))


@pytest.mark.parametrize("index", [0, 4, 255, 256, 303])
def test_a_bent_entry_fails(copy, index):
    rewrite(copy, index, lambda entry: entry.replace(b'"sig":"', b'"sig": "'))

    assert re.search(r"not made of the entries|do not have the root", audit(copy)["reason"])


def test_an_entry_exchanged_for_another_genuine_one_fails(copy):
    rewrite(copy, 10, lambda _: talk(400)[399])

    assert "is not made of the entries below it" in audit(copy)["reason"]


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/48", "tile/1/000.p/1"])
def test_a_bent_or_missing_tile_fails(copy, path):
    data = bytearray((copy / path).read_bytes())
    data[-1] ^= 1
    (copy / path).write_bytes(data)
    assert f"{path} is not made of the entries below it" in audit(copy)["reason"]

    (copy / path).unlink()
    assert f"{path} is missing" in audit(copy)["reason"]


def test_a_bundle_cut_short_fails(copy):
    path = copy / Tile(ENTRIES, 1, 48).path()
    path.write_bytes(path.read_bytes()[:-1])

    assert "ends inside entry 303" in audit(copy)["reason"]


def test_too_few_members_fail_even_if_each_signs_twice(tmp_path):
    log = publish(tmp_path, FOUNDING, witnesses=(NAMES[0], NAMES[1], NAMES[0], NAMES[1]))

    reason = audit(log)["reason"]
    assert "expected 3 of 4 members to have cosigned" in reason
    assert "astana" in reason
    assert "cairo" not in reason


@pytest.mark.parametrize("name", ["center.example/log ", "center.example/log/witness/bern "])
def test_a_false_signature_by_a_known_key_fails_the_log(copy, name):
    text = (copy / "checkpoint").read_text()
    place = text.index(f"\u2014 {name}") + 2 + len(name) + 40
    (copy / "checkpoint").write_text(text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :])

    assert "does not hold" in audit(copy)["reason"]


def test_a_checkpoint_of_another_size_or_root_fails(copy):
    text = (copy / "checkpoint").read_text()
    (copy / "checkpoint").write_text(text.replace("\n304\n", "\n303\n", 1))
    assert not audit(copy)["ok"]

    (copy / "checkpoint").write_text(text.split("\n\n")[0])
    assert "not a signed note" in audit(copy)["reason"]

    (copy / "checkpoint").unlink()
    assert "there is no checkpoint" in audit(copy)["reason"]


def test_a_log_that_leaves_its_last_entry_out_fails_without_new_signatures(copy):
    text = (copy / "checkpoint").read_text()
    origin, size, _root = text.split("\n")[:3]
    (copy / "checkpoint").write_text(text.replace(f"{origin}\n{size}", f"{origin}\n{int(size) - 1}", 1))

    assert not audit(copy)["ok"]


def test_a_statement_with_a_false_signature_fails_though_the_log_signed_it(tmp_path):
    statement = sign_body(MemberWithdraw(), KEYS[NAMES[0], Role.DELEGATE])
    forged = sign_body(MemberWithdraw(reason="forged"), KEYS[NAMES[1], Role.DELEGATE])
    signature = statement.split(b'"sig":"')[1][:88]
    log = publish(tmp_path, [*FOUNDING, forged.replace(forged.split(b'"sig":"')[1][:88], signature)])

    assert "entry 4 (member.withdraw): the signature of bern does not hold" in audit(log)["reason"]


def test_a_statement_by_a_strangers_key_fails(tmp_path):
    log = publish(tmp_path, [*FOUNDING, sign_body(MemberWithdraw(), Key(77))])

    assert "or no member's key" in audit(log)["reason"]


def test_the_operator_and_members_invited_later_are_known(tmp_path):
    accession = ProposalOpen(
        topic="accession", title="Evora", text="...", accession=record(MemberId("evora"), NEWCOMER)
    )
    said = [
        sign_statement("clock", {"checkpoint": "..."}, {}, OPERATOR),
        sign_body(accession, KEYS[NAMES[0], Role.DELEGATE]),
        sign_body(MemberWithdraw(), NEWCOMER[Role.DELEGATE]),
    ]

    assert audit(publish(tmp_path, FOUNDING + said))["statements"]["clock"] == 1


def test_a_charter_that_a_founder_has_not_signed_is_not_in_force(tmp_path):
    assert "unsigned by ['delhi']" in audit(publish(tmp_path, FOUNDING[:3]))["reason"]


def test_two_charters_in_one_log_fail(tmp_path):
    other = Charter(**{name: getattr(CHARTER, name) for name in Charter.__slots__} | {"name": "Another"})
    log = publish(tmp_path, [*FOUNDING, sign_body(CharterAdopt(charter=other), KEYS[NAMES[0], Role.ROOT])])

    assert "two charters were signed" in audit(log)["reason"]


def test_a_statement_that_a_dishonest_log_repeats_is_counted_apart(tmp_path):
    entries = [*FOUNDING, FOUNDING[0]]
    root = Frontier().extend(leaf_hash(entry) for entry in entries).root()
    body = Checkpoint(LOG.origin, 5, root).body()
    lines = [cosign(body, name, KEYS[name, Role.WITNESS], 1) for name in NAMES]
    TileFiles(tmp_path / "www").publish(lambda start, end: entries[start:end], 5, LOG.sign(5, root) + "".join(lines))

    assert audit(tmp_path / "www")["statements"] == {"charter.adopt": 4, "said twice": 1}


def test_an_empty_log_has_no_charter(tmp_path):
    assert "not in force" in audit(publish(tmp_path, []))["reason"]
