"""What is allowed in planning and joining runs.

| article     | says |
| ----------- | ---- |
| training 1  | the cited agreement is in force and the speaker is bound by it |
| training 2  | the run's action lies within the agreement's scope |
| training 3  | every invited member is bound by the agreement, and they are enough for the minimum; at least two |
| training 4  | the run's numbers lie within their limits, and no sum of all invited members can wrap; a threshold is more than half of the invited |
| training 5  | only invited members answer; a joined member neither joins again nor declines |
| training 6  | a mask key is 32 bytes, fit to share secrets with, and used by one member of the run only |
| training 7  | a cancelled run stays cancelled; only its planner or an invited member cancels it |
| training 8  | a joined member tells its pace, in a run that goes by it |
| training 9  | its planner or an invited member freezes a run, once at a time; who froze it thaws it |
| training 10 | an evaluation names the model that it is about, has one round, and makes no model |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from serai.aggregation.codec import check
from serai.aggregation.dealing import MAX_DEALT
from serai.aggregation.job import Form
from serai.aggregation.noise import check_noise
from serai.errors import SeraiError
from serai.kernel.ids import Digest, MemberId
from serai.kernel.statement import Body, Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.training.methods import MAX_STEPS
from serai.training.state import Run, RunsState
from serai.training.statements import (
    EVALUATED,
    Action,
    RunCancel,
    RunDecline,
    RunFreeze,
    RunJoin,
    RunPace,
    RunPlan,
    RunThaw,
)

MIN_MEMBERS: Final = 2  # the sum of one vector is that vector
MAX_MEMBERS: Final = 1_000  # K^2 pair seeds a round; beyond this the roster needs a sparse graph
MAX_ROUNDS: Final = 100_000
MAX_LENGTH: Final = 2**40
MAX_ROUND_MS: Final = 30 * 24 * 3_600_000  # a month: a round that waits longer is a run that stopped
MAX_STEP_US: Final = 24 * 3_600_000_000  # a day
MAX_PARAMS: Final = 64
MAX_REASONS: Final = 64
MAX_GUARD_PERMILLE: Final = 10**6
_ANY_SCALAR: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))  # not secret: it only multiplies
OUTPUTS: Final = frozenset({"aggregate", "model", "metrics"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """What an agreement in force permits, as this room needs to know it.

    Attributes:
        parties: the members bound by it now.
        scope: the actions it permits.

    """

    parties: frozenset[MemberId]
    scope: frozenset[str]


Answer: TypeAlias = RunJoin | RunDecline | RunPace | RunFreeze | RunThaw | RunCancel
"""What can be said about a run that is planned."""

InForce = Callable[[Digest], Mandate | None]
"""The mandate of an agreement, or None when it is unknown or not in force at that instant."""


def judge(in_force: InForce, runs: RunsState, said: Said[Body], _at: Instant) -> Verdict:
    """Whether a statement about a run may be said now, given the agreements in force."""
    match said.body:
        case RunPlan() as plan:
            return _judge_plan(in_force(plan.agreement), plan, said.member)
        case RunJoin() | RunDecline() | RunPace() | RunFreeze() | RunThaw() | RunCancel() as answer:
            run = runs.plans.get(answer.plan)
            if run is None:
                return Denied("training 5", f"expected the id of a planned run, got {answer.plan[:12]}")
            if run.cancelled is not None:
                return Denied("training 7", f"run {run.id[:12]} was cancelled by {run.cancelled.member}")
            return _judge_answer(in_force, run, answer, said.member)
        case _:
            return Denied("training 5", f"expected a statement about a run, got {said.body.KIND}")


def _judge_plan(mandate: Mandate | None, plan: RunPlan, speaker: MemberId) -> Verdict:
    if mandate is None:
        return Denied("training 1", f"agreement {plan.agreement[:12]} is not in force")
    if speaker not in mandate.parties:
        return Denied("training 1", f"{speaker} is not bound by agreement {plan.agreement[:12]}")
    if plan.action not in mandate.scope:
        allowed = ", ".join(sorted(mandate.scope)) or "nothing"
        return Denied("training 2", f"agreement {plan.agreement[:12]} permits {allowed}, not {plan.action}")
    strangers = sorted(set(plan.offers) - mandate.parties)
    if strangers:
        return Denied("training 3", f"{strangers[0]} is invited but not bound by agreement {plan.agreement[:12]}")
    if not MIN_MEMBERS <= plan.minimum <= len(plan.offers) <= MAX_MEMBERS:
        return Denied(
            "training 3",
            f"expected {MIN_MEMBERS} <= minimum <= invited members <= {MAX_MEMBERS}, "
            f"got a minimum of {plan.minimum} and {len(plan.offers)} invited",
        )
    return _judge_evaluation(plan) or _judge_numbers(plan)


def _judge_evaluation(plan: RunPlan) -> Denied | None:
    if plan.action is not Action.EVALUATE:
        return None
    if EVALUATED not in plan.inputs:
        return Denied(
            "training 10", f"an evaluation names the model that it is about among its inputs, as {EVALUATED!r}"
        )
    if plan.rounds != 1 or "model" in plan.outputs:
        made = ", ".join(plan.outputs)
        return Denied("training 10", f"an evaluation has one round and makes no model, got {plan.rounds} for {made}")
    return None


def _judge_numbers(plan: RunPlan) -> Verdict:
    limits: Mapping[str, tuple[int, int]] = {
        "rounds": (plan.rounds, MAX_ROUNDS),
        "length": (plan.length, MAX_LENGTH),
        "round_ms": (plan.round_ms, MAX_ROUND_MS),
    }
    for name, (value, most) in limits.items():
        if not 1 <= value <= most:
            return Denied("training 4", f"expected {name} from 1 to {most}, got {value}")
    if len(plan.params) > MAX_PARAMS or len(plan.inputs) > MAX_PARAMS:
        return Denied("training 4", f"expected at most {MAX_PARAMS} params and inputs")
    if plan.threshold and not len(plan.offers) < 2 * plan.threshold < 2 * len(plan.offers) <= 2 * MAX_DEALT:
        # With half of them or fewer, two disjoint groups could each release for the same member.
        return Denied(
            "training 4",
            f"expected a threshold of more than half and fewer than all of at most {MAX_DEALT} invited members, "
            f"or 0, got {plan.threshold} of {len(plan.offers)}",
        )
    if not plan.outputs or not OUTPUTS.issuperset(plan.outputs):
        return Denied("training 4", f"expected outputs among {', '.join(sorted(OUTPUTS))}, got {plan.outputs}")
    if plan.pace and not (
        1 <= plan.pace.exchange_permille <= 999 and 1 <= plan.pace.least <= plan.pace.most <= MAX_STEPS
    ):
        return Denied(
            "training 4",
            f"expected an exchange of 1 to 999 permille of a round and 1 <= least <= most <= {MAX_STEPS} steps, "
            f"got {plan.pace.exchange_permille}, {plan.pace.least} and {plan.pace.most}",
        )
    if not (0 <= plan.least_ms <= plan.round_ms and 0 <= plan.guard_permille <= MAX_GUARD_PERMILLE):
        return Denied(
            "training 4",
            f"expected least_ms from 0 to {plan.round_ms} and guard_permille from 0 to {MAX_GUARD_PERMILLE}, "
            f"got {plan.least_ms} and {plan.guard_permille}",
        )
    if plan.noise is not None and plan.last is not None:
        return Denied(
            "training 4", "expected one form for all rounds of a run with noise; what it costs is counted for one"
        )
    return _judge_forms(plan)


def _judge_forms(plan: RunPlan) -> Verdict:
    forms = [Form(codec=plan.codec, length=plan.length), *([plan.last] if plan.last else [])]
    for form in forms:
        covered = sum(block.length for block in form.codec.blocks)
        if covered != form.length or not 1 <= form.length <= MAX_LENGTH:
            return Denied("training 4", f"the codec's blocks cover {covered} values, the vector has {form.length}")
        try:
            check(form.codec, len(plan.offers))
            if plan.noise is not None:
                check_noise(form.codec, plan.noise, plan.minimum)
        except SeraiError as error:
            return Denied("training 4", error.message)
    return GRANTED


def _judge_answer(in_force: InForce, run: Run, answer: Answer, speaker: MemberId) -> Verdict:
    match answer:
        case RunPace():
            return _judge_pace(run, answer, speaker)
        case RunFreeze() | RunThaw():
            return _judge_freeze(run, answer, speaker)
        case RunCancel():
            return _judge_concerned(run, speaker, "training 7")
        case RunDecline():
            return _judge_speaker(run, speaker) or _judge_reasons(answer)
        case RunJoin():
            return _judge_speaker(run, speaker) or _judge_join(in_force(run.plan.agreement), run, answer, speaker)


def _judge_freeze(run: Run, answer: RunFreeze | RunThaw, speaker: MemberId) -> Verdict:
    if isinstance(answer, RunThaw):
        return GRANTED if speaker in run.freezes else Denied("training 9", f"{speaker} does not hold run {run.id[:12]}")
    if speaker in run.freezes:
        return Denied("training 9", f"{speaker} holds run {run.id[:12]} since entry {run.freezes[speaker].at.index}")
    return _judge_concerned(run, speaker, "training 9")


def _judge_concerned(run: Run, speaker: MemberId, article: str) -> Verdict:
    if speaker == run.planner or speaker in run.plan.offers:
        return GRANTED
    return Denied(article, f"{speaker} neither planned run {run.id[:12]} nor is invited to it")


def _judge_pace(run: Run, pace: RunPace, speaker: MemberId) -> Verdict:
    if run.plan.pace is None:
        return Denied("training 8", f"run {run.id[:12]} takes the steps that its params say, whatever the pace")
    if speaker not in run.keys:
        return Denied("training 8", f"{speaker} has not joined run {run.id[:12]}")
    if not (1 <= pace.step_us <= MAX_STEP_US and 0 <= pace.exchange_ms <= MAX_ROUND_MS):
        return Denied(
            "training 8",
            f"expected a step of 1 to {MAX_STEP_US} us and an exchange of 0 to {MAX_ROUND_MS} ms, "
            f"got {pace.step_us} and {pace.exchange_ms}",
        )
    return GRANTED


def _judge_speaker(run: Run, speaker: MemberId) -> Denied | None:
    if speaker not in run.plan.offers:
        return Denied("training 5", f"{speaker} is not invited to run {run.id[:12]}")
    if speaker in run.keys:
        return Denied("training 5", f"{speaker} already joined run {run.id[:12]}; cancel it to stop")
    return None


def _judge_reasons(decline: RunDecline) -> Verdict:
    if not 1 <= len(decline.reasons) <= MAX_REASONS:
        return Denied("training 5", f"expected 1 to {MAX_REASONS} reasons, got {len(decline.reasons)}")
    return GRANTED


def _judge_join(mandate: Mandate | None, run: Run, join: RunJoin, speaker: MemberId) -> Verdict:
    if mandate is None:
        return Denied("training 1", f"agreement {run.plan.agreement[:12]} is no longer in force")
    if speaker not in mandate.parties:
        return Denied("training 1", f"{speaker} is no longer bound by agreement {run.plan.agreement[:12]}")
    if len(join.agg_key) != 32:
        return Denied("training 6", f"expected an X25519 public key of 32 bytes, got {len(join.agg_key)}")
    if _is_low_order(join.agg_key):
        return Denied("training 6", "the mask key is a point of low order, with which no secret can be shared")
    # One key under two names would give two members one pair seed, and their masks would show.
    if join.agg_key in run.keys.values():
        return Denied("training 6", "another member of this run already uses that mask key; make a fresh one")
    return GRANTED


def _is_low_order(public: bytes) -> bool:
    # Clamped scalars are multiples of 8, so every low-order point goes to zero whatever the scalar (RFC 7748
    # section 6.1). Unchecked, one such key would stop each other member at masking, round after round.
    try:
        _ANY_SCALAR.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return True
    return False
