"""A center killed at any point loses nothing that it answered, and never signs two histories."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crashing_center import BATCH, LOG, Key, open_center, statement

from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import MemberId
from serai.ledger.audit import audit_log
from serai.ledger.checkpoint import Checkpoint, cosign, open_checkpoint
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses
from serai.storage.tile_files import TileFiles

SCRIPT = Path(__file__).with_name("crashing_center.py")
MEMBER, WITNESS = MemberId("bern"), Key(9)


def start(folder, point):
    return subprocess.Popen([sys.executable, str(SCRIPT), str(folder), point], stdout=subprocess.PIPE, text=True)


def answers(output):
    """Index and number of each answer; a line that was cut off is none."""
    return [tuple(map(int, line.split())) for line in output.splitlines(keepends=True) if line.endswith("\n")]


def published(folder):
    """The checkpoint that the world sees, if there is one."""
    path = folder / "www/checkpoint"
    return open_checkpoint(parse_note(path.read_text()), LOG.key) if path.exists() else None


def check(folder, answered, seen):
    """Open the center again: every answer stands, what the world saw is continued, the files are whole."""
    store, sequencer = open_center(folder)
    try:
        size = sequencer.head().size
        entries = sequencer.entries(0, size)
        for index, number in answered:
            assert parse_envelope(entries[index]).predicate == {"number": number}
        for checkpoint in seen:
            root = Frontier().extend(leaf_hash(entry) for entry in entries[: checkpoint.size]).root()
            assert checkpoint.size <= size
            assert checkpoint.root == root
        repeated = sequencer.submit(statement(0))
        sequencer.step()
        assert repeated.result(0) == 0
        body = Checkpoint(LOG.origin, size, sequencer.head().root).body()
        (folder / "www/checkpoint").write_text(sequencer.head().note + cosign(body, MEMBER, WITNESS, 1))
        audit_log(TileFiles(folder / "www").read, LOG.key, Witnesses({MEMBER: WITNESS.public}))
        return size
    finally:
        store.close()


@pytest.mark.parametrize(
    ("point", "size"),
    [
        ("signed, not committed", 2 * BATCH),
        ("committed, no files", 3 * BATCH),
        ("some tiles", 3 * BATCH),
        ("tiles, no checkpoint", 3 * BATCH),
        ("published, not answered", 3 * BATCH),
    ],
)
def test_a_center_that_dies_at_a_point_of_the_crash_order_goes_on_as_that_point_says(tmp_path, point, size):
    child = start(tmp_path, point)
    output, _ = child.communicate(timeout=60)

    assert child.returncode == -9
    assert len(answers(output)) == 2 * BATCH
    seen = published(tmp_path)
    assert seen.size == (3 * BATCH if point == "published, not answered" else 2 * BATCH)
    assert check(tmp_path, answers(output), [seen]) == size


def test_a_center_killed_again_and_again_at_any_time_keeps_every_answer(tmp_path):
    answered, seen = [], []
    for pause_s in (0.05, 0.11, 0.23):
        child = start(tmp_path, "none")
        lines = list(itertools.islice(child.stdout, BATCH))  # it runs
        time.sleep(pause_s)
        child.kill()
        rest, _ = child.communicate(timeout=60)
        answered += answers("".join(lines) + rest)
        seen.append(published(tmp_path))
        check(tmp_path, answered, seen)

    assert len({index for index, _ in answered}) == len(answered)
    assert len(answered) >= 3 * BATCH
