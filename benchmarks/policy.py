"""How many policy decisions one core takes in a second: four sources, sixteen terms, every reason given.

Usage: python benchmarks/policy.py [--jobs 200000] [--results]

The effective policy of a run in a zone, as a steward might keep it: an agreement,
an offer, the zone's own policy and a legal profile with its day and its end. It
is merged and read once; then jobs are judged whose facts differ from one to the
next. Half of them are permitted, and the others are refused for one to five
reasons, each with its clause. Time is that of the process, so that other work
on the machine does not count; the median of five passes.

The other figure merges the policy anew for each job, as a zone does for the few
that it is asked.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from serai.charter.agreements import Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.zones.facts import JobFacts, PrivacyCost, Transfer, Unit
from serai.zones.policy import Policy, compile_policies, judge_policies

PROMISED_PER_S = 100_000
PASSES = 5
MEMBERS = frozenset(map(MemberId, ("almaty", "bern", "cusco", "delhi")))
CODE = Digest("c0" * 32)
NOW = Instant(9_000, 1_790_000_000_000)
DAY_MS = 86_400_000


def terms(*rows: tuple[str, str | int | tuple[str, ...]]) -> tuple[Term, ...]:
    """Terms, each under a clause of its own."""
    return tuple(
        Term(name=name, value=value, clause=f"{number}: {name}") for number, (name, value) in enumerate(rows, 1)
    )


POLICIES = (
    Policy(
        source="agreement a9a9a9a9a9a9",
        terms=terms(
            ("purpose", ("health.heart", "health.lung")),
            ("recipients", ("parties",)),
            ("min_participants", 3),
            ("secure_sum", "required"),
            ("expires_ms", NOW.time_ms + 900 * DAY_MS),
        ),
    ),
    Policy(
        source="offer 0f0f0f0f0f0f",
        terms=terms(
            ("outputs", ("aggregate", "model")),
            ("min_cohort", 50),
            ("min_subjects", 40),
            ("dp", ("record", "3", "1e-5")),
            ("code", ("ab" * 32, CODE)),
        ),
    ),
    Policy(source="zone policy", terms=terms(("hours", "00-24"), ("compute_cap_s", 7_200))),
    Policy(
        source="legal profile",
        terms=terms(
            ("residency", ("CH",)),
            ("transfer_basis", ("treaty-7", "clauses-2021")),
            ("retention_days", 90),
            ("expires_ms", NOW.time_ms + 300 * DAY_MS),
        ),
    ),
)
GOOD = JobFacts(
    action="train",
    purpose="health.heart.failure",
    code=CODE,
    rows=303,
    cohort=303,
    outputs=("model",),
    participants=MEMBERS,
    minimum=3,
    recipients=tuple(sorted(MEMBERS)),
    approvals=1,
    jurisdiction="CH",
    secure_sum=True,
    parties=MEMBERS,
    recipient_jurisdictions=("CH", "KZ", "PE"),
    transfers=(Transfer("KZ", ("treaty-7",)), Transfer("PE", ("clauses-2021",))),
    retention_days=90,
    uses=2,
    privacy=PrivacyCost(unit=Unit.RECORD, epsilon_millionths=900_000, delta_trillionths=1_000_000),
    subjects=290,
    worked_s=120,
)
BENT: tuple[tuple[str, object], ...] = (
    ("purpose", "marketing"),
    ("rows", 12),
    ("outputs", ("metrics", "model")),
    ("retention_days", None),
    ("transfers", (Transfer("KZ", ()),)),
)


def jobs(count: int) -> list[JobFacts]:
    """Facts of so many jobs, no two of them the same: every second one is permitted."""
    made = []
    for number in range(count):
        wrong = dict(BENT[: 1 + number // 2 % len(BENT)]) if number % 2 else {}
        facts = replace(GOOD, approvals=number)
        made.append(replace(facts, **wrong))  # type: ignore[arg-type]  # by field
    return made


def per_second(judge: Callable[[JobFacts], Iterable[object]], facts: list[JobFacts]) -> float:
    """Jobs judged in a second of this process's own time, the median of five passes."""
    rates = []
    for _ in range(PASSES):
        began_s = time.process_time()
        for job in facts:
            judge(job)
        rates.append(len(facts) / (time.process_time() - began_s))
    return statistics.median(rates)


def main() -> None:
    """Judge, and print what it took."""
    options = argparse.ArgumentParser(description="How many policy decisions one core takes in a second.")
    options.add_argument("--jobs", type=int, default=200_000)
    options.add_argument("--results", action="store_true", help="print results as JSON lines")
    given = options.parse_args()

    facts = jobs(given.jobs)
    compiled = compile_policies(POLICIES)
    refused = [len(compiled.judge(job, NOW)) for job in facts]
    assert refused[::2] == [0] * len(refused[::2]), "every second job is permitted"
    assert min(refused[1::2]) >= 1, "the others are not"
    count = sum(len(policy.terms) for policy in POLICIES)
    print(f"{count} terms of {len(POLICIES)} sources, {sum(map(bool, refused))} of {len(facts)} jobs refused")

    fast = per_second(lambda job: compiled.judge(job, NOW), facts)
    anew = per_second(lambda job: judge_policies(POLICIES, job, NOW), facts[: max(2, len(facts) // 40)])
    print(f"{fast:,.0f} decisions a second, {anew:,.0f} where the policy is merged anew for each")
    if given.results:
        shared = {"issue": 5, "unit": "decisions/s", "peer": "", "limit": ""}
        print(
            json.dumps(
                {
                    **shared,
                    "name": f"policy decisions on one core, {count} terms of {len(POLICIES)} sources",
                    "value": round(fast),
                    "bar": f">= {PROMISED_PER_S}",
                    "holds": fast >= PROMISED_PER_S,
                }
            )
        )
        merged = "policy decisions on one core, merged anew for each job"
        print(json.dumps({**shared, "name": merged, "value": round(anew), "bar": "", "holds": None}))


if __name__ == "__main__":
    main()
