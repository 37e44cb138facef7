"""Whether this zone takes part in a run: every fact is gathered here, and the guard decides.

The answer is a statement in the log either way: ``run.join`` with the key for
this run's masks, or ``run.decline`` with each reason and its clause. A run that
only waits for approvals is not declined; it is looked at again when they come.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.charter.state import parties_of
from serai.errors import SeraiError
from serai.kernel.ids import Digest, MemberId
from serai.recipes.registry import build, code_digest
from serai.training.methods import Data, Recipe
from serai.training.state import Run
from serai.training.statements import Reason
from serai.training.tensors import digest_model
from serai.zones.admission import (
    Admission,
    DigestFacts,
    LogFacts,
    RequestFacts,
    agreement_facts,
    data_facts,
    effective_policies,
)
from serai.zones.facts import JobFacts
from serai.zones.guard import Decision, judge_admission
from serai.zones.state import approving_members

WAITING_STEPS: Final = frozenset({"approvals", "freshness", "quorum"})
"""Steps that time or people may still satisfy: a run that fails only these is asked again, not declined."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that this zone could compute.

    Attributes:
        recipe: its program.
        data: the rows it may see.
        facts: what it declared, as the guard knew it.

    """

    recipe: Recipe
    data: Data
    facts: JobFacts


def prepare(zone: Zone, run: Run, view: View) -> Prepared:
    """Build a run's program and read the rows it may see.

    Raises:
        Missing: the recipe, an input model or the dataset is not here.
        Malformed: settings, inputs or data do not fit.

    """
    inputs = {name: zone.read_model(digest) for name, digest in sorted(run.plan.inputs.items())}
    recipe = build(run.plan.recipe, run.plan.params, inputs)
    offer = view.state.zones.offers[run.plan.offers[zone.member]]
    parties = parties_of(view.state.charter, run.plan.agreement, view.state.now)
    facts = _job_facts(zone, run, view, offer.body.dataset, parties)
    return Prepared(recipe, zone.vault.load_by_digest(offer.body.dataset), facts)


def judge_run(zone: Zone, run: Run, view: View) -> Decision:
    """The guard's decision about a run, over facts gathered from log, disk, settings and clock."""
    return judge_admission(_gather(zone, run, view))


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
    text = state.charter.agreements[plan.agreement].text  # a plan that cites no agreement is void
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
        digests=tuple(_digests(zone, run, dataset)),
        policies=effective_policies((plan.agreement, text), data, zone.settings.policy, zone.settings.legal),
        facts=_job_facts(zone, run, view, dataset, agreement.parties),
        budgets=(),
        kill_switch=f"{zone.settings.stop_file} exists" if zone.settings.is_stopped else None,
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


def _digests(zone: Zone, run: Run, dataset: Digest | None) -> Iterator[DigestFacts]:
    plan = run.plan
    yield DigestFacts(what="code", expected=plan.code, found=_found(lambda: code_digest(plan.recipe)))
    if dataset is not None:
        yield DigestFacts(
            what="dataset", expected=dataset, found=dataset if zone.vault.find_by_digest(dataset) is not None else None
        )
    yield DigestFacts(what="model", expected=plan.initial, found=_found(lambda: _initial_digest(zone, run)))


def _initial_digest(zone: Zone, run: Run) -> Digest:
    inputs = {name: zone.read_model(digest) for name, digest in sorted(run.plan.inputs.items())}
    return digest_model(build(run.plan.recipe, run.plan.params, inputs).initial())


def _found(find: Callable[[], Digest]) -> Digest | None:
    """What is here; None, which denies, if it cannot be built."""
    try:
        return find()
    except SeraiError:
        return None


def _job_facts(zone: Zone, run: Run, view: View, dataset: Digest | None, parties: frozenset[MemberId]) -> JobFacts:
    plan = run.plan
    return JobFacts(
        action=plan.action,
        purpose=plan.purpose,
        code=plan.code,
        rows=None if dataset is None else zone.vault.rows_by_digest(dataset),
        outputs=plan.outputs,
        participants=frozenset(MemberId(member) for member in plan.offers),
        minimum=plan.minimum,
        recipients=tuple(sorted(parties)),
        approvals=len(approving_members(view.state.zones, run.id) & parties),
        jurisdiction=zone.settings.jurisdiction,
        secure_sum=True,  # there is no other way out of this zone
        parties=parties,
    )
