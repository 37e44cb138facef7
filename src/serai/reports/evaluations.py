"""How a model did, wherever it was evaluated: each invited member's part, and who is missing for what reason.

What is said of all members together is computed from their parts, and only where
every invited member's part is there: a sum over those who came would hide the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from serai.aggregation.state import current_round
from serai.analytics.leaderboard import Entry
from serai.analytics.metrics import pool
from serai.analytics.state import evaluations_of
from serai.errors import Missing
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.reports.course import model_made
from serai.state import State
from serai.training.state import Run, model_judged
from serai.training.statements import Action, Reason


class Presence(StrEnum):
    """Whether a member's part is there, and if not, why not."""

    EVALUATED = "evaluated"
    SUM_ONLY = "in the sum only"  # the plan lets no member's own counts out
    JOINED = "joined, not reported yet"
    DECLINED = "declined"
    SILENT = "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One invited member's part of an evaluation.

    Attributes:
        member: whose.
        presence: whether it is there.
        counts: what the member's zone counted; None where it is not there.
        reasons: why it declined.

    """

    member: MemberId
    presence: Presence
    counts: Mapping[str, int] | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One run in which a model was evaluated.

    Attributes:
        run: the run's id.
        model: the model's digest.
        title: the run's title.
        purpose: its purpose code.
        recipe: name of the program that scored.
        at: when it was planned.
        has_trained: whether the run made the model, and did not merely look at it.
        totals: digest of the sums of an evaluation; None of another run, or before its end.
        summed: whose counts are in them; nobody's in another run.
        parts: of every invited member, in order of member id.

    """

    run: Digest
    model: Digest
    title: str
    purpose: str
    recipe: str
    at: Instant
    has_trained: bool
    totals: Digest | None
    summed: frozenset[MemberId]
    parts: tuple[Part, ...]

    @property
    def counts(self) -> dict[MemberId, Mapping[str, int]]:
        """The parts that are there."""
        return {part.member: part.counts for part in self.parts if part.counts is not None}

    @property
    def missing(self) -> tuple[MemberId, ...]:
        """Invited members whose part is not there."""
        return tuple(part.member for part in self.parts if part.counts is None)

    @property
    def pooled(self) -> dict[str, int] | None:
        """The counts of all members together; None where a part is missing."""
        return None if self.missing or not self.parts else pool(self.counts.values())


def looks_at(state: State, model: Digest) -> tuple[Look, ...]:
    """Every run that evaluated a model, in the order in which they were planned."""
    return tuple(look for look in all_looks(state) if look.model == model)


def look_of(state: State, run: Digest) -> Look:
    """How the model of one run did in it.

    Raises:
        Missing: the run has come to no model, or lets no metrics out.

    """
    found = next((look for look in all_looks(state) if look.run == run), None)
    if found is None:
        raise Missing(
            "run-without-evaluation", f"run {run[:12]} has evaluated no model; `serai watch` shows how it goes"
        )
    return found


def all_looks(state: State) -> Iterator[Look]:
    """Every run that has come to a model, or was to evaluate one, in the order in which they were planned."""
    for run in sorted(state.runs.plans.values(), key=lambda run: run.at.index):
        made = model_made(state, run)
        model = model_judged(run.plan, made)
        is_evaluation = run.plan.action is Action.EVALUATE
        if model is None or not (is_evaluation or "metrics" in run.plan.outputs):
            continue
        yield Look(
            run=run.id,
            model=model,
            title=run.plan.title,
            purpose=run.plan.purpose,
            recipe=run.plan.recipe,
            at=run.at,
            has_trained=not is_evaluation,
            totals=made if is_evaluation else None,
            summed=_summed(state, run) if is_evaluation and made is not None else frozenset(),
            parts=tuple(_part(state, run, model, MemberId(member)) for member in sorted(run.plan.offers)),
        )


def entries_of(state: State, purpose: str = "") -> tuple[Entry, ...]:
    """Every model with what is known of it from all runs that evaluated it, in the order of the runs.

    Whoever was asked in any of them was asked, so that a later run cannot leave out the
    member for whom the model does badly. A member that answered twice counts as it did last.

    Args:
        state: what the log adds up to.
        purpose: only runs for this purpose, or for one below it; every run if empty.

    """
    found: dict[Digest, Entry] = {}
    for look in all_looks(state):
        if purpose and look.purpose != purpose and not look.purpose.startswith(f"{purpose}."):
            continue
        before = found.get(look.model)
        asked = {part.member for part in look.parts} | set(before.asked if before else ())
        counts = {**(before.counts if before else {}), **look.counts}
        title = before.title if before else look.title
        found[look.model] = Entry(model=look.model, title=title, asked=asked, counts=counts)
    return tuple(found.values())


def _summed(state: State, run: Run) -> frozenset[MemberId]:
    last = current_round(state.rounds, run.id)
    return frozenset() if last is None else last.summed


def _part(state: State, run: Run, model: Digest, member: MemberId) -> Part:
    record = evaluations_of(state.analytics, run.id, model).get(member)
    if record is not None:
        return Part(member=member, presence=Presence.EVALUATED, counts=record.body.counts)
    if member in run.declines:
        return Part(member=member, presence=Presence.DECLINED, reasons=run.declines[member])
    if member not in run.keys:
        return Part(member=member, presence=Presence.SILENT)
    is_hidden = "metrics" not in run.plan.outputs
    return Part(member=member, presence=Presence.SUM_ONLY if is_hidden else Presence.JOINED)
