"""What may be said about a project, and what says so; ``stages`` has the ways, ``reviews`` the panel.

| article   | says                                                                                       |
| --------- | ------------------------------------------------------------------------------------------ |
| project 1 | it takes a member in good standing, a log that has a time, and a project that is not closed |
| project 2 | a need has a title and a text; a backer is not the lead, and backs once                     |
| project 3 | there is a way from stage to stage, and the speaker is who may take it                      |
| project 4 | the documents of the way come with it, one authoritative text of each kind                  |
| project 5 | what the way needs is in the log                                                            |
| project 6 | nothing goes on while a hold lasts                                                          |
| project 7 | a member holds a project that binds it, once for each kind, with a reason                   |
| project 8 | who placed a hold lifts it, or a decision that spells out its id does                       |
| project 9 | a party tells of use once a model is released                                               |
| project 10 | runs are planned in a dry run or run, evaluations from then until the end of use, and the model is released in the stage of release, all without an incident |
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from serai.analytics.state import evaluations_of
from serai.charter.agreements import Life
from serai.charter.state import in_good_standing, life_of, parties_of
from serai.hub.statements import Release
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.programme.projects import Project, ProjectsState, find_by_agreement
from serai.programme.record import Record
from serai.programme.reviews import enough, is_reviewed, judge_review
from serai.programme.stages import (
    EVALUATING_STAGES,
    PLANNING_STAGES,
    Need,
    Stage,
    Transition,
    Who,
    find_transition,
    ways_on,
)
from serai.programme.statements import (
    Document,
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
from serai.training.statements import Action, RunPlan
from serai.zones.state import find_grant, find_steward_approval

MAX_DOCUMENTS: Final = 64
MAX_BENEFITS: Final = 1_000  # of one project: a report a year from each member for longer than any plan
_MIN_GRANTS: Final = 2  # the sum of one member's data is that member's data


def judge(record: Record, projects: ProjectsState, said: Said[Body], at: Instant) -> Verdict:
    """Whether a statement about a project may be said now."""
    body, member = said.body, said.member
    if not in_good_standing(record.charter, member, at):
        return Denied("project 1", f"{member} is not in good standing")
    if at.time_ms == 0:
        return Denied("project 1", "the log has no time yet; speak after its first clock entry")
    if isinstance(body, ProjectOpen):
        return _judge_need(body)
    project = projects.projects.get(getattr(body, "project", Digest("")))
    if project is None:
        return Denied("project 1", f"no project {str(getattr(body, 'project', ''))[:12]} in the log")
    if project.stage is Stage.CLOSED:
        return Denied("project 1", f"the project was closed at entry {project.since.index}")
    match body:
        case ProjectBack():
            return _judge_backer(project, member)
        case ProjectAdvance():
            return _judge_advance(record, projects, project, said, at)
        case ReviewDeclare() | ReviewCommit() | ReviewOpen():
            return judge_review(record, project, body, member, at)
        case ProjectHold():
            return _judge_hold(record, project, body, member, at)
        case ProjectLift():
            return _judge_lift(record, project, body, member)
        case ProjectBenefit():
            return _judge_benefit(record, project, body, member, at)
        case _:
            return Denied("project 1", f"expected a statement about a project, got {body.KIND}")


def judge_restraint(record: Record, projects: ProjectsState, body: Body) -> Denied | None:
    """What a project's stage or an incident forbids of a statement of another room; None if nothing does."""
    if isinstance(body, RunPlan):
        agreement = body.agreement
        stages = EVALUATING_STAGES if body.action is Action.EVALUATE else PLANNING_STAGES
    elif isinstance(body, Release) and body.run in record.runs.plans:
        agreement, stages = record.runs.plans[body.run].plan.agreement, frozenset({Stage.RELEASE})
    else:
        return None
    project = find_by_agreement(projects, agreement)
    if project is None:
        return None
    if project.is_frozen:
        return Denied("project 10", f"project {project.id[:12]} is frozen: {project.open_holds[0].reason}")
    if project.stage not in stages:
        wanted = " or ".join(sorted(stages))
        return Denied("project 10", f"project {project.id[:12]} is in stage {project.stage}; this takes {wanted}")
    if isinstance(body, Release) and body.run != project.run:
        return Denied("project 10", f"project {project.id[:12]} releases what run {str(project.run)[:12]} made")
    return None


def missing(record: Record, project: Project, way: Transition, body: ProjectAdvance, at: Instant) -> Denied | None:
    """What the log lacks for a way on; None if nothing."""
    for need in way.needs:
        reason = _NEEDS[need](record, project, body, at)
        if reason is not None:
            return Denied("project 5", f"from {way.origin} to {way.to} it takes that {reason}")
    return None


def parties(record: Record, project: Project, at: Instant) -> frozenset[MemberId]:
    """The members that a project's agreement binds now; nobody before there is one."""
    return frozenset() if project.agreement is None else parties_of(record.charter, project.agreement, at)


def _judge_need(body: ProjectOpen) -> Verdict:
    if not (body.title.strip() and body.need.strip() and body.language.strip()):
        return Denied("project 2", "a need has a title, a text and the language of that text")
    return GRANTED


def _judge_backer(project: Project, member: MemberId) -> Verdict:
    if member == project.lead or member in project.backers:
        return Denied("project 2", f"{member} leads the project or backs it already")
    return GRANTED


def _judge_advance(record: Record, projects: ProjectsState, project: Project, said: Said[Body], at: Instant) -> Verdict:
    body = said.body
    assert isinstance(body, ProjectAdvance)
    way = find_transition(project.stage, body.to)
    if way is None:
        known = ", ".join(way.to for way in ways_on(project.stage))
        return Denied("project 3", f"from {project.stage} a project goes to {known}, not to {body.to}")
    if way.who is Who.LEAD and said.member != project.lead:
        return Denied("project 3", f"{project.lead} leads the project and takes it to {body.to}")
    if way.who is Who.PARTY and said.member not in parties(record, project, at):
        return Denied("project 3", f"a party to its agreement takes it to {body.to}; {said.member} is none")
    if project.open_holds:
        hold = project.open_holds[0]
        return Denied("project 6", f"{hold.member} holds it for {hold.kind} {hold.id[:12]}: {hold.reason}")
    if body.to is Stage.AGREEMENT and projects.by_agreement.get(body.proposal or Digest("")) is not None:
        return Denied("project 5", f"agreement {str(body.proposal)[:12]} is that of a project already")
    return _judge_documents(way, body.documents) or missing(record, project, way, body, at) or GRANTED


def _judge_documents(way: Transition, documents: tuple[Document, ...]) -> Denied | None:
    if len(documents) > MAX_DOCUMENTS:
        return Denied("project 4", f"expected at most {MAX_DOCUMENTS} documents, got {len(documents)}")
    counts = Counter(document.kind for document in documents if document.authoritative)
    lacking = [kind for kind in way.documents if not counts[kind]]
    if lacking:
        return Denied("project 4", f"to {way.to} comes an authoritative {', '.join(lacking)}")
    kinds = {document.kind for document in documents}
    unclear = sorted(kind for kind in kinds if counts[kind] != 1)
    if unclear:
        return Denied("project 4", f"of {unclear[0]} one language is authoritative, not {counts[unclear[0]]}")
    if len({(document.kind, document.language) for document in documents}) != len(documents):
        return Denied("project 4", "a document comes once in each language")
    return None


def _judge_hold(record: Record, project: Project, body: ProjectHold, member: MemberId, at: Instant) -> Verdict:
    bound = parties(record, project, at)
    if project.agreement is not None and member not in bound and member != project.lead:
        return Denied("project 7", f"{', '.join(sorted(bound))} are bound by the project, {member} is not")
    if any(hold.member == member and hold.kind is body.kind for hold in project.open_holds):
        return Denied("project 7", f"{member} holds it for {body.kind} already")
    return GRANTED if body.reason.strip() else Denied("project 7", "a hold has a reason")


def _judge_lift(record: Record, project: Project, body: ProjectLift, member: MemberId) -> Verdict:
    hold = project.holds.get(body.hold)
    if hold is None or hold.lifted is not None:
        return Denied("project 8", f"no hold {body.hold[:12]} lasts on this project")
    if not body.reason.strip():
        return Denied("project 8", "say what was found or settled")
    if member == hold.member:
        return GRANTED
    if body.proposal is None or not record.is_adopted(body.proposal) or not record.names(body.proposal, hold.id):
        return Denied("project 8", f"{hold.member} lifts it, or an adopted proposal whose text spells out {hold.id}")
    return GRANTED


def _judge_benefit(record: Record, project: Project, body: ProjectBenefit, member: MemberId, at: Instant) -> Verdict:
    if project.stage not in (Stage.USE, Stage.RENEWAL):
        return Denied("project 9", f"the project is in stage {project.stage}; its model is not in use yet")
    if member not in parties(record, project, at):
        return Denied("project 9", f"{member} is no party to the project's agreement")
    if not body.text.strip() or len(body.evidence) > MAX_DOCUMENTS or len(project.benefits) >= MAX_BENEFITS:
        return Denied(
            "project 9", f"expected a text, at most {MAX_DOCUMENTS} digests and {MAX_BENEFITS} reports in all"
        )
    return GRANTED


# What the log must hold: each says what is lacking, or None


def _backed(_record: Record, project: Project, _body: ProjectAdvance, _at: Instant) -> str | None:
    return None if project.backers else "another member backs it"


def _reviewed(record: Record, project: Project, _body: ProjectAdvance, at: Instant) -> str | None:
    if is_reviewed(record, project, at):
        return None
    opened, committed = len(project.panel.reviews), len(project.panel.commitments)
    return f"{enough(record, project, at)} reviews are open, and all {committed} committed to; {opened} are"


def _decided(record: Record, project: Project, body: ProjectAdvance, _at: Instant) -> str | None:
    if body.proposal is None or not record.is_adopted(body.proposal) or not record.names(body.proposal, project.id):
        return f"an adopted proposal spells out {project.id}"
    return None


def _adopted(record: Record, project: Project, body: ProjectAdvance, at: Instant) -> str | None:
    lacking = _decided(record, project, body, at)
    if lacking is not None or body.proposal is None:
        return lacking
    return None if body.proposal in record.charter.agreements else "the adopted proposal carries an agreement"


def _in_force(record: Record, project: Project, _body: ProjectAdvance, at: Instant) -> str | None:
    assert project.agreement is not None, "no way leads here without one"
    life = life_of(record.charter, project.agreement, at)
    return None if life is Life.IN_FORCE else f"agreement {project.agreement[:12]} is in force, and it is {life}"


def _granted(record: Record, project: Project, _body: ProjectAdvance, at: Instant) -> str | None:
    bound = parties(record, project, at)
    granting = {
        offer.member
        for offer in record.zones.offers.values()
        if project.agreement is not None
        and offer.member in bound
        and find_grant(record.zones, offer.id, project.agreement, at) is not None
    }
    if len(granting) >= _MIN_GRANTS:
        return None
    return f"{_MIN_GRANTS} parties grant data to agreement {str(project.agreement)[:12]}; {len(granting)} do"


def _finished(record: Record, project: Project, body: ProjectAdvance, _at: Instant) -> str | None:
    run = record.runs.plans.get(body.run or Digest(""))
    if run is None or run.plan.agreement != project.agreement:
        return f"it names a run under agreement {str(project.agreement)[:12]}"
    if run.plan.action is Action.EVALUATE:
        return f"it names a run that makes a model, and {run.id[:12]} only looks at one"
    if run.id in {step.run for step in project.steps}:
        return f"run {run.id[:12]} is another than those it has rested on before"
    return None if record.model(run.id) is not None else f"run {run.id[:12]} has finished"


def _evaluated(record: Record, project: Project, _body: ProjectAdvance, _at: Instant) -> str | None:
    run, model = _model(record, project)
    lacking = sorted(record.contributors(run) - set(evaluations_of(record.analytics, run, model)))
    return f"{', '.join(lacking)} evaluates model {model[:12]}" if lacking else None


def _consented(record: Record, project: Project, _body: ProjectAdvance, _at: Instant) -> str | None:
    run, model = _model(record, project)
    lacking = sorted(
        member for member in record.contributors(run) if find_steward_approval(record.zones, model, member) is None
    )
    return f"a steward of {', '.join(lacking)} approves model {model}" if lacking else None


def _released(record: Record, project: Project, _body: ProjectAdvance, _at: Instant) -> str | None:
    _, model = _model(record, project)
    return None if model in record.hub.by_model else f"model {model[:12]} is released"


def _model(record: Record, project: Project) -> tuple[Digest, Digest]:
    assert project.run is not None, "no way leads here without a finished run"
    model = record.model(project.run)
    return project.run, model or Digest("")


_NEEDS: Final[Mapping[Need, Callable[[Record, Project, ProjectAdvance, Instant], str | None]]] = {
    Need.BACKED: _backed,
    Need.REVIEWED: _reviewed,
    Need.ADOPTED: _adopted,
    Need.IN_FORCE: _in_force,
    Need.GRANTED: _granted,
    Need.DRY_RUN_FINISHED: _finished,
    Need.RUN_FINISHED: _finished,
    Need.EVALUATED: _evaluated,
    Need.CONSENTED: _consented,
    Need.RELEASED: _released,
    Need.DECIDED: _decided,
}
