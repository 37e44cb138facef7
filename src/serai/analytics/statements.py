"""What can be said about a model's quality: one member's evaluation on its own data, as integer counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A zone reports how a model did on its member's data.

    Attributes:
        run: the run that made the model, or under whose agreement it was evaluated.
        model: digest of the model; the run's agreed one, or the member's own for comparison.
        offer: the member's offer whose data were used.
        counts: integer metrics: ``n`` (rows) always; ``correct``, ``tp``, ``fp``,
            ``tn``, ``fn`` for classifiers; ``u2``, squared errors and bins for those that
            give probabilities; ``mia_`` ones of the attack by loss; others as the recipe names them.

    """

    KIND: ClassVar[str] = "evaluation"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    run: Digest
    model: Digest
    offer: Digest
    counts: Mapping[str, int]


STATEMENTS: Final[tuple[type[Body], ...]] = (Evaluation,)
