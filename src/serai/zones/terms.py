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
``min_cohort``            rows             the zone reads at least so many rows
``min_participants``      members          no sum holds fewer members, and that many take part
``outputs``               output kinds     every declared output is one of them
``expires_ms``            Unix ms          log time is earlier
``approvals``             members          so many distinct members approved the run
``recipients``            members          every recipient is named; ``parties``, ``public``
``residency``             jurisdictions    the job executes in one of them
``secure_sum``            ``required``     what leaves is summed under masks
``retention_days``        days             derived data are deleted by then
``output_to``             jurisdictions    every recipient's jurisdiction is one of them
``transfer_basis``        instruments      one of them is in force
``max_uses``              runs             fewer earlier runs used the data under this grant
``dp``                    unit, epsilon,   noise hides each record, or each member, and this run alone
                          delta            costs no more; all runs together: ``budgets``
========================  ===============  ==================================================
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

from serai.charter.agreements import Term
from serai.kernel.ids import MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.zones.facts import JobFacts, Output, PrivacyCost, Unit

Value: TypeAlias = str | int | tuple[str, ...]
Reason: TypeAlias = str | None
"""A sentence that says why not, or None where a check holds."""

PARTIES: Final = "parties"  # in `recipients`: whoever is a party of the cited agreement
PUBLIC: Final = "public"  # in `recipients`: everybody
REQUIRED: Final = "required"

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_POSITIVE: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?|[0-9]{1,12}/[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class TermRule:
    """How one term is read and enforced.

    Attributes:
        form: why a value is not well-formed for this term, or None.
        check: why a well-formed value does not permit the job, or None.

    """

    form: Callable[[Value], Reason]
    check: Callable[[Value, JobFacts, Instant], Reason]


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
    reason = VOCABULARY[term.name].check(term.value, facts, at)
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


def parse_dp(value: Value) -> PrivacyCost | None:
    """What a ``dp`` term allows in all, rounded down; None if the value has not the form of one."""
    if not isinstance(value, tuple) or len(value) != 3 or value[0] not in set(Unit):
        return None
    epsilon, delta = (_positive(text) for text in value[1:])
    if epsilon is None or delta is None or not 0 < delta < 1 or not 0 < epsilon <= 1_000_000:
        return None
    return PrivacyCost(
        unit=Unit(value[0]),
        epsilon_millionths=math.floor(epsilon * 10**6),
        delta_trillionths=math.floor(delta * 10**12),
    )


def _positive(text: str) -> Fraction | None:
    try:
        return Fraction(text) if _POSITIVE.fullmatch(text) else None
    except ZeroDivisionError:
        return None


# ------------------------------------------------------------------ forms


def _codes_form(value: Value) -> Reason:
    if not isinstance(value, tuple):
        return f"expected a list of codes, got {_shown(value)}"
    if not value or not all(value):
        return "expected at least one code and none empty; to permit nothing, withdraw the offer or the agreement"
    if len(set(value)) != len(value):
        return "expected each code once"
    return None


def _digests_form(value: Value) -> Reason:
    if (reason := _codes_form(value)) is not None:
        return reason
    assert isinstance(value, tuple)
    bent = [item for item in value if not _DIGEST.fullmatch(item)]
    return f"expected digests of 64 lower-case hex characters, got {bent[0][:80]!r}" if bent else None


def _outputs_form(value: Value) -> Reason:
    if (reason := _codes_form(value)) is not None:
        return reason
    assert isinstance(value, tuple)
    unknown = sorted(set(value) - {kind.value for kind in Output})
    return f"expected {_listed(tuple(Output))}, got {unknown[0]!r}" if unknown else None


def _count_form(value: Value) -> Reason:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return f"expected a whole number of at least 1, got {_shown(value)}"
    return None


def _days_form(value: Value) -> Reason:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return f"expected a whole number of days, got {_shown(value)}"
    return None


def _required_form(value: Value) -> Reason:
    return None if value == REQUIRED else f"expected {REQUIRED!r}, got {_shown(value)}"


def _dp_form(value: Value) -> Reason:
    if parse_dp(value) is None:
        return (
            "expected a unit (record or member), epsilon, and delta below 1, such as "
            f"['record', '3', '1e-5'], got {_shown(value)}"
        )
    return None


# ------------------------------------------------------------------ checks


def _purpose(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if facts.purpose is None:
        return _missing("purpose")
    if any(facts.purpose == code or facts.purpose.startswith(f"{code}.") for code in allowed):
        return None
    return f"allows {_listed(allowed)}, the job's purpose is {facts.purpose!r}"


def _code(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if facts.code is None:
        return _missing("code digest")
    if facts.code in allowed:
        return None
    return f"allows {len(allowed)} program(s), and {facts.code[:12]} is not among them"


def _min_cohort(least: int, facts: JobFacts, _at: Instant) -> Reason:
    if facts.rows is None:
        return _missing("number of rows")
    return None if facts.rows >= least else f"needs at least {least} rows, the job would read {facts.rows}"


def _min_participants(least: int, facts: JobFacts, _at: Instant) -> Reason:
    if facts.minimum is None:
        return _missing("fewest members a sum may hold")
    if facts.participants is None:
        return _missing("participants")
    if facts.minimum < least:
        return f"needs sums of at least {least} members, the run allows {facts.minimum}"
    if len(facts.participants) < least:
        return f"needs at least {least} members, {len(facts.participants)} take part"
    return None


def _outputs(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if not facts.outputs:
        return _missing("declared outputs")
    extra = tuple(sorted(set(facts.outputs) - set(allowed)))
    return f"allows {_listed(allowed)} to leave, the job declares {_listed(extra)}" if extra else None


def _expires(until_ms: int, _facts: JobFacts, at: Instant) -> Reason:
    if at.time_ms <= 0:
        return _missing("log time (no clock is in the log yet)")
    return None if at.time_ms < until_ms else f"ended at {until_ms} ms, log time is {at.time_ms} ms"


def _approvals(least: int, facts: JobFacts, _at: Instant) -> Reason:
    if facts.approvals is None:
        return _missing("number of approvals")
    return None if facts.approvals >= least else f"needs {least} approving members, {facts.approvals} approved"


def _recipients(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if not facts.recipients:
        return _missing("recipients")
    if PUBLIC in allowed:
        return None
    named: set[str] = set(allowed) - {PARTIES}
    if PARTIES in allowed:
        if facts.parties is None:
            return _missing("parties of the agreement")
        named |= facts.parties
    extra = tuple(sorted(set(facts.recipients) - named))
    return f"allows {_listed(allowed)}, the outputs would go to {_listed(extra)}" if extra else None


def _residency(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if facts.jurisdiction is None:
        return _missing("jurisdiction of execution")
    if facts.jurisdiction in allowed:
        return None
    return f"allows {_listed(allowed)}, the job would execute in {facts.jurisdiction!r}"


def _secure_sum(_required: str, facts: JobFacts, _at: Instant) -> Reason:
    if facts.secure_sum is None:
        return _missing("way outputs are summed")
    return None if facts.secure_sum else "what leaves must be summed under masks, and this job sends it in the clear"


def _retention(most: int, facts: JobFacts, _at: Instant) -> Reason:
    if facts.retention_days is None:
        return _missing("retention of derived data")
    return None if facts.retention_days <= most else f"allows {most} days, the zone would keep {facts.retention_days}"


def _output_to(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if not facts.recipient_jurisdictions:
        return _missing("jurisdictions of the recipients")
    extra = tuple(sorted(set(facts.recipient_jurisdictions) - set(allowed)))
    return f"allows {_listed(allowed)}, the outputs would go to {_listed(extra)}" if extra else None


def _transfer_basis(accepted: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    if facts.transfer_basis is None:
        return _missing("legal instruments in force")
    if set(accepted) & set(facts.transfer_basis):
        return None
    return f"needs one of {_listed(accepted)} in force, the zone holds {_listed(facts.transfer_basis) or 'none'}"


def _max_uses(most: int, facts: JobFacts, _at: Instant) -> Reason:
    if facts.uses is None:
        return _missing("number of earlier uses")
    return None if facts.uses < most else f"allows {most} run(s), {facts.uses} already used the data"


def _dp(value: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    limit, cost = parse_dp(value), facts.privacy
    if limit is None:
        return _dp_form(value)
    if cost is None:
        return f"{_missing('privacy cost')}; only a run that adds noise has one"
    if limit.unit is Unit.MEMBER and cost.unit is not Unit.MEMBER:
        return "needs noise that hides each member's whole contribution, the job's noise hides single records"
    if facts.outputs is None or Output.METRICS in facts.outputs:
        return "counts of an evaluation leave exact, which no noise covers; plan the run without metrics"
    if cost.epsilon_millionths > limit.epsilon_millionths or cost.delta_trillionths > limit.delta_trillionths:
        return f"allows {shown_cost(limit)} in all, the job alone costs {shown_cost(cost)}"
    return None


def shown_cost(cost: PrivacyCost) -> str:
    """A privacy cost in words."""
    epsilon, delta = Fraction(cost.epsilon_millionths, 10**6), Fraction(cost.delta_trillionths, 10**12)
    return f"epsilon {float(epsilon):.6g} at delta {float(delta):.3g} per {cost.unit}"


def _missing(fact: str) -> str:
    return f"missing fact: the {fact} is not known, so the term cannot be shown to hold"


def _listed(items: tuple[str, ...] | frozenset[MemberId]) -> str:
    return ", ".join(sorted(items))


def _shown(value: Value) -> str:
    return repr(value)[:80]


# ------------------------------------------------------------------ the table


def _codes(
    check: Callable[[tuple[str, ...], JobFacts, Instant], Reason], form: Callable[[Value], Reason] = _codes_form
) -> TermRule:
    def checked(value: Value, facts: JobFacts, at: Instant) -> Reason:
        return check(value, facts, at) if isinstance(value, tuple) else form(value)

    return TermRule(form, checked)


def _number(
    check: Callable[[int, JobFacts, Instant], Reason], form: Callable[[Value], Reason] = _count_form
) -> TermRule:
    def checked(value: Value, facts: JobFacts, at: Instant) -> Reason:
        return check(value, facts, at) if isinstance(value, int) else form(value)

    return TermRule(form, checked)


def _word(check: Callable[[str, JobFacts, Instant], Reason], form: Callable[[Value], Reason]) -> TermRule:
    def checked(value: Value, facts: JobFacts, at: Instant) -> Reason:
        return check(value, facts, at) if isinstance(value, str) else form(value)

    return TermRule(form, checked)


VOCABULARY: Final[Mapping[str, TermRule]] = {
    "purpose": _codes(_purpose),
    "code": _codes(_code, _digests_form),
    "min_cohort": _number(_min_cohort),
    "min_participants": _number(_min_participants),
    "outputs": _codes(_outputs, _outputs_form),
    "expires_ms": _number(_expires),
    "approvals": _number(_approvals),
    "recipients": _codes(_recipients),
    "residency": _codes(_residency),
    "secure_sum": _word(_secure_sum, _required_form),
    "retention_days": _number(_retention, _days_form),
    "output_to": _codes(_output_to),
    "transfer_basis": _codes(_transfer_basis),
    "max_uses": _number(_max_uses),
    "dp": _codes(_dp, _dp_form),
}
"""Every term there is; anything else denies."""
