"""When a model may be released: the agreement permits it, the run agreed on it, every participant evaluated it, and it is good enough.

==========  ============================================================================
article     says
==========  ============================================================================
``hub 1``   The agreement of the run is in force and has release in its scope.
``hub 2``   A party of that agreement, in good standing, releases.
``hub 3``   The model is the one that the finished run agreed on, a declared output.
``hub 4``   Terms of the agreement on outputs, members, approvals, embargo and expiry hold for the model.
``hub 5``   Every participant evaluated the model, and the release cites each of them.
``hub 6``   A release has a title, a format, a licence and a file of at least one byte.
``hub 7``   A model is released once.
``hub 8``   Terms of the agreement on quality hold: no participant is worse off than alone, by its own
            account, and what the model tells of who was trained on is no more than agreed.
==========  ============================================================================
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serai.analytics.comparison import lacks_own, largest_advantage, worst_changes
from serai.analytics.state import AnalyticsState, evaluations_of
from serai.charter.agreements import Life
from serai.charter.state import CharterState, in_good_standing, life_of, parties_of
from serai.hub.state import HubState
from serai.hub.statements import Release
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.zones.facts import JobFacts, Output, release_facts
from serai.zones.policy import Policy, agreement_source, judge_policies, select_terms
from serai.zones.terms import QUALITY_TERMS

RELEASE_TERMS: Final = frozenset(
    {"outputs", "min_participants", "expires_ms", "embargo_until_ms", "code", "purpose", "release_approvals"}
)
"""Terms of an agreement that the log alone can decide; zones enforce the others where the data are."""

_FORMAT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")  # becomes part of a file name, so nothing else is let in


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What a release needs to know about a run, from the rooms that keep runs and rounds.

    Attributes:
        run: the run's id.
        agreement: the agreement it cites.
        purpose: its purpose code.
        code: digest of its program.
        outputs: kinds of output it declares.
        minimum: fewest members that a sum held.
        participants: members who took part in its last round.
        model: digest of the model that all agreed on when it finished; None while
            it runs, when it was cancelled and when results diverged.

    """

    run: Digest
    agreement: Digest
    purpose: str
    code: Digest
    outputs: tuple[str, ...]
    minimum: int
    participants: frozenset[MemberId]
    model: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a release is judged by.

    Attributes:
        charter: members and agreements.
        analytics: evaluations.
        run: the run that the release names; None when the log has no such run.
        approvals: members who approved the model.

    """

    charter: CharterState
    analytics: AnalyticsState
    run: RunOutcome | None
    approvals: frozenset[MemberId] = frozenset()


def judge(evidence: Evidence, hub: HubState, said: Said[Body], at: Instant) -> Verdict:
    """Decide whether a model may be released now."""
    body = said.body
    if not isinstance(body, Release):
        return Denied("hub", f"a statement of kind {body.KIND} is no release")
    if evidence.run is None:
        return Denied("hub 3", f"no run {body.run[:12]} is in the log")
    for verdict in _verdicts(evidence, evidence.run, said.member, body, at):
        if isinstance(verdict, Denied):
            return verdict
    if body.model in hub.by_model:
        return Denied("hub 7", f"model {body.model[:12]} was released as {hub.by_model[body.model][:12]}")
    return GRANTED


def _verdicts(evidence: Evidence, run: RunOutcome, member: MemberId, body: Release, at: Instant) -> Iterator[Verdict]:
    # Lazily: each check may rely on those before it having granted.
    yield _judge_permission(evidence.charter, run, member, at)
    yield _judge_model(run, body)
    yield _judge_terms(evidence, run, at)
    yield _judge_evaluations(evidence.analytics, run, body)
    yield _judge_quality(evidence, run, body.model, at)
    yield _judge_form(body)


def missing_evaluations(analytics: AnalyticsState, run: RunOutcome) -> tuple[MemberId, ...]:
    """Participants who have not evaluated the run's model yet, in order of member id."""
    if run.model is None:
        return tuple(sorted(run.participants))
    return tuple(sorted(run.participants - set(evaluations_of(analytics, run.run, run.model))))


def _judge_permission(charter: CharterState, run: RunOutcome, member: MemberId, at: Instant) -> Verdict:
    source = agreement_source(run.agreement)
    life = life_of(charter, run.agreement, at)
    if life is not Life.IN_FORCE:
        return Denied("hub 1", f"{source} is {life.value}, not in force")
    scope = charter.agreements[run.agreement].text.scope
    if "release" not in scope:
        return Denied("hub 1", f"{source} permits {', '.join(scope)}, not release")
    if member not in parties_of(charter, run.agreement, at):
        return Denied("hub 2", f"{member} is not a party of {source}")
    if not in_good_standing(charter, member, at):
        return Denied("hub 2", f"{member} is not in good standing")
    return GRANTED


def _judge_model(run: RunOutcome, body: Release) -> Verdict:
    if run.model is None:
        return Denied("hub 3", f"run {run.run[:12]} has not finished with a model that all agree on")
    if body.model != run.model:
        return Denied(
            "hub 3", f"run {run.run[:12]} agreed on model {run.model[:12]}, the release names {body.model[:12]}"
        )
    if Output.MODEL not in run.outputs:
        return Denied("hub 3", f"run {run.run[:12]} declared {', '.join(run.outputs) or 'nothing'} as output, no model")
    return GRANTED


def _judge_terms(evidence: Evidence, run: RunOutcome, at: Instant) -> Verdict:
    charter = evidence.charter
    terms = charter.agreements[run.agreement].text.terms
    policy = Policy(source=agreement_source(run.agreement), terms=terms)
    facts = JobFacts(
        action="release",
        purpose=run.purpose,
        code=run.code,
        rows=None,
        outputs=(Output.MODEL,),
        participants=run.participants,
        minimum=run.minimum,
        recipients=None,
        approvals=None,
        jurisdiction=None,
        secure_sum=None,
        release_approvals=len(evidence.approvals & parties_of(charter, run.agreement, at)),
    )
    denials = judge_policies(select_terms((policy,), lambda name: name in RELEASE_TERMS), facts, at)
    return Denied("hub 4", f"{denials[0].article}: {denials[0].reason}") if denials else GRANTED


def _judge_quality(evidence: Evidence, run: RunOutcome, model: Digest, at: Instant) -> Verdict:
    terms = evidence.charter.agreements[run.agreement].text.terms
    asked = QUALITY_TERMS & {term.name for term in terms}
    if not asked:
        return GRANTED
    told = (evidence.analytics, run.run, model, run.participants)
    if "no_member_worse" in asked and (lacking := lacks_own(*told)):
        return Denied("hub 8", f"each participant's own model is evaluated beside it; missing: {', '.join(lacking)}")
    facts = release_facts(worst_changes(*told), largest_advantage(*told))
    policy = Policy(source=agreement_source(run.agreement), terms=terms)
    denials = judge_policies(select_terms((policy,), lambda name: name in asked), facts, at)
    return Denied("hub 8", f"{denials[0].article}: {denials[0].reason}") if denials else GRANTED


def _judge_evaluations(analytics: AnalyticsState, run: RunOutcome, body: Release) -> Verdict:
    if missing := missing_evaluations(analytics, run):
        return Denied("hub 5", f"every participant evaluates before a release; missing: {', '.join(missing)}")
    found = evaluations_of(analytics, body.run, body.model)
    needed = {found[member].id: member for member in run.participants}
    cited = set(body.evaluations)
    if len(cited) != len(body.evaluations):
        return Denied("hub 5", "expected each evaluation to be cited once")
    if left_out := sorted(member for id_, member in needed.items() if id_ not in cited):
        return Denied("hub 5", f"the release leaves out the evaluations of {', '.join(left_out)}")
    if strange := sorted(cited - set(needed)):
        return Denied("hub 5", f"{strange[0][:12]} is no participant's evaluation of this model")
    return GRANTED


def _judge_form(body: Release) -> Verdict:
    for name, text in (("title", body.title), ("format", body.format), ("license", body.license)):
        if not text:
            return Denied("hub 6", f"a release needs a {name}")
    if not _FORMAT.fullmatch(body.format):
        return Denied("hub 6", f"expected a format of a-z 0-9 -, such as safetensors, got {body.format[:40]!r}")
    if body.size_bytes < 1:
        return Denied("hub 6", f"expected a file of at least one byte, got {body.size_bytes}")
    return GRANTED
