"""Planning a run: choose the offers, build the recipe, and fix codec, length and initial model before anyone joins."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from serai.agent.programs import Programs, Source, goes_on, is_foreign_name
from serai.agent.session import Session
from serai.client.voice import Spoken, say
from serai.errors import Conflict, Malformed, Missing
from serai.kernel.ids import Digest, digest_of
from serai.kernel.keys import Role
from serai.recipes.evaluation import evaluating
from serai.recipes.registry import build, code_digest
from serai.state import State
from serai.training.methods import Recipe, last_form
from serai.training.statements import Action, Pace, RunPlan
from serai.training.tensors import Model, digest_model, read_model
from serai.zones.state import find_grant, is_offer_open

FEWEST: Final = 2  # the sum of one vector is that vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a project lead asks for.

    Attributes:
        agreement: id of the agreement that shall permit it.
        recipe: name of a recipe that comes with serai; empty for one's own.
        archive: one's own recipe, packed.
        title: one line for people; the recipe's name if empty.
        purpose: purpose code; empty for the one that the agreement names.
        params: settings of the recipe; ``features`` is filled in from the offers.
        inputs: digests of models by the name that the recipe gives them.
        offers: ids of offers to use; empty for every offer granted to the agreement.
        minimum: fewest members in a sum; 0 for what the terms demand.
        threshold: how many members can release for a lost one; 0 if nobody can.
        round_s: how long a round waits for uploads.
        least_s: how long at least, where members are usually quicker; 0 for ``round_s``.
        steps: fewest and most local steps by the members' pace; None for what the params say.
        exchange_share: largest share of training and exchange that the exchange may take, where ``steps`` is given.
        guard: by which share a member's held-back loss may rise before it objects to a sum; 0 for no guard.
        evaluates: whether nothing is trained, and the model among the inputs is evaluated.
        shows_members: whether each member shows its own counts, and not the sum alone.

    """

    agreement: Digest
    recipe: str = ""
    archive: bytes | None = None
    rounds: int
    title: str = ""
    purpose: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Digest] = field(default_factory=dict)
    offers: tuple[Digest, ...] = ()
    minimum: int = 0
    threshold: int = 0
    round_s: int = 60
    least_s: int = 0
    steps: tuple[int, int] | None = None
    exchange_share: Fraction = Fraction(1, 10)
    guard: Fraction = Fraction(0)
    evaluates: bool = False
    shows_members: bool = True


def plan_run(session: Session, wish: Wish) -> Spoken:
    """Put a ``run.plan`` into the log.

    Raises:
        Missing: nothing is granted to the agreement, or a recipe or input model is unknown.
        Conflict: a member has two offers granted to it and none was chosen, or one's own
            recipe has the name of one that comes with serai.
        Refused: the log's rules do not allow the plan, or one's own recipe fails in the sandbox.

    """
    state = session.state()
    with open_recipe(session, wish) as (recipe, code):
        plan = make_plan(state, wish, recipe, code)
    if wish.archive is not None:
        session.center.put_blob(code, wish.archive)  # before the plan, so that whoever reads it finds the program
    return say(session, plan, Role.DELEGATE)


@contextmanager
def open_recipe(session: Session, wish: Wish) -> Iterator[tuple[Recipe, Digest]]:
    """The wished recipe, one's own in a sandbox as each zone would run it, and the digest of its code.

    Raises:
        Missing, Conflict, Refused: as ``plan_run``.

    """
    models = fetch_models(session, wish.inputs)
    if wish.archive is None:
        equipment = session.settings.sandbox.equipment
        recipe = build(wish.recipe, wish.params, models, equipment)
        yield evaluating(recipe, models) if wish.evaluates else recipe, code_digest(wish.recipe)
        return
    programs = Programs(session.settings.sandbox, session.settings.home)
    source = Source(recipe="", params=wish.params, inputs=models, archive=wish.archive, evaluates=wish.evaluates)
    program = programs.open(source)
    try:
        if not is_foreign_name(program.recipe.name):
            raise Conflict(
                "recipe-name-taken", f"a recipe {program.recipe.name!r} comes with serai; give yours a name of its own"
            )
        yield program.recipe, digest_of(wish.archive)
    finally:
        program.close()


def make_plan(state: State, wish: Wish, recipe: Recipe, code: Digest) -> RunPlan:
    """The plan for a wish, as the log stands.

    Raises:
        Missing, Conflict: as ``plan_run``.
        Malformed: the members' pace is asked for, and the recipe does not go by it.

    """
    offers = choose_offers(state, wish)
    outputs = tuple(kind for kind in recipe.outputs if wish.shows_members or kind != "metrics")
    made = Action.TRAIN if "model" in outputs else Action.STATISTICS
    return RunPlan(
        agreement=wish.agreement,
        title=wish.title or recipe.name,
        action=Action.EVALUATE if wish.evaluates else made,
        purpose=wish.purpose or _only_purpose(state, wish.agreement),
        recipe=recipe.name,
        code=code,
        params=dict(wish.params),
        inputs=dict(wish.inputs),
        offers=offers,
        minimum=wish.minimum or _fewest(state, wish.agreement, offers),
        rounds=wish.rounds,
        codec=recipe.codec(len(offers)),
        length=recipe.length,
        initial=digest_model(recipe.initial()),
        round_ms=wish.round_s * 1000,
        outputs=outputs,
        threshold=wish.threshold,
        last=last_form(recipe, len(offers)),
        pace=_pace(wish, recipe),
        least_ms=wish.least_s * 1000,
        guard_permille=round(1000 * wish.guard),
    )


def _pace(wish: Wish, recipe: Recipe) -> Pace | None:
    if wish.steps is None:
        return None
    if not goes_on(recipe):
        raise Malformed("option-form", f"{recipe.name} does not take unlike numbers of local steps; leave --steps out")
    least, most = wish.steps
    return Pace(exchange_permille=round(1000 * wish.exchange_share), least=least, most=most)


def choose_offers(state: State, wish: Wish) -> dict[str, Digest]:
    """One granted offer of each member that has any, or the wished ones.

    Raises:
        Missing: no offer is granted to the agreement.
        Conflict: a member has several.

    """
    chosen: dict[str, Digest] = {}
    for id_, offer in sorted(state.zones.offers.items()):
        wanted = id_ in wish.offers if wish.offers else True
        if not wanted or not is_offer_open(state.zones, id_, state.now):
            continue
        if find_grant(state.zones, id_, wish.agreement, state.now) is None:
            continue
        if offer.member in chosen:
            raise Conflict(
                "offers-several", f"{offer.member} has several offers granted to this agreement; choose with --offer"
            )
        chosen[offer.member] = id_
    if not chosen:
        raise Missing(
            "offers-none",
            f"no offer is granted to agreement {wish.agreement[:12]}; members grant with `serai zone grant`",
        )
    return chosen


def fetch_models(session: Session, digests: Mapping[str, Digest]) -> dict[str, Model]:
    """Fetch input models from the center and verify each against its digest.

    Raises:
        Missing: the center has no such model.
        Malformed: it is no model.

    """
    models: dict[str, Model] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, digest in digests.items():
            path = Path(folder) / digest
            session.center.get_blob(digest, path)
            models[name] = read_model(path.read_bytes())
    return models


def _only_purpose(state: State, agreement: Digest) -> str:
    found = state.charter.agreements.get(agreement)
    purposes = [term.value for term in found.text.terms if term.name == "purpose"] if found else []
    match purposes:
        case [(str(purpose),)]:
            return purpose
        case _:
            raise Missing("purpose", "the agreement does not name exactly one purpose; give --purpose")


def _fewest(state: State, agreement: Digest, offers: Mapping[str, Digest]) -> int:
    """The fewest members that agreement and offers allow in a sum."""
    terms = list(state.charter.agreements[agreement].text.terms)
    for id_ in offers.values():
        terms.extend(state.zones.offers[id_].body.terms)
    demanded = [term.value for term in terms if term.name == "min_participants" and isinstance(term.value, int)]
    return max([FEWEST, *demanded])
