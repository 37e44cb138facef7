"""Starting a center: its settings, its charter, its replay of the log and its coordinator, put together."""

import time
from collections.abc import Sequence
from pathlib import Path

from serai.center.app import BackgroundPart, CenterParts, run
from serai.center.coordinator import Coordinator, Duty
from serai.center.replay import Replay
from serai.center.settings import read_settings
from serai.charter.constitution import Charter
from serai.cli.founding import CHARTER_FILE, read_record
from serai.errors import Missing
from serai.kernel.ids import Digest
from serai.storage.blobs import FileBlobs


def start_center(folder: Path) -> None:
    """Run the center in a folder until SIGTERM or SIGINT; called on the main thread.

    Raises:
        Misconfigured: the folder is no center, or its address is taken.
        Missing: the charter is not there.

    """
    settings = read_settings(folder)
    blobs = FileBlobs(settings.blobs)

    def has_blob(digest: Digest, size_bytes: int) -> bool:
        try:
            return blobs.size(digest) == size_bytes
        except Missing:
            return False

    replay = Replay(read_record(Charter, folder / CHARTER_FILE), has_blob)

    def background(parts: CenterParts) -> Sequence[BackgroundPart]:
        replay.attach(parts.sequencer.entries, lambda: parts.sequencer.head().size)
        duty = Duty(
            log=parts.sequencer,
            blobs=parts.blobs,
            replay=replay,
            operator=parts.operator,
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        return [Coordinator(duty)]

    run(settings, replay, background)
