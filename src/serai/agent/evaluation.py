"""What a zone says of a model at the end of a run: how it does on the rows held back, and against a model of its own.

Where a term asks that no member be worse off than alone, the zone trains its own
model as well. If the agreement asks, the counts of both are said, and the log's rules
judge the release. If this zone alone asks, in its offer, grant, policy or profile,
the log cannot know; so the zone judges, and keeps back its word on the joint model
where a term does not hold. Without every participant's word nothing is released.
"""

import logging
from collections.abc import Mapping
from math import ceil, floor

from serai.agent.active import Active
from serai.agent.alone import train_alone
from serai.agent.gate import least_cohort, let_counts_out, let_work, passage_of, quality_terms, subjects_behind
from serai.agent.measuring import attack, measure
from serai.agent.mirror import View
from serai.agent.uses import Account
from serai.analytics.comparison import gains_of
from serai.analytics.membership import exposure_of
from serai.analytics.state import has_evaluated
from serai.analytics.statements import Evaluation
from serai.errors import Refused
from serai.kernel.ids import Digest
from serai.training.state import model_judged
from serai.training.statements import Action
from serai.training.tensors import Model
from serai.zones.facts import Change, Output, release_facts
from serai.zones.policy import Policy, agreement_source, judge_policies

_MILLION = 10**6
_log = logging.getLogger(__name__)


def say_evaluations(active: Active, view: View) -> None:
    """Say what is due of the model that a run has come to, or was to look at.

    Raises:
        Refused: counts may not leave, or the program failed or may not work now.
        Unavailable: the center does not answer.

    """
    plan = active.run.plan
    judged = model_judged(plan, active.digest)
    if "metrics" not in plan.outputs or judged is None or _is_told(active, view, judged):
        return
    is_model = plan.action is Action.TRAIN and Output.MODEL in plan.outputs
    asked = quality_terms(active.zone, active.run, view) if is_model else ()
    names = {term.name for policy in asked for term in policy.terms}
    own = [policy for policy in asked if policy.source != agreement_source(plan.agreement)]
    teller = _Teller(active, view, judged)
    if not own:  # the joint model first: it is seen how it does, even where the other is long in coming
        teller.say_joint()
    if "no_member_worse" in names:
        teller.say_alone()
    if own:
        teller.judge(own)
        teller.say_joint()


def _is_told(active: Active, view: View, judged: Digest) -> bool:
    """Whether all is said, by the log alone: a grant that has ended since holds up no run that is over."""
    state, run, zone = view.state, active.run, active.zone
    if not has_evaluated(state.analytics, run.id, judged, zone.member):
        return False
    terms = state.charter.agreements[run.plan.agreement].text.terms
    # Where the agreement asks for the zone's own model, that is said after the joint one; else it was said before.
    if run.plan.action is not Action.TRAIN or not any(term.name == "no_member_worse" for term in terms):
        return True
    own = zone.journal.decision(_own_topic(run.id))
    return own is not None and has_evaluated(state.analytics, run.id, Digest(own), zone.member)


def _own_topic(run: Digest) -> str:
    return f"alone {run}"


class _Teller:
    """Counts, and says. What was counted stays with the run: a term that does not hold is met again in each view."""

    def __init__(self, active: Active, view: View, judged: Digest) -> None:
        self._active = active
        self._view = view
        self._judged = judged
        self._passage = passage_of(active.zone, active.run, view)
        self._cohort = least_cohort(active.zone, active.run, view)

    def say_joint(self) -> None:
        """Say how the model does."""
        active = self._active
        if not self._is_rejected(self._judged) and not has_evaluated(
            self._view.state.analytics, active.run.id, self._judged, active.zone.member
        ):
            self._say(f"evaluation {active.run.id}", self._judged, self._count_joint())

    def say_alone(self) -> None:
        """Say how this zone's own model does."""
        active, topic = self._active, _own_topic(self._active.run.id)
        said = active.zone.journal.decision(topic)
        analytics, run = self._view.state.analytics, active.run.id
        if said is None or not has_evaluated(analytics, run, Digest(said), active.zone.member):
            model, digest = train_alone(active, self._view)
            if not self._is_rejected(digest):
                self._say(topic, digest, self._count(model, digest))

    def _is_rejected(self, model: Digest) -> bool:
        """Whether this zone's steward has said that counts about a model stay here."""
        if not self._passage.has_rejected_counts(model):
            return False
        run = self._active.run.id[:12]
        _log.warning("run %s ends without an evaluation that this zone's steward has rejected", run)
        return True

    def judge(self, policies: list[Policy]) -> None:
        """Hold the zone's own terms against what it measured.

        Raises:
            Refused: one of them does not hold; nothing is said of the joint model.

        """
        joint = self._count_joint()
        exposure, changes = exposure_of(joint), tuple[Change, ...]()
        if any(term.name == "no_member_worse" for policy in policies for term in policy.terms):
            gains, member = gains_of(joint, [self._count_alone()[1]]), self._active.zone.member
            changes = tuple(Change(metric, member, floor(gain * _MILLION)) for metric, gain in gains.items())
        facts = release_facts(changes, None if exposure is None else ceil(exposure.advantage * _MILLION))
        if denials := judge_policies(policies, facts, self._view.state.now):
            reasons = "; ".join(f"{denied.reason} ({denied.article})" for denied in denials)
            raise Refused(
                "release-denied",
                f"this zone does not evaluate the model, so nobody releases it: {reasons}",
                denials[0].article,
            )

    def _count_joint(self) -> dict[str, int]:
        active = self._active
        return self._count(active.model, self._judged, is_attacked=active.run.plan.action is Action.TRAIN)

    def _count_alone(self) -> tuple[Digest, dict[str, int]]:
        model, digest = train_alone(self._active, self._view)
        return digest, self._count(model, digest)

    def _count(self, model: Model, digest: Digest, *, is_attacked: bool = False) -> dict[str, int]:
        active, key = self._active, (digest, self._cohort)
        if (looked_at := self._passage.find_counts(digest)) is not None:
            return dict(looked_at)
        if key not in active.measured:
            let_work(active.zone, active.run, self._view, active.prepared)
            recipe, data = active.prepared.recipe, active.prepared.data
            with active.working():
                counts = measure(recipe, model, data, self._cohort)
                active.measured[key] = counts | (attack(recipe, model, data, self._cohort) if is_attacked else {})
        return active.measured[key]

    def _say(self, topic: str, model: Digest, counts: Mapping[str, int]) -> None:
        active, prepared = self._active, self._active.prepared
        let_counts_out(active.zone, active.run, self._view, prepared, counts)
        if self._passage.find_counts(model) is None:
            self._passage.pass_counts(model, counts)
        subjects = subjects_behind(prepared, counts.get("n"))
        Account(active.zone, active.run, self._view, prepared).write_counts(model, counts, subjects)
        offer = active.run.plan.offers[active.zone.member]
        body = Evaluation(run=active.run.id, model=model, offer=offer, counts=counts)
        active.zone.say_once(topic, model, lambda: body)
