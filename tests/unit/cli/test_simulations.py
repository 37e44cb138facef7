"""``serai charter simulate``: imagined votes from options and files, and what is wrong with them."""

import json

import pytest
from click.testing import CliRunner

from serai.charter.decision import Choice
from serai.charter.presets import PRESETS
from serai.charter.statements import Ballot, ProposalOpen
from serai.cli.main import main

VOTES = """
members = ["bern", "lima", "oslo", "suva"]

[weights.votes]
bern = 60
lima = 30
oslo = 10

[[questions]]
topic = "agreement"
title = "May we train together?"
[questions.ballots]
bern = "yes"
lima = "yes"
oslo = "object"
"""
ARTICLES = """
[articles.agreement]
mode = "vote"
window_ms = 1
criteria = [{ share = [9, 10], strict = false, base = "eligible" }]
"""


def simulate(*arguments):
    return CliRunner().invoke(main, ["charter", "simulate", *map(str, arguments)], catch_exceptions=False)


def results(done):
    assert done.exit_code == 0, done.output
    return {row["rules"]: (row["result"], row["article"]) for row in json.loads(done.stdout)}


def test_every_preset_is_tried_where_no_rules_are_named():
    done = simulate("--ballot", "bern=yes", "--ballot", "lima=yes", "--silent", "oslo", "--json")
    found = results(done)
    assert list(found) == list(PRESETS)
    assert found["consensus"] == ("adopted", "consensus")
    assert found["eurohpc"] == ("open", "not decidable")


def test_a_file_brings_members_weights_and_ballots(tmp_path):
    (tmp_path / "votes.toml").write_text(VOTES)
    found = results(simulate("--votes", tmp_path / "votes.toml", "--rules", "eurohpc", "--rules", "cern", "--json"))
    assert found == {"eurohpc": ("adopted", "criteria"), "cern": ("rejected", "criterion 1")}


def test_articles_of_ones_own_are_tried_from_a_file(tmp_path):
    (tmp_path / "strict.toml").write_text(ARTICLES)
    found = results(simulate("--ballot", "bern=yes", "--silent", "lima", "--rules", tmp_path / "strict.toml", "--json"))
    assert found == {"strict": ("rejected", "criterion 1")}


def test_people_read_a_table_that_names_the_question_once():
    done = simulate("--ballot", "bern=yes", "--rules", "consensus", "--rules", "consortium", "--topic", "project")
    assert done.exit_code == 0
    assert done.stdout.count("project ") == 2  # as title and as topic, of the first line only
    assert "adopted by consensus: 1 yes" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "whose votes?"),
        (("--ballot", "bern=maybe"), "expected MEMBER=CHOICE"),
        (("--ballot", "bern"), "expected MEMBER=CHOICE"),
        (("--ballot", "bern=yes", "--rules", "nato"), "no preset and no file is called 'nato'"),
        (("--votes", "/nowhere/votes.toml"), "there is no file"),
        (("--ballot", "bern=yes", "--weight", "votes=3"), "expected TABLE:MEMBER=N"),
    ],
)
def test_what_is_wrong_is_said(arguments, said):
    done = simulate(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("members = [", "not valid TOML"),
        ('members = ["bern"]\n', "questions is required"),
        (VOTES.replace('"suva"', '"sana"').replace('oslo = "object"', 'suva = "yes"'), "suva is not among the members"),
    ],
)
def test_a_file_of_another_form_is_named(tmp_path, text, said):
    (tmp_path / "votes.toml").write_text(text)
    done = simulate("--votes", tmp_path / "votes.toml")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "_Imagined" not in done.stderr


def test_votes_in_a_log_are_shown_as_decided_and_under_other_rules(desk):
    bloc = desk.bloc
    first = bloc.say("bern", ProposalOpen(topic="project", title="Rivers", text="Shall we?"))
    bloc.say("bern", Ballot(proposal=first, choice=Choice.YES))
    bloc.say("lima", Ballot(proposal=first, choice=Choice.YES))
    bloc.say("oslo", Ballot(proposal=first, choice=Choice.OBJECT, reason="no"))
    second = bloc.say("bern", ProposalOpen(topic="project", title="Lakes", text="Shall we?"))
    rows = desk.json("lima", "charter", "simulate", "--rules", "consortium")
    assert [(row["title"], row["rules"], row["result"]) for row in rows] == [
        ("Rivers", "as decided", "rejected"),
        ("Rivers", "consortium", "adopted"),
        ("Lakes", "consortium", "rejected"),
    ]
    told = desk.told("lima", "charter", "simulate", second[:12], "--rules", "consensus")
    assert "Lakes" in told
    assert "Rivers" not in told
