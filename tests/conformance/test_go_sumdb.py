"""A log of ours, verified by the packages that the Go toolchain uses for its checksum database."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.kernel.ids import MemberId
from serai.ledger.checkpoint import Checkpoint, LogSigner, cosign, witness_key
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash, prove_inclusion
from serai.ledger.note import parse_note
from serai.ledger.proof import LogProof
from serai.ledger.tiles import tile_reader
from serai.storage.tile_files import TileFiles

GOPATH = Path("/usr/share/gocode")  # where Debian's golang-golang-x-mod-dev puts the sources
NAMES = tuple(MemberId(name) for name in ("astana", "bern", "cairo"))
PROOFS = 97  # at most so many of each kind


class Key:
    def __init__(self, seed):
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message):
        return self._key.sign(message)


LOG = LogSigner("center.example/log", Key(1))
WITNESSES = {name: Key(10 + place) for place, name in enumerate(NAMES)}
KEYS = [LOG.key.encode(), *(witness_key(LOG.origin, name, key.public).encode() for name, key in WITNESSES.items())]


@pytest.fixture(scope="module")
def sumdb_verify(tmp_path_factory):
    """The verifier, built without the network."""
    if shutil.which("go") is None or not (GOPATH / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("needs Go's sumdb packages: apt-get install golang-go golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    program = folder / "sumdb_verify"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": str(folder / "cache")}
    source = Path(__file__).with_name("sumdb_verify.go")
    subprocess.run(["go", "build", "-o", program, source], env=environment, check=True, timeout=300)

    def verify(*what, keys=KEYS):
        return subprocess.run([program, *what, *keys], capture_output=True, text=True, check=False, timeout=300)

    return verify


def entries_of(size):
    return [b'{"ballot":%d}' % index for index in range(size)]


def publish(folder, size):
    """Publish a log of so many entries; its checkpoint, cosigned by all."""
    entries = entries_of(size)
    root = Frontier().extend(leaf_hash(entry) for entry in entries).root()
    body = Checkpoint(LOG.origin, size, root).body()
    lines = [cosign(body, name, key, 1_700_000_000) for name, key in WITNESSES.items()]
    note = LOG.sign(size, root) + "".join(lines)
    TileFiles(folder).publish(lambda start, end: entries[start:end], size, note)
    return parse_note(note)


SIZES = [1, 255, 256, 257, 70_000, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_go_opens_our_checkpoint_and_proves_entries_from_our_tiles(tmp_path, sumdb_verify, size):
    publish(tmp_path, size)
    proofs = len(range(0, size, size // PROOFS + 1))

    done = sumdb_verify(tmp_path)

    assert done.stderr == ""
    assert done.stdout == f"size {size} signatures 4 unknown 0 inclusion {proofs} consistency {proofs}\n"


@pytest.mark.parametrize("size", SIZES)
def test_go_checks_a_proof_of_ours_without_the_log(tmp_path, sumdb_verify, size):
    note = publish(tmp_path / "log", size)
    files = TileFiles(tmp_path / "log")
    path, said = tmp_path / "one.tlog-proof", tmp_path / "one.json"
    for index in sorted({0, size // 2, size - 1}):
        entry = entries_of(size)[index]
        said.write_bytes(entry)
        hashes = prove_inclusion(index, size, tile_reader(size, files.read))
        path.write_text(LogProof(index, hashes, note).encode())
        done = sumdb_verify("-proof", path, said)
        assert (done.stderr, done.stdout) == ("", f"entry {index} of {size} signatures 4 unknown 0\n")
        said.write_bytes(entry + b" ")
        assert sumdb_verify("-proof", path, said).returncode == 1


def test_go_leaves_cosigners_it_does_not_know_aside(tmp_path, sumdb_verify):
    publish(tmp_path, 3)

    assert "signatures 2 unknown 2" in sumdb_verify(tmp_path, keys=KEYS[:2]).stdout


@pytest.mark.parametrize("path", ["tile/0/000", "tile/1/000.p/1", "tile/entries/000", "checkpoint"])
def test_go_refuses_our_log_with_one_bit_bent(tmp_path, sumdb_verify, path):
    publish(tmp_path, 300)
    data = bytearray((tmp_path / path).read_bytes())
    data[5] ^= 1  # in the first entry, hash or line: Go checks some entries only
    (tmp_path / path).write_bytes(data)

    done = sumdb_verify(tmp_path)

    assert done.returncode == 1
    assert done.stdout == ""
