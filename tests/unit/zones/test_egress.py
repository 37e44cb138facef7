from dataclasses import replace

import pytest

from serai.charter.agreements import Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.zones.egress import STEPS, Egress, Measured, judge_egress
from serai.zones.facts import JobFacts
from serai.zones.policy import Policy

DECLARED = JobFacts(
    action="train",
    purpose="health",
    code=Digest("c0" * 32),
    rows=303,
    cohort=303,
    outputs=("model", "metrics"),
    participants=frozenset({MemberId("bern")}),
    minimum=1,
    recipients=("bern",),
    approvals=0,
    jurisdiction="CH",
    secure_sum=True,
)
POLICY = Policy(
    source="offer 0f0f0f0f0f0f",
    terms=(
        Term(name="min_cohort", value=50, clause="1"),
        Term(name="outputs", value=("model",), clause="2"),
        Term(name="expires_ms", value=9_000, clause="3"),
    ),
)
GOOD = Egress(
    at=Instant(60, 8_000),
    declared=DECLARED,
    declared_length=15,
    measured=Measured(output="model", rows=303, length=15, secure_sum=True),
    policies=(POLICY,),
    kill_switch=None,
)


def measured(**changes):
    return replace(GOOD, measured=replace(GOOD.measured, **changes))


def test_what_was_declared_and_admitted_leaves():
    assert judge_egress(GOOD).allowed


CASES = [
    ("declared output", measured(output="aggregate"), "declared model, metrics as output and made aggregate"),
    ("declared output", measured(rows=304), "declared 303 rows and read 304"),
    ("declared output", measured(secure_sum=False), "in the clear"),
    ("length", measured(length=16), "agreed on 15 values, got 16"),
    ("length", measured(length=14), "agreed on 15 values, got 14"),
    ("policy", measured(rows=49), "min_cohort: needs at least 50"),
    ("policy", measured(rows=None), "missing fact"),
    ("policy", measured(output="metrics"), "outputs: allows model"),
    ("policy", replace(GOOD, at=Instant(60, 9_000)), "ended at 9000"),
    ("kill switch", replace(GOOD, kill_switch="incident"), "incident"),
]


@pytest.mark.parametrize(("step", "egress", "says"), CASES)
def test_an_output_that_is_not_what_was_admitted_stays(step, egress, says):
    decision = judge_egress(egress)
    assert not decision.allowed
    assert step in {name for name, _ in decision.denials}
    assert says in " | ".join(denied.reason for _, denied in decision.denials)


def test_subjects_are_those_behind_the_output_and_not_those_declared():
    few = replace(POLICY, terms=(Term(name="min_subjects", value=40, clause="4"),))
    declared = replace(DECLARED, subjects=60)
    for subjects, is_allowed in ((40, True), (39, False), (None, False)):
        made = replace(GOOD.measured, subjects=subjects)
        egress = replace(GOOD, policies=(few,), declared=declared, measured=made)
        assert judge_egress(egress).allowed is is_allowed


def test_a_job_that_declared_no_output_lets_nothing_out():
    egress = replace(GOOD, declared=replace(DECLARED, outputs=None))
    assert judge_egress(egress).denials[0][0] == "declared output"


def test_every_step_of_the_gate_has_a_case():
    assert {step for step, _, _ in CASES} == {name for name, _ in STEPS}
