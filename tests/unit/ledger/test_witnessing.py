"""``add-checkpoint`` answers with the status codes of c2sp.org/tlog-witness."""

import pytest

from serai.ledger.checkpoint import Checkpoint, LogSigner
from serai.ledger.merkle import EMPTY_ROOT, leaf_hash, prove_consistency, reader_of, root_of
from serai.ledger.note import parse_note
from serai.ledger.witnessing import AddCheckpoint, judge_add_checkpoint

LEAVES = [leaf_hash(b"entry %d" % number) for number in range(20)]
OTHER = [leaf_hash(b"other %d" % number) for number in range(20)]


class Asker:
    """A log, and a witness that has cosigned its first ``size`` entries."""

    def __init__(self, log, size=0):
        self.log = log
        self.stored = (size, root_of(LEAVES[:size])) if size else (0, EMPTY_ROOT)

    def ask(self, size, old=None, leaves=LEAVES, proof=None, log=None):
        old = self.stored[0] if old is None else old
        log = log or self.log
        if proof is None:
            proof = prove_consistency(min(old, size), size, reader_of(leaves[:size]))
        note = parse_note(log.sign(size, root_of(leaves[:size])))
        return self.say(AddCheckpoint(old, proof, note).encode().encode())

    def say(self, body):
        key = self.log.key
        return judge_add_checkpoint(body, {self.log.origin: key}.get, lambda _: self.stored)


@pytest.fixture
def log(signer):
    return LogSigner("center.example/log", signer(1))


@pytest.mark.parametrize(("old", "new"), [(0, 1), (0, 20), (1, 2), (7, 20), (8, 16), (20, 20)])
def test_a_checkpoint_that_continues_what_was_cosigned_is_to_be_cosigned(log, old, new):
    assert Asker(log, old).ask(new) == Checkpoint(log.origin, new, root_of(LEAVES[:new]))


def test_409_tells_the_size_that_was_cosigned_last(log):
    reply = Asker(log, 7).ask(20, old=0)
    assert (reply.status, reply.body, reply.content_type) == (409, "7\n", "text/x.tlog.size")
    assert Asker(log, 7).ask(20, old=8).status == 409


def test_an_empty_log_has_the_root_of_the_empty_tree(log):
    asker = Asker(log)
    empty = parse_note(log.sign(0, EMPTY_ROOT))
    assert asker.say(AddCheckpoint(0, (), empty).encode().encode()) == Checkpoint(log.origin, 0, EMPTY_ROOT)
    other = parse_note(log.sign(0, bytes(32)))
    assert asker.say(AddCheckpoint(0, (), other).encode().encode()).status == 422


def test_signatures_of_keys_that_are_not_known_are_ignored(log, signer):
    both = log.sign(5, root_of(LEAVES[:5]))
    other = LogSigner("other.example/log", signer(2)).sign(5, root_of(LEAVES[:5])).partition("\n\n")[2]
    note = parse_note(both + other)
    assert Asker(log).say(AddCheckpoint(0, (), note).encode().encode()) == Checkpoint(
        log.origin, 5, root_of(LEAVES[:5])
    )


def test_400_for_an_old_size_beyond_the_checkpoint_and_for_another_form(log):
    assert Asker(log, 7).ask(5, old=7, proof=()).status == 400
    note = log.sign(20, root_of(LEAVES))
    for body in ("", "old 07\n\n" + note, "old 0\n" + note, "old 0\n!\n\n" + note, "old 0\n\nno note", "\udcff"):
        assert Asker(log).say(body.encode(errors="surrogateescape")).status == 400
    assert Asker(log).say(("old 0\n" + ("A" * 43 + "=\n") * 64 + "\n" + note).encode()).status == 400


def test_404_for_a_log_that_is_not_known_whatever_else_is_wrong(log, signer):
    stranger = LogSigner("other.example/log", signer(2))
    assert Asker(log, 7).ask(5, old=9, log=stranger).status == 404


def test_403_where_the_logs_key_has_not_signed(log, signer):
    assert Asker(log).ask(5, log=LogSigner(log.origin, signer(2))).status == 403
    body, lines = log.sign(5, root_of(LEAVES[:5])).split("\n\n")
    for_another = log.sign(6, root_of(LEAVES[:6])).split("\n\n")[1]
    for spoilt in (for_another, for_another + lines, lines + for_another):  # a known key's signature that fails
        assert Asker(log).say(f"old 0\n\n{body}\n\n{spoilt}".encode()).status == 403


@pytest.mark.parametrize(
    ("old", "new", "leaves", "proof"),
    [
        (7, 20, OTHER, None),
        (7, 20, LEAVES, ()),
        (7, 20, LEAVES, (bytes(32),) * 5),
        (7, 7, OTHER, ()),
        (7, 7, LEAVES, (bytes(32),)),
        (0, 5, LEAVES, (bytes(32),)),
    ],
)
def test_422_where_the_proof_does_not_lead_from_the_stored_root(log, old, new, leaves, proof):
    assert Asker(log, old).ask(new, leaves=leaves, proof=proof).status == 422
