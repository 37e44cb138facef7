"""Whether this zone takes part in a run: every fact is gathered here, and the guard decides.

The answer is a statement in the log either way: ``run.join`` with the key for
this run's masks, or ``run.decline`` with each reason and its clause. A run that
only waits for approvals is not declined; it is looked at again when they come.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from serai.agent.mirror import View
from serai.agent.privacy import RunPrivacy
from serai.agent.programs import Program, Source, is_foreign_name
from serai.agent.zone import Zone
from serai.charter.state import parties_of
from serai.errors import Malformed, Refused, SeraiError
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.recipes.archive import MAX_ARCHIVE_BYTES
from serai.recipes.registry import code_digest, find_cohort
from serai.training.methods import Data, Recipe, columns_of
from serai.training.state import Run
from serai.training.statements import Action, Reason, RunPlan
from serai.zones.admission import (
    Admission,
    DigestFacts,
    LogFacts,
    ProgramFacts,
    RequestFacts,
    agreement_facts,
    data_facts,
    effective_policies,
)
from serai.zones.facts import JobFacts
from serai.zones.freezes import Touched, find_freezes
from serai.zones.guard import Decision, is_foreign_permitted, judge_admission
from serai.zones.policy import ZONE_POLICY, Policy
from serai.zones.state import OfferRecord, approving_members, find_steward_approval
from serai.zones.transfers import find_jurisdictions, find_transfers

WAITING_STEPS: Final = frozenset({"approvals", "freshness", "hours", "quorum"})
"""Steps that time or people may still satisfy: a run that fails only these is asked again, not declined."""

JOIN: Final = "join"  # what an answer was about, where it was not no

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that this zone could compute.

    Attributes:
        recipe: its program.
        data: the rows it may see.
        facts: what it declared, as the guard knew it.
        subjects: whom the training and the held-back rows are about; None where nobody can tell.
        close: lets go of what the program holds.

    """

    recipe: Recipe
    data: Data
    facts: JobFacts
    subjects: tuple[int, int] | None
    close: Callable[[], None]


def prepare(zone: Zone, run: Run, view: View) -> Prepared:
    """Open a run's program and read the rows it may see.

    Raises:
        Missing: the recipe, an input model or the dataset is not here.
        Malformed: settings, inputs or data do not fit.
        Refused: the program may not run here (any more), or does not start.

    """
    source = _source(zone, run, view)
    program = zone.programs.open(source)
    try:
        return _with_rows(zone, run, view, program)
    except SeraiError:
        program.close()
        raise


def _with_rows(zone: Zone, run: Run, view: View, program: Program) -> Prepared:
    offer = view.state.zones.offers[run.plan.offers[zone.member]]
    parties = parties_of(view.state.charter, run.plan.agreement, view.state.now)
    facts = _job_facts(zone, run, view, offer.body.dataset, parties)
    data = zone.vault.load_by_digest(offer.body.dataset, columns_of(program.recipe))
    subjects = zone.vault.subjects_apart(offer.body.dataset)
    return Prepared(program.recipe, data, facts, subjects, program.close)


def judge_run(zone: Zone, run: Run, view: View) -> Decision:
    """The guard's decision about a run, over facts gathered from log, disk, settings and clock.

    Raises:
        Misconfigured: a term sets a privacy budget, and the accountant is not installed.

    """
    return judge_admission(_gather(zone, run, view))


def admit_run(zone: Zone, run: Run, view: View) -> Decision:
    """Judge a run and, if it may run, set aside what it may cost at most of this zone's budgets.

    Raises:
        Misconfigured: a term sets a privacy budget, and the accountant is not installed.

    """
    decision = judge_run(zone, run, view)
    if not decision.allowed:
        return decision
    return Decision(tuple(("budget", denied) for denied in privacy_of(zone, run, view).reserve()))


def privacy_of(zone: Zone, run: Run, view: View) -> RunPrivacy:
    """What a run costs the privacy of this zone's data, under the policies as they stand in a view."""
    return RunPrivacy(zone, run, view, _policies(zone, run, view))


def is_only_waiting(decision: Decision) -> bool:
    """Whether everything that is missing may still come by itself."""
    return bool(decision.denials) and all(step in WAITING_STEPS for step, _ in decision.denials)


def reasons_of(decision: Decision) -> tuple[Reason, ...]:
    """The reasons of a denial as the log records them."""
    return tuple(Reason(article=denied.article, text=denied.reason) for _, denied in decision.denials)


def _gather(zone: Zone, run: Run, view: View) -> Admission:
    state, plan, at = view.state, run.plan, view.state.now
    data = data_facts(state.zones, plan.offers[zone.member], plan.agreement, at)
    members = {zone.member, run.planner, *(MemberId(member) for member in plan.offers)}
    agreement = agreement_facts(state.charter, plan.agreement, members, at)
    dataset = data.offer.body.dataset if data.offer else None
    facts = _job_facts(zone, run, view, dataset, agreement.parties)
    privacy = privacy_of(zone, run, view)
    return Admission(
        member=zone.member,
        at=at,
        log=_log_facts(zone, view),
        request=RequestFacts(
            id=run.id,
            member=run.planner,
            signature_holds=True,  # a plan in the replayed state was verified on the way in
            key_valid=True,
            index=run.at.index,
            seen=False,
        ),
        agreement=agreement,
        data=data,
        digests=tuple(_digests(zone, run, view, dataset)),
        policies=_policies(zone, run, view),
        facts=facts,
        budgets=() if facts.privacy is None else privacy.budgets(facts.privacy),
        kill_switch=zone.settings.stopped,
        frozen=find_frozen(zone, run, view, is_new=True),
        program=_program_facts(zone, run, view),
    )


def find_frozen(zone: Zone, run: Run, view: View, *, is_new: bool = False) -> tuple[str, ...]:
    """What a run touches that this zone has frozen, a sentence each; asked of the disk each time.

    Args:
        zone: the member's side of everything.
        run: the run.
        view: the log.
        is_new: whether the name of its dataset is looked up as well, by the digest of every file.

    """
    freezes = zone.journal.freezes.in_force()
    if not freezes:
        return ()
    touched = touched_by(run, view.state.zones.offers.get(run.plan.offers[zone.member]))
    if is_new and touched.dataset is not None:
        touched = replace(touched, dataset_name=zone.vault.find_by_digest(touched.dataset))
    return tuple(find_freezes(freezes, touched))


def touched_by(run: Run, offer: OfferRecord | None) -> Touched:
    """What a run touches, as far as the log tells; ``offer`` is that of this zone's data."""
    return Touched(
        run=run.id,
        agreement=run.plan.agreement,
        dataset=None if offer is None else offer.body.dataset,
        dataset_name=None,
        members=frozenset({run.planner, *map(MemberId, run.plan.offers)}),
    )


def _policies(zone: Zone, run: Run, view: View) -> tuple[Policy, ...]:
    state, plan = view.state, run.plan
    data = data_facts(state.zones, plan.offers[zone.member], plan.agreement, state.now)
    text = state.charter.agreements[plan.agreement].text  # a plan that cites no agreement is void
    return effective_policies((plan.agreement, text), data, zone.settings.policy, zone.settings.legal)


def _program_facts(zone: Zone, run: Run, view: View) -> ProgramFacts:
    is_foreign = is_foreign_name(run.plan.recipe)
    approval = find_steward_approval(view.state.zones, run.plan.code, zone.member)
    return ProgramFacts(
        is_foreign=is_foreign,
        approved_at=approval.index if approval else None,
        obstacle=zone.programs.find_obstacle(is_foreign=is_foreign),
    )


def _log_facts(zone: Zone, view: View) -> LogFacts:
    charter = view.state.charter
    return LogFacts(
        pinned_genesis=zone.settings.genesis or Digest(""),
        replayed_genesis=charter.genesis if charter.in_force else None,
        cosigners=len(view.witnessed.times_s) if view.witnessed else 0,
        quorum=view.quorum,
        witnessed_size=view.witnessed_size,
        accepted_size=view.witnessed_size,  # the mirror refuses a witnessed head that is older or another history
        consistent=True,
        replayed_size=view.size,
        newest_witness_ms=view.witnessed.time_ms if view.witnessed else None,
        now_ms=zone.now_ms(),
        max_age_ms=zone.settings.max_staleness_s * 1000,
        halt=view.halt,
    )


def _digests(zone: Zone, run: Run, view: View, dataset: Digest | None) -> Iterator[DigestFacts]:
    plan = run.plan
    if dataset is not None:
        found = dataset if zone.vault.find_by_digest(dataset) is not None else None
        yield DigestFacts(what="dataset", expected=dataset, found=found)
    is_foreign = is_foreign_name(plan.recipe)
    yield DigestFacts(
        what="code",
        expected=plan.code,
        found=_found(lambda: digest_of(_archive(zone, run, view)) if is_foreign else code_digest(plan.recipe)),
    )
    yield DigestFacts(
        what="model",
        expected=plan.initial,
        found=_found(lambda: zone.programs.initial_digest(_source(zone, run, view))),
    )


def _source(zone: Zone, run: Run, view: View) -> Source:
    """What a run's plan says about its program; a foreign one is fetched only where something permits it.

    Raises:
        Missing: an input model or the archive is nowhere.
        Refused: nothing permits the program here.

    """
    plan = run.plan
    archive = _archive(zone, run, view) if is_foreign_name(plan.recipe) else None
    inputs = {name: zone.read_model(digest) for name, digest in sorted(plan.inputs.items())}
    return Source(
        recipe=plan.recipe,
        params=plan.params,
        inputs=inputs,
        archive=archive,
        length=plan.length,
        evaluates=plan.action is Action.EVALUATE,
    )


def _archive(zone: Zone, run: Run, view: View) -> bytes:
    facts = _program_facts(zone, run, view)
    if not is_foreign_permitted(facts, _policies(zone, run, view), run.plan.code, view.witnessed_size):
        raise Refused(
            "code-not-permitted", f"nothing permits the program {run.plan.code[:12]} in this zone", "guard 11"
        )
    if facts.obstacle is not None:
        raise Refused("sandbox-missing", facts.obstacle, ZONE_POLICY)
    return zone.fetch_small_blob(run.plan.code, MAX_ARCHIVE_BYTES)


def _found(find: Callable[[], Digest]) -> Digest | None:
    """What is here; None, which denies, if it cannot be built."""
    try:
        return find()
    except SeraiError as error:
        # It may name places on this disk, so it stands in the zone's own log and not in its public reasons.
        _log.warning("what a plan names cannot be had here: %s", error)
        return None


def _job_facts(zone: Zone, run: Run, view: View, dataset: Digest | None, parties: frozenset[MemberId]) -> JobFacts:
    plan = run.plan
    rows = None if dataset is None else zone.vault.rows_by_digest(dataset)
    facts = JobFacts(
        action=plan.action,
        purpose=plan.purpose,
        code=plan.code,
        rows=rows,
        cohort=_cohort(plan, rows),
        outputs=plan.outputs,
        participants=frozenset(MemberId(member) for member in plan.offers),
        minimum=plan.minimum,
        recipients=None,
        approvals=None,
        jurisdiction=zone.settings.jurisdiction,
        secure_sum=True,  # there is no other way out of this zone
        has_airlock=True,  # and every way passes by it
        privacy=None if dataset is None else privacy_of(zone, run, view).worst_cost(),
        subjects=None if dataset is None else zone.vault.subjects_by_digest(dataset),
    )
    return refresh(zone, run, view, facts, parties)


def _cohort(plan: RunPlan, rows: int | None) -> int | None:
    """Fewest rows that a run adds up by themselves: all of them where it asks by no group; None if nobody can tell."""
    try:
        asked = find_cohort(plan.recipe, plan.params)
    except Malformed:
        return None
    return rows if asked is None or rows is None else min(rows, asked)


def refresh(zone: Zone, run: Run, view: View, facts: JobFacts, parties: frozenset[MemberId] | None = None) -> JobFacts:
    """The same facts, with what may have changed since: who receives, who approved, what is in force, what was used."""
    state, settings = view.state, zone.settings
    bound = parties_of(state.charter, run.plan.agreement, state.now) if parties is None else parties
    jurisdictions = find_jurisdictions(bound, settings.places)
    return replace(
        facts,
        parties=bound,
        recipients=tuple(sorted(bound)),
        approvals=len(approving_members(state.zones, run.id) & bound),
        recipient_jurisdictions=jurisdictions,
        transfers=find_transfers(jurisdictions, settings.jurisdiction, settings.instruments, state.now),
        retention_days=settings.retention_days,
        uses=_uses(zone, run, view),
        worked_s=zone.journal.worked_ms(run.id) // 1000,
    )


def _uses(zone: Zone, run: Run, view: View) -> int:
    """Other runs that this zone has joined with the same offer under the same agreement."""
    member, offer = zone.member, run.plan.offers[zone.member]
    others = (
        other
        for other in view.state.runs.plans.values()
        if other.id != run.id and other.plan.offers.get(member) == offer and other.plan.agreement == run.plan.agreement
    )
    return sum(member in other.keys or _has_just_joined(zone, other) for other in others)


def _has_just_joined(zone: Zone, run: Run) -> bool:
    """Whether this zone's answer, which its view of the log has not yet, is yes."""
    return zone.member not in run.declines and zone.journal.decision(answer_topic(run.id)) == JOIN


def answer_topic(run: Digest) -> str:
    """Under which topic this zone's answer to a run is journalled."""
    return f"answer {run}"
