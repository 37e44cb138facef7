"""A released model's manifest: what to fetch, how to check it, and where it came from, as canonical JSON.

Anybody who has the log can build the same bytes again, so the manifest needs no
signature of its own: its digest follows from the release.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from serai.analytics.metrics import pool
from serai.analytics.state import EvaluationRecord
from serai.hub.rules import RunOutcome
from serai.hub.state import ReleaseRecord
from serai.kernel.canonical import canonical, parse
from serai.kernel.ids import Digest, MemberId
from serai.kernel.records import from_json, to_json

MEDIA_TYPE: Final = "application/vnd.serai.release.v1+json"
MAX_MANIFEST_BYTES: Final = 1 << 20  # a thousand members' counts fit; a model does not


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a release.

    Attributes:
        name: what to call it on disk.
        digest: SHA-256 of its bytes, by which the blob store has it.
        size_bytes: its length; None where the log does not say.

    """

    name: str
    digest: Digest
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a user of a released model needs.

    Attributes:
        media_type: ``MEDIA_TYPE``.
        release: the release's id in the log.
        run: the run that made the model.
        agreement: the agreement that permitted both.
        purpose: purpose code of the run.
        title: one line for people.
        format: how the model's file is written.
        license: SPDX expression.
        files: the model, then its card.
        participants: members who trained it.
        counts: what each participant measured on its own data, by member.
        pooled: sums of the counts that all participants report.

    """

    media_type: str
    release: Digest
    run: Digest
    agreement: Digest
    purpose: str
    title: str
    format: str
    license: str
    files: tuple[File, ...]
    participants: tuple[MemberId, ...]
    counts: Mapping[str, Mapping[str, int]]
    pooled: Mapping[str, int]


def manifest_of(release: ReleaseRecord, run: RunOutcome, evaluations: Iterable[EvaluationRecord]) -> Manifest:
    """The manifest of a release, from what the log says."""
    body = release.body
    counts = {record.member: dict(record.body.counts) for record in evaluations}
    return Manifest(
        media_type=MEDIA_TYPE,
        release=release.id,
        run=body.run,
        agreement=run.agreement,
        purpose=run.purpose,
        title=body.title,
        format=body.format,
        license=body.license,
        files=(
            File(name=f"model.{body.format}", digest=body.model, size_bytes=body.size_bytes),
            File(name="README.md", digest=body.card, size_bytes=None),
        ),
        participants=tuple(sorted(run.participants)),
        counts={str(member): counts[member] for member in sorted(counts)},
        pooled=pool(counts[member] for member in sorted(counts)),
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's only byte form."""
    return canonical(to_json(manifest))


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        Malformed: not the canonical bytes of a manifest.

    """
    return from_json(Manifest, parse(data, MAX_MANIFEST_BYTES))
