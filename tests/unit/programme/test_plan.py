"""The plan: what silence makes part of it, what owners report, and figures that nobody can type."""

from dataclasses import replace
from fractions import Fraction

import pytest

from serai.charter.statements import MemberWithdraw
from serai.errors import Malformed
from serai.kernel.ids import digest_of
from serai.kernel.records import from_json, to_json
from serai.programme.indicators import INDICATORS, Moment, measure
from serai.programme.items import Item, Kind
from serai.programme.plan import Fate, Status, items_of, reports_on, status_of
from serai.programme.plan_rules import year_of
from serai.programme.statements import (
    PLAN_STATEMENTS,
    PlanAdd,
    PlanDecide,
    PlanObject,
    PlanReport,
    PlanSnapshot,
)
from serai.state import digest_state, record_of

WINDOW_MS = 1_000
DAY_MS = 24 * 3_600_000
EVIDENCE = (digest_of(b"minutes"),)
GOAL = Item(number="1", kind=Kind.GOAL, title="Rivers")
ACTION = Item(number="1.1", kind=Kind.ACTION, title="Flood warning")


def task(log, number="1.1.1", due_ms=10 * DAY_MS, **changes):
    made = Item(number=number, kind=Kind.TASK, title="Gauges", owner="lima", due_ms=log.now_ms + due_ms)
    return replace(made, **changes)


def target(log, **changes):
    made = Item(
        number="1.2",
        kind=Kind.TARGET,
        title="Models",
        indicator="models_released",
        value=Fraction(3),
        due_ms=log.now_ms + DAY_MS,
    )
    return replace(made, **changes)


@pytest.fixture
def planned(log):
    """A log whose plan has a goal, an action, a target and a task of lima's."""
    log.do("bern", PlanAdd(items=(GOAL, ACTION, task(log), target(log))))
    log.wait()
    return log


def plan(log):
    return log.state.programme.plan


def items(log):
    return items_of(plan(log), log.now_ms)


def status(log, number="1.1.1"):
    return status_of(plan(log), items(log)[number], log.now_ms)


def report(log, member="lima", **changes):
    body = PlanReport(task="1.1.1", text="Gauges stand.", evidence=EVIDENCE, done=True)
    return log.do(member, replace(body, **changes))


def figures(log):
    return measure(Moment(record=record_of(log.state), programme=log.state.programme, at=log.state.now))


def next_year(log):
    log.wait(200 * DAY_MS)


# Items


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"number": "0"}, "expected a number"),
        ({"number": "1.1.1.1"}, "expected a number"),
        ({"number": "1.1"}, "no number of a goal"),
        ({"title": " "}, "needs a title"),
        ({"owner": "lima"}, "a task has an owner"),
        ({"co_owners": ("lima",)}, "a task has an owner"),
        ({"due_ms": 1}, "due date"),
        ({"indicator": "members", "value": Fraction(1)}, "indicator and a value"),
        ({"kind": Kind.TASK, "number": "1.1.1", "due_ms": 1}, "a task has an owner"),
        ({"kind": Kind.TASK, "number": "1.1.1", "owner": "lima"}, "due date"),
        ({"kind": Kind.TARGET, "number": "1.1", "due_ms": 1, "indicator": "members"}, "indicator and a value"),
    ],
)
def test_an_item_that_stands_nowhere_or_says_half_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(GOAL, **changes)


def test_a_statement_with_such_an_item_cannot_be_read():
    value = to_json(PlanAdd(items=(GOAL,)))
    value["items"][0]["number"] = "one"
    with pytest.raises(Malformed, match="expected a number"):
        from_json(PlanAdd, value)


# Putting items on the table


def test_silence_makes_items_part_of_the_plan_in_the_order_of_numbers(log):
    tenth = replace(ACTION, number="1.10", title="Tenth")
    log.do("bern", PlanAdd(items=(tenth, GOAL, ACTION, task(log))))
    assert items(log) == {}
    log.wait(WINDOW_MS - 1)
    assert items(log) == {}
    log.wait(1)
    assert list(items(log)) == ["1", "1.1", "1.1.1", "1.10"]


def test_an_objection_keeps_items_out_until_a_decision_that_names_them(log):
    draft = log.do("bern", PlanAdd(items=(GOAL,)))
    log.do("suva", PlanObject(subject=draft, reason="We have no rivers."))
    log.wait()
    assert items(log) == {}
    assert plan(log).submissions[draft].fate(log.now_ms) is Fate.OBJECTED
    vague = log.adopt("Let us have rivers.")
    assert log.refuse("bern", PlanDecide(subject=draft, proposal=vague)).article == "plan 7"
    decided = log.adopt(f"The plan takes {draft}.")
    log.do("bern", PlanDecide(subject=draft, proposal=decided))
    assert list(items(log)) == ["1"]
    assert log.refuse("bern", PlanDecide(subject=draft, proposal=decided)).article == "plan 7"


def test_only_an_objection_calls_for_a_decision(log):
    draft = log.do("bern", PlanAdd(items=(GOAL,)))
    decided = log.adopt(f"The plan takes {draft}.")
    assert "nobody has objected" in log.refuse("bern", PlanDecide(subject=draft, proposal=decided)).reason


@pytest.mark.parametrize(
    ("draft", "article", "said"),
    [
        (lambda _: (), "plan 2", "expected 1 to 200 items"),
        (lambda _: (GOAL, GOAL), "plan 2", "own number"),
        (lambda _: (ACTION,), "plan 2", "stands under 1"),
        (lambda log: (GOAL, target(log), task(log, number="1.2.1")), "plan 2", "which is a target"),
        (lambda _: (replace(GOAL, dropped=True),), "plan 2", "cannot be dropped"),
        (lambda log: (GOAL, ACTION, task(log, owner="rome")), "plan 4", "rome"),
        (lambda log: (GOAL, ACTION, task(log, co_owners=("rome",))), "plan 4", "rome"),
        (lambda log: (GOAL, target(log, indicator="wealth")), "plan 4", "'wealth'"),
        (lambda log: (GOAL, ACTION, task(log, due_ms=0)), "plan 4", "past"),
    ],
)
def test_a_draft_that_cannot_stand_is_denied(log, draft, article, said):
    denied = log.refuse("bern", PlanAdd(items=draft(log)))
    assert denied.article == article
    assert said in denied.reason


def test_a_number_on_the_table_waits_for_its_window(log):
    log.do("bern", PlanAdd(items=(GOAL,)))
    assert log.refuse("lima", PlanAdd(items=(GOAL,), reason="mine")).article == "plan 3"
    log.wait()
    log.do("lima", PlanAdd(items=(replace(GOAL, title="Lakes"),), reason="wider"))
    assert items(log)["1"].title == "Rivers"
    log.wait()
    assert items(log)["1"].title == "Lakes"


def test_a_change_takes_a_reason_and_keeps_the_kind(planned):
    moved = task(planned, due_ms=20 * DAY_MS)
    assert "say why" in planned.refuse("bern", PlanAdd(items=(moved,))).reason
    action = replace(ACTION, number="1.2")
    assert "is a target and stays one" in planned.refuse("bern", PlanAdd(items=(action,), reason="x")).reason


def test_an_item_that_leaves_takes_all_below_it_along_and_its_number_too(planned):
    planned.do("bern", PlanAdd(items=(replace(ACTION, dropped=True),), reason="no money"))
    planned.wait()
    assert list(items(planned)) == ["1", "1.2"]
    assert "was dropped" in planned.refuse("bern", PlanAdd(items=(ACTION,), reason="again")).reason


def test_a_late_task_may_change_without_a_new_date_but_not_get_a_past_one(planned):
    planned.wait(11 * DAY_MS)
    late = items(planned)["1.1.1"]
    assert status(planned) is Status.LATE
    other = replace(late, due_ms=late.due_ms + DAY_MS // 2)
    assert planned.refuse("bern", PlanAdd(items=(other,), reason="x")).article == "plan 4"
    planned.do("bern", PlanAdd(items=(replace(late, co_owners=("oslo",)),), reason="help"))
    planned.wait()
    assert items(planned)["1.1.1"].owners == {"lima", "oslo"}


def test_it_takes_a_member_in_good_standing_and_a_log_with_a_time(log):
    log.do("suva", MemberWithdraw())
    verdict, _ = log.say("suva", PlanAdd(items=(GOAL,)))
    assert verdict.article == "charter, membership"
    log.state = replace(log.state, time_ms=0)
    assert log.refuse("bern", PlanAdd(items=(GOAL,))).article == "plan 1"


# Reports


def test_a_task_goes_from_planned_to_late_to_reported_to_done(planned):
    assert status(planned) is Status.PLANNED
    planned.wait(10 * DAY_MS)
    assert status(planned) is Status.LATE
    report(planned)
    assert status(planned) is Status.REPORTED
    planned.wait()
    assert status(planned) is Status.DONE
    assert "is done" in planned.refuse("lima", PlanReport(task="1.1.1", text="more")).reason
    change = replace(items(planned)["1.1.1"], title="Other")
    assert "is done" in planned.refuse("bern", PlanAdd(items=(change,), reason="x")).reason


def test_a_report_on_the_way_accepts_nothing(planned):
    report(planned, done=False, evidence=())
    planned.wait()
    assert status(planned) is Status.PLANNED


def test_a_report_that_is_objected_to_waits_for_a_better_one(planned):
    report(planned)
    first = reports_on(plan(planned), "1.1.1")[0]
    planned.do("bern", PlanObject(subject=first.id, reason="Two are missing."))
    assert status(planned) is Status.OBJECTED
    report(planned)
    assert status(planned) is Status.REPORTED
    planned.wait()
    assert status(planned) is Status.DONE


@pytest.mark.parametrize(
    ("member", "changes", "said"),
    [
        ("bern", {}, "lima answer for task 1.1.1, not bern"),
        ("lima", {"task": "1.1"}, "no task '1.1'"),
        ("lima", {"task": "9.9.9"}, "no task"),
        ("lima", {"text": " "}, "a report has a text"),
        ("lima", {"evidence": ()}, "takes evidence"),
        ("lima", {"evidence": EVIDENCE * 65}, "at most 64"),
    ],
)
def test_a_report_of_nobody_s_or_on_nothing_is_denied(planned, member, changes, said):
    body = PlanReport(task="1.1.1", text="Gauges stand.", evidence=EVIDENCE, done=True)
    denied = planned.refuse(member, replace(body, **changes))
    assert denied.article == "plan 5"
    assert said in denied.reason


def test_one_report_is_on_the_table_at_a_time(planned):
    report(planned)
    body = PlanReport(task="1.1.1", text="Again.", evidence=EVIDENCE)
    assert "on the table already" in planned.refuse("lima", body).reason


def test_an_objection_has_a_reason_a_subject_and_its_time(log):
    draft = log.do("bern", PlanAdd(items=(GOAL,)))
    assert log.refuse("suva", PlanObject(subject=digest_of(b"x"), reason="y")).article == "plan 6"
    assert "reason" in log.refuse("suva", PlanObject(subject=draft, reason=" ")).reason
    log.do("suva", PlanObject(subject=draft, reason="No."))
    assert "already" in log.refuse("suva", PlanObject(subject=draft, reason="No!")).reason
    log.wait()
    assert "closed" in log.refuse("lima", PlanObject(subject=draft, reason="No.")).reason


# Figures of a year


def test_a_year_s_figures_are_those_of_the_log_and_stay(planned):
    next_year(planned)
    values = figures(planned)
    assert (values["members"], values["tasks_late"], values["runs_planned"]) == (4, 1, 0)
    snapshot = planned.do("oslo", PlanSnapshot(year=2026, values=values))
    assert plan(planned).snapshots[2026].id == snapshot
    planned.do("suva", MemberWithdraw())
    assert figures(planned)["members"] == 3
    assert plan(planned).snapshots[2026].values["members"] == 4
    assert planned.refuse("oslo", PlanSnapshot(year=2026, values=figures(planned))).article == "plan 8"
    assert planned.refuse("oslo", PlanSnapshot(year=2025, values=figures(planned))).article == "plan 8"


@pytest.mark.parametrize("name", list(INDICATORS))
def test_no_figure_can_be_typed(planned, name):
    next_year(planned)
    values = figures(planned)
    wrong = {**values, name: values[name] + Fraction(1, 2)}
    denied = planned.refuse("oslo", PlanSnapshot(year=2026, values=wrong))
    assert denied.article == "plan 9"
    assert denied.reason.startswith(f"{name} is ")


def test_a_snapshot_has_every_indicator_and_no_other(planned):
    next_year(planned)
    values = figures(planned)
    assert planned.refuse("oslo", PlanSnapshot(year=2026, values={**values, "wealth": Fraction(1)})).article == "plan 9"
    del values["members"]
    assert planned.refuse("oslo", PlanSnapshot(year=2026, values=values)).article == "plan 9"


@pytest.mark.parametrize("year", [2026, 2027, 1969, -1])
def test_a_year_that_is_not_over_or_was_before_time_has_no_figures(planned, year):
    assert planned.refuse("oslo", PlanSnapshot(year=year, values=figures(planned))).article == "plan 8"


def test_years_are_those_of_utc_and_end_where_dates_do():
    assert year_of(1_798_761_599_999) == 2026
    assert year_of(1_798_761_600_000) == 2027
    assert year_of(2**60) == 9999


def test_an_indicator_says_what_it_counts():
    assert all(indicator.definition for indicator in INDICATORS.values())


def test_the_same_words_give_the_same_state_in_every_replay(make_log):
    def told():
        log = make_log()
        draft = log.do("bern", PlanAdd(items=(GOAL, ACTION, task(log))))
        log.do("suva", PlanObject(subject=draft, reason="No."))
        return digest_state(log.state)

    assert told() == told()


def test_every_statement_of_the_plan_was_said_here():
    assert [body.KIND for body in PLAN_STATEMENTS] == [
        "plan.add",
        "plan.report",
        "plan.object",
        "plan.decide",
        "plan.snapshot",
    ]
