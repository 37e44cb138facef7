"""The gate: what a run made here is judged once more, by its own measures, before any of it leaves.

The guard judged a plan; since then the log went on and the program ran. So the
gate looks at the newest view (a grant revoked in mid-run stops the next upload)
and at the output itself, and it is the only way to ``mask_vector`` and to an
evaluation. Behind it lies the airlock, where a policy asks for one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from serai.agent.admission import Prepared, find_frozen, refresh
from serai.agent.airlock import Passage
from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.aggregation.state import RoundsState
from serai.aggregation.statements import RoundRecover, RoundRelease, RoundUpload
from serai.analytics.statements import Evaluation
from serai.errors import Refused
from serai.kernel.canonical import Json
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest
from serai.kernel.verdict import Denied
from serai.state import Jobs
from serai.training.state import Run
from serai.training.statements import Action
from serai.zones.admission import data_facts, effective_policies
from serai.zones.airlock import Airlock, airlock_of
from serai.zones.budgets import limits_of
from serai.zones.egress import Egress, Measured, judge_egress
from serai.zones.facts import Output
from serai.zones.guard import HOUR_TERMS
from serai.zones.policy import Policy, judge_policies, select_terms
from serai.zones.statements import PrivacyCharge
from serai.zones.terms import QUALITY_TERMS, find_expiry

WORK_TERMS: Final = HOUR_TERMS | {"compute_cap_s"}
MADE_OF_ROWS: Final = frozenset(
    {RoundUpload.KIND, RoundRelease.KIND, RoundRecover.KIND, Evaluation.KIND, PrivacyCharge.KIND}
)
"""Statements that are made of rows, or make readable what is."""


def let_work(zone: Zone, run: Run, view: View, prepared: Prepared) -> None:
    """Judge a run once more before its program works, as an hour may be over, or a limit be reached.

    Raises:
        Refused: it may not work now; the message gives every reason and its clause.

    """
    facts = refresh(zone, run, view, prepared.facts)
    denials = (*_stops(zone, run, view), *judge_policies(_policies(zone, run, view), facts, view.state.now))
    if denials:
        raise Refused("work-denied", f"the run does not work here now: {_listed(denials)}", denials[0].article)


def may_work(zone: Zone, run: Run, view: View, prepared: Prepared) -> bool:
    """As ``let_work``, for work that need not be done now."""
    try:
        let_work(zone, run, view, prepared)
    except Refused:
        return False
    return True


def let_vector_out(zone: Zone, run: Run, view: View, prepared: Prepared, lengths: tuple[int, int]) -> None:
    """Judge a vector that is about to be sent, for the first time or again.

    Args:
        zone: the member's side of everything.
        run: the run it is for.
        view: the newest there is.
        prepared: the run's program and rows.
        lengths: values in the vector, and values that the plan has for its round.

    Raises:
        Refused: it may not leave; the message gives every reason and its clause.

    """
    _let_out(_vector_egress(zone, run, view, prepared, lengths))


def let_release(zone: Zone, run: Run, view: View, prepared: Prepared, length: int) -> None:
    """Judge a vector once more before what unmasks it is said: only then can anybody read a sum of it.

    Terms on when a program may work were held when it did.

    Raises:
        Refused: it may not become readable; the message gives every reason and its clause.

    """
    egress = _vector_egress(zone, run, view, prepared, (length, length))
    _let_out(replace(egress, policies=select_terms(egress.policies, lambda name: name not in WORK_TERMS)))


def check_freeze(zone: Zone, run: Run, view: View) -> None:
    """Ask whether a run that this zone has joined may go on here.

    Raises:
        Refused: the zone has frozen it.

    """
    if frozen := find_frozen(zone, run, view):
        raise Refused("run-frozen", "; ".join(frozen), "guard 17")


def _vector_egress(zone: Zone, run: Run, view: View, prepared: Prepared, lengths: tuple[int, int]) -> Egress:
    kind = Output.MODEL if Output.MODEL in run.plan.outputs else Output.AGGREGATE
    length, declared = lengths
    is_evaluation = run.plan.action is Action.EVALUATE  # which looks at the rows held back, and at no others
    subjects = prepared.subjects[int(is_evaluation)] if prepared.subjects else None
    rows = len(prepared.data.test_x if is_evaluation else prepared.data.x)
    measured = Measured(output=kind, rows=rows, length=length, secure_sum=True, subjects=subjects)
    return Egress(
        at=view.state.now,
        declared=refresh(zone, run, view, prepared.facts),
        declared_length=declared,
        measured=measured,
        policies=_policies(zone, run, view),
        kill_switch=zone.settings.stopped,
        frozen=find_frozen(zone, run, view),
    )


def passage_of(zone: Zone, run: Run, view: View) -> Passage:
    """Where what the gate let out waits for the steward, as the policies stand now.

    Raises:
        Refused: the grant or the offer has ended.

    """
    return Passage(zone, run, airlock_of(_policies(zone, run, view)))


def let_counts_out(zone: Zone, run: Run, view: View, prepared: Prepared, counts: Mapping[str, int]) -> None:
    """Judge an evaluation's counts, which leave in the clear under this member's name.

    Raises:
        Refused: they may not leave; the message gives every reason and its clause.

    """
    # Whoever allows metrics allows counts of one member: a demand for secure sums is about vectors.
    policies = select_terms(_policies(zone, run, view), lambda name: name != "secure_sum")
    rows = counts.get("n")
    subjects = subjects_behind(prepared, rows)
    measured = Measured(output=Output.METRICS, rows=rows, length=len(counts), secure_sum=False, subjects=subjects)
    egress = Egress(
        at=view.state.now,
        declared=replace(refresh(zone, run, view, prepared.facts), secure_sum=False),
        declared_length=len(counts),
        measured=measured,
        policies=policies,
        kill_switch=zone.settings.stopped,
        frozen=find_frozen(zone, run, view),
    )
    _let_out(egress)


def least_cohort(zone: Zone, run: Run, view: View) -> int | None:
    """How many rows a part of an evaluation must be about by the terms; None where no part may be told of.

    Of whom the rows of a part are is not looked up, so where terms ask for subjects nothing is broken up.
    """
    terms = [term for policy in _policies(zone, run, view) for term in policy.terms]
    if any(term.name == "min_subjects" for term in terms):
        return None
    return max((term.value for term in terms if term.name == "min_cohort" and isinstance(term.value, int)), default=1)


def quality_terms(zone: Zone, run: Run, view: View) -> tuple[Policy, ...]:
    """The terms that hold here on a model that is to be released, by where they stand.

    Raises:
        Refused: the grant or the offer has ended.

    """
    asked = select_terms(_policies(zone, run, view), lambda name: name in QUALITY_TERMS)
    return tuple(policy for policy in asked if policy.terms)


def may_metrics_out(zone: Zone, run: Run, view: View, prepared: Prepared, counts: Mapping[str, int]) -> bool:
    """Whether what is counted beside an evaluation, or follows from it, may be shown: as metrics, with no look at it.

    It may not under a privacy budget, nor where a steward looks at everything.

    Figures of a contribution, and the bit of an objection, are held back rather than the vector or the
    result that they would go with.
    """
    policies = _policies(zone, run, view)
    if "metrics" not in run.plan.outputs or limits_of(policies) or airlock_of(policies) is Airlock.ALWAYS:
        return False
    try:
        let_counts_out(zone, run, view, prepared, counts)
    except Refused:
        return False
    return True


def may_carry(zone: Zone, view: View, entry: bytes) -> bool:
    """Whether a statement of this zone's, which the center does not show, may be handed in and told peers once more.

    What is made of rows was let out once; meanwhile a person may have said no, or consent may have ended.
    """
    envelope = parse_envelope(entry)
    if envelope.kind not in MADE_OF_ROWS:
        return True
    run = view.state.runs.plans.get(_run_of(view.state.rounds, envelope.predicate))
    if run is None or zone.member not in run.plan.offers or zone.settings.is_stopped or find_frozen(zone, run, view):
        return False
    job = Jobs(view.state, view.state.now).get(run.id)
    if job is None or zone.member not in job.keys:
        return False
    try:
        terms = [term for policy in _policies(zone, run, view) for term in policy.terms]
    except Refused:
        return False
    until_ms = find_expiry(tuple(terms))
    return until_ms is None or view.state.time_ms < until_ms


def _run_of(rounds: RoundsState, said: Mapping[str, Json]) -> Digest:
    """The run that a statement made of rows is about; "" where the log does not tell."""
    opened = said.get("open") or rounds.closes.get(Digest(str(said.get("close"))))
    this = rounds.rounds.get(Digest(str(opened)))
    return this.body.run if this else Digest(str(said.get("run", "")))


def _let_out(egress: Egress) -> None:
    decision = judge_egress(egress)
    if not decision.allowed:
        denials = tuple(denied for _, denied in decision.denials)
        raise Refused("egress-denied", f"nothing leaves this zone: {_listed(denials)}", denials[0].article)


def subjects_behind(prepared: Prepared, rows: int | None) -> int | None:
    """The fewest subjects that so many rows can be about: of the training or of the held-back rows; None of others."""
    if prepared.subjects is None:
        return None
    parts = zip((prepared.data.x, prepared.data.test_x), prepared.subjects, strict=True)
    return min((subjects for part, subjects in parts if len(part) == rows), default=None)


def _listed(denials: Iterable[Denied]) -> str:
    return "; ".join(f"{denied.reason} ({denied.article})" for denied in denials)


def _policies(zone: Zone, run: Run, view: View) -> tuple[Policy, ...]:
    state, plan = view.state, run.plan
    data = data_facts(state.zones, plan.offers[zone.member], plan.agreement, state.now)
    if data.grant is None or data.offer is None or data.offer.withdrawn is not None:
        denied = Denied("guard 10", "the grant or the offer that let this run use the data has ended")
        raise Refused("egress-denied", f"nothing leaves this zone: {denied.reason}", denied.article)
    text = state.charter.agreements[plan.agreement].text
    return effective_policies((plan.agreement, text), data, zone.settings.policy, zone.settings.legal)


def _stops(zone: Zone, run: Run, view: View) -> Iterator[Denied]:
    if (stopped := zone.settings.stopped) is not None:
        yield Denied("guard 17", f"this zone's operator said stop: {stopped}")
    for reason in find_frozen(zone, run, view):
        yield Denied("guard 17", reason)
