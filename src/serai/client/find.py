"""From the first characters of an id to the one thing they name."""

from collections.abc import Iterable
from typing import Final

from serai.errors import Conflict, Malformed, Missing
from serai.kernel.ids import Digest

MIN_PREFIX: Final = 4  # fewer characters would name something else tomorrow


def find_id(known: Iterable[Digest], prefix: str, noun: str) -> Digest:
    """The one id among ``known`` that starts with ``prefix``.

    Raises:
        Malformed: fewer than four characters.
        Missing: nothing starts so.
        Conflict: several do.

    """
    if len(prefix) < MIN_PREFIX:
        raise Malformed("id-too-short", f"expected at least {MIN_PREFIX} characters of an id, got {prefix!r}")
    found = sorted(id_ for id_ in known if id_.startswith(prefix))
    if not found:
        raise Missing("id-unknown", f"no {noun} has an id that starts with {prefix!r}; `serai log` lists what was said")
    if len(found) > 1:
        shown = ", ".join(id_[: len(prefix) + 4] for id_ in found[:5])
        raise Conflict("id-ambiguous", f"{len(found)} ids start with {prefix!r} ({shown}); give more characters")
    return found[0]
