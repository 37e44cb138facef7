"""What each term checks: the facts of a job against a value that is well-formed.

Every check gives a reason where it does not hold. A fact that nobody knows is
one: what was not measured cannot be shown to satisfy anything.
"""

from fractions import Fraction
from typing import Final

from serai.kernel.units import Instant
from serai.zones.facts import RELEASE, JobFacts, Output, PrivacyCost, Unit
from serai.zones.forms import Reason, listed

PARTIES: Final = "parties"  # in `recipients`: whoever is a party of the cited agreement
PUBLIC: Final = "public"  # in `recipients`: everybody

_SUBJECTS: Final = "number of subjects (no column of the dataset tells)"
_HOUR_MS: Final = 3_600_000
_NO_TIME: Final = "log time (no clock is in the log yet)"


def check_purpose(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """The job's purpose is one of them, or below one."""
    if facts.purpose is None:
        return missing("purpose")
    if any(facts.purpose == code or facts.purpose.startswith(f"{code}.") for code in allowed):
        return None
    return f"allows {listed(allowed)}, the job's purpose is {facts.purpose!r}"


def check_code(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """The program is one of them."""
    if facts.code is None:
        return missing("code digest")
    if facts.code in allowed:
        return None
    return f"allows {len(allowed)} program(s), and {facts.code[:12]} is not among them"


def check_min_cohort(least: int, facts: JobFacts, _at: Instant) -> Reason:
    """The zone reads so many rows, and adds up none of its groups that has fewer."""
    if facts.rows is None:
        return missing("number of rows")
    if facts.rows < least:
        return f"needs at least {least} rows, the job would read {facts.rows}"
    if facts.cohort is None:
        return missing("fewest rows of a group")
    return (
        None
        if facts.cohort >= least
        else f"needs at least {least} rows of each group, the job asks for {facts.cohort}; plan it with least={least}"
    )


def check_min_participants(least: int, facts: JobFacts, _at: Instant) -> Reason:
    """No sum holds fewer members, and so many take part."""
    if facts.minimum is None:
        return missing("fewest members a sum may hold")
    if facts.participants is None:
        return missing("participants")
    if facts.minimum < least:
        return f"needs sums of at least {least} members, the run allows {facts.minimum}"
    if len(facts.participants) < least:
        return f"needs at least {least} members, {len(facts.participants)} take part"
    return None


def check_outputs(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """Every declared output is one of them."""
    if not facts.outputs:
        return missing("declared outputs")
    extra = tuple(sorted(set(facts.outputs) - set(allowed)))
    return f"allows {listed(allowed)} to leave, the job declares {listed(extra)}" if extra else None


def check_expires(until_ms: int, _facts: JobFacts, at: Instant) -> Reason:
    """Log time is earlier."""
    if at.time_ms <= 0:
        return missing(_NO_TIME)
    return None if at.time_ms < until_ms else f"ended at {until_ms} ms, log time is {at.time_ms} ms"


def check_approvals(least: int, facts: JobFacts, _at: Instant) -> Reason:
    """So many members approved."""
    if facts.approvals is None:
        return missing("number of approvals")
    return None if facts.approvals >= least else f"needs {least} approving members, {facts.approvals} approved"


def check_recipients(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """Every recipient is named."""
    if not facts.recipients:
        return missing("recipients")
    if PUBLIC in allowed:
        return None
    named: set[str] = set(allowed) - {PARTIES}
    if PARTIES in allowed:
        if facts.parties is None:
            return missing("parties of the agreement")
        named |= facts.parties
    extra = tuple(sorted(set(facts.recipients) - named))
    return f"allows {listed(allowed)}, the outputs would go to {listed(extra)}" if extra else None


def check_residency(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """The job executes in one of them."""
    if facts.jurisdiction is None:
        return missing("jurisdiction of execution")
    if facts.jurisdiction in allowed:
        return None
    return f"allows {listed(allowed)}, the job would execute in {facts.jurisdiction!r}"


def check_secure_sum(_required: str, facts: JobFacts, _at: Instant) -> Reason:
    """What leaves is summed under masks."""
    if facts.secure_sum is None:
        return missing("way outputs are summed")
    return None if facts.secure_sum else "what leaves must be summed under masks, and this job sends it in the clear"


def check_retention(most: int, facts: JobFacts, _at: Instant) -> Reason:
    """Derived data are deleted by then."""
    if facts.retention_days is None:
        return missing("retention of derived data")
    return None if facts.retention_days <= most else f"allows {most} days, the zone would keep {facts.retention_days}"


def check_output_to(allowed: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """Every recipient's jurisdiction is one of them."""
    if not facts.recipient_jurisdictions:
        return missing("jurisdictions of the recipients")
    extra = tuple(sorted(set(facts.recipient_jurisdictions) - set(allowed)))
    return f"allows {listed(allowed)}, the outputs would go to {listed(extra)}" if extra else None


def check_transfer_basis(accepted: tuple[str, ...], facts: JobFacts, _at: Instant) -> Reason:
    """For each jurisdiction abroad that outputs would go to, one of the instruments is in force."""
    if facts.transfers is None:
        return missing("legal instruments in force")
    for transfer in facts.transfers:
        if not set(accepted) & set(transfer.instruments):
            held = listed(transfer.instruments) or "none"
            return f"needs one of {listed(accepted)} in force for {transfer.to}, the zone holds {held}"
    return None


def check_max_uses(most: int, facts: JobFacts, _at: Instant) -> Reason:
    """Fewer other runs have used the data."""
    if facts.uses is None:
        return missing("number of earlier uses")
    return None if facts.uses < most else f"allows {most} run(s), {facts.uses} already used the data"


def check_dp(limit: PrivacyCost, facts: JobFacts, _at: Instant) -> Reason:
    """The job's noise hides as much as is asked, and the job alone does not cost more."""
    cost = facts.privacy
    if cost is None:
        return f"{missing('privacy cost')}; only a run that adds noise has one"
    if limit.unit is Unit.MEMBER and cost.unit is not Unit.MEMBER:
        return "needs noise that hides each member's whole contribution, the job's noise hides single records"
    if facts.outputs is None or Output.METRICS in facts.outputs:
        return "counts of an evaluation leave exact, which no noise covers; plan the run without metrics"
    if cost.epsilon_millionths > limit.epsilon_millionths or cost.delta_trillionths > limit.delta_trillionths:
        return f"allows {shown_cost(limit)} in all, the job alone costs {shown_cost(cost)}"
    return None


def check_min_subjects(least: int, facts: JobFacts, _at: Instant) -> Reason:
    """The rows are about so many subjects."""
    if facts.subjects is None:
        return missing(_SUBJECTS)
    # Reasons stand in the log, and how many subjects there are is nowhere else said.
    return None if facts.subjects >= least else f"needs at least {least} subjects, and the rows are about fewer"


def check_max_subjects(most: int, facts: JobFacts, _at: Instant) -> Reason:
    """The rows are about no more subjects."""
    if facts.subjects is None:
        return missing(_SUBJECTS)
    return None if facts.subjects <= most else f"allows {most} subjects, and the rows are about more"


def check_hours(allowed: tuple[int, int], _facts: JobFacts, at: Instant) -> Reason:
    """Log time is in that part of the day."""
    if at.time_ms <= 0:
        return missing(_NO_TIME)
    start, end = allowed
    hour = at.time_ms // _HOUR_MS % 24
    is_inside = start <= hour < end if start < end else hour >= start or hour < end
    return None if is_inside else f"allows the hours {start:02}-{end:02} UTC, log time is {at.time_ms} ms"


def check_embargo(until_ms: int, _facts: JobFacts, at: Instant) -> Reason:
    """Log time has come to it."""
    if at.time_ms <= 0:
        return missing(_NO_TIME)
    return None if at.time_ms >= until_ms else f"nothing before {until_ms} ms, log time is {at.time_ms} ms"


def check_compute_cap(most_s: int, facts: JobFacts, _at: Instant) -> Reason:
    """The run's program has not worked so long yet."""
    if facts.worked_s is None:
        return missing("time that the run's program has worked")
    return None if facts.worked_s < most_s else f"allows {most_s} s of work, the program has worked {facts.worked_s} s"


def check_airlock(_mode: str, facts: JobFacts, _at: Instant) -> Reason:
    """A steward of the zone looks at outputs before they leave; at which: ``airlock``."""
    if facts.has_airlock is None:
        return missing("airlock of the zone")
    return (
        None if facts.has_airlock else "a steward must look at outputs before they leave, and this job waits for none"
    )


def check_release_approvals(least: int, facts: JobFacts, _at: Instant) -> Reason:
    """So many members approved the model, where one is to be released."""
    if facts.action != RELEASE:
        return None
    if facts.release_approvals is None:
        return missing("number of approvals of the model")
    if facts.release_approvals >= least:
        return None
    return f"needs {least} members that approve the model, {facts.release_approvals} did"


def check_no_member_worse(tolerance: tuple[str, int], facts: JobFacts, _at: Instant) -> Reason:
    """For no member the model is worse than its own by more, where it is to be released."""
    if facts.action != RELEASE:
        return None
    metric, permille = tolerance
    change = next((found for found in facts.changes or () if found.metric == metric), None)
    if change is None:
        return missing(f"{metric} of the joint model and of each member's own")
    if change.millionths >= -1_000 * permille:
        return None
    worse = f"{-change.millionths / 10**6:.6f}"
    return f"allows a loss of {permille / 1000:.3f} in {metric} against training alone, {change.member} loses {worse}"


def check_membership_advantage(most: int, facts: JobFacts, _at: Instant) -> Reason:
    """Whoever asks which rows were trained on gains no more, where a model is to be released."""
    if facts.action != RELEASE:
        return None
    if facts.advantage_millionths is None:
        return missing("advantage of an attacker who asks which rows were trained on, of every participant")
    if facts.advantage_millionths <= 1_000 * most:
        return None
    found = f"{facts.advantage_millionths / 10**6:.6f}"
    return f"allows an attacker an advantage of {most / 1000:.3f}, a member measured {found}"


def missing(fact: str) -> str:
    """Why a term denies whose fact nobody knows."""
    return f"missing fact: the {fact} is not known, so the term cannot be shown to hold"


def shown_cost(cost: PrivacyCost) -> str:
    """A privacy cost in words."""
    epsilon, delta = Fraction(cost.epsilon_millionths, 10**6), Fraction(cost.delta_trillionths, 10**12)
    return f"epsilon {float(epsilon):.6g} at delta {float(delta):.3g} per {cost.unit}"
