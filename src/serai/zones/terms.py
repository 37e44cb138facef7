"""The closed vocabulary of terms, each with the form of its value and the check that enforces it.

Every term must hold; there is no negation and no "or" except the choice within
a list. An unknown name, a value of the wrong form and a fact that nobody knows
all deny. A connector that drops the constraints it does not understand turns a
typing error into a permission; here it turns into a refusal that quotes the
clause.

========================  ===============  ==================================================
term                      value            holds when
========================  ===============  ==================================================
``purpose``               purpose codes    the job's purpose is one of them, or below one
``code``                  digests          the program that runs is one of them
``min_cohort``            rows             the zone reads at least so many rows, and of each group
``min_participants``      members          no sum holds fewer members, and that many take part
``outputs``               output kinds     every declared output is one of them
``expires_ms``            Unix ms          log time is earlier
``approvals``             members          so many distinct members approved the run
``recipients``            members          every recipient is named; ``parties``, ``public``
``residency``             jurisdictions    the job executes in one of them
``secure_sum``            ``required``     what leaves is summed under masks
``retention_days``        days             the zone deletes what is derived from its data by then
``output_to``             jurisdictions    every recipient's jurisdiction is one of them
``transfer_basis``        instruments      one is in force for each jurisdiction abroad that outputs go to
``max_uses``              runs             fewer other runs have used the offer under the agreement
``dp``                    unit, epsilon,   noise hides each record, or each member, and this run alone
                          delta            costs no more; all runs together: ``budgets``
``min_subjects``          subjects         the rows are about so many subjects, by the table's subject column
``max_subjects``          subjects         they are about no more
``hours``                 hours, UTC       log time is in that part of the day; ``22-06`` runs over midnight
``embargo_until_ms``      Unix ms          log time has come to it
``release_approvals``     members          so many approved the model, by its digest, before it is released
``compute_cap_s``         seconds          the run's program has worked less than that in this zone
``airlock``               ``first``,       a steward looks at such outputs before they leave: ``zones.airlock``
                          ``unusual`` or
                          ``always``
``no_member_worse``       metric, permille a released model is worse by no more, for any member, than its own
``membership_advantage``  permille         a released model tells an attacker no more of who was trained on
========================  ===============  ==================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from serai.charter.agreements import Term
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.zones import checks, forms
from serai.zones.facts import JobFacts
from serai.zones.forms import Reason, Value

Check: TypeAlias = Callable[[Any, JobFacts, Instant], Reason]


@dataclass(frozen=True, slots=True)
class TermRule:
    """How one term is read and enforced.

    Attributes:
        form: why a value is not well-formed for this term, or None.
        check: why a well-formed value does not permit the job, or None.
        read: what a well-formed value is to its check; by default itself.

    """

    form: Callable[[Value], Reason]
    check: Check
    read: Callable[[Any], Any] = lambda value: value


def judge_term(term: Term, facts: JobFacts, at: Instant, source: str) -> Verdict:
    """Decide whether one term permits a job.

    Args:
        term: the term.
        facts: what is known about the job.
        at: log time of the judgement.
        source: where the term stands, such as ``agreement 0123456789ab``.

    """
    malformed = judge_form(term, source)
    if isinstance(malformed, Denied):
        return malformed
    rule = VOCABULARY[term.name]
    reason = rule.check(rule.read(term.value), facts, at)
    return GRANTED if reason is None else Denied(article_of(source, term), f"{term.name}: {reason}")


def judge_form(term: Term, source: str) -> Verdict:
    """Decide whether a term is one that every zone understands, before any job exists."""
    rule = VOCABULARY.get(term.name)
    if rule is None:
        known = ", ".join(VOCABULARY)
        reason = f"the term {term.name!r} is not known, and what is not understood is not permitted; known: {known}"
        return Denied(article_of(source, term), reason)
    malformed = rule.form(term.value)
    if malformed is not None:
        return Denied(article_of(source, term), f"{term.name}: {malformed}")
    return GRANTED


def judge_forms(terms: tuple[Term, ...], source: str) -> tuple[Denied, ...]:
    """Every term among ``terms`` that no zone could enforce, with the reason."""
    return tuple(verdict for term in terms if isinstance(verdict := judge_form(term, source), Denied))


def article_of(source: str, term: Term) -> str:
    """How a refusal cites a term."""
    return f"{source}, clause {term.clause}" if term.clause else source


def find_expiry(terms: tuple[Term, ...]) -> int | None:
    """The earliest ``expires_ms`` among terms, in Unix milliseconds."""
    return min(
        (term.value for term in terms if term.name == "expires_ms" and isinstance(term.value, int)), default=None
    )


QUALITY_TERMS: Final = frozenset({"no_member_worse", "membership_advantage"})
"""Terms about a model that is to be released, which the evaluations of its run tell."""

VOCABULARY: Final[Mapping[str, TermRule]] = {
    "purpose": TermRule(forms.codes_form, checks.check_purpose),
    "code": TermRule(forms.digests_form, checks.check_code),
    "min_cohort": TermRule(forms.count_form, checks.check_min_cohort),
    "min_participants": TermRule(forms.count_form, checks.check_min_participants),
    "outputs": TermRule(forms.outputs_form, checks.check_outputs),
    "expires_ms": TermRule(forms.count_form, checks.check_expires),
    "approvals": TermRule(forms.count_form, checks.check_approvals),
    "recipients": TermRule(forms.codes_form, checks.check_recipients),
    "residency": TermRule(forms.codes_form, checks.check_residency),
    "secure_sum": TermRule(forms.required_form, checks.check_secure_sum),
    "retention_days": TermRule(forms.days_form, checks.check_retention),
    "output_to": TermRule(forms.codes_form, checks.check_output_to),
    "transfer_basis": TermRule(forms.codes_form, checks.check_transfer_basis),
    "max_uses": TermRule(forms.count_form, checks.check_max_uses),
    "dp": TermRule(forms.dp_form, checks.check_dp, forms.parse_dp),
    "min_subjects": TermRule(forms.count_form, checks.check_min_subjects),
    "max_subjects": TermRule(forms.count_form, checks.check_max_subjects),
    "hours": TermRule(forms.hours_form, checks.check_hours, forms.parse_hours),
    "embargo_until_ms": TermRule(forms.count_form, checks.check_embargo),
    "release_approvals": TermRule(forms.count_form, checks.check_release_approvals),
    "compute_cap_s": TermRule(forms.count_form, checks.check_compute_cap),
    "airlock": TermRule(forms.airlock_form, checks.check_airlock),
    "no_member_worse": TermRule(forms.tolerance_form, checks.check_no_member_worse, forms.parse_tolerance),
    "membership_advantage": TermRule(forms.permille_form, checks.check_membership_advantage),
}
"""Every term there is; anything else denies."""
