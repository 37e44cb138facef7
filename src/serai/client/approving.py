"""Approving with open eyes: what a run is and costs beside what was approved before, and the record of what was approved.

The record lies in the member's own home, in ``approvals``: a file for each run,
and the sources of the programs by their digests. Nobody else reads it, and what
the log says of an approval is the digest of the run and the approver's comment.
"""

import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.agent.figures import read_record as read_figures
from serai.agent.journal import Journal
from serai.agent.mirror import View
from serai.agent.privacy import RunPrivacy
from serai.agent.programs import Programs, is_foreign_name
from serai.agent.session import Session
from serai.agent.vault import Vault
from serai.agent.zone import Zone
from serai.approvals.comparison import Comparison, compare, find_earlier
from serai.approvals.subject import Approved, Cost, Experience, Subject
from serai.charter.state import parties_of
from serai.errors import Malformed, SeraiError, Unverified
from serai.kernel.canonical import decode
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.records import from_json, to_json
from serai.recipes.archive import MAX_ARCHIVE_BYTES, unpack
from serai.recipes.registry import code_digest, sources_of
from serai.state import State
from serai.storage.blobs import FileBlobs
from serai.storage.disk import no_room_explained
from serai.storage.record_files import MAX_RECORD_BYTES
from serai.training.state import Run, form_of
from serai.zones.admission import Budget, DataFacts, data_facts, effective_policies
from serai.zones.budgets import limits_of
from serai.zones.policy import Policy
from serai.zones.state import find_steward_approval

FOLDER: Final = "approvals"
SOURCES: Final = "sources"
_JOURNAL: Final = "journal.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Everything that somebody sees before they approve a run.

    Attributes:
        run: the run.
        subject: what would be approved.
        comparison: beside what was approved before.
        cost: what it would take of this zone; None if this member is not invited.
        sources: the program's files, by digest.
        is_foreign: whether the program does not come with serai.
        program: what is to be said of the program, a sentence each.
        unrecorded: log index of a later approval under the agreement of which this home has no record; None if
            there is none.

    """

    run: Run
    subject: Subject
    comparison: Comparison
    cost: Cost | None
    sources: Mapping[Digest, bytes]
    is_foreign: bool
    program: tuple[str, ...]
    unrecorded: int | None


def review(session: Session, run: Digest) -> Review:
    """Look at a run as it stands now, beside the last one that was approved under its agreement.

    Raises:
        Malformed: the record of an earlier approval is damaged.
        Unavailable: the center does not answer.

    """
    view = session.view()
    found = view.state.runs.plans[run]
    with _beside_the_agent(session) as zone:
        files, sources, told = _program(zone, found, view.state)
        subject = Subject(
            run=run,
            plan=found.plan,
            policies=_policies(zone, found, view.state),
            files=files,
            parties=tuple(sorted(parties_of(view.state.charter, found.plan.agreement, view.state.now))),
            retention_days=zone.settings.retention_days,
        )
        cost = _cost(zone, found, view, subject.policies) if zone.member in found.plan.offers else None
    earlier = find_earlier(read_approved(session.settings.home), subject)
    former = {} if earlier is None else _read_sources(session.settings.home, earlier.subject)
    return Review(
        run=found,
        subject=subject,
        comparison=compare(earlier, subject, sources, former),
        cost=cost,
        sources=sources,
        is_foreign=is_foreign_name(found.plan.recipe),
        program=told,
        unrecorded=_unrecorded(view.state, found, session.settings.member, earlier),
    )


def review_program(session: Session, code: Digest) -> Review | None:
    """Look at the last run that names a program; None if no run does.

    Raises:
        Malformed, Unavailable: as ``review``.

    """
    runs = [run for run in session.state().runs.plans.values() if run.plan.code == code]
    return review(session, max(runs, key=lambda run: run.at).id) if runs else None


def keep(home: Path, looked: Review, entry: int, *, shown: bool) -> None:
    """Keep what was approved, so that the next review starts from there.

    Args:
        home: the member's.
        looked: what was reviewed.
        entry: log index of the approval.
        shown: whether anybody saw it.

    Raises:
        Unavailable: the disk is full.

    """
    folder = home / FOLDER
    with no_room_explained(folder):
        (folder / SOURCES).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for digest, data in looked.sources.items():
            path = folder / SOURCES / digest
            if not path.exists():
                _write(path, data)
        # Not canonical JSON: the zone's own clauses stand in it, in whatever form their author's keyboard has them.
        _write(folder / f"{looked.run.id}.json", json.dumps(to_json(_approved(looked, entry, shown=shown))).encode())


def read_approved(home: Path) -> tuple[Approved, ...]:
    """What this home has on record of approved runs.

    Raises:
        Malformed: a file holds something else; the message names it.

    """
    return tuple(_read(path) for path in sorted((home / FOLDER).glob("*.json")))


def _approved(looked: Review, entry: int, *, shown: bool) -> Approved:
    return Approved(subject=looked.subject, entry=entry, shown=shown)


def _read(path: Path) -> Approved:
    try:
        with path.open("rb") as file:
            return from_json(Approved, decode(file.read(MAX_RECORD_BYTES + 1), MAX_RECORD_BYTES))
    except Malformed as error:
        raise Malformed(
            "approval-record",
            f"{path} is no record of an approval ({error.message}); move it away, and the next review starts without it",
        ) from error


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.chmod(0o600)
    part.replace(path)


def _read_sources(home: Path, subject: Subject) -> dict[Digest, bytes]:
    """The sources of an earlier program, as far as they are kept and are what they were."""
    found = {}
    for digest in subject.files.values():
        path = home / FOLDER / SOURCES / digest
        data = path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_ARCHIVE_BYTES else b""
        if digest_of(data) == digest:
            found[digest] = data
    return found


@contextmanager
def _beside_the_agent(session: Session) -> Iterator[Zone]:
    """The zone as its agent has it, to look at: nothing is swept, said or reserved."""
    settings = session.settings
    path = settings.home / _JOURNAL
    journal = Journal(path if path.exists() else None)
    try:
        yield Zone(
            settings=settings,
            center=session.center,
            keys=session.keys,
            mirror=session.mirror,
            journal=journal,
            blobs=FileBlobs(settings.home / "blobs"),
            vault=Vault(settings),
            programs=Programs(settings.sandbox, settings.home),
            now_ms=lambda: time.time_ns() // 1_000_000,
            random=os.urandom,
        )
    finally:
        journal.close()


def _program(zone: Zone, run: Run, state: State) -> tuple[dict[str, Digest], dict[Digest, bytes], tuple[str, ...]]:
    """The program's files, their bytes, and what is to be said of it; read, never run."""
    plan, told = run.plan, []
    try:
        if is_foreign_name(plan.recipe):
            found: Mapping[str, bytes] = unpack(_archive(zone, plan.code))
            told.append("does not come with serai; it runs in a sandbox, if this zone's settings let it run at all")
        else:
            found = sources_of(plan.recipe)
            if code_digest(plan.recipe) != plan.code:
                told.append(
                    "is not the one that is installed here, so this zone declines; what is shown is the installed one"
                )
    except SeraiError as error:
        found = {}
        told.append(f"cannot be had here, so nobody has seen it: {error.message}")
    approval = find_steward_approval(state.zones, plan.code, zone.member)
    if approval is not None:
        told.append(f"was approved by its digest at log entry {approval.index}")
    sources = {digest_of(data): data for data in found.values()}
    return {name: digest_of(data) for name, data in found.items()}, sources, tuple(told)


def _archive(zone: Zone, code: Digest) -> bytes:
    """A stranger's program, to be read: from this zone's store or the center, and not kept before it is approved.

    Raises:
        Missing: nobody has it.
        Unverified: what came does not have that digest, or is larger than a program may be.

    """
    here = zone.blobs.has(code)
    read = zone.blobs.read_range if here else zone.center.read_blob
    data = read(code, 0, MAX_ARCHIVE_BYTES + 1)
    if digest_of(data) != code:
        whose = "this zone's store" if here else "the center"
        raise Unverified("blob-digest", f"what {whose} has as program {code[:12]} is not it, or is too large")
    return data


def _policies(zone: Zone, run: Run, state: State) -> tuple[Policy, ...]:
    plan = run.plan
    data: DataFacts | None = None
    if zone.member in plan.offers:
        data = data_facts(state.zones, plan.offers[zone.member], plan.agreement, state.now)
    text = state.charter.agreements[plan.agreement].text
    return effective_policies((plan.agreement, text), data, zone.settings.policy, zone.settings.legal)


def _cost(zone: Zone, run: Run, view: View, policies: tuple[Policy, ...]) -> Cost:
    plan = run.plan
    budgets, note = _privacy(zone, run, view, policies)
    last = form_of(plan, plan.rounds - 1).codec.upload_bytes
    return Cost(
        budgets=budgets,
        privacy_note=note,
        rounds=plan.rounds,
        round_bytes=plan.codec.upload_bytes,
        last_bytes=last,
        experience=_experience(zone.settings.home, run, view.state),
        cap_s=_least(policies, "compute_cap_s"),
        worked_s=zone.journal.worked_ms(run.id) // 1000,
        kept_days=_least(policies, "retention_days"),
    )


def _privacy(zone: Zone, run: Run, view: View, policies: tuple[Policy, ...]) -> tuple[tuple[Budget, ...], str]:
    if not limits_of(policies):
        return (), "no term sets a privacy budget, so nothing is counted"
    privacy = RunPrivacy(zone, run, view, policies)
    try:
        cost = privacy.worst_cost()
    except SeraiError as error:
        return (), f"cannot be computed here: {error.message}"
    if cost is None:
        return (), "a term sets a privacy budget, and no noise bounds what this run costs, so this zone declines"
    return privacy.budgets(cost), ""


def _experience(home: Path, run: Run, state: State) -> Experience | None:
    """What earlier runs of the recipe took here; a run whose figures were never written, or are gone, is not among them."""
    like = (run.plan.recipe, run.plan.action)
    others = [
        one for one in state.runs.plans.values() if (one.plan.recipe, one.plan.action) == like and one.id != run.id
    ]
    times = {one.id: _round_times(home, one.id) for one in others}
    rounds = [ms for found in times.values() for ms in found]
    if not rounds:
        return None
    return Experience(
        runs=sum(bool(found) for found in times.values()),
        rounds=len(rounds),
        round_ms=round(statistics.median(rounds)),
        longest_ms=max(rounds),
    )


def _round_times(home: Path, run: Digest) -> list[int]:
    lines = read_figures(home, run)
    return [ms for line in lines if isinstance(line, dict) and isinstance(ms := line.get("train_ms"), int)]


def _least(policies: tuple[Policy, ...], name: str) -> int | None:
    values = [term.value for policy in policies for term in policy.terms if term.name == name]
    return min((value for value in values if isinstance(value, int)), default=None)


def _unrecorded(state: State, run: Run, member: MemberId, earlier: Approved | None) -> int | None:
    known = -1 if earlier is None else earlier.entry
    given = [
        approvals[member].index
        for subject, approvals in state.zones.approvals.items()
        if member in approvals
        and subject != run.id
        and subject in state.runs.plans
        and state.runs.plans[subject].plan.agreement == run.plan.agreement
    ]
    last = max(given, default=-1)
    return last if last > known else None
