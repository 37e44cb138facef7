"""Planning an evaluation: a model by its digest, scored in every zone by the program that made it, or by another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from serai.agent.programs import is_foreign_name
from serai.agent.session import Session
from serai.client.find import find_id
from serai.client.planning import Wish, plan_run
from serai.client.voice import Spoken
from serai.errors import Missing, Unverified
from serai.kernel.ids import Digest, digest_of, parse_digest
from serai.recipes.archive import MAX_ARCHIVE_BYTES
from serai.reports.course import model_made
from serai.state import State
from serai.training.state import Run, model_judged
from serai.training.statements import EVALUATED, Action

_ROUND_S: Final = 60
_DIGEST_CHARS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationWish:
    """What somebody wants to know about a model.

    Attributes:
        model: digest of the model.
        agreement: id of the agreement that shall permit it.
        recipe: name of the program that scores it; empty for the one that made it.
        archive: one's own program, packed.
        params: its settings; empty for those that the model was made with.
        inputs: further models that it needs, by name.
        offers: ids of offers to use; empty for every offer granted to the agreement.
        minimum: fewest members in the sum; 0 for what the terms demand.
        purpose: purpose code; empty for the one that the agreement names.
        title: one line for people; empty for one that says what it is.
        round_s: how long members have.
        shows_members: whether each member shows its own counts, and not the sum alone.

    """

    model: Digest
    agreement: Digest
    recipe: str = ""
    archive: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Digest] = field(default_factory=dict)
    offers: tuple[Digest, ...] = ()
    minimum: int = 0
    purpose: str = ""
    title: str = ""
    round_s: int = _ROUND_S
    shows_members: bool = True


def plan_evaluation(session: Session, wish: EvaluationWish) -> Spoken:
    """Put the ``run.plan`` of an evaluation into the log.

    Raises:
        Missing: the model or its program is not at the center, or no run made it and no program is named.
        Unverified: the center's copy of the program is not it.
        Conflict, Refused: as ``plan_run``.

    """
    return plan_run(session, complete(session, wish))


def complete(session: Session, wish: EvaluationWish) -> Wish:
    """The plan that is wished for, with the program that made the model where no other is named.

    Raises:
        Missing: no run made the model, so that a program must be named; or the center has not its program.
        Unverified: the center's copy of the program is not it.

    """
    recipe, archive, params, inputs = wish.recipe, wish.archive, dict(wish.params), dict(wish.inputs)
    if not recipe and archive is None:
        plan = _maker(session.state(), wish.model).plan
        recipe, params, inputs = plan.recipe, {**plan.params, **params}, {**plan.inputs, **inputs}
        if is_foreign_name(recipe):
            archive = _fetch_archive(session, plan.code)
    return Wish(
        agreement=wish.agreement,
        recipe="" if archive is not None else recipe,
        archive=archive,
        rounds=1,
        title=wish.title or f"evaluation of {wish.model[:12]}",
        purpose=wish.purpose,
        params=params,
        inputs={**inputs, EVALUATED: wish.model},
        offers=wish.offers,
        minimum=wish.minimum,
        round_s=wish.round_s,
        evaluates=True,
        shows_members=wish.shows_members,
    )


def find_model(state: State, text: str) -> Digest:
    """A model by the first characters of its digest; one that no run made or evaluated, by all of them.

    Raises:
        Malformed, Missing, Conflict: as ``find_id``.

    """
    return parse_digest(text) if len(text) == _DIGEST_CHARS else find_id(models_of(state), text, "model")


def models_of(state: State) -> tuple[Digest, ...]:
    """Every model that a run has come to or that was evaluated, each once, in the order of the runs."""
    made = (
        model
        for run in sorted(state.runs.plans.values(), key=lambda run: run.at.index)
        if (model := model_judged(run.plan, model_made(state, run))) is not None
    )
    judged = sorted({model for _, model in state.analytics.by_model} | set(state.hub.by_model))
    return tuple(dict.fromkeys([*made, *judged]))


def _fetch_archive(session: Session, code: Digest) -> bytes:
    """A program that does not come with serai, by its digest.

    Raises:
        Missing: the center has not got it.
        Unverified: what came does not have that digest.

    """
    archive = session.center.read_blob(code, 0, MAX_ARCHIVE_BYTES)
    if digest_of(archive) != code:
        raise Unverified("blob-digest", f"the center's copy of program {code[:12]} is not it; name a folder with it")
    return archive


def _maker(state: State, model: Digest) -> Run:
    """The first run that came to a model by training.

    Raises:
        Missing: none did.

    """
    for run in sorted(state.runs.plans.values(), key=lambda run: run.at.index):
        if run.plan.action is not Action.EVALUATE and model_made(state, run) == model:
            return run
    raise Missing("model-maker", f"no run made model {model[:12]}; name its program with --recipe or --recipe-folder")
