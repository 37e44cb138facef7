"""A run on the screen and as facts: who is missing, what failed, and nothing twice."""

import re
from dataclasses import replace

import pytest
from rich.console import Console

from serai.aggregation.state import Stage
from serai.cli.watching import SPARK_ROUNDS, facts_of, screen, sparkline
from serai.reports.course import Status


def shown(course, **options):
    console = Console(width=200, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(screen(course, **options))
    return capture.get()


def running(course, stage, absent):
    last = replace(course.rounds[-1], stage=stage, absent=absent)
    return replace(
        course, status=Status.RUNNING, finished=1, model=None, evaluations={}, rounds=(*course.rounds[:-1], last)
    )


@pytest.mark.parametrize(
    ("stage", "absent", "said"),
    [
        (Stage.OPEN, ("lima", "oslo"), "round 2 waits for uploads of lima, oslo"),
        (Stage.CLOSED, ("lima",), "round 2 waits for releases of lima"),
        (Stage.RELEASED, (), "round 2 has all results"),
        (Stage.FINISHED, (), "round 2 finished"),
    ],
)
def test_the_first_line_says_whom_the_round_waits_for(course, stage, absent, said):
    line = shown(running(course, stage, absent)).splitlines()[0]
    assert line.startswith("Three hospitals & <one> model (abababababab), running: 1 of 2 rounds finished")
    assert line.endswith(said)


def test_each_member_has_a_row_with_its_curve_and_its_gap(course):
    text = shown(course)
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith(("bern", "lima", "oslo"))}
    assert list(rows) == ["bern", "lima", "oslo"]
    assert re.search("█.▁", rows["bern"])
    assert "+0.300" in rows["oslo"]
    assert "effective step 1.31; rho -0.04; 1 round failed, the last because lima did not release in time" in text


def test_a_run_without_figures_shows_bytes_and_no_empty_columns(course):
    plain = tuple(
        replace(this, parts={member: replace(part, figures={}) for member, part in this.parts.items()})
        for this in course.rounds
    )
    text = shown(replace(course, rounds=plain))
    assert "120 B" in text
    assert "loss" not in text
    assert "residual" not in text


def test_objections_to_the_last_sum_are_named(course):
    last = course.rounds[-1]
    parts = {**last.parts, "oslo": replace(last.parts["oslo"], objects=True)}
    assert "oslo object to the last sum" in shown(
        replace(course, rounds=(*course.rounds[:-1], replace(last, parts=parts)))
    )


def test_words_of_members_do_not_move_the_cursor(course):
    text = shown(replace(course, why="\x1b[2Jgone\r\x9b1A"))
    assert "\N{REPLACEMENT CHARACTER}[2Jgone\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}1A" in text
    assert "\x1b" not in text


def test_a_center_that_does_not_answer_is_said(course):
    assert "does not answer" in shown(course, answers=False)
    assert "does not answer" not in shown(course)


def test_facts_come_round_by_round_and_end_with_the_end(course):
    facts = list(facts_of(course))
    kinds = [fact["fact"] for fact in facts]
    assert kinds == [
        *("upload", "upload", "upload", "round"),
        *("upload", "upload", "round"),
        *("upload", "upload", "upload", "round"),
        *("evaluation",) * 4,
        "end",
    ]
    assert all(fact["run"] == course.run.id for fact in facts)
    assert facts[0]["figures"]["micronats"] == 900_000
    assert facts[6]["why"] == "lima did not release in time"
    assert facts[-1] == {
        "fact": "end",
        "run": course.run.id,
        "status": "finished",
        "finished": 2,
        "model": course.model,
        "why": "",
    }


def test_a_later_course_says_the_earlier_facts_in_the_same_words(course):
    earlier = list(facts_of(running(replace(course, others={}), Stage.OPEN, ("lima",))))
    later = list(facts_of(course))
    assert [fact for fact in earlier if fact not in later] == []
    assert "end" not in {fact["fact"] for fact in earlier}


def test_a_sparkline_goes_from_the_lowest_to_the_highest_of_its_last_rounds():
    assert sparkline({0: 1.0, 1: 2.0, 2: 1.5}) == "▁█▅"
    assert sparkline({0: 1.0}) == ""
    assert sparkline({0: 1.0, 1: 1.0}) == "▁▁"
    assert len(sparkline({number: float(number) for number in range(100)})) == SPARK_ROUNDS


def test_a_run_that_nobody_has_joined_yet_can_be_watched(course):
    planned = replace(
        course, run=replace(course.run, keys=course.run.keys.__class__()), rounds=(), status=Status.PLANNED, model=None
    )
    assert "0 of 3 members joined" in shown(planned)
