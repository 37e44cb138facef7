"""A center from its folder: settings and founding charter in, a running center out."""

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serai.center.app import BackgroundPart, CenterParts, run
from serai.center.coordinator import Coordinator, Duty
from serai.center.replay import Replay
from serai.center.settings import CenterSettings, read_settings
from serai.charter.constitution import Charter
from serai.errors import Misconfigured
from serai.kernel.ids import Digest
from serai.storage.blobs import FileBlobs
from serai.storage.record_files import read_record

CHARTER_FILE: Final = "charter.json"
_SUM_THREADS: Final = 4  # more only wait for the one that hashes and writes


def start(folder: Path, host: str | None = None, port: int | None = None) -> None:
    """Run the center in ``folder`` until SIGTERM or SIGINT; called on the main thread.

    Args:
        folder: made by ``serai center init``.
        host: address to listen on, in place of the settings' own.
        port: likewise; 0 picks a free one.

    Raises:
        Misconfigured: settings or charter are missing or unusable, or the address is taken.
        Corrupt: what is stored is not what was signed.
        Unavailable: the disk is full.

    """
    settings = read_settings(folder)
    settings = dataclasses.replace(
        settings, host=settings.host if host is None else host, port=settings.port if port is None else port
    )
    founding = read_record(Charter, settings.folder / CHARTER_FILE)
    replay = Replay(founding)

    def background(parts: CenterParts) -> Sequence[BackgroundPart]:
        return [_coordinator(settings, parts, founding, replay)]

    run(settings, replay, background)


def _coordinator(settings: CenterSettings, parts: CenterParts, founding: Charter, replay: Replay) -> Coordinator:
    log, blobs = parts.sequencer, parts.blobs
    replay.attach(log.entries, lambda: log.head().size, lambda blob, size: _has(blobs, blob, size))
    state = replay.current()  # a long log is read before the first request waits for it
    successions = state.charter.successions
    origin = successions[-1].body.log_key.partition("+")[0] if successions else founding.origin
    if origin != settings.origin:
        raise Misconfigured("charter-origin", f"the members' center is {origin}, and not {settings.origin}")
    coordinator = Coordinator(
        Duty(
            log=log,
            blobs=blobs,
            replay=replay,
            operator=parts.operator,
            now_ms=lambda: time.time_ns() // 1_000_000,
            threads=settings.sum_threads or min(_SUM_THREADS, os.cpu_count() or 1),
            keep_rounds=settings.keep_rounds,
        )
    )
    parts.service.before_submit = coordinator.catch_up_clock
    return coordinator


def _has(blobs: FileBlobs, blob: Digest, size_bytes: int) -> bool:
    return blobs.has(blob) and blobs.size(blob) == size_bytes
