"""A decision with its reason: granted, or denied under a named article."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Granted:
    """Allowed."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Not allowed.

    Attributes:
        article: the rule that says so, such as ``charter 4.2`` or an agreement's clause.
        reason: one sentence for a person: what was expected, what came.

    """

    article: str
    reason: str


Verdict: TypeAlias = Granted | Denied

GRANTED = Granted()
