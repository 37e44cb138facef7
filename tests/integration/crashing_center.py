"""A center that submits without end and kills itself, or is killed, at a chosen point.

Run as ``crashing_center.py FOLDER POINT``; prints ``index number`` for each answer.
"""

import os
import signal
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.center.sequencer import Sequencer
from serai.kernel.envelope import sign_statement
from serai.ledger.checkpoint import LogSigner
from serai.ledger.policy import Witnesses
from serai.storage.log import LogStore
from serai.storage.tile_files import TileFiles

BATCH = 100


class Key:
    """A key that is the same in every process."""

    def __init__(self, seed):
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message):
        return self._key.sign(message)


AUTHOR, LOG = Key(1), LogSigner("center.example/log", Key(2))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class CrashingStore(LogStore):
    """Dies before or after a commit, in the third batch."""

    point = ""

    def append(self, entries, values=None):
        late = self.size >= 2 * BATCH
        if late and self.point == "signed, not committed":
            die()
        indices = super().append(entries, values)
        if late and self.point == "committed, no files":
            die()
        return indices


class CrashingFiles(TileFiles):
    """Dies while the files of the third batch are written."""

    point = ""

    def _write(self, path, data):
        is_checkpoint = path == "checkpoint"
        is_third = self.size >= (3 * BATCH if is_checkpoint else 2 * BATCH)  # the checkpoint comes after its tiles
        if is_third and self.point == "some tiles" and not is_checkpoint:
            (self.folder / f"{path}.new").write_bytes(data[: len(data) // 2])
            die()
        if is_third and self.point == "tiles, no checkpoint" and is_checkpoint:
            die()
        super()._write(path, data)
        if is_third and self.point == "published, not answered" and is_checkpoint:
            die()


def statement(number):
    return sign_statement("ballot", {"number": number}, {}, AUTHOR)


def open_center(folder, point=""):
    store, files = CrashingStore(folder / "log.sqlite"), CrashingFiles(folder / "www")
    store.point = files.point = point
    return store, Sequencer(store, files, LOG, lambda envelope: envelope.verify(AUTHOR.public), lambda: Witnesses({}))


def main():
    _store, sequencer = open_center(Path(sys.argv[1]), sys.argv[2])
    number = sequencer.head().size
    while True:
        batch = {number + place: sequencer.submit(statement(number + place)) for place in range(BATCH)}
        sequencer.step()
        for said, future in batch.items():
            sys.stdout.write(f"{future.result(0)} {said}\n")
        sys.stdout.flush()
        number += BATCH


if __name__ == "__main__":
    main()
