"""What blocs in tests and benchmarks agree on and plan: one agreement, and plans as the command line makes them."""

from collections.abc import Mapping
from typing import Any, Final

from serai.charter.agreements import AgreementText, Clause, Term
from serai.kernel.ids import Digest, MemberId
from serai.recipes.equipment import DEFAULTS
from serai.recipes.registry import build, code_digest
from serai.training.methods import last_form
from serai.training.statements import Action, RunPlan
from serai.training.tensors import Model, digest_model

SCOPE: Final = ("train", "statistics", "evaluate", "release")


def agreement_text(
    terms: tuple[Term, ...] = (), scope: tuple[str, ...] = SCOPE, invited: tuple[MemberId, ...] = ()
) -> AgreementText:
    """An agreement to train together, in force once two have ratified it."""
    return AgreementText(
        title="Joint work",
        language="en",
        text="# Joint work\n\nThe parties train together; their data stay at home.",
        clauses=(Clause(id="1", text="The parties train together."),),
        terms=terms,
        scope=scope,
        invited=invited,
        ratifications=2,
        effective_ms=0,
        expires_ms=None,
    )


def run_plan(
    agreement: Digest,
    offers: Mapping[str, Digest],
    recipe: str,
    params: Mapping[str, str],
    inputs: Mapping[str, Model] | None = None,
    **fields: Any,
) -> RunPlan:
    """A plan for a recipe that comes with serai.

    ``fields`` are the plan's others, ``rounds`` and ``round_ms`` among them, and ``equipment``, what its planner has.
    """
    models = dict(inputs or {})
    program = build(recipe, params, models, fields.pop("equipment", DEFAULTS))
    made: dict[str, Any] = {
        "agreement": agreement,
        "title": f"{recipe} together",
        "action": Action.TRAIN,
        "purpose": "research",
        "recipe": recipe,
        "code": code_digest(recipe),
        "params": dict(params),
        "inputs": {name: digest_model(model) for name, model in models.items()},
        "offers": dict(offers),
        "minimum": 2,
        "codec": program.codec(len(offers)),
        "length": program.length,
        "initial": digest_model(program.initial()),
        "outputs": program.outputs,
        "last": last_form(program, len(offers)),
    }
    return RunPlan(**{**made, **fields})
