"""Privacy budgets in this zone: what a run would cost, whether that is left, and the charge before each release.

A run is judged by its worst case before the zone joins, and that much is
reserved. Its whole cost is charged, in the log, before its first release: what
a run may still release counts as spent. Every attempt at a round that this zone
releases for is one release; if failed rounds make them more than planned, the
rest is reserved and charged as well, or nothing more is released.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from serai.agent.accounting import member_cost, quick_cost, recorded_cost
from serai.agent.mirror import View
from serai.agent.programs import is_foreign_name
from serai.agent.zone import Zone
from serai.aggregation.state import Round
from serai.errors import Refused
from serai.kernel.ids import Digest
from serai.kernel.verdict import Denied
from serai.recipes.registry import build
from serai.training.methods import columns_of
from serai.training.privacy import Mechanism, PrivateRecipe
from serai.training.state import Run
from serai.training.statements import Action
from serai.zones.admission import Budget
from serai.zones.budgets import PrivacyLimit, limits_of, privacy_budgets
from serai.zones.facts import PrivacyCost
from serai.zones.guard import judge_budgets
from serai.zones.policy import Policy
from serai.zones.state import charges_of
from serai.zones.statements import PrivacyCharge


@dataclass(frozen=True, slots=True)
class RunPrivacy:
    """One run and the privacy of this zone's data.

    Where no term sets a budget, nothing is counted and nothing needs the accountant.

    Attributes:
        zone: the member's side of everything.
        run: the run.
        view: the log as it stands.
        policies: the effective policy.

    """

    zone: Zone
    run: Run
    view: View
    policies: tuple[Policy, ...]

    @property
    def _limits(self) -> tuple[PrivacyLimit, ...]:
        return limits_of(self.policies)

    @property
    def _dataset(self) -> Digest:
        return self.view.state.zones.offers[self.run.plan.offers[self.zone.member]].body.dataset

    def worst_cost(self) -> PrivacyCost | None:
        """What the run may cost at most; None where no term asks, or where no noise bounds it.

        Raises:
            Misconfigured: a term sets a budget, and the accountant is not installed.
            Missing, Malformed: the dataset or an input model is not here, or does not fit.

        """
        return self._cost(self.run.plan.rounds, is_recorded=False) if self._limits else None

    def budgets(self, cost: PrivacyCost) -> tuple[Budget, ...]:
        """The budgets that such a cost would draw on, as the guard judges them."""
        return self._budgets(cost, self.zone.journal.budgets.others(self.run.id, self._dataset))

    def reserve(self) -> tuple[Denied, ...]:
        """Set aside what the run may cost; why not, if there is not so much left.

        Raises:
            Misconfigured: the accountant is not installed.

        """
        cost = self.worst_cost()
        return () if cost is None else self._reserve(cost)

    def charge(self, this: Round) -> PrivacyCost | None:
        """Charge what a release spends, before it is made, or before others can make it for this member.

        Returns:
            What the run's releases cost with this one; None where no budget is set.

        Raises:
            Refused: the budget does not have it, or one was set that this run cannot keep.
            Misconfigured: the accountant is not installed.
            Unavailable: the center does not answer.

        """
        limits, ledger, run = self._limits, self.zone.journal.budgets, self.run
        if not limits:
            return None
        rounds = max(run.plan.rounds, ledger.releases(run.id, this.id))
        worst, cost = self._cost(rounds, is_recorded=False), self._cost(rounds, is_recorded=True)
        if worst is None or cost is None:
            reason = "a privacy budget was set, and this run adds no noise"
            raise Refused("budget-spent", f"nothing is released: {reason}", limits[0].source)
        if denials := self._reserve(worst):
            raise Refused("budget-spent", f"nothing is released: {denials[0].reason}", denials[0].article)
        ledger.pay(run.id, this.id)
        if self._charged().get(run.id) != cost:
            body = PrivacyCharge(offer=run.plan.offers[self.zone.member], run=run.id, cost=cost)
            self.zone.say_once(f"charge {run.id} {rounds}", run.id, lambda: body)
        return cost

    def _reserve(self, cost: PrivacyCost) -> tuple[Denied, ...]:
        return self.zone.journal.budgets.reserve(
            self.run.id, self._dataset, cost, lambda others: judge_budgets(self._budgets(cost, others))
        )

    def _budgets(self, cost: PrivacyCost, others: Mapping[Digest, PrivacyCost]) -> tuple[Budget, ...]:
        # The log knows what was charged even if this zone's ledger was lost; the ledger, what is only reserved.
        charged = {run: cost for run, cost in self._charged().items() if run != self.run.id}
        return tuple(privacy_budgets(self._limits, {**others, **charged}.values(), cost))

    def _charged(self) -> Mapping[Digest, PrivacyCost]:
        return charges_of(self.view.state.zones, self.zone.member, self._dataset)

    def _cost(self, rounds: int, *, is_recorded: bool) -> PrivacyCost | None:
        plan = self.run.plan
        if plan.noise is not None:
            return member_cost(plan.noise, plan.minimum, plan.length, rounds)
        mechanism = self._mechanism()
        if mechanism is None:
            return None
        return recorded_cost(mechanism, rounds) if is_recorded else quick_cost(mechanism, rounds)

    def _mechanism(self) -> Mechanism | None:
        """What the program does to each record; None if it adds no noise, or is not one that serai vouches for."""
        plan, zone = self.run.plan, self.zone
        if is_foreign_name(plan.recipe) or plan.action is Action.EVALUATE:
            return None  # an evaluation sums exact counts, however private the training was
        inputs = {name: zone.read_model(digest) for name, digest in sorted(plan.inputs.items())}
        recipe = build(plan.recipe, plan.params, inputs)
        if not isinstance(recipe, PrivateRecipe) or recipe.mechanism(1) is None:
            return None
        return recipe.mechanism(len(zone.vault.load_by_digest(self._dataset, columns_of(recipe)).x))
