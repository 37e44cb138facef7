"""``serai policy``: what a steward sees of a policy, and its tests."""

import json

import pytest
from click.testing import CliRunner

from serai.agent.legal import read_profile
from serai.charter.agreements import Term
from serai.cli.main import main
from serai.kernel.keys import Role
from serai.testing.documents import agreement_text
from serai.testing.federation import Terms
from serai.zones.statements import DataDeletion
from serai.zones.terms import judge_forms

PROFILE = """\
title = "Rules of the house"
dated = 2026-01-01
until = 2026-12-31
members = { bern = "CH", lima = "PE" }

[[terms]]
name = "min_cohort"
value = 50
clause = "house 1"

[[terms]]
name = "output_to"
value = ["CH", "PE"]
clause = "house 2"

[[terms]]
name = "transfer_basis"
value = ["treaty-7"]
clause = "house 3"

[[instruments]]
name = "treaty-7"
to = ["PE"]
until = 2026-06-30
"""
JOBS = """\
[defaults]
recipients = ["bern", "lima"]
jurisdiction = "CH"
rows = 80
at = 2026-03-01T10:00:00Z

[[jobs]]
name = "as agreed"
expect = "allow"

[[jobs]]
name = "few rows"
rows = 49
expect = "deny"
because = ["min_cohort"]

[[jobs]]
name = "to a stranger, when the treaty has ended"
recipients = ["bern", "lima", "oslo"]
at = 2026-07-01T00:00:00Z
expect = "deny"
because = ["output_to", "transfer_basis"]

[[jobs]]
name = "after the year"
at = 2027-01-01T00:00:00Z
recipients = ["bern"]
expect = "deny"
because = ["expires_ms"]
"""
AGREEMENT = """\
+++
topic = "agreement"
title = "Hearts"
[agreement]
scope = ["train"]
+++
## 1 Purpose
The data serve heart research,
and nothing else.

```terms
purpose = ["health.heart"]
```
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "house.toml").write_text(PROFILE)
    (tmp_path / "jobs.toml").write_text(JOBS)
    (tmp_path / "agreement.md").write_text(AGREEMENT)
    return tmp_path


def policy(*arguments):
    return CliRunner().invoke(main, ["policy", *map(str, arguments)], env={"SERAI_HOME": ""}, catch_exceptions=False)


def test_jobs_are_judged_with_every_reason_and_its_clause(folder):
    done = policy("test", folder / "house.toml", "--jobs", folder / "jobs.toml", "--json")
    assert done.exit_code == 0, done.output
    first, few, stranger, later = json.loads(done.stdout)
    assert (first["answer"], first["reasons"]) == ("allow", [])
    (reason,) = few["reasons"]
    assert reason["article"] == "house.toml, clause house 1"
    assert reason["reason"] == "min_cohort: needs at least 50 rows, the job would read 49"
    assert [found["reason"].partition(":")[0] for found in stranger["reasons"]] == ["output_to", "transfer_basis"]
    assert {found["reason"].partition(":")[0] for found in later["reasons"]} == {"expires_ms"}


def test_a_release_is_judged_by_what_its_model_is_to_the_member_for_whom_it_is_worst(folder):
    (folder / "house.toml").write_text(
        PROFILE
        + """
[[terms]]
name = "no_member_worse"
value = ["auc", "20"]
clause = "house 4"

[[terms]]
name = "membership_advantage"
value = 100
clause = "house 5"
"""
    )
    (folder / "jobs.toml").write_text(
        """
[defaults]
action = "release"
recipients = ["bern"]
jurisdiction = "CH"
rows = 80
at = 2026-03-01T10:00:00Z
advantage_permille = 100
changes_permille = { auc = -20, brier = -900 }

[[jobs]]
name = "good for all"

[[jobs]]
name = "bad for one"
changes_permille = { auc = -21 }

[[jobs]]
name = "by another metric alone"
changes_permille = { brier = 5 }

[[jobs]]
name = "known by heart"
advantage_permille = 101
"""
    )
    done = policy("test", folder / "house.toml", "--jobs", folder / "jobs.toml", "--json")
    found = [[reason["reason"].partition(": ")[0] for reason in job["reasons"]] for job in json.loads(done.stdout)]
    assert found == [[], ["no_member_worse"], ["no_member_worse"], ["membership_advantage"]]


def test_a_job_that_is_not_as_expected_ends_with_status_1_and_says_in_what(folder):
    (folder / "jobs.toml").write_text(
        JOBS.replace("rows = 49", "rows = 50").replace('because = ["expires_ms"]', 'because = ["hours"]')
    )
    done = policy("test", folder / "house.toml", "--jobs", folder / "jobs.toml")
    assert done.exit_code == 1
    assert "allow  FAILED (expected deny)  few rows" in done.stdout
    assert "deny   FAILED (expected hours among the reasons)  after the year" in done.stdout
    assert "4 jobs judged; 2 of 4 as expected." in done.stdout


def test_an_agreement_that_is_proposed_is_tested_with_the_words_of_its_clauses(folder):
    (folder / "jobs.toml").write_text('[[jobs]]\nname = "marketing"\npurpose = "marketing"\n')
    done = policy("test", folder / "agreement.md", "--jobs", folder / "jobs.toml")
    assert done.exit_code == 0
    assert (
        "agreement agreement.md, clause 1: purpose: allows health.heart, the job's purpose is 'marketing'"
        in done.stdout
    )
    assert "which says: Purpose. The data serve heart research, and nothing else." in done.stdout
    assert "1 job judged; 0 of 0 as expected." in done.stdout


def test_the_zones_own_files_count_and_what_they_hold_is_known(folder):
    home = folder / "bern"
    home.mkdir()
    (home / "house.toml").write_text(PROFILE)
    (home / "rows.csv").write_text("x,y,who\n" + "".join(f"{n},{n % 2},p{n % 7}\n" for n in range(60)))
    (home / "zone.toml").write_text(
        'member = "bern"\njurisdiction = "CH"\nretention_days = 30\n'
        'policy.terms = [{ name = "retention_days", value = 30, clause = "ours" }]\nlegal.profile = "house.toml"\n'
        '[datasets.rows]\ntitle = "Rows"\npath = "rows.csv"\nsubject = "who"\nlabel = {column = "y", above = 0}\n'
        'features = [{name = "x", column = "x", kind = "number"}]\n'
        'terms = [{ name = "min_subjects", value = 8, clause = "no small groups" }]\n'
    )
    (folder / "jobs.toml").write_text(
        '[[jobs]]\nname = "few people"\nrecipients = ["bern"]\nat = 2026-03-01T10:00:00Z\nbecause = ["min_subjects"]\n'
    )
    done = policy("test", "--home", home, "--dataset", "rows", "--jobs", folder / "jobs.toml", "--json")
    assert done.exit_code == 0, done.output
    (reason,) = json.loads(done.stdout)[0]["reasons"]
    assert reason["article"] == "offer of rows, clause no small groups"
    assert reason["reason"].endswith("needs at least 8 subjects, and the rows are about fewer")
    shown = policy("show", "--home", home, "--dataset", "rows", "--json")
    assert {(row["source"], row["term"]) for row in json.loads(shown.stdout)} >= {
        ("zone policy", "retention_days"),
        ("legal profile", "transfer_basis"),
        ("offer of rows", "min_subjects"),
    }


def test_a_term_that_no_zone_could_enforce_is_named_with_file_and_line(folder):
    (folder / "house.toml").write_text(PROFILE.replace('"min_cohort"', '"min_cohrt"').replace('["CH", "PE"]', '"CH"'))
    done = policy("show", folder / "house.toml")
    assert done.exit_code == 1
    assert f"{folder / 'house.toml'}, line 7: the term 'min_cohrt' is not known" in done.stderr
    assert f"{folder / 'house.toml'}, line 12: output_to: expected a list of codes, got 'CH'" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('expect = "allow"', 'expect = "maybe"', r"expected one of allow, deny"),
        ("rows = 49", 'rows = "49"', "expected int at jobs[1].rows"),
        ("rows = 49", "row = 49", "line 11: jobs[1] has no field 'row'"),
        ("2027-01-01T00:00:00Z", '"soon"', "Invalid isoformat"),
        ("[defaults]", "[defaults", "not valid TOML"),
    ],
)
def test_a_bent_file_of_jobs_is_refused_with_its_place(folder, old, new, says):
    (folder / "jobs.toml").write_text(JOBS.replace(old, new))
    done = policy("test", folder / "house.toml", "--jobs", folder / "jobs.toml")
    assert done.exit_code == 1
    assert says in done.stderr


def test_nothing_is_judged_by_no_policy(folder):
    done = policy("test", "--jobs", folder / "jobs.toml")
    assert done.exit_code == 1
    assert "whose policy?" in done.stderr
    assert "2027-01-01 00:00:00 UTC" in policy("show", folder / "house.toml").stdout  # the end of its last day
    assert "whose dataset" in policy("show", "--dataset", "rows").stderr


def test_every_template_is_a_profile_whose_terms_are_understood_and_says_that_it_is_no_advice(tmp_path):
    listed = json.loads(policy("template", "--json").stdout)
    assert len(listed) == 4
    for row in listed:
        path = tmp_path / "profile.toml"
        path.write_text(policy("template", row["name"]).stdout)
        profile = read_profile(path)
        assert profile.title == row["title"]
        assert profile.terms
        assert profile.sources
        assert not judge_forms(profile.limits, "template")
        assert "not legal advice" in profile.notice.lower()
    assert "known: cross-border-thresholds" in policy("template", "atlantis").stderr


def test_an_agreement_in_the_log_counts_with_the_grants_to_it(desk):
    clause = agreement_text((), ("train",), tuple(desk.bloc.members)).clauses[0].id
    agreement = desk.bloc.agree(Terms(agreement=(Term(name="purpose", value=("climate",), clause=clause),)))
    home = desk.bloc.folder / "bern"
    rows = desk.json("bern", "policy", "show", "--agreement", agreement[:8])
    sources = {row["source"].split()[0] for row in rows}
    assert "agreement" in sources
    (home / "jobs.toml").write_text('[[jobs]]\nname = "x"\npurpose = "marketing"\nexpect = "deny"\n')
    (found,) = desk.json("bern", "policy", "test", "--agreement", agreement[:8], "--jobs", home / "jobs.toml")
    assert any(reason["article"].startswith(f"agreement {agreement[:12]}, clause") for reason in found["reasons"])
    assert all(reason["clause"] for reason in found["reasons"] if "agreement" in reason["article"])


def test_a_refused_run_is_explained_with_every_reason_its_clause_and_the_words_of_the_agreement(desk):
    text = agreement_text((), ("train", "evaluate"), tuple(desk.bloc.members))
    clause = text.clauses[0]
    term = Term(name="approvals", value=3, clause=clause.id)
    agreement = desk.bloc.agree(
        Terms(
            agreement=(Term(name="purpose", value=("climate",), clause=clause.id),),
            offer=(Term(name="min_cohort", value=1000, clause="no small groups"), term),
        )
    )
    run = desk.bloc.train(agreement, "newton", 1, {"features": "1"})
    desk.bloc.settle()
    facts = [(fact["about"], fact["text"]) for fact in desk.json("bern", "explain", run)["facts"]]
    mine = [text for about, text in facts if about == "declined by bern"]
    assert any("allows climate" in text and f"clause {clause.id}" in text for text in mine)
    assert f"which says: {' '.join(clause.text.split())}" in mine
    assert any("clause no small groups: min_cohort: needs at least 1000 rows" in text for text in mine)
    assert any("approvals: needs 3 approving members, 0 approved" in text for text in mine)


def test_a_receipt_of_deletion_is_explained_with_its_run(desk):
    agreement = desk.bloc.agree()
    run = desk.bloc.train(agreement, "newton", 1, {"features": "1"})
    desk.bloc.settle()
    offer = desk.bloc.state.runs.plans[run].plan.offers["bern"]
    receipt = desk.bloc.say("bern", DataDeletion(offer=offer, run=run, kept_days=30, items=4), Role.ZONE)
    told = desk.told("lima", "explain", receipt)
    assert "at most 30 days after the run" in told
    assert "deleted by bern" in told
    assert "deleted by bern" in desk.told("lima", "explain", run)


def test_a_steward_approves_a_run_by_its_first_characters_and_anything_else_by_its_digest(desk):
    agreement = desk.bloc.agree(Terms(offer=(Term(name="approvals", value=2, clause="two look first"),)))
    run = desk.bloc.train(agreement, "newton", 1, {"features": "1"})
    desk.bloc.settle()
    assert not desk.bloc.state.runs.plans[run].keys
    assert desk.json("bern", "approve", run[:8])["members"] == 1
    assert desk.json("lima", "approve", run[:8], "--as-delegate")["members"] == 2
    desk.bloc.settle()
    assert set(desk.bloc.state.runs.plans[run].keys) == set(desk.bloc.members)
    assert desk.json("bern", "approve", "ab" * 32)["subject"] == "ab" * 32
    assert "no run or evaluated model has an id that starts with 'abcd'" in desk.refused("bern", "approve", "abcd")
