"""Projects as people see them, their documents on the way to the log, and reviews kept until all have committed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from serai.agent.session import Session
from serai.charter.decision import Choice
from serai.charter.state import life_of
from serai.cli.output import short
from serai.cli.plans import shown_time
from serai.errors import Conflict, Malformed, Misconfigured
from serai.kernel.ids import Digest, digest_of
from serai.programme.project_rules import missing, parties
from serai.programme.projects import Project, commitment_of
from serai.programme.stages import Who, ways_on
from serai.programme.statements import Document, ProjectAdvance, ReviewCommit, ReviewOpen
from serai.state import State, record_of
from serai.storage.record_files import read_record, write_record

MAX_DOCUMENT_BYTES: Final = 16_000_000
_FOLDER: Final = "reviews"
_SALT_BYTES: Final = 32
_LANGUAGE: Final = "en"

Fact = tuple[str, str]


def read_document(session: Session, text: str, seen: set[str]) -> Document:
    """Bring a document to the center from ``KIND=FILE[@LANGUAGE]``; the first of its kind is authoritative.

    Raises:
        Malformed: another form, or too large.
        Misconfigured: the file cannot be read.

    """
    kind, _, rest = text.partition("=")
    name, at, language = rest.rpartition("@")
    path = Path(name if at else rest)
    if not kind or not rest:
        raise Malformed("document-form", f"expected KIND=FILE[@LANGUAGE], such as concept=concept.md@en, got {text!r}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Misconfigured("document-file", f"cannot read {path}: {error.strerror}; name a file") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise Malformed("document-size", f"{path}: expected at most {MAX_DOCUMENT_BYTES} bytes, got {len(data)}")
    session.center.put_blob(digest_of(data), data)
    first = kind not in seen
    seen.add(kind)
    return Document(kind=kind, digest=digest_of(data), language=language if at else _LANGUAGE, authoritative=first)


def keep_review(session: Session, project: Project, technical: int, scientific: int, text: str) -> ReviewCommit:
    """Keep a review at home, with a fresh salt, before its commitment leaves; what to say.

    Raises:
        Conflict: a commitment of this member stands already; its review must not be lost.

    """
    member = session.settings.member
    if member in project.panel.commitments:
        raise Conflict("review-committed", f"{member} has committed to its review of {short(project.id)} already")
    salt = os.urandom(_SALT_BYTES)
    review = ReviewOpen(project=project.id, technical=technical, scientific=scientific, text=text, salt=salt)
    path = _review_path(session, project.id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_record(path, review)
    return ReviewCommit(project=project.id, commitment=commitment_of(review, member))


def kept_review(session: Session, project: Digest) -> ReviewOpen:
    """The review that this member has kept.

    Raises:
        Missing: it has kept none.

    """
    return read_record(ReviewOpen, _review_path(session, project))


def rows(state: State) -> Iterator[dict[str, Any]]:
    """Every project, for tables and programs."""
    for project in sorted(state.programme.projects.projects.values(), key=lambda item: item.steps[0].at):
        bound = parties(record_of(state), project, state.now)
        yield {
            "id": project.id,
            "title": project.body.title,
            "lead": project.lead,
            "stage": project.stage.value,
            "since": shown_time(project.since.time_ms),
            "parties": sorted(bound),
            "held": [f"{hold.kind} by {hold.member}: {hold.reason}" for hold in project.open_holds],
            "agreement": project.agreement,
            "run": project.run,
        }


def facts(state: State, project: Project) -> Iterator[Fact]:
    """A project line by line: where it stands, how it came there, and what each way on still needs."""
    yield "need", f"{project.body.need} [{project.body.language}]"
    yield "lead", project.lead
    yield "backed by", ", ".join(sorted(project.backers)) or "nobody yet"
    for step in project.steps:
        documents = [
            f"{item.kind} {short(item.digest)} [{item.language}{', authoritative' if item.authoritative else ''}]"
            for item in step.documents
        ]
        cited = [f"{name} {short(id_)}" for name, id_ in (("proposal", step.proposal), ("run", step.run)) if id_]
        told = "; ".join(
            [f"by {step.member}, entry {step.at.index}", *cited, *documents, *([step.note] if step.note else [])]
        )
        yield step.stage.value, told
    yield from _agreement_facts(state, project)
    for member, conflict in sorted(project.panel.declared.items()):
        yield f"reviewer {member}", _reviewer(project, member) if not conflict else f"conflict: {conflict}"
    for hold in sorted(project.holds.values(), key=lambda item: item.at):
        ended = f", lifted at entry {hold.lifted.index}" if hold.lifted else ""
        yield f"{hold.kind} {short(hold.id)}", f"{hold.reason} ({hold.member}, entry {hold.at.index}{ended})"
    for benefit in project.benefits:
        yield f"use by {benefit.member}", f"{benefit.text} (entry {benefit.at.index})"
    yield from _ways(state, project)


def _agreement_facts(state: State, project: Project) -> Iterator[Fact]:
    if project.agreement is None:
        return
    life = life_of(state.charter, project.agreement, state.now)
    bound = ", ".join(sorted(parties(record_of(state), project, state.now)))
    yield "agreement", f"{short(project.agreement)}, {life.value}; parties: {bound or 'none yet'}"
    for member, vote in sorted(state.charter.proposals[project.agreement].votes.items()):
        if vote.choice is Choice.RESERVE:
            yield f"reservation of {member}", vote.reason
    for member in sorted(state.charter.agreements[project.agreement].leaving):
        yield "withdrawn", member


def _ways(state: State, project: Project) -> Iterator[Fact]:
    for way in ways_on(project.stage):
        body = ProjectAdvance(project=project.id, to=way.to)
        lacking = missing(record_of(state), project, way, body, state.now)
        who = project.lead if way.who is Who.LEAD else "a party"
        documents = f", with {', '.join(way.documents)}" if way.documents else ""
        yield f"next: {way.to}", f"by {who}{documents}" + (f"; {lacking.reason}" if lacking else "")


def _reviewer(project: Project, member: str) -> str:
    for reviewer, review in project.panel.reviews.items():
        if reviewer == member:
            return f"technical {review.technical}, scientific {review.scientific}: {review.text}"
    return "has committed to its review" if member in project.panel.commitments else "has not committed yet"


def _review_path(session: Session, project: Digest) -> Path:
    return session.settings.home / _FOLDER / f"{project}.json"
