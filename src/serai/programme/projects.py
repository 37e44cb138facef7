"""Projects as the log tells them: stage, documents, reviews, agreement, runs and holds of each.

Reviews are blind in an open log because they are committed to before any is
shown: each reviewer signs a digest of its review under a random salt, and opens
it once all have. The digest covers the reviewer's name and the project, so that
nobody can copy another's.
"""

from dataclasses import dataclass, field, replace

from immutables import Map

from serai.kernel.canonical import canonical
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.records import to_json
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.programme.stages import Stage
from serai.programme.statements import (
    Document,
    HoldKind,
    ProjectAdvance,
    ProjectBack,
    ProjectBenefit,
    ProjectHold,
    ProjectLift,
    ProjectOpen,
    ReviewCommit,
    ReviewDeclare,
    ReviewOpen,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A project's way into a stage.

    Attributes:
        stage: the stage.
        member: who took it there.
        at: when.
        note: for the record.
        documents: what came with it.
        proposal: the decision that it rested on.
        run: the run that it rested on.

    """

    stage: Stage
    member: MemberId
    at: Instant
    note: str = ""
    documents: tuple[Document, ...] = ()
    proposal: Digest | None = None
    run: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The reviewers of a proposal.

    Attributes:
        declared: what each declared as its conflict; empty for none.
        commitments: what each without a conflict has committed to.
        reviews: what each has opened.

    """

    declared: Map[MemberId, str] = field(default_factory=Map)
    commitments: Map[MemberId, Digest] = field(default_factory=Map)
    reviews: Map[MemberId, ReviewOpen] = field(default_factory=Map)

    @property
    def free(self) -> frozenset[MemberId]:
        """Reviewers without a conflict."""
        return frozenset(member for member, conflict in self.declared.items() if not conflict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An incident or a dispute.

    Attributes:
        id: its statement.
        member: who placed it.
        kind: what it stops.
        reason: why.
        at: when.
        lifted: when it ended; None while it lasts.

    """

    id: Digest
    member: MemberId
    kind: HoldKind
    reason: str
    at: Instant
    lifted: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Benefit:
    """What a party told of the use of a model.

    Attributes:
        member: whose delegate told it.
        text: what was told.
        evidence: digests of what shows it.
        at: when.

    """

    member: MemberId
    text: str
    evidence: tuple[Digest, ...]
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One project.

    Attributes:
        id: statement id of its opening.
        body: the need.
        lead: the member that opened it.
        steps: its way through the stages, the first being the need.
        backers: members that are interested, besides the lead.
        panel: the reviewers of the proposal on the table.
        agreement: the agreement it goes by, once adopted.
        dry_run: the run that tried it out.
        run: the run whose model is evaluated and released.
        holds: incidents and disputes.
        benefits: what parties told of use.

    """

    id: Digest
    body: ProjectOpen
    lead: MemberId
    steps: tuple[Step, ...]
    backers: frozenset[MemberId] = frozenset()
    panel: Panel = field(default_factory=Panel)
    agreement: Digest | None = None
    dry_run: Digest | None = None
    run: Digest | None = None
    holds: Map[Digest, Hold] = field(default_factory=Map)
    benefits: tuple[Benefit, ...] = ()

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return self.steps[-1].stage

    @property
    def since(self) -> Instant:
        """When it came there."""
        return self.steps[-1].at

    @property
    def open_holds(self) -> tuple[Hold, ...]:
        """What holds it now, in log order."""
        return tuple(sorted((hold for hold in self.holds.values() if hold.lifted is None), key=lambda hold: hold.at))

    @property
    def is_frozen(self) -> bool:
        """Whether an incident stops its runs."""
        return any(hold.kind is HoldKind.INCIDENT for hold in self.open_holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsState:
    """Every project.

    Attributes:
        projects: by id.
        by_agreement: the project that goes, or went, by an agreement.

    """

    projects: Map[Digest, Project] = field(default_factory=Map)
    by_agreement: Map[Digest, Digest] = field(default_factory=Map)


def commitment_of(review: ReviewOpen, reviewer: MemberId) -> Digest:
    """What a reviewer commits to: SHA-256 of the canonical JSON of its name and its review."""
    return digest_of(canonical([reviewer, to_json(review)]))


def find_by_agreement(projects: ProjectsState, agreement: Digest) -> Project | None:
    """The project that goes by an agreement, or None."""
    found = projects.by_agreement.get(agreement)
    return None if found is None else projects.projects[found]


def is_frozen(projects: ProjectsState, agreement: Digest) -> bool:
    """Whether an incident stops the runs under an agreement."""
    project = find_by_agreement(projects, agreement)
    return project is not None and project.is_frozen


def apply(projects: ProjectsState, said: Said[Body], at: Instant) -> ProjectsState:
    """The projects after a statement that the rules have granted."""
    body = said.body
    match body:
        case ProjectOpen():
            step = Step(stage=Stage.NEED, member=said.member, at=at)
            return _with(projects, Project(id=said.id, body=body, lead=said.member, steps=(step,)))
        case ProjectAdvance():
            return _advance(projects, body, said.member, at)
        case ProjectBack():
            project = projects.projects[body.project]
            return _with(projects, replace(project, backers=project.backers | {said.member}))
        case ReviewDeclare() | ReviewCommit() | ReviewOpen():
            project = projects.projects[body.project]
            return _with(projects, replace(project, panel=_reviewed(project.panel, body, said.member)))
        case ProjectHold():
            hold = Hold(id=said.id, member=said.member, kind=body.kind, reason=body.reason, at=at)
            return _with_hold(projects, body.project, hold)
        case ProjectLift():
            hold = projects.projects[body.project].holds[body.hold]
            return _with_hold(projects, body.project, replace(hold, lifted=at))
        case ProjectBenefit():
            project = projects.projects[body.project]
            told = Benefit(member=said.member, text=body.text, evidence=body.evidence, at=at)
            return _with(projects, replace(project, benefits=(*project.benefits, told)))
        case _:
            return projects


def _advance(projects: ProjectsState, body: ProjectAdvance, member: MemberId, at: Instant) -> ProjectsState:
    project = projects.projects[body.project]
    step = Step(
        stage=body.to,
        member=member,
        at=at,
        note=body.note,
        documents=body.documents,
        proposal=body.proposal,
        run=body.run,
    )
    origin, project = project.stage, replace(project, steps=(*project.steps, step))
    match body.to:
        case Stage.REVIEW:
            project = replace(project, panel=Panel())  # a better proposal is reviewed anew
        case Stage.AGREEMENT:
            assert body.proposal is not None, "the rules ask for one"
            project = replace(project, agreement=body.proposal)
            projects = replace(projects, by_agreement=projects.by_agreement.set(body.proposal, project.id))
        case Stage.RUN if origin is Stage.DRY_RUN:
            project = replace(project, dry_run=body.run)
        case Stage.EVALUATION:
            project = replace(project, run=body.run)
        case _:
            pass
    return _with(projects, project)


def _reviewed(panel: Panel, body: ReviewDeclare | ReviewCommit | ReviewOpen, member: MemberId) -> Panel:
    match body:
        case ReviewDeclare(conflict=conflict):
            return replace(panel, declared=panel.declared.set(member, conflict.strip()))
        case ReviewCommit(commitment=commitment):
            return replace(panel, commitments=panel.commitments.set(member, commitment))
        case ReviewOpen():
            return replace(panel, reviews=panel.reviews.set(member, body))


def _with_hold(projects: ProjectsState, project: Digest, hold: Hold) -> ProjectsState:
    found = projects.projects[project]
    return _with(projects, replace(found, holds=found.holds.set(hold.id, hold)))


def _with(projects: ProjectsState, project: Project) -> ProjectsState:
    return replace(projects, projects=projects.projects.set(project.id, project))
