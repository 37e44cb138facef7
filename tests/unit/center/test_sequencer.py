"""The sequencer: what is admitted, in which order, who learns of it, and what restarts refuse."""

import shutil
import threading
from concurrent.futures import wait

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.center.heads import MAX_RECENT_HEADS, Head, RecentHeads
from serai.center.sequencer import MAX_BATCH, Sequencer
from serai.errors import Conflict, Corrupt, Malformed, Misconfigured, Refused, Unavailable, Unverified
from serai.kernel.envelope import parse_envelope, sign_statement
from serai.kernel.ids import MemberId
from serai.ledger.audit import audit_log
from serai.ledger.checkpoint import Checkpoint, LogSigner, cosign
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.policy import Witnesses, open_witnessed
from serai.storage.log import LogStore, StoredEntry
from serai.storage.tile_files import TileFiles

NAMES = tuple(MemberId(name) for name in ("astana", "bern", "cairo", "delhi"))


class Key:
    def __init__(self, seed):
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message):
        return self._key.sign(message)


AUTHOR, LOG = Key(1), LogSigner("center.example/log", Key(2))
WITNESS = {name: Key(10 + place) for place, name in enumerate(NAMES)}


def say(number, author=AUTHOR):
    return sign_statement("ballot", {"number": number}, {}, author)


def admit(envelope):
    if envelope.predicate.get("number") == 13:
        raise Refused("unlucky", "thirteen is not admitted", "house 13")
    envelope.verify(AUTHOR.public)


class Room:
    """One folder, and the center that runs on it."""

    def __init__(self, folder):
        self.folder = folder
        self.policy = Witnesses({name: key.public for name, key in WITNESS.items()})
        self.store = LogStore(folder / "log.sqlite")
        self.log = LOG

    def open(self):
        return Sequencer(self.store, TileFiles(self.folder / "www"), self.log, admit, lambda: self.policy)

    def audit(self):
        return audit_log(TileFiles(self.folder / "www").read, LOG.key, self.policy)


@pytest.fixture
def room(tmp_path):
    room = Room(tmp_path)
    yield room
    room.store.close()


def cosigned(sequencer, names, time_s=1_700_000_000):
    head = sequencer.head()
    body = Checkpoint(LOG.origin, head.size, head.root).body()
    for name in names:
        sequencer.add_cosignature(name, cosign(body, name, WITNESS[name], time_s), head.size)


def test_an_empty_log_has_a_signed_head(room):
    head = room.open().head()

    assert (head.size, head.root) == (0, Frontier().root())
    assert (room.folder / "www/checkpoint").read_text() == head.note


def test_entries_get_indices_in_the_order_in_which_they_came(room):
    sequencer = room.open()
    entries = [say(number) for number in range(10)]
    futures = [sequencer.submit(entry) for entry in entries]

    assert not any(future.done() for future in futures)
    assert sequencer.step() == 10
    assert [future.result(0) for future in futures] == list(range(10))
    assert sequencer.entries(0, 10) == entries
    assert sequencer.head().root == Frontier().extend(leaf_hash(entry) for entry in entries).root()


def test_a_statement_handed_in_again_gets_its_old_index_even_in_one_batch(room):
    sequencer = room.open()
    first = [sequencer.submit(say(number)) for number in (1, 2, 1)]
    sequencer.step()
    later = sequencer.submit(say(2))
    sequencer.step()

    assert [future.result(0) for future in (*first, later)] == [0, 1, 0, 1]
    assert sequencer.head().size == 2


def test_one_refused_entry_does_not_stop_its_batch(room):
    sequencer = room.open()
    good, refused, forged, nonsense = (
        sequencer.submit(entry) for entry in (say(1), say(13), say(2, Key(99)), b"nonsense")
    )
    sequencer.step()

    assert good.result(0) == 0
    assert isinstance(refused.exception(0), Refused)
    assert isinstance(forged.exception(0), Unverified)
    assert isinstance(nonsense.exception(0), Malformed)
    assert sequencer.head().size == 1


def test_a_false_signature_cannot_take_the_place_of_the_true_statement(room):
    sequencer = room.open()
    true = say(1)
    mirrored = true.replace(b'"sig":"', b'"sig":"AA').replace(b"AA" + true.split(b'"sig":"')[1][:2], b"AA", 1)
    assert parse_envelope(mirrored).id == parse_envelope(true).id
    forged, honest = sequencer.submit(mirrored), sequencer.submit(true)
    sequencer.step()

    assert isinstance(forged.exception(0), Unverified)
    assert honest.result(0) == 0
    assert sequencer.entries(0, 1) == [true]


def test_an_abandoned_submission_is_not_written(room):
    sequencer = room.open()
    abandoned, kept = sequencer.submit(say(1)), sequencer.submit(say(2))
    abandoned.cancel()
    sequencer.step()

    assert kept.result(0) == 0
    assert sequencer.head().size == 1


def test_a_restart_goes_on_where_the_log_was(room):
    first = room.open()
    for number in range(300):
        first.submit(say(number + 100))
    first.step()
    cosigned(first, NAMES)
    first.step()

    second = room.open()
    assert second.head() == first.head()
    assert second.witnessed() == first.witnessed()
    late = second.submit(say(1))
    second.step()
    assert late.result(0) == 300
    cosigned(second, NAMES)
    second.step()
    assert room.audit().checkpoint.size == 301


def test_a_batch_is_bounded_and_the_rest_is_next(room):
    sequencer = room.open()
    for number in range(MAX_BATCH + 1):
        sequencer.submit(say(number + 100))

    assert sequencer.step() == MAX_BATCH
    assert sequencer.step() == 1
    assert sequencer.head().size == MAX_BATCH + 1


def test_a_quorum_of_cosignatures_makes_a_head_witnessed(room):
    sequencer = room.open()
    sequencer.submit(say(1))
    sequencer.step()
    cosigned(sequencer, NAMES[:2])
    sequencer.step()
    assert sequencer.witnessed() is None

    cosigned(sequencer, NAMES[2:3], 1_700_000_009)
    sequencer.step()
    witnessed = open_witnessed(sequencer.witnessed().note, LOG.key, room.policy)
    assert witnessed.checkpoint == Checkpoint(LOG.origin, 1, sequencer.head().root)
    assert sorted(witnessed.times_s) == list(NAMES[:3])


def test_what_is_published_passes_an_audit_while_the_log_runs_ahead_of_its_witnesses(room):
    sequencer = room.open()
    for number in range(600):
        sequencer.submit(say(number + 100))
        if number % 150 == 0:
            sequencer.step()
        if number == 300:
            cosigned(sequencer, NAMES)
            sequencer.step()
            assert room.audit().checkpoint.size == 301
    sequencer.step()

    assert sequencer.head().size == 600
    assert room.audit().checkpoint.size == 301


def test_a_lost_folder_is_published_again_for_the_witnessed_head_too(room):
    sequencer = room.open()
    for number in (100, 200):
        sequencer.submit(say(number))
        sequencer.step()
        if number == 100:
            cosigned(sequencer, NAMES)
            sequencer.step()
    shutil.rmtree(room.folder / "www")

    room.open()

    assert room.audit().checkpoint.size == 1
    assert (room.folder / "www/tile/0/000.p/2").exists()


def test_a_later_cosignature_of_the_same_head_refreshes_its_time(room):
    sequencer = room.open()
    cosigned(sequencer, NAMES, 100)
    sequencer.step()
    cosigned(sequencer, NAMES, 200)
    cosigned(sequencer, NAMES[:1], 150)
    sequencer.step()

    assert set(open_witnessed(sequencer.witnessed().note, LOG.key, room.policy).times_s.values()) == {200}


def test_an_older_head_may_be_cosigned_but_does_not_replace_a_newer_witnessed_one(room):
    sequencer = room.open()
    old = sequencer.head()
    sequencer.submit(say(1))
    sequencer.step()
    cosigned(sequencer, NAMES)
    sequencer.step()
    body = Checkpoint(LOG.origin, 0, old.root).body()
    for name in NAMES:
        sequencer.add_cosignature(name, cosign(body, name, WITNESS[name], 1), 0)
    sequencer.step()

    assert sequencer.witnessed().size == 1


def test_cosignatures_that_do_not_hold_are_refused_at_once(room):
    sequencer = room.open()
    head = sequencer.head()
    body = Checkpoint(LOG.origin, 0, head.root).body()
    other = Checkpoint(LOG.origin, 0, bytes(32)).body()

    with pytest.raises(Unverified, match="no witness key"):
        sequencer.add_cosignature(MemberId("mallory"), cosign(body, MemberId("mallory"), Key(99), 1), 0)
    with pytest.raises(Unverified):
        sequencer.add_cosignature(NAMES[0], cosign(body, NAMES[1], WITNESS[NAMES[1]], 1), 0)
    with pytest.raises(Unverified):
        sequencer.add_cosignature(NAMES[0], cosign(other, NAMES[0], WITNESS[NAMES[0]], 1), 0)
    with pytest.raises(Malformed):
        sequencer.add_cosignature(NAMES[0], "no line", 0)
    with pytest.raises(Conflict, match="no head of size 7"):
        sequencer.add_cosignature(NAMES[0], cosign(body, NAMES[0], WITNESS[NAMES[0]], 1), 7)
    assert sequencer.step() == 0


def test_a_witness_whose_key_was_replaced_no_longer_counts(room):
    sequencer = room.open()
    cosigned(sequencer, NAMES[:2])
    sequencer.step()
    room.policy = Witnesses({**room.policy.keys, NAMES[0]: Key(77).public})
    cosigned(sequencer, NAMES[2:3])
    sequencer.step()

    assert sequencer.witnessed() is None


def test_heads_are_forgotten_when_they_are_no_longer_recent():
    heads = RecentHeads()
    for size in range(MAX_RECENT_HEADS + 1):
        heads.add(Head(size, bytes(32), LOG.sign(size, bytes(32))))

    assert heads.find(0) is None
    assert heads.cosign(NAMES[0], "a line that comes late", 0, 1) is False
    assert heads.find(1).size == 1
    assert heads.cosign(NAMES[0], "a line", 1, 1) is True
    assert heads.cosign(NAMES[0], "a line", 1, 1) is False


def test_subscribers_hear_of_heads_and_witnessed_heads_and_of_nothing_else(room):
    sequencer = room.open()
    heard = []
    sequencer.subscribe(lambda: heard.append((sequencer.head().size, sequencer.witnessed() is not None)))
    sequencer.submit(say(1))
    sequencer.step()
    sequencer.submit(say(13))
    sequencer.submit(say(1))
    sequencer.step()
    cosigned(sequencer, NAMES[:2])
    sequencer.step()
    cosigned(sequencer, NAMES[2:])
    sequencer.step()
    sequencer.step()

    assert heard == [(1, False), (1, True)]


def test_the_thread_serves_many_submitters_and_close_writes_what_waits(room):
    sequencer = room.open()
    sequencer.start()
    futures = []

    def submit(first):
        futures.extend(sequencer.submit(say(number)) for number in range(first, first + 50))

    threads = [threading.Thread(target=submit, args=(1000 * place,)) for place in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sequencer.close()

    assert not wait(futures, 0).not_done
    assert sorted(future.result(0) for future in futures) == list(range(200))
    assert sequencer.head().size == room.store.size == 200
    assert sequencer.submit(say(1)).exception(0).code == "sequencer-closed"


def test_a_subscriber_that_fails_stops_the_center_and_leaves_nobody_waiting(room):
    sequencer = room.open()

    def fail():
        raise RuntimeError("broken subscriber")

    sequencer.subscribe(fail)
    written, waiting = sequencer.submit(say(1)), sequencer.submit(say(2))
    with pytest.raises(RuntimeError, match="broken subscriber"):
        sequencer._run()

    assert written.result(0) == 0
    assert waiting.result(0) == 1
    assert isinstance(sequencer.submit(say(3)).exception(0), Unavailable)


def test_a_full_disk_refuses_the_batch_and_the_log_goes_on_afterwards(room):
    sequencer = room.open()
    with room.store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    before = sequencer.head()
    big = sequencer.submit(sign_statement("ballot", {"text": "x" * 30_000}, {}, AUTHOR))
    sequencer.step()
    assert big.exception(0).code == "disk-full"
    assert sequencer.head() == before

    with room.store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    again = sequencer.submit(say(1))
    sequencer.step()
    assert again.result(0) == 0


def test_entries_stay_durable_while_the_files_cannot_be_written(room):
    sequencer = room.open()
    tile = room.folder / "www/tile"
    tile.write_text("in the way")
    future = sequencer.submit(say(1))
    sequencer.step()
    assert future.result(0) == 0
    assert sequencer.head().size == 0

    tile.unlink()
    sequencer.step()
    assert sequencer.head().size == 1
    assert (room.folder / "www/checkpoint").read_text() == sequencer.head().note


def test_a_store_whose_entries_were_changed_is_not_served(room):
    sequencer = room.open()
    sequencer.submit(say(1))
    sequencer.step()
    with room.store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE entries SET entry = x'00'")

    with pytest.raises(Corrupt, match="not the 1 that were signed"):
        room.open()


def test_a_store_that_lost_its_last_entry_is_not_served(room):
    sequencer = room.open()
    for number in (1, 2):
        sequencer.submit(say(number))
    sequencer.step()
    with room.store._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM entries WHERE position = 1")

    with pytest.raises(Corrupt, match="1 entries are not the 2"):
        room.open()


def test_entries_that_nobody_signed_are_not_served(room):
    room.store.append([StoredEntry(parse_envelope(say(1)).id, say(1))])

    with pytest.raises(Corrupt, match="without a checkpoint"):
        room.open()


@pytest.mark.parametrize("log", [LogSigner("other.example/log", Key(2)), LogSigner(LOG.origin, Key(3))])
def test_a_store_of_another_log_or_key_is_refused(room, log):
    room.open()
    room.log = log

    with pytest.raises(Misconfigured, match="another log or key"):
        room.open()
