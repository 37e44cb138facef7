"""Planning, joining, declining and cancelling runs, article by article."""

import dataclasses
from fractions import Fraction

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from serai.aggregation.codec import Block, Codec
from serai.kernel.canonical import canonical, parse
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.training.rules import Mandate, judge
from serai.training.state import RunsState, apply, job_of
from serai.training.statements import (
    STATEMENTS,
    Action,
    Reason,
    RunCancel,
    RunDecline,
    RunFreeze,
    RunJoin,
    RunPace,
    RunPlan,
    RunThaw,
)

AGREEMENT = digest_of(b"agreement")
MEMBERS = ("ararat", "bern", "cusco")
MANDATE = Mandate(parties=frozenset(map(MemberId, MEMBERS)), scope=frozenset({"train"}))
NOW = Instant(7, 1_000)
PLAN = RunPlan(
    agreement=AGREEMENT,
    title="Heart disease, together",
    action=Action.TRAIN,
    purpose="health-research",
    recipe="newton",
    code=digest_of(b"code"),
    params={"features": "13"},
    inputs={},
    offers={name: digest_of(name.encode()) for name in MEMBERS},
    minimum=2,
    rounds=5,
    codec=Codec(bits=64, limit=2**52, blocks=(Block(length=119, step=Fraction(1, 2**28)),)),
    length=119,
    initial=digest_of(b"initial"),
    round_ms=60_000,
    outputs=("model", "metrics"),
)


def key_of(member):
    private = X25519PrivateKey.from_private_bytes(digest_of(member.encode()).encode()[:32])
    return private.public_key().public_bytes_raw()


def said(body, member="bern", name=b""):
    text = canonical([body.KIND, to_json(body), member, name.hex()])
    role = Role.ZONE if Role.ZONE in body.ROLES else Role.DELEGATE
    return Said(digest_of(text), body, MemberId(member), role, KeyId(digest_of(b"key")), digest_of(b"leaf"))


def in_force(agreement):
    return MANDATE if agreement == AGREEMENT else None


def ended(_agreement):
    return None


class Story:
    """A log that is judged as it grows."""

    def __init__(self):
        self.runs = RunsState()
        self.run = None

    def say(self, body, member="bern", agreements=in_force):
        words = said(body, member)
        verdict = judge(agreements, self.runs, words, NOW)
        if verdict == GRANTED:
            self.runs = apply(self.runs, words, NOW)
            self.run = words.id if isinstance(body, RunPlan) else self.run
        return verdict

    def join(self, member, key=None, agreements=in_force):
        return self.say(RunJoin(plan=self.run, agg_key=key or key_of(member)), member, agreements)

    def decline(self, member, *reasons):
        return self.say(RunDecline(plan=self.run, reasons=reasons), member)


@pytest.fixture
def planned():
    story = Story()
    assert story.say(PLAN) == GRANTED
    return story


def article(verdict):
    assert isinstance(verdict, Denied), verdict
    assert verdict.reason
    return verdict.article


def test_members_that_join_become_the_job_and_no_others(planned):
    assert planned.join("cusco") == GRANTED
    assert planned.join("ararat") == GRANTED
    job = job_of(planned.runs, planned.run)
    assert dict(job.keys) == {"ararat": key_of("ararat"), "cusco": key_of("cusco")}
    assert (job.minimum, job.rounds, job.length, job.initial) == (2, 5, 119, PLAN.initial)


def test_a_member_that_left_the_agreement_is_left_out_of_the_job(planned):
    planned.join("cusco")
    planned.join("ararat")
    assert set(job_of(planned.runs, planned.run, parties={MemberId("ararat")}).keys) == {"ararat"}


def test_a_decline_keeps_every_reason_and_a_later_join_clears_it(planned):
    reason = Reason(article="offer 12ab, clause 3", text="the purpose is not listed")
    assert planned.decline("ararat", reason) == GRANTED
    assert planned.runs.plans[planned.run].declines["ararat"] == (reason,)
    assert planned.join("ararat") == GRANTED
    assert "ararat" not in planned.runs.plans[planned.run].declines


def test_there_is_no_job_for_an_unknown_or_cancelled_run(planned):
    assert job_of(planned.runs, digest_of(b"unknown")) is None
    assert planned.say(RunCancel(plan=planned.run, reason="new evidence"), "cusco") == GRANTED
    assert job_of(planned.runs, planned.run) is None
    assert planned.runs.plans[planned.run].cancelled.member == "cusco"


@pytest.mark.parametrize(
    ("number", "change"),
    [
        ("training 1", {"agreement": digest_of(b"another")}),
        ("training 2", {"action": Action.STATISTICS}),
        ("training 3", {"offers": {**PLAN.offers, "stranger": digest_of(b"s")}}),
        ("training 3", {"minimum": 1}),
        ("training 3", {"minimum": 4}),
        ("training 3", {"offers": {"bern": digest_of(b"b")}}),
        ("training 4", {"rounds": 0}),
        ("training 4", {"round_ms": 0}),
        ("training 4", {"length": 118}),
        ("training 4", {"outputs": ("rows",)}),
        ("training 4", {"outputs": ()}),
        ("training 4", {"params": {f"p{n}": "1" for n in range(65)}}),
        ("training 4", {"codec": Codec(bits=8, limit=43, blocks=PLAN.codec.blocks)}),
    ],
)
def test_a_plan_outside_its_limits_is_denied(number, change):
    assert article(Story().say(dataclasses.replace(PLAN, **change))) == number


def test_the_widest_limit_that_cannot_wrap_is_granted():
    codec = Codec(bits=8, limit=42, blocks=PLAN.codec.blocks)  # 2 * 42 * 3 + 1 <= 2^8
    assert Story().say(dataclasses.replace(PLAN, codec=codec)) == GRANTED


def test_a_stranger_to_the_agreement_plans_nothing():
    assert article(Story().say(PLAN, "stranger")) == "training 1"


def test_only_invited_members_answer(planned):
    assert article(planned.join("stranger")) == "training 5"
    assert article(planned.decline("stranger", Reason(article="a", text="b"))) == "training 5"
    assert article(planned.say(RunCancel(plan=planned.run, reason="no"), "stranger")) == "training 7"


def test_an_answer_to_no_plan_is_denied():
    assert article(Story().say(RunJoin(plan=digest_of(b"none"), agg_key=key_of("bern")))) == "training 5"


def test_nobody_joins_twice_or_declines_after_joining(planned):
    planned.join("bern")
    assert article(planned.join("bern", key_of("fresh"))) == "training 5"
    assert article(planned.decline("bern", Reason(article="a", text="b"))) == "training 5"


def test_a_decline_needs_a_reason(planned):
    assert article(planned.decline("bern")) == "training 5"


def test_nobody_joins_once_the_agreement_ended_or_the_member_left_it(planned):
    assert article(planned.join("bern", agreements=ended)) == "training 1"
    without_bern = Mandate(parties=frozenset({MemberId("cusco")}), scope=MANDATE.scope)
    assert article(planned.join("bern", agreements=lambda _: without_bern)) == "training 1"


def test_a_mask_key_of_the_wrong_size_or_of_another_member_is_denied(planned):
    assert article(planned.join("bern", bytes(31))) == "training 6"
    planned.join("cusco")
    assert article(planned.join("bern", key_of("cusco"))) == "training 6"


@pytest.mark.parametrize("low_order", [bytes(32), b"\x01" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f")])
def test_a_mask_key_of_low_order_is_denied(planned, low_order):
    assert article(planned.join("bern", low_order)) == "training 6"


def test_a_cancelled_run_stays_cancelled(planned):
    planned.say(RunCancel(plan=planned.run, reason="no"), "bern")
    assert article(planned.join("cusco")) == "training 7"
    assert article(planned.say(RunCancel(plan=planned.run, reason="again"), "bern")) == "training 7"


def test_every_statement_survives_its_canonical_json():
    bodies = (
        PLAN,
        RunJoin(plan=digest_of(b"p"), agg_key=key_of("bern")),
        RunDecline(plan=digest_of(b"p"), reasons=(Reason(article="clause 2", text="expired"),)),
        RunPace(plan=digest_of(b"p"), step_us=1500, exchange_ms=0),
        RunFreeze(plan=digest_of(b"p"), reason="an incident"),
        RunThaw(plan=digest_of(b"p")),
        RunCancel(plan=digest_of(b"p"), reason="no"),
    )
    assert tuple(map(type, bodies)) == STATEMENTS
    for body in bodies:
        assert from_json(type(body), parse(canonical(to_json(body)))) == body


def test_statements_of_other_rooms_change_nothing_here(planned):
    class Other:
        KIND = "clock"
        ROLES = frozenset({Role.OPERATOR})

    words = dataclasses.replace(said(PLAN), body=Other())
    assert apply(planned.runs, words, NOW) is planned.runs
    assert isinstance(Digest(words.id), str)


def test_whoever_may_cancel_a_run_may_freeze_it_once_and_alone_thaws_it(planned):
    freeze, thaw = RunFreeze(plan=planned.run, reason="an incident"), RunThaw(plan=planned.run)
    assert article(planned.say(freeze, "stranger")) == "training 9"
    assert article(planned.say(thaw, "cusco")) == "training 9"
    assert planned.say(freeze, "cusco") == GRANTED
    assert article(planned.say(freeze, "cusco")) == "training 9"
    assert article(planned.say(thaw, "bern")) == "training 9"
    assert planned.say(thaw, "cusco") == GRANTED
    assert planned.say(freeze, "bern") == GRANTED
