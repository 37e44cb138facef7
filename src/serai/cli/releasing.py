"""Releasing a model: gather what the rules ask for, and write the model's card from the log."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.agent.session import Session
from serai.analytics.state import EvaluationRecord, evaluations_of
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
    card = write_card(state, outcome, title, wish).encode()
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


def write_card(state: State, outcome: RunOutcome, title: str, wish: ReleaseWish) -> str:
    """The model's card in Markdown: what it is, how it was made, how it does for each member, and where it is weak."""
    assert outcome.model is not None
    plan = state.runs.plans[wish.run].plan
    found = evaluations_of(state.analytics, wish.run, outcome.model)
    rows = "\n".join(_card_row(found[member]) for member in sorted(found))
    columns = state.zones.offers[next(iter(plan.offers.values()))].body.columns
    inputs = "\n".join(f"- `{c.name}` ({c.kind}{', ' + c.unit if c.unit else ''}) {c.description}" for c in columns)
    return (
        f"# {title}\n\n{wish.text + chr(10) + chr(10) if wish.text else ''}"
        f"- model: `{outcome.model}` ({FORMAT})\n- licence: {wish.license}\n- purpose: {plan.purpose}\n"
        f"- run: `{wish.run}`, recipe {plan.recipe}, {plan.rounds} rounds, "
        f"{len(outcome.participants)} members, each sum of at least {outcome.minimum}\n"
        f"- agreement: `{outcome.agreement}`\n\n"
        f"## Columns it was made from\n\n{inputs}\n\n"
        f"## How it does, on each member's own held-back rows\n\n"
        f"| member | rows | accuracy | sensitivity | specificity |\n| --- | ---: | ---: | ---: | ---: |\n{rows}\n\n"
        "Read the rows apart: a mean would hide the member for whom it does worst.\n"
    )


def _finished(state: State, run: Digest) -> tuple[RunOutcome, Digest]:
    outcome = outcome_of(state, run, state.now)
    if outcome is None or outcome.model is None:
        raise _unfinished(run)
    if missing := missing_evaluations(state.analytics, outcome):
        raise Conflict("run-unevaluated", f"{', '.join(missing)} must evaluate the model before it can be released")
    return outcome, outcome.model


def _unfinished(run: Digest) -> Conflict:
    return Conflict("run-unfinished", f"run {short(run)} has not come to a model yet; `serai explain {short(run)}`")


def _card_row(record: EvaluationRecord) -> str:
    counts = record.body.counts
    yes, no = counts.get("tp", 0) + counts.get("fn", 0), counts.get("tn", 0) + counts.get("fp", 0)
    return (
        f"| {record.member} | {counts['n']} | {_share(counts.get('correct', 0), counts['n'])} "
        f"| {_share(counts.get('tp', 0), yes)} | {_share(counts.get('tn', 0), no)} |"
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "\N{EN DASH}"
