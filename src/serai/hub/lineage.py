"""Where a released model comes from: release, run, rounds, agreement, votes, offers, grants, evaluations.

The walk goes over small views, so that it needs to know neither how rounds are
kept nor how votes are counted. A link that the log does not have is reported as
a gap, never passed over: a lineage without gaps is complete.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serai.analytics.state import AnalyticsState, EvaluationRecord
from serai.hub.rules import RunOutcome
from serai.hub.state import ReleaseRecord
from serai.kernel.ids import Digest, MemberId
from serai.zones.state import GrantRecord, OfferRecord, ZonesState


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One member's last ballot on the proposal."""

    member: MemberId
    choice: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """How the agreement was decided.

    Attributes:
        proposal: id of the proposal; also the agreement's id.
        title: the proposal's title.
        opener: the member that opened it.
        article: the article that decided.
        result: such as ``adopted``.
        votes: the last ballot of each member that voted.

    """

    proposal: Digest
    title: str
    opener: MemberId
    article: str
    result: str
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementView:
    """The agreement that permitted the run.

    Attributes:
        id: the agreement's id.
        title: its title.
        parties: the members it binds.
        decision: how it was decided.

    """

    id: Digest
    title: str
    parties: tuple[MemberId, ...]
    decision: DecisionView


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """One finished round of the run.

    Attributes:
        number: from 0.
        open: id of its opening; its leaf salts the masks.
        close: id of its closing.
        members: whose uploads are in the sum.
        model: digest of the model after it.

    """

    number: int
    open: Digest
    close: Digest
    members: tuple[MemberId, ...]
    model: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """The run that made the model.

    Attributes:
        outcome: what a release is judged by.
        title: the run's title.
        planner: the member that planned it.
        offers: the offer of each member whose data were used.
        rounds: in order.

    """

    outcome: RunOutcome
    title: str
    planner: MemberId
    offers: Mapping[MemberId, Digest]
    rounds: tuple[RoundView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """One member's data in the run."""

    member: MemberId
    offer: OfferRecord | None
    grant: GrantRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """All that a released model rests on.

    Attributes:
        release: the release.
        run: the run.
        agreement: the agreement, with how it was decided.
        data: each participant's offer and grant.
        evaluations: those that the release cites and the log has.
        gaps: links that the log does not have, as sentences.

    """

    release: ReleaseRecord
    run: RunView
    agreement: AgreementView
    data: tuple[DataUse, ...]
    evaluations: tuple[EvaluationRecord, ...]
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One line of a lineage as it is shown.

    Attributes:
        depth: 0 for the release, then what it rests on.
        kind: kind of the statement, or what a computed fact is.
        id: the statement's id; None for a computed fact.
        member: who said it; None for a computed fact.
        text: one line for people.

    """

    depth: int
    kind: str
    id: Digest | None
    member: MemberId | None
    text: str


def trace(
    release: ReleaseRecord, run: RunView, agreement: AgreementView, zones: ZonesState, analytics: AnalyticsState
) -> Lineage:
    """Gather everything that a release rests on, and name what is missing."""
    data = tuple(
        DataUse(member=member, offer=_find_offer(run, zones, member), grant=_find_grant(run, zones, member))
        for member in sorted(run.outcome.participants)
    )
    evaluations = tuple(
        analytics.evaluations[cited] for cited in release.body.evaluations if cited in analytics.evaluations
    )
    gaps = (
        *_gaps_of_chain(release, run, agreement),
        *_gaps_of_data(run, data),
        *_gaps_of_evaluations(release, evaluations),
    )
    return Lineage(release=release, run=run, agreement=agreement, data=data, evaluations=evaluations, gaps=gaps)


def walk(lineage: Lineage) -> Iterator[Link]:
    """The lineage line by line, from the release down to the votes."""
    release, run, agreement = lineage.release, lineage.run, lineage.agreement
    yield Link(depth=0, kind="release", id=release.id, member=release.member, text=release.body.title)
    for item in lineage.evaluations:
        counts = ", ".join(f"{name} {item.body.counts[name]}" for name in sorted(item.body.counts))
        yield Link(depth=1, kind="evaluation", id=item.id, member=item.member, text=counts)
    yield Link(depth=1, kind="run.plan", id=run.outcome.run, member=run.planner, text=run.title)
    for done in run.rounds:
        text = f"round {done.number} summed {', '.join(done.members)} into model {done.model[:12]}"
        yield Link(depth=2, kind="round", id=done.close, member=None, text=text)
    for use in lineage.data:
        yield from _walk_data(use)
    parties = f"{agreement.title}; parties {', '.join(agreement.parties)}"
    yield Link(depth=2, kind="agreement", id=agreement.id, member=None, text=parties)
    decision = agreement.decision
    text = f"{decision.title}: {decision.result} under {decision.article}"
    yield Link(depth=3, kind="proposal.open", id=decision.proposal, member=decision.opener, text=text)
    for vote in decision.votes:
        text = f"{vote.choice}: {vote.reason}" if vote.reason else vote.choice
        yield Link(depth=4, kind="ballot", id=None, member=vote.member, text=text)
    for gap in lineage.gaps:
        yield Link(depth=0, kind="gap", id=None, member=None, text=gap)


def _walk_data(use: DataUse) -> Iterator[Link]:
    if use.offer is not None:
        text = f"{use.offer.body.title}, {use.offer.body.rows} rows"
        yield Link(depth=2, kind="offer", id=use.offer.id, member=use.member, text=text)
    if use.grant is not None:
        text = f"to agreement {use.grant.body.agreement[:12]}"
        if use.grant.revoked is not None:
            text += f"; revoked later, at entry {use.grant.revoked.index}"
        yield Link(depth=3, kind="grant", id=use.grant.id, member=use.member, text=text)


def _find_offer(run: RunView, zones: ZonesState, member: MemberId) -> OfferRecord | None:
    return zones.offers.get(run.offers.get(member, Digest("")))


def _find_grant(run: RunView, zones: ZonesState, member: MemberId) -> GrantRecord | None:
    # A grant that was revoked after the run still belongs to the model's past.
    key = (run.offers.get(member, Digest("")), run.outcome.agreement)
    return zones.grants.get(zones.latest.get(key, Digest("")))


def _gaps_of_chain(release: ReleaseRecord, run: RunView, agreement: AgreementView) -> Iterator[str]:
    if release.body.run != run.outcome.run:
        yield f"the release names run {release.body.run[:12]}, not {run.outcome.run[:12]}"
    if release.body.model != run.outcome.model:
        yield f"the run did not agree on model {release.body.model[:12]}"
    if run.outcome.agreement != agreement.id:
        yield f"the run cites agreement {run.outcome.agreement[:12]}, not {agreement.id[:12]}"
    if not run.rounds:
        yield "the run has no finished round"
    elif run.rounds[-1].model != release.body.model:
        yield f"the last round made model {run.rounds[-1].model[:12]}, the release names {release.body.model[:12]}"


def _gaps_of_data(run: RunView, data: tuple[DataUse, ...]) -> Iterator[str]:
    for use in data:
        if use.offer is None:
            yield f"{use.member} took part without an offer"
        elif use.grant is None:
            yield f"no grant joined {use.member}'s offer to agreement {run.outcome.agreement[:12]}"


def _gaps_of_evaluations(release: ReleaseRecord, found: tuple[EvaluationRecord, ...]) -> Iterator[str]:
    if len(found) != len(release.body.evaluations):
        yield f"{len(release.body.evaluations) - len(found)} of the cited evaluations are not in the log"
    for record in found:
        if (record.body.run, record.body.model) != (release.body.run, release.body.model):
            yield f"{record.member}'s evaluation {record.id[:12]} is of another model"
