"""A question about rows that stay at home, and its answer: plan a run of secure sums, wait for it, read what it came to."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from serai.agent.session import Session
from serai.analytics.frames import Result
from serai.analytics.results import read_result
from serai.client.following import follow
from serai.client.planning import Wish, fetch_models, make_plan, open_recipe
from serai.client.voice import say
from serai.errors import Refused, Unavailable
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role
from serai.reports.course import Course, Status, course_of
from serai.state import State
from serai.training.statements import Reason, RunPlan

WAIT_S: Final = 120.0  # a round is over in a second where agents run; people who must approve take longer

_BLOB_S: Final = 30.0
_LOOK_S: Final = 0.02
_STOPPED: Final = frozenset({Status.CANCELLED, Status.HALTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to compute, apart from whose rows it is asked of.

    Attributes:
        title: one line for people, such as ``survival by treatment``.
        recipe: the program that answers it.
        params: its settings.
        rounds: how many sums it takes.

    """

    title: str
    recipe: str
    params: Mapping[str, str]
    rounds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose rows a question is asked of, and under what.

    Attributes:
        agreement: id of the agreement that permits it.
        offers: ids of the offers to use; empty for every one that is granted.
        purpose: purpose code; empty for the agreement's, if it names one.
        minimum: fewest members in a sum; 0 for what the terms demand.
        round_s: how long a round waits for a member.

    """

    agreement: Digest
    offers: tuple[Digest, ...] = ()
    purpose: str = ""
    minimum: int = 0
    round_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a run of secure sums came to.

    Attributes:
        run: its id.
        result: tables and curves.
        members: whose rows are in it.
        declined: who did not take part, each with its reasons.
        absent: who was invited and is in no sum, without having declined.
        is_repeated: whether an earlier run had answered the same question already, so that nothing was computed anew.

    """

    run: Digest
    result: Result
    members: tuple[MemberId, ...]
    declined: Mapping[MemberId, tuple[Reason, ...]]
    absent: tuple[MemberId, ...]
    is_repeated: bool


def ask(session: Session, scope: Scope, question: Question, wait_s: float = WAIT_S, *, anew: bool = False) -> Answer:
    """Ask the members of a scope, unless a run has answered the same question over the same data before.

    What was answered before costs the members nothing to read again: no work, and no privacy.

    Args:
        session: the member's who asks.
        scope: whose rows, under what.
        question: what to compute.
        wait_s: how long to wait for the answer.
        anew: plan a run even if there is an earlier answer.

    Raises:
        Missing: nothing is granted to the agreement, or the columns are not there.
        Refused: the log's rules do not allow the run, or too many members declined it.
        Unavailable: the run is not over yet; ask again later for its answer.

    """
    wish = Wish(
        agreement=scope.agreement,
        recipe=question.recipe,
        rounds=question.rounds,
        title=question.title,
        purpose=scope.purpose,
        params=question.params,
        offers=scope.offers,
        minimum=scope.minimum,
        round_s=scope.round_s,
    )
    state = session.state()
    with open_recipe(session, wish) as (recipe, code):
        plan = make_plan(state, wish, recipe, code)
    earlier = None if anew else find_earlier(state, plan)
    if earlier is None:
        return _await(session, say(session, plan, Role.DELEGATE).id, wait_s)
    if earlier.model is not None:
        return read_answer(session, earlier, is_repeated=True)
    return _await(session, earlier.run.id, wait_s)


def find_earlier(state: State, plan: RunPlan) -> Course | None:
    """The newest run that answered, or still may answer, the same question over the same data; None if there is none."""
    asked = _question(plan)
    alike = [run for run in state.runs.plans.values() if _question(run.plan) == asked]
    courses = (course_of(state, run.id) for run in sorted(alike, key=lambda run: -run.at.index))
    return next((course for course in courses if course.status not in _STOPPED and not _is_declined(course)), None)


def read_answer(session: Session, course: Course, *, is_repeated: bool = False) -> Answer:
    """The answer of a run that has finished."""
    assert course.model is not None, "a finished run has a model"
    plan = course.run.plan
    model = fetch_models(session, {"model": course.model})["model"]
    summed = {member for this in course.rounds for member, part in this.parts.items() if part.is_summed}
    invited, declined = {MemberId(member) for member in plan.offers}, dict(sorted(course.run.declines.items()))
    return Answer(
        run=course.run.id,
        result=read_result(plan.recipe, plan.params, model),
        members=tuple(sorted(summed)),
        declined=declined,
        absent=tuple(sorted(invited - summed - declined.keys())),
        is_repeated=is_repeated,
    )


def _question(plan: RunPlan) -> RunPlan:
    """A plan without what does not bear on its answer."""
    return replace(plan, title="", round_ms=1, least_ms=0, minimum=0)


def _await(session: Session, run: Digest, wait_s: float) -> Answer:
    course = None
    for course, _ in follow(session, run, wait_s):
        if course.status in _STOPPED:
            raise Refused("run-stopped", f"the run was {course.status.value}: {course.why}")
        if course.model is not None:
            _wait_for_blob(session, course.model)
            return read_answer(session, course)
        if _is_declined(course):
            raise Refused("run-declined", f"too few members take part: {_told(course)}")
    assert course is not None, "a run that was planned has a course"
    raise Unavailable(
        "run-unfinished",
        f"the run {run[:12]} is not over after {wait_s:g} s: {_told(course)}; `serai watch {run[:12]}`, "
        "and ask the same again later for its answer",
    )


def _wait_for_blob(session: Session, model: Digest) -> None:
    """The members agree on a model a moment before one of them brings it to the center."""
    until_s = time.monotonic() + _BLOB_S
    while not session.center.has_blob(model) and time.monotonic() < until_s:
        time.sleep(_LOOK_S)


def _is_declined(course: Course) -> bool:
    """Whether too few members are left for a sum."""
    plan = course.run.plan
    return course.model is None and len(plan.offers) - len(course.run.declines) < plan.minimum


def _told(course: Course) -> str:
    """Who joined, who declined and why, of whom nothing was heard."""
    declines = course.run.declines
    told = [
        f"{member} declined ({'; '.join(f'{r.article}: {r.text}' for r in declines[member])})" for member in declines
    ]
    silent = sorted(set(course.run.plan.offers) - set(declines) - set(course.members))
    return "; ".join(
        [*([f"{', '.join(course.members)} joined"] if course.members else []), *told]
        + ([f"{', '.join(silent)} did not answer"] if silent else [])
    )
