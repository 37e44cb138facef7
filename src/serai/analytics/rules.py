"""Who may report an evaluation, and which counts can be true.

===============  =====================================================================
article          says
===============  =====================================================================
``analytics 1``  Only participants of a run evaluate its models.
``analytics 2``  An evaluation cites an open offer of the member's own data.
``analytics 3``  Counts are integers that can be true together; ``n`` is always there.
``analytics 4``  A member evaluates a model of a run once; results are not replaced.
===============  =====================================================================
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from serai.analytics.calibration import find_bin_contradiction, find_brier_contradiction
from serai.analytics.discrimination import PAIRS
from serai.analytics.membership import find_membership_contradiction
from serai.analytics.state import AnalyticsState
from serai.analytics.statements import Evaluation
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.zones.state import ZonesState, is_offer_open

ParticipantsOf: TypeAlias = Callable[[Digest], frozenset[MemberId]]
"""The participants of a run by its id; nobody for a run that the log does not have."""

CONFUSION: Final = ("tp", "fp", "tn", "fn")
MAX_COUNTS: Final = 4_096  # a metric per label and threshold fits; a row per value does not


def judge(
    participants_of: ParticipantsOf, zones: ZonesState, analytics: AnalyticsState, said: Said[Body], at: Instant
) -> Verdict:
    """Decide whether an evaluation may be reported now."""
    body = said.body
    if not isinstance(body, Evaluation):
        return Denied("analytics", f"a statement of kind {body.KIND} is no evaluation")
    if said.member not in participants_of(body.run):
        return Denied("analytics 1", f"{said.member} is not a participant of run {body.run[:12]}")
    offer = zones.offers.get(body.offer)
    if offer is None or offer.member != said.member or not is_offer_open(zones, body.offer, at):
        return Denied("analytics 2", f"{body.offer[:12]} is not an open offer of {said.member}")
    if (reason := find_contradiction(body.counts)) is not None:
        return Denied("analytics 3", reason)
    if said.member in analytics.by_model.get((body.run, body.model), ()):
        return Denied("analytics 4", f"{said.member} evaluated model {body.model[:12]} in this run already")
    return GRANTED


def find_contradiction(counts: Mapping[str, int]) -> str | None:
    """Why counts cannot all be true, or None when they can."""
    if counts.get("n", 0) < 1:
        return "expected the count n of rows, at least 1"
    if len(counts) > MAX_COUNTS:
        return f"expected at most {MAX_COUNTS} counts, got {len(counts)}"
    negative = sorted(name for name, count in counts.items() if count < 0)
    if negative:
        return f"expected counts of at least 0, {negative[0]} is {counts[negative[0]]}"
    if counts.get("correct", 0) > counts["n"]:
        return f"expected at most n = {counts['n']} correct, got {counts['correct']}"
    return (
        _find_confusion(counts)
        or _find_pairs(counts)
        or find_brier_contradiction(counts)
        or find_bin_contradiction(counts)
        or find_membership_contradiction(counts)
    )


def _find_pairs(counts: Mapping[str, int]) -> str | None:
    if PAIRS not in counts:
        return None
    if "tp" not in counts:
        return f"expected {', '.join(CONFUSION)} beside {PAIRS}, which counts pairs of yes and no"
    most = 2 * (counts["tp"] + counts["fn"]) * (counts["tn"] + counts["fp"])
    return None if counts[PAIRS] <= most else f"expected {PAIRS} of at most {most}, got {counts[PAIRS]}"


def _find_confusion(counts: Mapping[str, int]) -> str | None:
    present = [name for name in CONFUSION if name in counts]
    if not present:
        return None
    if len(present) != len(CONFUSION):
        return f"expected all of {', '.join(CONFUSION)} or none, got {', '.join(present)}"
    total = sum(counts[name] for name in CONFUSION)
    if total != counts["n"]:
        return f"expected tp + fp + tn + fn = n = {counts['n']}, got {total}"
    right = counts["tp"] + counts["tn"]
    if counts.get("correct", right) != right:
        return f"expected correct = tp + tn = {right}, got {counts['correct']}"
    return None
