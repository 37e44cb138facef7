"""What an id stands for and why things are as they are: the clause, who voted for it, the log entry."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from immutables import Map

from serai.agent.admission import touched_by
from serai.agent.held import REJECTED, WAITING
from serai.agent.journal import JOURNAL_FILE, open_journal
from serai.agent.session import Session
from serai.aggregation.state import (
    Round,
    current_round,
    divergence,
    final_model,
    find_closed,
    finished_rounds,
    stage_of,
)
from serai.aggregation.statements import RoundClose, RoundOpen, RoundRecover, RoundRelease, RoundResult, RoundUpload
from serai.analytics.calibration import is_bin_count
from serai.analytics.state import evaluations_of
from serai.charter.articles import Rule
from serai.charter.state import life_of, outcome_of, parties_of
from serai.charter.statements import (
    AgreementSign,
    AgreementWithdraw,
    Ballot,
    CharterAdopt,
    ProposalOpen,
    ProposalWithdraw,
)
from serai.cli.output import count, short
from serai.cli.projects import facts as project_facts
from serai.cli.reading import Line, read_line
from serai.client.find import find_id
from serai.hub.statements import Release
from serai.kernel.ids import Digest
from serai.programme.statements import (
    PROJECT_STATEMENTS,
    PlanAdd,
    PlanDecide,
    PlanObject,
    PlanReport,
    ProjectOpen,
)
from serai.state import Jobs, State
from serai.training.state import model_judged
from serai.training.statements import RunCancel, RunDecline, RunFreeze, RunJoin, RunPlan, RunThaw
from serai.zones.freezes import find_freezes
from serai.zones.policy import agreement_source
from serai.zones.state import find_grant, is_offer_open
from serai.zones.statements import DataDeletion, Grant, Offer

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An entry and what follows from it, as label and sentence."""

    line: Line
    facts: tuple[Fact, ...]


def explain(session: Session, prefix: str) -> Explanation:
    """Explain a statement by the first characters of its id, or an entry by its index as ``#12``.

    Raises:
        Missing: nothing in the log is called so.
        Conflict: several statements are.

    """
    state = session.state()
    index = _index_of(session, state, prefix)
    (entry,) = session.entries(index, index + 1)
    line = read_line(state, entry, index)
    return Explanation(line, (*_facts(state, line), *_here(session, state, line)))


def _here(session: Session, state: State, line: Line) -> Iterator[Fact]:
    """What holds a run in this zone alone: nothing of it stands in the log."""
    run = state.runs.plans.get(line.id)
    member, home = session.settings.member, session.settings.home
    if run is None or member not in run.plan.offers or not (home / JOURNAL_FILE).exists():
        return
    offer = state.zones.offers.get(run.plan.offers[member])
    with closing(open_journal(home)) as journal:
        for reason in find_freezes(journal.freezes.in_force(), touched_by(run, offer)):
            yield "held here", f"guard 17: {reason}"
        for held in journal.airlock.all():
            if held.run == run.id and held.decision in {WAITING, REJECTED}:
                why = held.reason if held.decision == REJECTED else held.why[0]
                yield "held here", f"egress 5: {held.kind} {short(held.id)} is {held.decision}: {why}"
    if (stopped := session.settings.stopped) is not None:
        yield "held here", f"guard 17: {stopped}"


def _index_of(session: Session, state: State, prefix: str) -> int:
    if prefix.startswith("#") and prefix[1:].isdecimal() and int(prefix[1:]) < state.size:
        return int(prefix[1:])
    void: dict[Digest, int] = {}
    for index in sorted(state.void, reverse=True):
        (entry,) = session.entries(index, index + 1)
        void[read_line(state, entry, index).id] = index
    places = {**void, **state.seen}  # of a statement said twice, the entry that has an effect
    models = {model: places[release] for model, release in state.hub.by_model.items()}
    places = {**models, **places}
    return places[find_id(places, prefix, "statement or released model")]


def _facts(state: State, line: Line) -> Iterator[Fact]:
    yield "entry", f"{line.index}, kind {line.kind or 'unknown'}, signed with a {line.role or 'stranger'}'s key"
    if line.void is not None:
        yield "void", f"has no effect, by {line.void.article}: {line.void.reason}"
        return
    about = _ABOUT.get(type(line.body))
    if about is not None:
        yield from about(state, line)


def _charter(state: State, _line: Line) -> Iterator[Fact]:
    charter = state.charter
    assert charter.charter is not None
    yield "genesis", str(charter.genesis)
    yield "signed by", f"{', '.join(sorted(charter.signed))} of {count(len(charter.founders), 'founder')}"
    yield "in force", "yes" if charter.in_force else "not before every founder has signed"
    for topic, rule in charter.charter.articles.items():
        yield f"article {topic}", _rule(rule)


def _proposal(state: State, line: Line) -> Iterator[Fact]:
    yield from _proposal_facts(state, line.id)
    if line.id in state.charter.agreements:
        yield from _agreement_facts(state, line.id)


def _proposal_facts(state: State, id_: Digest) -> Iterator[Fact]:
    proposal = state.charter.proposals[id_]
    outcome = outcome_of(state.charter, id_, state.now)
    yield "article", f"{proposal.article}: {_rule(proposal.rule)}"
    yield "electorate", ", ".join(sorted(proposal.voters))
    for member, vote in sorted(proposal.votes.items()):
        yield (
            f"vote of {member}",
            f"{vote.choice.value}, entry {vote.at.index}" + (f": {vote.reason}" if vote.reason else ""),
        )
    yield "result", f"{outcome.result.value} ({outcome.article}): {outcome.reason}"


def _agreement_facts(state: State, id_: Digest) -> Iterator[Fact]:
    text = state.charter.agreements[id_].text
    parties = parties_of(state.charter, id_, state.now)
    yield "agreement", f"{life_of(state.charter, id_, state.now).value}; permits {', '.join(text.scope)}"
    yield "parties", f"{', '.join(sorted(parties)) or 'none yet'}; {text.ratifications} had to sign"
    terms: dict[str, list[str]] = {}
    for term in text.terms:
        value = ", ".join(term.value) if isinstance(term.value, tuple) else str(term.value)
        terms.setdefault(term.clause, []).append(f"{term.name} = {value}")
    for clause in text.clauses:
        enforced = f" [zones check {'; '.join(terms[clause.id])}]" if clause.id in terms else ""
        yield f"clause {clause.id}", clause.text + enforced


def _of_proposal(state: State, line: Line) -> Iterator[Fact]:
    body: Any = line.body
    id_ = body.agreement if isinstance(body, AgreementSign | AgreementWithdraw) else body.proposal
    proposal = state.charter.proposals[id_]
    yield "about", f"{proposal.body.title} ({short(id_)}), opened by {proposal.opener}, entry {proposal.opened.index}"
    yield from _proposal_facts(state, id_)


def _offer(state: State, line: Line) -> Iterator[Fact]:
    offer = state.zones.offers[line.id]
    yield "dataset", f"{offer.body.title}, {count(offer.body.rows, 'row')}, under the law of {offer.body.jurisdiction}"
    yield "open", "yes" if is_offer_open(state.zones, line.id, state.now) else "no: taken back or expired"
    for term in offer.body.terms:
        yield f"term {term.name}", f"{term.value} (clause {term.clause})"
    for grant in state.zones.grants.values():
        if grant.body.offer == line.id:
            ended = f", taken back at entry {grant.revoked.index}" if grant.revoked else ""
            yield "granted", f"to agreement {short(grant.body.agreement)}, entry {grant.at.index}{ended}"


def _grant(state: State, line: Line) -> Iterator[Fact]:
    body = line.body
    assert isinstance(body, Grant)
    current = find_grant(state.zones, body.offer, body.agreement, state.now)
    yield "holds", "yes" if current is not None and current.id == line.id else "no: taken back, replaced or expired"
    yield "offer", f"{state.zones.offers[body.offer].body.title} ({short(body.offer)})"
    yield "agreement", f"{life_of(state.charter, body.agreement, state.now).value} ({short(body.agreement)})"


def _deletion(state: State, line: Line) -> Iterator[Fact]:
    body = line.body
    assert isinstance(body, DataDeletion)
    yield "kept", f"at most {count(body.kept_days, 'day')} after the run"
    yield from _run_facts(state, body.run)


def _of_run(state: State, line: Line) -> Iterator[Fact]:
    body: Any = line.body
    yield from _run_facts(state, line.id if isinstance(body, RunPlan) else body.plan)


def _run_facts(state: State, id_: Digest) -> Iterator[Fact]:
    run = state.runs.plans[id_]
    plan = run.plan
    yield "run", f"{plan.title} ({short(id_)}), planned by {run.planner}, entry {run.at.index}"
    yield "agreement", f"{life_of(state.charter, plan.agreement, state.now).value} ({short(plan.agreement)})"
    yield "joined", ", ".join(sorted(run.keys)) or "nobody yet"
    for member, reasons in sorted(run.declines.items()):
        for reason in reasons:
            yield f"declined by {member}", f"{reason.article}: {reason.text}"
            if words := _words_of(state, plan.agreement, reason.article):
                yield f"declined by {member}", f"which says: {words}"
    for member, said in sorted(state.zones.deletions.get(id_, Map()).items()):
        yield f"deleted by {member}", f"what it derived from the data, entry {said.index}"
    for member, frozen in sorted(run.freezes.items()):
        yield f"frozen by {member}", f"entry {frozen.at.index}: {frozen.reason}"
    if run.cancelled:
        yield "cancelled", f"by {run.cancelled.member}, entry {run.cancelled.at.index}: {run.cancelled.reason}"
    job = Jobs(state, state.now).get(id_)
    if job is None:
        return
    if halted := divergence(state.rounds, id_):
        yield "halted", halted
    current = current_round(state.rounds, id_)
    now = f"; round {current.body.number} is {stage_of(job, current, state.now).value}" if current else ""
    yield "rounds", f"{finished_rounds(state.rounds, job)} of {plan.rounds} finished{now}"
    model = final_model(state.rounds, job)
    judged = model_judged(plan, model)
    yield "model", model or "not yet"
    if judged and judged != model:
        yield "looks at", judged
    if judged:
        for member, record in evaluations_of(state.analytics, id_, judged).items():
            shown = {name: value for name, value in sorted(record.body.counts.items()) if not is_bin_count(name)}
            counts = ", ".join(f"{name} {value}" for name, value in shown.items())
            yield f"evaluated by {member}", f"{counts}, entry {record.at.index}"


def _words_of(state: State, agreement: Digest, article: str) -> str:
    """The words of the clause of an agreement that a refusal cites; empty for other articles, which have theirs."""
    clauses = state.charter.agreements[agreement].text.clauses
    cited = {f"{agreement_source(agreement)}, clause {clause.id}": clause.text for clause in clauses}
    return " ".join(cited.get(article, "").split())


def _of_round(state: State, line: Line) -> Iterator[Fact]:
    this = _round_of(state, line)
    if this is None:
        return
    run = state.runs.plans[this.body.run]
    yield "round", f"{this.body.number} of {run.plan.title} ({short(this.body.run)}), entry {this.at.index}"
    yield "starts from", this.body.model
    yield "uploaded", ", ".join(sorted(this.uploads)) or "nobody yet"
    if this.closed:
        yield "in the sum", f"{', '.join(sorted(this.summed))}, entry {this.closed.at.index}"
        yield "released", ", ".join(sorted(this.releases)) or "nobody yet"
        for member, given in sorted(this.shares.items()):
            outcome = "recovered" if member in this.recovered else "not yet recovered"
            yield f"{outcome} for {member}", f"from shares of {', '.join(sorted(given))}"
    for member, result in sorted(this.results.items()):
        yield f"result of {member}", result.model


def _round_of(state: State, line: Line) -> Round | None:
    match line.body:
        case RoundOpen():
            return state.rounds.rounds[line.id]
        case RoundUpload(open=opened) | RoundClose(open=opened):
            return state.rounds.rounds[opened]
        case RoundRelease(close=close) | RoundRecover(close=close) | RoundResult(close=close):
            return find_closed(state.rounds, close)
        case _:
            return None


def _release(state: State, line: Line) -> Iterator[Fact]:
    body = line.body
    assert isinstance(body, Release)
    yield "model", f"{body.model}, {body.size_bytes} bytes, {body.format}, {body.license}"
    yield from _run_facts(state, body.run)
    agreement = state.runs.plans[body.run].plan.agreement
    yield from _proposal_facts(state, agreement)
    for member, offer in sorted(state.runs.plans[body.run].plan.offers.items()):
        record = state.zones.offers[Digest(offer)]
        yield f"data of {member}", f"{record.body.title}, {count(record.body.rows, 'row')}, entry {record.at.index}"


def _submission(state: State, line: Line) -> Iterator[Fact]:
    body: Any = line.body
    found = state.programme.plan.submissions[body.subject if isinstance(body, PlanObject | PlanDecide) else line.id]
    yield "fate", f"{found.fate(state.time_ms)}; silence lasts until log time {found.closes_ms}"
    for member, reason in sorted(found.objections.items()):
        yield f"objection of {member}", reason
    if found.decided is not None:
        yield "decided", f"entry {found.decided.index}"
    if isinstance(found.body, PlanAdd):
        for item in found.body.items:
            yield f"{item.kind} {item.number}", item.title + (f" ({item.owner})" if item.owner else "")


def _of_project(state: State, line: Line) -> Iterator[Fact]:
    body: Any = line.body
    project = state.programme.projects.projects[line.id if isinstance(body, ProjectOpen) else body.project]
    yield "project", f"{project.body.title} ({short(project.id)}), in stage {project.stage}"
    yield from project_facts(state, project)


def _rule(rule: Rule) -> str:
    parts = [rule.mode.value, *(criterion.describe() for criterion in rule.criteria)]
    if rule.quorum:
        parts.append(f"quorum {rule.quorum.describe()}")
    if rule.min_yes:
        parts.append(f"at least {rule.min_yes} yes")
    if rule.exclude_concerned:
        parts.append("without the member concerned")
    fallback = f"; else {_rule(rule.fallback)}" if rule.fallback else ""
    return ", ".join(parts) + fallback


_ABOUT: Final[Mapping[type, Callable[[State, Line], Iterator[Fact]]]] = {
    CharterAdopt: _charter,
    ProposalOpen: _proposal,
    ProposalWithdraw: _of_proposal,
    Ballot: _of_proposal,
    AgreementSign: _of_proposal,
    AgreementWithdraw: _of_proposal,
    Offer: _offer,
    Grant: _grant,
    DataDeletion: _deletion,
    RunPlan: _of_run,
    RunJoin: _of_run,
    RunDecline: _of_run,
    RunFreeze: _of_run,
    RunThaw: _of_run,
    RunCancel: _of_run,
    RoundOpen: _of_round,
    RoundUpload: _of_round,
    RoundClose: _of_round,
    RoundRelease: _of_round,
    RoundRecover: _of_round,
    RoundResult: _of_round,
    Release: _release,
    **dict.fromkeys((PlanAdd, PlanReport, PlanObject, PlanDecide), _submission),
    **dict.fromkeys(PROJECT_STATEMENTS, _of_project),
}
