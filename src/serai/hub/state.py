"""What the releases add up to: the models that may be used, by id and by digest."""

from dataclasses import dataclass, field, replace

from immutables import Map

from serai.hub.statements import Release
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """A release as the log has it.

    Attributes:
        id: the release's id.
        member: whose delegate released it.
        body: what was released.
        at: when.

    """

    id: Digest
    member: MemberId
    body: Release
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class HubState:
    """All releases in the log.

    Attributes:
        releases: by id.
        by_model: the release of each model, by the model's digest.

    """

    releases: Map[Digest, ReleaseRecord] = field(default_factory=Map)
    by_model: Map[Digest, Digest] = field(default_factory=Map)


def apply(hub: HubState, said: Said[Body], at: Instant) -> HubState:
    """What is released after a release that was granted."""
    body = said.body
    if not isinstance(body, Release):
        return hub
    record = ReleaseRecord(id=said.id, member=said.member, body=body, at=at)
    return replace(hub, releases=hub.releases.set(said.id, record), by_model=hub.by_model.set(body.model, said.id))


def find_release(hub: HubState, model: Digest) -> ReleaseRecord | None:
    """The release of a model by the digest of its file, or None."""
    release = hub.by_model.get(model)
    return None if release is None else hub.releases[release]
