"""``serai review`` and ``serai approve``: what a steward sees before it signs, and what is kept of it."""

import json
import stat
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from serai.agent.figures import record
from serai.charter.agreements import Term
from serai.charter.statements import AgreementSign
from serai.cli.main import main
from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role
from serai.recipes.archive import pack
from serai.testing.federation import Terms
from serai.zones.statements import Approval, Grant, GrantRevoke

OFFERED = (
    Term(name="min_cohort", value=2, clause="few"),
    Term(name="compute_cap_s", value=5, clause="short"),
    Term(name="retention_days", value=30, clause="gone"),
)
FIRST = b"class Recipe:\n    name = 'prevalence'\n    share = 1\n"
SECOND = FIRST.replace(b"share = 1", "share = 2  # \u202efine".encode())
PARAMS = {"features": "1"}


@pytest.fixture
def agreed(desk):
    return desk, desk.bloc.agree(Terms(offer=OFFERED))


def foreign(desk, agreement, source):
    archive = pack({"recipe.py": source})
    desk.bloc.center.put_blob(digest_of(archive), archive)
    plan = desk.bloc.plan(agreement, "newton", 3, PARAMS)
    return desk.bloc.say("lima", replace(plan, recipe="prevalence", code=digest_of(archive), title="Shares"))


def home(desk, member="bern"):
    return desk.bloc.folder / member


def settings(desk, **changes):
    member = desk.bloc.members[MemberId("bern")]
    member.zone = replace(member.zone, settings=replace(member.zone.settings, **changes))


def test_a_first_review_shows_everything_as_new(agreed):
    desk, agreement = agreed
    run = desk.bloc.train(agreement, "newton", 2, PARAMS)
    told = desk.told("bern", "review", run[:8])
    assert "everything is new" in told
    assert "+ serai.recipes.newton" in told
    assert "is named alone; --source shows it." in told
    assert "class Newton" not in told
    assert "class Newton" in desk.told("bern", "review", run[:8], "--source")
    assert "+ min_cohort: 2; offer, clause few" in told
    assert "  settings: features 1" in told
    assert "+ oslo: oslo's rows, 8 rows, " in told
    assert "not known; this zone has no figures" in told
    assert "a term stops the program after 5 s, 0 s is used" in told
    assert "this zone keeps what it derives; a term asks for 30 days at most" in told
    assert "no term sets a privacy budget" in told


def test_the_next_review_starts_from_what_was_approved(agreed):
    desk, agreement = agreed
    run = desk.bloc.train(agreement, "newton", 2, PARAMS)
    approved = desk.json("bern", "approve", run)
    same = desk.bloc.train(agreement, "newton", 2, PARAMS)
    told = desk.told("bern", "review", same)
    assert f"Beside run {run[:12]}, approved at entry {approved['entry']}, by a script that showed it to nobody" in told
    assert "nothing differs" in told
    assert "no file differs" in told
    assert desk.json("bern", "review", same)["same"]
    longer = desk.json("bern", "review", desk.bloc.train(agreement, "newton", 7, PARAMS))
    assert [(one["name"], one["before"], one["after"]) for one in longer["plan"]] == [("rounds", "2", "7")]
    assert not longer["files"]


def test_the_lines_of_a_strangers_program_are_compared_with_what_hides_in_them(agreed):
    desk, agreement = agreed
    run = foreign(desk, agreement, FIRST)
    assert "    +    share = 1" in desk.told("bern", "review", run)
    desk.told("bern", "approve", run, "--yes")
    told = desk.told("bern", "review", foreign(desk, agreement, SECOND))
    assert "    -    share = 1" in told
    assert "    +    share = 2  # \\u202efine" in told
    assert "! has characters that show nothing, here as escapes, in line 3" in told
    assert "does not come with serai" in told
    assert "\u202e" not in told


def test_a_program_that_nobody_has_is_said_to_be_unseen(agreed):
    desk, agreement = agreed
    plan = replace(desk.bloc.plan(agreement, "newton", 1, PARAMS), recipe="gone", code=digest_of(b"never"))
    told = desk.told("bern", "review", desk.bloc.say("lima", plan))
    assert "cannot be had here, so nobody has seen it" in told


def test_terms_and_participants_that_changed_are_told_in_words(agreed):
    desk, agreement = agreed
    desk.told("bern", "approve", desk.bloc.train(agreement, "newton", 2, PARAMS))
    (grant,) = (one for one in desk.state.zones.grants.values() if one.member == "bern")
    desk.bloc.say("bern", GrantRevoke(grant=grant.id), Role.STEWARD)
    narrower = (Term(name="min_cohort", value=4, clause="fewer"), Term(name="max_uses", value=3, clause="thrice"))
    desk.bloc.say("bern", Grant(offer=grant.body.offer, agreement=agreement, terms=narrower), Role.STEWARD)
    settings(desk, policy=(Term(name="min_participants", value=2, clause="mine\u202e"),), retention_days=9)
    plan = desk.bloc.plan(agreement, "newton", 2, PARAMS)
    offers = {member: offer for member, offer in plan.offers.items() if member != "oslo"}
    told = desk.told("bern", "review", desk.bloc.say("lima", replace(plan, offers=offers)))
    assert "+ max_uses: 3; grant, clause thrice" in told
    assert "+ min_participants: 2; zone policy, clause mine\\u202e" in told
    assert "- oslo: oslo's rows, 8 rows, " in told
    assert "+ retention_days: 9" in told
    assert "this zone deletes it after 9 days" in told


def test_who_came_to_the_agreement_is_told_for_it_receives_what_the_run_makes(desk):
    agreement = desk.bloc.agree(parties=("bern", "lima"))
    desk.told("bern", "approve", desk.bloc.train(agreement, "newton", 2, PARAMS))
    desk.bloc.say("oslo", AgreementSign(agreement=agreement))
    told = desk.told("bern", "review", desk.bloc.train(agreement, "newton", 2, PARAMS))
    assert "Parties of the agreement, which receive what the run makes\n  + oslo\n" in told


def test_figures_of_earlier_runs_say_what_the_next_one_takes(agreed):
    desk, agreement = agreed
    past = desk.bloc.train(agreement, "newton", 2, PARAMS)
    for ms in (1000, 2000, 9000):
        record(home(desk), past, {"round": 0, "train_ms": ms})
    told = desk.told("bern", "review", desk.bloc.train(agreement, "newton", 6, PARAMS))
    assert (
        "about 12 s, 2 s a round, if it is as 3 rounds of 1 earlier run of this recipe here; the longest took 9 s"
        in told
    )
    assert "by the figures above the run would not come to its end" in told


def test_a_budget_that_no_noise_keeps_is_told_before_the_zone_declines(desk):
    agreement = desk.bloc.agree(Terms(offer=(Term(name="dp", value=("record", "3", "1e-5"), clause="p"),)))
    told = desk.told("bern", "review", desk.bloc.train(agreement, "newton", 1, PARAMS))
    assert "no noise bounds what this run costs, so this zone declines" in told


def test_a_privacy_budget_is_shown_with_what_would_be_left(desk):
    pytest.importorskip("dp_accounting", reason="dp-accounting is an extra: pip install 'serai[privacy]'")
    agreement = desk.bloc.agree(Terms(offer=(Term(name="dp", value=("record", "3", "1e-5"), clause="p"),)))
    private = {**PARAMS, "batch": "2", "steps": "2", "lr": "0.5", "clip": "1", "noise": "20", "delta": "1e-6"}
    run = desk.bloc.train(agreement, "local_sgd", 1, private)
    epsilon, delta = desk.json("bern", "review", run)["cost"]["budgets"]
    assert (epsilon["limit"], epsilon["spent"]) == (3_000_000, 0)
    assert 0 < epsilon["requested"] < 3_000_000
    assert delta["requested"] == 10**6
    assert "is spent or reserved" in desk.told("bern", "review", run)


@pytest.fixture
def answered(desk, monkeypatch):
    """What a verb does at a terminal where somebody answers."""
    monkeypatch.setattr("serai.cli.reviews.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))

    def answer(text, *arguments):
        return CliRunner().invoke(main, list(arguments), input=text, env={"SERAI_HOME": str(home(desk))})

    return answer


def test_a_strangers_program_is_shown_before_it_is_approved_and_the_next_one_is_compared_with_it(agreed, answered):
    desk, agreement = agreed
    run = foreign(desk, agreement, FIRST)
    code = desk.state.runs.plans[run].plan.code
    done = answered("y\n", "recipe", "approve", code)
    assert "    +    share = 1" in done.output
    again = desk.json("bern", "review", foreign(desk, agreement, SECOND))
    assert again["earlier"]["run"] == run
    assert again["earlier"]["shown"] is True
    assert "was approved by its digest" in desk.told("bern", "review", run)
    unknown = digest_of(b"a program that no run names")
    assert desk.json("bern", "recipe", "approve", unknown)["code"] == unknown


def test_at_a_terminal_a_run_is_shown_and_asked_about(agreed, answered):
    desk, agreement = agreed
    run = desk.bloc.train(agreement, "newton", 2, PARAMS)
    size = desk.state.size
    refused = answered("n\n", "approve", run)
    assert refused.exit_code == 1
    assert "everything is new" in refused.output
    assert desk.state.size == size
    assert not (home(desk) / "approvals").exists()
    done = answered("y\n", "approve", run)
    assert done.exit_code == 0
    assert "Approved, entry" in done.output
    after = desk.json("bern", "review", desk.bloc.train(agreement, "newton", 2, PARAMS))
    assert after["earlier"]["shown"] is True


def test_the_record_is_the_stewards_own_and_the_statement_holds_nothing_of_it(agreed):
    desk, agreement = agreed
    run = foreign(desk, agreement, FIRST)
    desk.told("bern", "approve", run, "--comment", "read by two")
    folder = home(desk) / "approvals"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in files} == {f"{run}.json", digest_of(FIRST)}
    said = desk.told("bern", "log", "show", "--json")
    assert "read by two" in said
    assert "prevalence'" not in said


def test_an_approval_that_this_home_does_not_know_is_told(agreed):
    desk, agreement = agreed
    run = desk.bloc.train(agreement, "newton", 2, PARAMS)
    desk.bloc.say("bern", Approval(subject=run, comment=""), Role.STEWARD)
    told = desk.told("bern", "review", desk.bloc.train(agreement, "newton", 2, PARAMS))
    assert "of which this home has no record" in told


def test_a_damaged_record_is_named(agreed):
    desk, agreement = agreed
    run = desk.bloc.train(agreement, "newton", 2, PARAMS)
    desk.told("bern", "approve", run)
    path = home(desk) / "approvals" / f"{run}.json"
    path.write_text(json.dumps({"entry": 1}), encoding="utf-8")
    refused = desk.refused("bern", "review", desk.bloc.train(agreement, "newton", 2, PARAMS))
    assert str(path) in refused
    assert "move it away" in refused


def test_a_member_that_is_not_invited_sees_what_others_do(agreed):
    desk, agreement = agreed
    plan = desk.bloc.plan(agreement, "newton", 2, PARAMS)
    offers = {member: offer for member, offer in plan.offers.items() if member != "bern"}
    run = desk.bloc.say("lima", replace(plan, offers=offers))
    assert "this member is not invited" in desk.told("bern", "review", run)
    assert desk.json("bern", "review", run)["cost"] is None
