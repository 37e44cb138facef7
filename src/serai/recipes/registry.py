"""The recipes by name, how to build one from a plan, and the digest that pins its code."""

import ast
import functools
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Final

from serai.errors import Missing
from serai.kernel.ids import Digest
from serai.recipes.boosting import Boosting
from serai.recipes.cox import Cox
from serai.recipes.crosstab import Crosstab
from serai.recipes.describe import Describe
from serai.recipes.equipment import DEFAULTS, Equipment, equip
from serai.recipes.kaplan_meier import KaplanMeier
from serai.recipes.kmeans import Kmeans
from serai.recipes.language_model import LanguageModel
from serai.recipes.linear import Linear
from serai.recipes.local_sgd import LocalSgd
from serai.recipes.logistic import Logistic
from serai.recipes.lora import Lora
from serai.recipes.mlp import Mlp
from serai.recipes.moments import Moments
from serai.recipes.newton import Newton
from serai.recipes.pca import Pca
from serai.recipes.probe import Probe
from serai.recipes.quantiles import Quantiles
from serai.recipes.statistic import Statistic
from serai.training.methods import Recipe
from serai.training.tensors import Model

RECIPES: Final[Mapping[str, Callable[[Mapping[str, str], Mapping[str, Model]], Recipe]]] = {
    recipe.name: recipe
    for recipe in (
        Boosting,
        Cox,
        Crosstab,
        Describe,
        KaplanMeier,
        Kmeans,
        LanguageModel,
        Linear,
        LocalSgd,
        Logistic,
        Lora,
        Mlp,
        Moments,
        Newton,
        Pca,
        Probe,
        Quantiles,
    )
}
"""Every recipe that comes with serai."""

_ROOMS: Final = ("serai.recipes.", "serai.training.")


def build(name: str, params: Mapping[str, str], inputs: Mapping[str, Model], equipment: Equipment = DEFAULTS) -> Recipe:
    """Make a recipe with a plan's settings and input models, for what a zone trains with.

    Raises:
        Missing: no such recipe is installed here, or the equipment names what is not.
        Malformed: a setting or input does not fit.

    """
    return equip(_find(name)(params, inputs), equipment)


def source_of(module: str) -> bytes:
    """The source of a module of this installation."""
    package, _, leaf = module.rpartition(".")
    return resources.files(package).joinpath(f"{leaf}.py").read_bytes()


def code_digest(name: str, read: Callable[[str], bytes] = source_of) -> Digest:
    """What a plan's ``code`` must equal for this installation to run a recipe.

    SHA-256 over the names and source digests of the recipe's module and of every
    module of the training and recipes rooms that it imports, directly or not: a
    changed outer optimizer is a changed program. The serai version is not part
    of it, so a release that leaves a recipe alone leaves its digest alone.

    Args:
        name: the recipe.
        read: gives a module's source by its dotted name.

    Raises:
        Missing: no such recipe is installed here.

    """
    sources = sources_of(name, read)
    lines = (f"{module} {hashlib.sha256(sources[module]).hexdigest()}\n" for module in sorted(sources))
    return Digest(hashlib.sha256("".join(lines).encode()).hexdigest())


def sources_of(name: str, read: Callable[[str], bytes] = source_of) -> Mapping[str, bytes]:
    """The source of every module that ``code_digest`` covers, by its dotted name.

    Raises:
        Missing: no such recipe is installed here.

    """
    sources: dict[str, bytes] = {}
    waiting = [_find(name).__module__]
    while waiting:
        module = waiting.pop()
        if module not in sources:
            sources[module] = read(module)
            waiting.extend(_imports(sources[module]))
    return sources


def find_cohort(name: str, params: Mapping[str, str]) -> int | None:
    """Fewest rows that a run's settings let a zone add up by themselves; None where it asks by no group.

    Raises:
        Malformed: the settings are not the recipe's.

    """
    recipe = RECIPES.get(name)
    if not (isinstance(recipe, type) and issubclass(recipe, Statistic)):
        return None
    return recipe(params, {}).cohort  # type: ignore[arg-type] # each has the constructor of a recipe


def _find(name: str) -> Callable[[Mapping[str, str], Mapping[str, Model]], Recipe]:
    recipe = RECIPES.get(name)
    if recipe is None:
        raise Missing("recipe", f"no recipe {name!r} is installed here; there are {', '.join(RECIPES)}")
    return recipe


@functools.lru_cache(maxsize=256)  # the files are read at each decision; to parse them takes ten times as long as that
def _imports(source: bytes) -> tuple[str, ...]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return tuple(node.module for node in nodes if node.module and f"{node.module}.".startswith(_ROOMS))
