"""The gate: what a run made here is judged once more, by its own measures, before any of it leaves.

The guard judged a plan; since then the log went on and the program ran. So the
gate looks at the newest view (a grant revoked in mid-run stops the next upload)
and at the output itself, and it is the only way to ``mask_vector`` and to an
evaluation.
"""

from collections.abc import Iterable
from dataclasses import replace

from serai.agent.admission import Prepared, refresh
from serai.agent.mirror import View
from serai.agent.zone import Zone
from serai.errors import Refused
from serai.kernel.verdict import Denied
from serai.training.state import Run
from serai.training.statements import Action
from serai.zones.admission import data_facts, effective_policies
from serai.zones.budgets import limits_of
from serai.zones.egress import Egress, Measured, judge_egress
from serai.zones.facts import Output
from serai.zones.policy import Policy, judge_policies, select_terms
from serai.zones.terms import QUALITY_TERMS


def let_work(zone: Zone, run: Run, view: View, prepared: Prepared) -> None:
    """Judge a run once more before its program works, as an hour may be over, or a limit be reached.

    Raises:
        Refused: it may not work now; the message gives every reason and its clause.

    """
    facts = refresh(zone, run, view, prepared.facts)
    denials = judge_policies(_policies(zone, run, view), facts, view.state.now)
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
    kind = Output.MODEL if Output.MODEL in run.plan.outputs else Output.AGGREGATE
    length, declared = lengths
    is_evaluation = run.plan.action is Action.EVALUATE  # which looks at the rows held back, and at no others
    subjects = prepared.subjects[int(is_evaluation)] if prepared.subjects else None
    rows = len(prepared.data.test_x if is_evaluation else prepared.data.x)
    measured = Measured(output=kind, rows=rows, length=length, secure_sum=True, subjects=subjects)
    egress = Egress(
        at=view.state.now,
        declared=refresh(zone, run, view, prepared.facts),
        declared_length=declared,
        measured=measured,
        policies=_policies(zone, run, view),
        kill_switch=_kill_switch(zone),
    )
    _let_out(egress)


def let_counts_out(zone: Zone, run: Run, view: View, prepared: Prepared, counts: dict[str, int]) -> None:
    """Judge an evaluation's counts, which leave in the clear under this member's name.

    Raises:
        Refused: they may not leave; the message gives every reason and its clause.

    """
    # Whoever allows metrics allows counts of one member: a demand for secure sums is about vectors.
    policies = select_terms(_policies(zone, run, view), lambda name: name != "secure_sum")
    rows = counts.get("n")
    subjects = _subjects_behind(prepared, rows)
    measured = Measured(output=Output.METRICS, rows=rows, length=len(counts), secure_sum=False, subjects=subjects)
    egress = Egress(
        at=view.state.now,
        declared=replace(refresh(zone, run, view, prepared.facts), secure_sum=False),
        declared_length=len(counts),
        measured=measured,
        policies=policies,
        kill_switch=_kill_switch(zone),
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


def may_metrics_out(zone: Zone, run: Run, view: View, prepared: Prepared, counts: dict[str, int]) -> bool:
    """Whether what is counted beside an evaluation, or follows from it, may be shown: as metrics, under no privacy budget.

    Figures of a contribution, and the bit of an objection, are held back rather than the vector or the
    result that they would go with.
    """
    if "metrics" not in run.plan.outputs or limits_of(_policies(zone, run, view)):
        return False
    try:
        let_counts_out(zone, run, view, prepared, counts)
    except Refused:
        return False
    return True


def _let_out(egress: Egress) -> None:
    decision = judge_egress(egress)
    if not decision.allowed:
        denials = tuple(denied for _, denied in decision.denials)
        raise Refused("egress-denied", f"nothing leaves this zone: {_listed(denials)}", denials[0].article)


def _subjects_behind(prepared: Prepared, rows: int | None) -> int | None:
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


def _kill_switch(zone: Zone) -> str | None:
    return f"{zone.settings.stop_file} exists" if zone.settings.is_stopped else None
