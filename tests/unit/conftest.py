"""A run of three members whose course is known to the last figure."""

from dataclasses import replace

import pytest
from immutables import Map

from serai.aggregation.state import Stage
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.reports.course import Course, Part, RoundCourse, Status
from serai.testing.documents import run_plan
from serai.training.state import Run

MEMBERS = tuple(map(MemberId, ("bern", "lima", "oslo")))
LOSSES = {"bern": (0.9, 0.6, 0.3), "lima": (0.8, 0.6, 0.4), "oslo": (1.0, 0.6, 0.8)}
BYTES = 40


def figures(member, number):
    return {
        "micronats": round(LOSSES[member][number] * 1e6),
        "steps": 30,
        "train_ms": 600,
        "stall_ms": 200,
        "clipped_ppm": 7,
        "residual_permille": 650,
        "gain_permille": 1310,
        "rho_permille": -40,
    }


def part(member, number, **changes):
    given = {"has_uploaded": True, "is_summed": True, "has_released": True, "sent_bytes": BYTES}
    return Part(**{**given, "figures": figures(member, number), **changes})


@pytest.fixture
def course():
    """Three rounds; lima missed the second, which failed and was tried again as the third."""
    plan = run_plan(
        Digest("aa" * 32),
        {member: Digest(f"{number:064x}") for number, member in enumerate(MEMBERS)},
        "mlp",
        {"features": "2", "rounds": "2"},
        rounds=2,
        round_ms=60_000,
    )
    run = Run(
        id=Digest("ab" * 32),
        plan=replace(plan, title="Three hospitals & <one> model"),
        planner=MEMBERS[0],
        at=Instant(20, 1_790_000_000_000),
        keys=Map(dict.fromkeys(MEMBERS, b"")),
    )

    def one(number, stage, **changes):
        parts = {member: part(member, number) for member in MEMBERS}
        given = {"absent": (), "why": "", "closed_ms": 1_790_000_000_000 + number, "opened": Instant(30 + number, 0)}
        return RoundCourse(**{"number": number, "stage": stage, "parts": parts, **given, **changes})

    failed = one(1, Stage.FAILED, absent=("lima",), why="lima did not release in time")
    failed = replace(failed, parts={**failed.parts, "lima": Part()})
    return Course(
        run=run,
        status=Status.FINISHED,
        why="",
        rounds=(one(0, Stage.FINISHED), failed, one(2, Stage.FINISHED)),
        finished=2,
        model=Digest("cd" * 32),
        evaluations={
            MEMBERS[0]: {"n": 10, "correct": 9},
            MEMBERS[1]: {"n": 30, "correct": 15},
            MEMBERS[2]: {"n": 20, "correct": 20},
        },
        others={Digest("ef" * 32): {MEMBERS[1]: {"n": 30, "correct": 12}}},
        now_ms=1_790_000_001_000,
    )
