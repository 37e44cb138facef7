"""A run's plan in plain words: what is asked of whom, what leaves a zone, and what protects it."""

from collections.abc import Iterator

from serai.aggregation.codec import Codec
from serai.reports.plots import format_bytes
from serai.state import State
from serai.training.state import Run
from serai.training.statements import Pace

Fact = tuple[str, str]
"""What a sentence is about, and the sentence."""


def plan_in_words(state: State, run: Run) -> tuple[Fact, ...]:
    """What a plan says, as subject and sentence."""
    return tuple(_facts(state, run))


def _facts(state: State, run: Run) -> Iterator[Fact]:
    plan = run.plan
    proposal = state.charter.proposals.get(plan.agreement)
    titled = f"{proposal.body.title} ({plan.agreement[:12]})" if proposal else plan.agreement[:12]
    yield "agreement", f"{titled}, for the purpose {plan.purpose}" if plan.purpose else titled
    yield "planned by", f"{run.planner}, entry {run.at.index}"
    yield "recipe", f"{plan.recipe}, code {plan.code[:12]}"
    if plan.params:
        yield "settings", ", ".join(f"{name} {value}" for name, value in sorted(plan.params.items()))
    for name, digest in sorted(plan.inputs.items()):
        yield f"input {name}", digest
    yield "leaves the zones", f"{', '.join(plan.outputs)}; rows never do"
    yield "rounds", f"{plan.rounds:,}, each a sum of at least {max(plan.minimum, 2)} members"
    yield "waits", _waits(plan.round_ms, plan.least_ms)
    yield "vector", _vector(plan.codec)
    if plan.last is not None:
        yield "last round", _vector(plan.last.codec)
    yield "lost members", _lost(plan.threshold)
    if plan.noise is not None:
        yield "noise", "each member adds its share of discrete Gaussian noise before it masks its vector"
    if plan.pace is not None:
        yield "local steps", _pace(plan.pace)
    if plan.guard_permille:
        yield "guard", _guard(plan.guard_permille)


def _waits(round_ms: int, least_ms: int) -> str:
    least = f", and at least {least_ms / 1000:g} s where members are usually quicker" if least_ms else ""
    return f"a round waits {round_ms / 1000:g} s for uploads, and as long for releases{least}"


def _vector(codec: Codec) -> str:
    packed = (
        f", {codec.digits} to a ring element of {codec.bits} bits" if codec.digits > 1 else f" in {codec.bits} bits"
    )
    return (
        f"{codec.length:,} whole numbers from -{codec.limit:,} to {codec.limit:,}{packed}: "
        f"{format_bytes(codec.upload_bytes)} from each member under a mask"
    )


def _lost(threshold: int) -> str:
    if threshold:
        return f"{threshold} members together can release for one that is lost after its upload"
    return "nobody can release for a member that is lost after its upload; the round is then tried again"


def _pace(pace: Pace) -> str:
    return (
        f"by each member's pace, {pace.least:,} to {pace.most:,} for the fastest, so that the exchange takes at most "
        f"{pace.exchange_permille / 10:g} % of a round"
    )


def _guard(permille: int) -> str:
    return (
        f"a member objects to a sum that raises its held-back loss by more than {permille / 10:g} %; if more than half "
        "of those in the sum do, the round fails"
    )
