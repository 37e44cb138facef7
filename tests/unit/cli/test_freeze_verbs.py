"""``serai zone freeze, thaw, frozen``: what is frozen is recorded with who and when, and a slip freezes nothing in silence."""

import json

import pytest
from click.testing import CliRunner

from serai.cli.main import main
from serai.zones.freezes import Freeze, Frozen

SETTINGS = """\
member = "bern"
jurisdiction = "CH"

[datasets.hearts]
title = "Hearts"
path = "hearts.csv"
label = { column = "sick", above = 0 }
features = [{ name = "age", column = "age", kind = "number" }]
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "zone.toml").write_text(SETTINGS)
    (tmp_path / "hearts.csv").write_text("age,sick\n50,1\n60,0\n")
    return tmp_path


def zone(home, *arguments, status=0):
    done = CliRunner().invoke(main, ["zone", *arguments], env={"SERAI_HOME": str(home)}, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.stdout if status == 0 else done.stderr


def listed(home, *options):
    return json.loads(zone(home, "frozen", *options, "--json"))


@pytest.mark.parametrize(
    ("option", "name"),
    [("--run", "0b1f63c4"), ("--agreement", "ab" * 32), ("--member", "oslo"), ("--dataset", "hearts")],
)
def test_a_thing_is_frozen_and_thawed_and_the_record_stays(home, option, name):
    zone(home, "freeze", option, name, "--reason", "an incident")
    (held,) = listed(home)
    assert (held["what"], held["name"], held["reason"]) == (option[2:], name, "an incident")
    assert held["by"]
    assert held["since_ms"] > 0
    assert len(held["digest"]) == (64 if option == "--dataset" else 0)
    zone(home, "thaw", option, name)
    assert listed(home) == []
    (past,) = listed(home, "--all")
    assert past["thawed_ms"] >= past["since_ms"]
    assert past["thawed_by"]
    assert "an incident" in zone(home, "frozen", "--all")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("freeze", "--reason", "x"), "name one thing"),
        (("freeze", "--run", "abcd", "--member", "oslo", "--reason", "x"), "name one thing"),
        (("freeze", "--run", "abc", "--reason", "x"), "expected 4 or more characters of the id of a run"),
        (("freeze", "--agreement", "hearts", "--reason", "x"), "expected 4 or more characters"),
        (("freeze", "--dataset", "lungs", "--reason", "x"), "lungs"),
        (("thaw", "--run", "abcd"), "is not frozen by that name"),
    ],
)
def test_a_slip_is_told_and_freezes_nothing(home, arguments, says):
    assert says in zone(home, *arguments, status=1)
    assert listed(home) == []


def test_explain_tells_what_holds_a_run_here_and_nowhere_else(desk):
    bloc = desk.bloc
    run = bloc.train(bloc.agree(), "newton", 1, {"features": "1"})
    freezes = bloc.members["bern"].zone.journal.freezes
    freezes.add(Freeze(id=0, what=Frozen.RUN, name=run[:12], digest="", reason="an incident", by="anna", since_ms=1))
    assert f"guard 17: this zone has frozen run {run[:12]}: an incident" in desk.told("bern", "explain", run[:12])
    assert "guard 17" not in desk.told("lima", "explain", run[:12])
    bloc.settle()
    assert "declined by bern" in desk.told("lima", "explain", run[:12])


def test_a_run_is_frozen_for_all_and_thawed_by_whom_it_was_frozen(desk):
    bloc = desk.bloc
    run = bloc.train(bloc.agree(), "newton", 1, {"features": "1"})
    told = desk.json("lima", "zone", "freeze", "--run", run[:12], "--for-all", "--reason", "an incident")
    assert told["held_by"] == ["lima"]
    assert "an incident" in desk.told("oslo", "explain", run[:12])
    assert "lima freezes run" in desk.told("oslo", "log")
    assert "does not hold run" in desk.refused("oslo", "zone", "thaw", "--run", run[:12], "--for-all")
    assert "leave --for-all out" in desk.refused("oslo", "zone", "thaw", "--member", "lima", "--for-all")
    assert "Nobody holds run" in desk.told("lima", "zone", "thaw", "--run", run[:12], "--for-all")
