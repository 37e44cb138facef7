"""A run before it is approved, as people read it: what is new in it, what binds it, and what it costs."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import click

from serai.approvals.source import FileChange
from serai.approvals.subject import Cost
from serai.approvals.terms import Change, Kind
from serai.cli.output import count, short
from serai.client.approving import Review
from serai.kernel.ids import Digest
from serai.kernel.records import to_json
from serai.kernel.visible import visible_line
from serai.reports.plan_words import plan_in_words
from serai.reports.plots import format_bytes
from serai.state import State
from serai.zones.admission import Budget
from serai.zones.forms import worded

_SIGNS: Final = {Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~", Kind.NARROWED: "<", Kind.WIDENED: ">"}
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


def in_words(state: State, looked: Review, *, with_source: bool) -> str:
    """A review for people.

    Args:
        state: what the log adds up to.
        looked: the review.
        with_source: also the whole source of a program that comes with serai and is new.

    """
    return "\n".join(visible_line(line) for line in _lines(state, looked, with_source=with_source))


def consent(state: State, looked: Review, *, asks: bool) -> bool:
    """Show a review and ask, where there is somebody to ask; whether it was shown.

    Raises:
        click.Abort: the answer is no.

    """
    is_shown = asks and sys.stdin.isatty()
    if is_shown:
        click.echo(in_words(state, looked, with_source=False))
        click.confirm("Approve it?", abort=True)
    return is_shown


def as_json(looked: Review) -> dict[str, Any]:
    """A review for programs."""
    comparison, earlier = looked.comparison, looked.comparison.earlier
    return {
        "run": looked.run.id,
        "agreement": looked.run.plan.agreement,
        "recipe": looked.run.plan.recipe,
        "code": looked.run.plan.code,
        "earlier": None
        if earlier is None
        else {"run": earlier.subject.run, "entry": earlier.entry, "shown": earlier.shown},
        "unrecorded": looked.unrecorded,
        "same": comparison.is_same,
        "program": list(looked.program),
        "files": [
            {"name": one.name, "kind": one.kind, "lines": list(one.lines), "warnings": list(one.warnings)}
            for one in comparison.code
        ],
        **{
            name: [to_json(change) for change in getattr(comparison, name)]
            for name in ("plan", "params", "inputs", "participants", "parties", "terms")
        },
        "policies": [to_json(policy) for policy in looked.subject.policies],
        "cost": None if looked.cost is None else _cost_json(looked.cost),
    }


def _lines(state: State, looked: Review, *, with_source: bool) -> Iterator[str]:
    plan, comparison = looked.run.plan, looked.comparison
    title = state.charter.agreements[plan.agreement].text.title
    yield f"Run {short(looked.run.id)}: {plan.title}, planned by {looked.run.planner}, entry {looked.run.at.index}"
    yield f"under {title} ({short(plan.agreement)}), for {plan.purpose}"
    yield from _beside(looked)
    yield ""
    yield from _code(looked, with_source=with_source)
    yield "Plan"
    yield from (f"  {subject}: {sentence}" for subject, sentence in plan_in_words(state, looked.run))
    yield ""
    if comparison.earlier is not None:
        yield from _section("Plan, differences", comparison.plan)
        yield from _section("Settings of the program, differences", comparison.params)
        yield from _section("Inputs, differences", comparison.inputs)
    yield from _section("Participants", [_offered(state, change) for change in comparison.participants])
    yield from _section("Parties of the agreement, which receive what the run makes", comparison.parties)
    yield from _terms(looked)
    yield from _cost(looked)


def _beside(looked: Review) -> Iterator[str]:
    earlier = looked.comparison.earlier
    if earlier is None:
        yield "No run under this agreement is on record here as approved: everything is new."
    else:
        seen = "" if earlier.shown else ", by a script that showed it to nobody"
        same = ": nothing differs." if looked.comparison.is_same else ":"
        yield (
            f"Beside run {short(earlier.subject.run)}, approved at entry {earlier.entry}{seen}{same} "
            "+ came, - went, ~ changed, < allows less, > allows more"
        )
    if looked.unrecorded is not None:
        yield f"! Entry {looked.unrecorded} approves a later run, of which this home has no record."


def _code(looked: Review, *, with_source: bool) -> Iterator[str]:
    plan, files = looked.run.plan, looked.comparison.code
    differ = f"{count(len(files), 'file')} not as before" if files else "no file differs"
    yield f"Program {plan.recipe}, code {short(plan.code)}: {differ}"
    yield from (f"  It {sentence}." for sentence in looked.program)
    is_left_out = False
    for change in files:
        yield f"  {_SIGNS[change.kind]} {change.name}"
        yield from (f"    ! {warning}" for warning in change.warnings)
        if looked.is_foreign or with_source or change.kind is Kind.CHANGED:
            yield from _diff(change)
        else:
            is_left_out = True
    if is_left_out:
        yield "  What comes with serai, and is not a change of what was approved, is named alone; --source shows it."
    yield ""


def _diff(change: FileChange) -> Iterable[str]:
    # Tabs are spelt out: a line is shown as it runs, whatever the terminal makes of one.
    return (f"    {line}".replace("\t", "    ") for line in change.lines)


def _section(title: str, changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield title
    yield from (f"  {_SIGNS[change.kind]} {_change(change)}" for change in changes)
    yield ""


def _change(change: Change) -> str:
    if change.name in {change.before, change.after}:
        return change.name
    if change.before and change.after:
        return f"{change.name}: {change.after} (was {change.before})"
    return f"{change.name}: {change.after or change.before}"


def _offered(state: State, change: Change) -> Change:
    """A participant with the words of its offer in place of the offer's id."""
    return replace(change, before=_offer(state, change.before), after=_offer(state, change.after))


def _offer(state: State, id_: str) -> str:
    record = state.zones.offers.get(Digest(id_))
    return f"{record.body.title}, {count(record.body.rows, 'row')}, {short(id_)}" if record else short(id_)


def _terms(looked: Review) -> Iterator[str]:
    changes = looked.comparison.terms
    yield "Terms that bind"
    for change in changes:
        yield f"  {_SIGNS[change.kind]} {_change(change)}; {change.place}, clause {change.clause}"
    kept = [
        f"    {term.name}: {worded(term.name, term.value)}; {policy.source}, clause {term.clause}"
        for policy in looked.subject.policies
        for term in policy.terms
    ]
    if looked.comparison.earlier is not None:
        yield f"  in all, {count(len(kept), 'term')}:"
        yield from kept
    if not kept:
        yield "  none"
    yield ""


def _cost(looked: Review) -> Iterator[str]:
    cost = looked.cost
    if cost is None:
        yield "Cost: this member is not invited, so the run takes nothing of this zone."
        return
    yield "Cost for this zone"
    yield from (f"  privacy: {_budget(budget)}" for budget in cost.budgets)
    if cost.privacy_note:
        yield f"  privacy: {cost.privacy_note}"
    yield f"  computing: {_computing(cost)}"
    yield f"  cap: {_cap(cost)}"
    yield (
        f"  traffic: {format_bytes(cost.round_bytes)} out and as much in for each of {count(cost.rounds, 'round')}, "
        f"{format_bytes(2 * cost.traffic_bytes)} in all, besides models"
    )
    yield f"  kept: {_kept(looked, cost)}"


def _budget(budget: Budget) -> str:
    name, scale = _unit(budget)
    left = budget.limit - budget.spent - budget.requested
    after = f"{left / scale:g} left" if left >= 0 else f"{-left / scale:g} too much, so this zone declines"
    return (
        f"{name} {budget.requested / scale:g} at most, of {budget.limit / scale:g}; {budget.spent / scale:g} is spent or "
        f"reserved, {after}; {budget.source}"
    )


def _unit(budget: Budget) -> tuple[str, float]:
    name, _, unit = budget.name.partition(" ")
    return (f"epsilon {unit}", 1e6) if name.startswith("epsilon") else (f"delta {unit}", 1e12)


def _computing(cost: Cost) -> str:
    past = cost.experience
    if past is None:
        return "not known; this zone has no figures of an earlier run of this recipe"
    about_s = past.round_ms * cost.rounds / 1000
    return (
        f"about {_span(about_s)}, {past.round_ms / 1000:g} s a round, if it is as {count(past.rounds, 'round')} of "
        f"{count(past.runs, 'earlier run')} of this recipe here; the longest took {past.longest_ms / 1000:g} s"
    )


def _cap(cost: Cost) -> str:
    if cost.cap_s is None:
        return "no term caps the time"
    past = cost.experience
    short_of = past is not None and past.round_ms * cost.rounds / 1000 + cost.worked_s > cost.cap_s
    warning = "; by the figures above the run would not come to its end" if short_of else ""
    return f"a term stops the program after {_span(cost.cap_s)}, {_span(cost.worked_s)} is used{warning}"


def _kept(looked: Review, cost: Cost) -> str:
    own = looked.subject.retention_days
    mine = "this zone keeps what it derives" if own is None else f"this zone deletes it after {count(own, 'day')}"
    return mine if cost.kept_days is None else f"{mine}; a term asks for {count(cost.kept_days, 'day')} at most"


def _span(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:g} s"
    return f"{seconds / _MINUTE_S:.1f} min" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.1f} h"


def _cost_json(cost: Cost) -> dict[str, Any]:
    return {
        "budgets": [to_json(budget) for budget in cost.budgets],
        "privacy_note": cost.privacy_note,
        "rounds": cost.rounds,
        "sent_bytes": cost.traffic_bytes,
        "received_bytes": cost.traffic_bytes,
        "experience": None if cost.experience is None else to_json(cost.experience),
        "cap_s": cost.cap_s,
        "worked_s": cost.worked_s,
        "kept_days": cost.kept_days,
    }
