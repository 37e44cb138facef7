"""What a member takes along when it leaves: what it said, proof that it is in the log, and what binds it still.

The folder is a published log, which ``tools/audit_log.py`` and Go's packages check
alone, with these beside:

    statements/INDEX.json         each entry that one of the member's keys signed
    statements/INDEX.tlog-proof   its proof (c2sp.org/tlog-proof)
    policy.txt                    whose cosignatures to ask for (c2sp.org/tlog-policy)
    bound.json                    standing, agreements with their duties, data offered and granted
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from serai.agent.bundles import publish
from serai.agent.mirror import Mirror, View
from serai.charter.state import holder_of, life_of, obliged_by, standing_of, witness_faults, witness_keys
from serai.cli.reading import read_line
from serai.errors import Conflict, Missing
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import MemberId
from serai.ledger.merkle import prove_inclusion
from serai.ledger.note import NoteKey, parse_note
from serai.ledger.policy import Witnesses
from serai.ledger.proof import SUFFIX, LogProof
from serai.ledger.tiles import tile_reader
from serai.ledger.trust_policy import TrustPolicy, policy_of
from serai.state import State
from serai.storage.tile_files import TileFiles

_BATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class Left:
    """What was written: how many statements, and up to which witnessed size."""

    statements: int
    size: int


def write_exit(folder: Path, mirror: Mirror, member: MemberId) -> Left:
    """Write all that proves a member's part in a log.

    Raises:
        Conflict: the folder holds something already.
        Missing: no quorum has cosigned anything yet.

    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("folder-full", f"{folder} holds something already; name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    tiles = TileFiles(folder)
    view = publish(tiles, mirror)
    if view.witnessed is None:
        raise Missing("checkpoint-unwitnessed", "no quorum has cosigned this log yet; wait for it")
    said = list(_own(mirror, view, member))
    (folder / "statements").mkdir()
    for index, entry in said:
        proof = prove(view, tiles, index)
        (folder / "statements" / f"{index:06}.json").write_bytes(entry)
        (folder / "statements" / f"{index:06}{SUFFIX}").write_text(proof.encode(), encoding="utf-8")
    key = mirror.key_at(view.state, view.witnessed_size)
    (folder / "policy.txt").write_text(policy(view.state, key, ""), encoding="utf-8")
    (folder / "bound.json").write_text(
        json.dumps(bound(view.state, member), ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    return Left(len(said), view.witnessed_size)


def prove(view: View, tiles: TileFiles, index: int) -> LogProof:
    """The proof of one entry under the newest witnessed checkpoint.

    Raises:
        Missing: that checkpoint does not reach to the entry.

    """
    size = view.witnessed_size
    if not index < size:
        raise Missing("entry-unwitnessed", f"a quorum has cosigned {size} entries; entry {index} is not among them yet")
    return LogProof(index, prove_inclusion(index, size, tile_reader(size, tiles.read)), parse_note(view.witnessed_note))


def policy(state: State, key: NoteKey, url: str, *, by_group: bool = False) -> str:
    """The bloc's policy file: the log, the members' witnesses and their quorum."""
    charter = state.charter
    groups: dict[str, list[MemberId]] = {}
    for record in charter.members.values() if by_group else ():
        for group in record.groups:
            groups.setdefault(group, []).append(record.id)
    witnesses = Witnesses(witness_keys(charter), witness_faults(charter))
    found: TrustPolicy = policy_of(key, witnesses, groups, {key.encode(): url} if url else {})
    return found.encode()


def bound(state: State, member: MemberId) -> dict[str, Any]:
    """What a member is bound by now, as plain values."""
    charter, at = state.charter, state.now
    agreements = [
        {
            "agreement": id_,
            "title": found.text.title,
            "life": life_of(charter, id_, at).value,
            "obliged": member in obliged_by(charter, id_, at),
            "until_ms": found.leaving.get(member),
        }
        for id_, found in sorted(charter.agreements.items())
        if member in found.signatures or member in found.leaving
    ]
    offers = [
        {"offer": record.id, "dataset": record.body.dataset, "title": record.body.title}
        for record in state.zones.offers.values()
        if record.member == member
    ]
    trained = [run.id for run in state.runs.plans.values() if member in run.keys]
    return {
        "member": member,
        "genesis": charter.genesis,
        "entries": state.size,
        "log_time_ms": state.time_ms,
        "standing": standing_of(charter, member, at).value,
        "duties_until_ms": charter.leaving.get(member),
        "agreements": agreements,
        "offers": sorted(offers, key=lambda offer: offer["offer"]),
        "runs_with_its_data": sorted(trained),
    }


def _own(mirror: Mirror, view: View, member: MemberId) -> Any:
    for start in range(0, view.witnessed_size, _BATCH):
        for index, entry in enumerate(mirror.entries(start, min(start + _BATCH, view.witnessed_size)), start):
            body = read_line(view.state, entry, index).body
            holder = None if body is None else holder_of(view.state.charter, parse_envelope(entry).signer, body)
            if holder is not None and holder.member == member:
                yield index, entry
