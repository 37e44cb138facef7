"""Releasing a model: gather what the rules ask for, and bring its card to the center."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.agent.session import Session
from serai.analytics.state import evaluations_of
from serai.cli.card import write_card
from serai.cli.output import short
from serai.client.find import find_id
from serai.client.planning import fetch_models
from serai.client.voice import Spoken, say
from serai.errors import Conflict
from serai.hub.rules import RunOutcome, missing_evaluations
from serai.hub.statements import Release
from serai.kernel.ids import Digest, digest_of
from serai.kernel.keys import Role
from serai.recipes.lora import Lora
from serai.recipes.peft_folder import write_peft_folder
from serai.state import State, outcome_of

FORMAT: Final = "safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseWish:
    """How a model shall be released; the title is the run's if empty."""

    run: Digest
    title: str = ""
    license: str = "Apache-2.0"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """A release and the model it released."""

    said: Spoken
    model: Digest
    size_bytes: int


def release_model(session: Session, wish: ReleaseWish) -> Released:
    """Release the model that a run agreed on, with every participant's evaluation.

    Raises:
        Conflict: the run has not finished, or participants have not evaluated yet.
        Refused: the log's rules do not allow it; the article says why.

    """
    state = session.state()
    outcome, model = _finished(state, wish.run)
    evaluations = evaluations_of(state.analytics, wish.run, model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / model
        session.center.get_blob(model, path)
        size_bytes = path.stat().st_size
    title = wish.title or state.runs.plans[wish.run].plan.title
    header = {"title": title, "text": wish.text, "format": FORMAT, "license": wish.license}
    card = write_card(state, outcome, header).encode()
    session.center.put_blob(digest_of(card), card)
    body = Release(
        run=wish.run,
        model=model,
        size_bytes=size_bytes,
        format=FORMAT,
        title=title,
        card=digest_of(card),
        license=wish.license,
        evaluations=tuple(evaluations[member].id for member in sorted(outcome.participants)),
    )
    return Released(say(session, body, Role.DELEGATE), model, size_bytes)


def write_adapters(session: Session, run: str, folder: Path) -> Digest:
    """Write what a run of the recipe ``lora`` trained as a folder for the library peft; the model's digest.

    Args:
        session: with a center that has the model.
        run: the first characters of its id.
        folder: to be made.

    Raises:
        Missing: there is no such run.
        Conflict: the run has not finished, is of another recipe, or there is something at ``folder``.

    """
    state = session.state()
    id_ = find_id(state.runs.plans, run, "run")
    plan, outcome = state.runs.plans[id_].plan, outcome_of(state, id_, state.now)
    if plan.recipe != Lora.name:
        raise Conflict("run-recipe", f"run {short(id_)} is of the recipe {plan.recipe}, which trains no adapters")
    if outcome is None or outcome.model is None:
        raise _unfinished(id_)
    write_peft_folder(folder, plan.params, fetch_models(session, {"model": outcome.model})["model"])
    return outcome.model


def _finished(state: State, run: Digest) -> tuple[RunOutcome, Digest]:
    outcome = outcome_of(state, run, state.now)
    if outcome is None or outcome.model is None:
        raise _unfinished(run)
    if missing := missing_evaluations(state.analytics, outcome):
        raise Conflict("run-unevaluated", f"{', '.join(missing)} must evaluate the model before it can be released")
    return outcome, outcome.model


def _unfinished(run: Digest) -> Conflict:
    return Conflict("run-unfinished", f"run {short(run)} has not come to a model yet; `serai explain {short(run)}`")
