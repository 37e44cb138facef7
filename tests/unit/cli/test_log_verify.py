"""``serai log verify``: an outsider checks a proof against a policy, and how fresh its cosignatures are."""

import time

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.cli.verbs.ledger import verify
from serai.errors import Unverified
from serai.kernel.ids import MemberId
from serai.ledger.checkpoint import Checkpoint, LogSigner, cosign
from serai.ledger.merkle import leaf_hash, prove_inclusion, reader_of, root_of
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses
from serai.ledger.proof import LogProof
from serai.ledger.trust_policy import policy_of

NAMES = tuple(MemberId(name) for name in ("bern", "lima", "oslo"))
ENTRIES = [b"entry %d" % number for number in range(5)]
HOUR_S = 3600


class Key:
    def __init__(self, seed):
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message):
        return self._key.sign(message)


@pytest.fixture
def files(tmp_path):
    """A proof whose checkpoint was cosigned an hour ago, its entry, and the policy."""
    log, keys = LogSigner("center.example/log", Key(1)), {name: Key(10 + place) for place, name in enumerate(NAMES)}
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    body = Checkpoint(log.origin, len(ENTRIES), root_of(leaves)).body()
    made_s = int(time.time()) - HOUR_S
    lines = "".join(cosign(body, name, key, made_s) for name, key in keys.items())
    note = parse_note(log.sign(len(ENTRIES), root_of(leaves)) + lines)
    proof = LogProof(3, prove_inclusion(3, len(ENTRIES), reader_of(leaves)), note)
    policy = policy_of(log.key, Witnesses({name: key.public for name, key in keys.items()}, 0), {}, {})
    for name, content in (("proof", proof.encode()), ("entry", ENTRIES[3].decode()), ("policy", policy.encode())):
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def verified(files, *options):
    arguments = [files / "proof", "--entry", files / "entry", "--policy", files / "policy", *options]
    return CliRunner().invoke(verify, [str(argument) for argument in arguments])


def test_a_proof_holds_and_names_who_cosigned(files):
    done = verified(files)
    assert done.exit_code == 0
    assert "Entry 3 is in center.example/log, of 5 entries, cosigned by bern, lima, oslo." in done.output


def test_another_entry_is_not_proved(files):
    (files / "entry").write_bytes(ENTRIES[2])
    assert isinstance(verified(files).exception, Unverified)


def test_a_reader_may_ask_for_fresh_cosignatures(files):
    assert verified(files, "--max-age-s", 2 * HOUR_S).exit_code == 0
    stale = verified(files, "--max-age-s", HOUR_S // 2)
    assert isinstance(stale.exception, Unverified)
    assert "by nobody: not members" in str(stale.exception)
