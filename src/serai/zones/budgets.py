"""Privacy budgets: what ``dp`` terms allow a dataset in all, what its runs have taken, what one more would take.

Costs of runs add up: epsilon to epsilon, delta to delta (basic composition,
Dwork and Roth 2014, theorem 3.16). Each run's own rounds are composed far more
tightly before that, by an accountant outside this room. So everybody can check
a ledger with nothing but addition.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from serai.zones.admission import Budget
from serai.zones.facts import PrivacyCost, Unit
from serai.zones.forms import parse_dp
from serai.zones.policy import Policy
from serai.zones.terms import article_of


@dataclass(frozen=True, slots=True)
class PrivacyLimit:
    """What one ``dp`` term allows.

    Attributes:
        source: where it stands, as a refusal cites it.
        cost: all that runs may cost together.

    """

    source: str
    cost: PrivacyCost


def limits_of(policies: Iterable[Policy]) -> tuple[PrivacyLimit, ...]:
    """Every privacy limit among some policies; a malformed term denies elsewhere."""
    return tuple(
        PrivacyLimit(article_of(policy.source, term), cost)
        for policy in policies
        for term in policy.terms
        if term.name == "dp" and (cost := parse_dp(term.value)) is not None
    )


def privacy_budgets(
    limits: Iterable[PrivacyLimit], charges: Iterable[PrivacyCost], requested: PrivacyCost
) -> Iterator[Budget]:
    """The budgets that a run would draw on: epsilon and delta of each limit.

    Args:
        limits: from ``limits_of``.
        charges: what other runs have taken or reserved of the same dataset.
        requested: what this run may cost at most.

    """
    taken = tuple(charges)
    for limit in limits:
        # What hides a whole member hides each record as well; not the other way round.
        counted = [cost for cost in taken if limit.cost.unit is Unit.RECORD or cost.unit is Unit.MEMBER]
        for name in ("epsilon_millionths", "delta_trillionths"):
            yield Budget(
                name=f"{name} per {limit.cost.unit}",
                limit=getattr(limit.cost, name),
                spent=sum(getattr(cost, name) for cost in counted),
                requested=getattr(requested, name),
                source=limit.source,
            )
