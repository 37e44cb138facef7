"""``serai stats``: a question is a run; its answer is shown, written to files, and read again without a new run."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from serai.charter.agreements import Term
from serai.client.joint_data import JointData
from serai.kernel.keys import Role
from serai.testing.federation import Terms
from serai.zones.statements import Grant, OfferWithdraw

BOUNDS = ("--bounds", "x0=0:10", "--bounds", "label=0:1")
PURPOSE = Term(name="purpose", value=("research",), clause="1")
X0 = [float(n) for n in range(8)] * 3


@pytest.fixture
def agreement(desk):
    return desk.bloc.agree(Terms(agreement=(PURPOSE,)))


def asked(desk, *arguments):
    """A question put, worked on, and put again."""
    waiting = desk.refused("bern", *arguments, "--wait", "0")
    desk.bloc.settle()
    return waiting, desk.told("bern", *arguments)


def test_the_columns_that_all_offer_are_listed(desk, agreement):
    rows = desk.json("lima", "stats", "columns", "--agreement", agreement)
    assert [(row["column"], row["kind"]) for row in rows] == [("x0", "number"), ("label", "number")]


def test_an_answer_comes_once_the_zones_have_worked_and_then_again_without_a_run(desk, agreement):
    question = ("stats", "describe", "x0", "--agreement", agreement, *BOUNDS)
    waiting, answer = asked(desk, *question)
    assert "is not over after 0 s" in waiting
    assert "bern, lima, oslo did not answer" in waiting
    assert "Rows of 3 members: bern, lima, oslo." in answer
    value = desk.json("oslo", *question)
    assert value["is_repeated"]
    (numbers,) = value["tables"]["numbers"]
    assert numbers["n"] == len(X0)
    assert numbers["mean"] == pytest.approx(np.mean(X0), rel=1e-9)
    assert numbers["deviation"] == pytest.approx(np.std(X0, ddof=1), rel=1e-9)
    assert len(desk.state.runs.plans) == 1


def test_another_question_is_another_run_and_so_is_the_same_one_asked_anew(desk, agreement):
    question = ("stats", "describe", "x0", "--agreement", agreement, *BOUNDS)
    asked(desk, *question)
    asked(desk, *question, "--bins", "4")
    desk.refused("bern", *question, "--anew", "--wait", "0")
    assert len(desk.state.runs.plans) == 3


def test_an_answer_is_written_as_a_page_a_picture_and_tables(desk, agreement, tmp_path):
    survival = ("stats", "survival", "x0", "label", "--agreement", agreement, "--until", "8")
    files = ("--html", tmp_path / "a.html", "--svg", tmp_path / "a.svg", "--csv", tmp_path / "tables")
    asked(desk, *survival)
    desk.told("bern", *survival, *files)
    page, picture = (tmp_path / "a.html").read_text(), (tmp_path / "a.svg").read_text()
    assert "each kept at home" in page
    assert "serai audit" in page
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "var(--s0)" in picture
    with (tmp_path / "tables" / "survival.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Of eight times in each zone, those at 0, 2, 4 and 6 are events.
    assert float(rows[0]["survival"]) == pytest.approx(7 / 8)
    assert float(rows[-1]["survival"]) == pytest.approx(7 / 8 * 5 / 6 * 3 / 4 * 1 / 2)


def test_too_few_members_left_say_why(desk):
    least = Term(name="min_cohort", value=50, clause="1")
    agreement = desk.bloc.agree(Terms(agreement=(PURPOSE, least)))
    question = ("stats", "describe", "x0", "--agreement", agreement, *BOUNDS)
    waiting = desk.refused("bern", *question, "--wait", "0")
    desk.bloc.settle()
    (run,) = desk.state.runs.plans.values()
    assert sorted(run.declines) == ["bern", "lima", "oslo"]
    again = desk.refused(
        "bern", *question, "--wait", "0"
    )  # a run that nobody joins answers nothing: a new one is planned
    assert len(desk.state.runs.plans) == 2
    assert "not over" in waiting
    assert "not over" in again


def test_a_column_without_bounds_has_to_be_given_some(desk, agreement):
    assert "--bounds x0=LOW:HIGH" in desk.refused("bern", "stats", "describe", "x0", "--agreement", agreement)
    assert "COLUMN=LOW:HIGH" in desk.refused(
        "bern", "stats", "describe", "x0", "--agreement", agreement, "--bounds", "x0"
    )


def test_python_asks_as_pandas_does(desk, agreement):
    data = JointData.open(desk.bloc.folder / "bern", agreement).with_(bounds={"x0": "0:10", "label": "0:1"})
    asked(desk, "stats", "describe", "x0", "--agreement", agreement, *BOUNDS)
    assert data["x0"].count() == len(X0)
    assert data["x0"].mean() == pytest.approx(np.mean(X0), rel=1e-9)
    assert data["x0"].std() == pytest.approx(np.std(X0, ddof=1), rel=1e-9)
    table = data.describe("x0")
    assert "<table>" in table._repr_html_()
    assert "mean" in str(table)
    assert json.loads(json.dumps(table.to_json()))["tables"]["numbers"][0]["n"] == len(X0)


@pytest.mark.parametrize(("least", "declined"), [("3", ["bern", "lima", "oslo"]), ("4", [])])
def test_a_question_by_smaller_groups_than_a_term_allows_is_declined(desk, least, declined):
    agreement = desk.bloc.agree(Terms(agreement=(PURPOSE, Term(name="min_cohort", value=4, clause="1"))))
    by_label = {"bounds": "x0=0:10", "levels": "label=no|yes", "by": "label", "least": least}
    run = desk.bloc.train(agreement, "describe", 1, by_label)
    desk.bloc.settle()
    declines = desk.state.runs.plans[run].declines
    assert sorted(declines) == declined
    assert all("4 rows of each group, the job asks for 3" in reasons[0].text for reasons in declines.values())


def test_a_foreign_description_moves_no_cursor(desk):
    agreement = desk.bloc.agree(Terms(agreement=(PURPOSE,)))
    offers = {grant.member: grant.body.offer for grant in desk.state.zones.grants.values()}
    body = desk.state.zones.offers[offers["lima"]].body
    bent = replace(body, columns=(replace(body.columns[0], name="x\x1b[2J", description="\x1b[31mred"),))
    desk.bloc.say("lima", OfferWithdraw(offer=offers["lima"]), Role.STEWARD)
    offer = desk.bloc.say("lima", bent, Role.STEWARD)
    desk.bloc.say("lima", Grant(offer=offer, agreement=agreement, terms=()), Role.STEWARD)
    assert "\x1b" not in desk.told("bern", "stats", "columns", "--agreement", agreement, "--offer", offer)
    assert "\x1b" not in desk.refused(
        "bern", "stats", "describe", "nothing", "--agreement", agreement, "--offer", offer
    )
