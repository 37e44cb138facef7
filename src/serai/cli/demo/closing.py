"""The end of the demo: the witnessed head, the independent audit, and what crossed each border."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import serai
from serai.agent.session import CHARTER_FILE
from serai.aggregation.statements import RoundUpload
from serai.charter.constitution import Charter
from serai.cli.audits import audit_published, audit_run
from serai.cli.demo.stage import Stage
from serai.cli.reading import read_line
from serai.cli.report import AuditResult, Border, LogHead
from serai.errors import SeraiError, Unavailable
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest
from serai.storage.record_files import read_record

OWN_AUDIT: Final = "serai audit"
AUDIT_TIMEOUT_S: Final = 60.0
_WITNESS_TIMEOUT_S: Final = 30.0
_TOOL: Final = Path(serai.__file__).parents[2] / "tools" / "audit_log.py"


def witnessed_head(stage: Stage) -> LogHead:
    """The newest checkpoint once a quorum of members has cosigned all that was said.

    Raises:
        Unavailable: too few cosigned in time.

    """
    deadline = time.monotonic() + _WITNESS_TIMEOUT_S
    view = stage.observer.view()
    while view.witnessed is None or view.witnessed_size < view.size:
        if time.monotonic() > deadline:
            raise Unavailable("demo-stalled", "the members did not cosign the log's end in time; their logs say more")
        view = stage.observer.mirror.follow(stage.observer.center, view.witnessed_size, 1.0)
    checkpoint = view.witnessed.checkpoint
    return LogHead(
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        checkpoint=view.witnessed_note,
        witnesses=sorted(view.witnessed.times_s),
    )


def audit(stage: Stage, runs: Sequence[Digest]) -> AuditResult:
    """Have the log audited by the tool that owes serai nothing, and every sum computed again.

    Where the tool is not at hand (it lies beside the source tree), serai's own audit takes its place.
    """
    charter_file = stage.folder / "center" / CHARTER_FILE
    genesis = stage.observer.settings.genesis
    assert genesis is not None
    if _TOOL.is_file():
        command = [sys.executable, str(_TOOL), stage.url, "--genesis", genesis, "--json"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=AUDIT_TIMEOUT_S)  # noqa: S603 - our own tool
        found = json.loads(done.stdout or b"{}")  # a tool that fell over says nothing, and that is a failed audit
        tool, ok, entries = _TOOL.name, done.returncode == 0, int(found.get("entries", 0))
    else:
        tool, ok = OWN_AUDIT, True
        entries = audit_published(stage.url, read_record(Charter, charter_file)).entries
    try:
        rounds = sum(len(list(audit_run(stage.observer, run))) for run in runs)
    except SeraiError:
        ok, rounds = False, 0
    return AuditResult(entries=entries, rounds=rounds, ok=ok, tool=tool)


def measure_borders(stage: Stage) -> list[Border]:
    """What left and entered each member, counted by its relay, and what of it the log accounts for."""
    state = stage.observer.state()
    statements: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    payloads: dict[str, list[bytes]] = {member: [] for member in stage.actors}
    for index, entry in enumerate(stage.observer.entries(0, state.size)):
        line = read_line(state, entry, index)
        statements[line.member] += len(entry)
        if line.member in payloads:
            payloads[line.member].append(parse_envelope(entry).payload)
        if isinstance(line.body, RoundUpload):
            masked[line.member] += line.body.size_bytes
    lines = stage.csv.read_bytes().splitlines()
    return [
        Border(
            member=member,
            out_bytes=actor.border.out_bytes,
            in_bytes=actor.border.in_bytes,
            masked_bytes=masked[member],
            statement_bytes=statements[member],
            rows_out=actor.border.rows_seen(_rows(lines, actor.hospital.in_file), payloads[member]),
        )
        for member, actor in stage.actors.items()
    ]


def _rows(lines: Sequence[bytes], hospital: str) -> list[bytes]:
    """A hospital's lines without the running number in front."""
    mark = f",{hospital},".encode()
    return [line.partition(b",")[2] for line in lines if mark in line]
