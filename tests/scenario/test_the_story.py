"""The whole story of a bloc, with and without bad luck."""

from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from serai.agent.rounds import key_name
from serai.charter.agreements import Life, Term
from serai.charter.decision import Choice, Result
from serai.charter.state import life_of, outcome_of, parties_of
from serai.charter.statements import AgreementSign, AgreementWithdraw, Ballot, MemberWithdraw, ProposalOpen
from serai.errors import Refused
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.testing.faults import Crash, deadly
from serai.testing.federation import Terms
from serai.training.methods import Context
from serai.training.statements import RunCancel
from serai.training.tensors import digest_model
from serai.zones.statements import Approval, GrantRevoke

FEATURES = {"features": "3"}
ROUND_MS = 60_000
CENTERS_SECOND_MS = 1_000  # a deadline is provable a second after it has passed


def pass_deadline(bloc):
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    bloc.settle()


def propose(bloc, text=None):
    text = text or next(iter(bloc.state.charter.agreements.values())).text
    body = ProposalOpen(topic="agreement", title="Another", text="Shall we?", agreement=text)
    return bloc.say("bern", body)


# Founding and agreeing


def test_nothing_can_be_said_before_the_last_founder_has_signed_and_then_it_can(make_bloc):
    bloc = make_bloc().bloc
    assert bloc.state.charter.in_force
    assert {member.state.charter.genesis for member in bloc.members.values()} == {bloc.state.charter.genesis}
    assert not bloc.state.void


def test_a_reservation_goes_on_record_and_an_objection_stops_the_text(agreed):
    bloc = agreed[0].bloc
    results = {}
    for choice in (Choice.RESERVE, Choice.OBJECT):
        proposal = propose(bloc)
        for name in bloc.members:
            mine = choice if name == "lima" else Choice.YES
            bloc.say(name, Ballot(proposal=proposal, choice=mine, reason="only with a review"))
        results[choice] = outcome_of(bloc.state.charter, proposal, bloc.state.now)
        assert bloc.state.charter.proposals[proposal].votes["lima"].choice is choice
    assert results[Choice.RESERVE].result is Result.ADOPTED
    assert (results[Choice.OBJECT].result, results[Choice.OBJECT].reason) == (Result.REJECTED, "lima objected")
    assert results[Choice.OBJECT].article == "articles.agreement, objection"


def test_a_text_that_an_objection_stopped_can_be_signed_by_nobody(agreed):
    bloc = agreed[0].bloc
    proposal = propose(bloc)
    bloc.say("bern", Ballot(proposal=proposal, choice=Choice.YES))
    bloc.say("oslo", Ballot(proposal=proposal, choice=Choice.YES))
    bloc.say("lima", Ballot(proposal=proposal, choice=Choice.OBJECT, reason="no"))
    with pytest.raises(Refused, match="it is rejected") as caught:
        bloc.say("bern", AgreementSign(agreement=proposal))
    assert caught.value.article == f"agreement {proposal[:12]}"


def test_a_late_accession_to_the_agreement_counts_from_then_on(story):
    bloc = story.bloc
    agreement = bloc.agree(parties=["bern", "lima"])
    assert parties_of(bloc.state.charter, agreement, bloc.state.now) == {"bern", "lima"}
    first = bloc.train(agreement, "newton", 2, FEATURES)
    bloc.settle()
    bloc.say("oslo", AgreementSign(agreement=agreement))
    bloc.grant("oslo", agreement)
    second = bloc.train(agreement, "newton", 2, FEATURES)
    bloc.settle()
    assert story.round(first).summed == {"bern", "lima"}
    assert story.round(second).summed == {"bern", "lima", "oslo"}
    assert story.final(first) != story.final(second)


# Sums equal what pooling the rows would have given


def test_moments_are_those_of_the_pooled_rows_within_a_step_of_the_codec(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "moments", 1, FEATURES)
    story.bloc.settle()
    model, pooled = story.model(story.final(run)), story.pooled().x
    step = float(story.run(run).plan.codec.blocks[1].step)
    assert model["n"] == len(pooled)
    within = len(story.bloc.members) * step / len(pooled) + 4e-15  # besides, float64's own rounding of a mean
    np.testing.assert_allclose(model["mean"], pooled.mean(axis=0), rtol=0, atol=within)
    np.testing.assert_allclose(model["std"], pooled.std(axis=0), rtol=0, atol=100 * within)


def test_newton_comes_to_the_model_that_the_pooled_rows_give(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 5, FEATURES)
    story.bloc.settle()
    recipe = story.recipe(run)
    expected = recipe.initial()
    for number in range(5):
        total = recipe.contribute(expected, story.pooled(), Context(round=number, seed=bytes(32), member="all"))
        expected = recipe.combine(expected, total, len(story.bloc.members))
    model = story.model(story.final(run))
    for name in ("weight", "bias"):
        np.testing.assert_allclose(model[name], expected[name], rtol=0, atol=1e-9)
    assert abs(model["weight"]).min() > 0.1  # it has learnt something, so equality says something


def test_local_sgd_comes_to_the_model_that_a_sum_without_masks_gives(agreed):
    story, agreement = agreed
    settings = {**FEATURES, "lr": "0.1", "steps": "20", "batch": "8"}
    run = story.bloc.train(agreement, "local_sgd", 3, settings)
    story.bloc.settle()
    recipe = story.recipe(run)
    expected = recipe.initial()
    for number in range(3):
        total = np.zeros(recipe.length)
        for member in story.bloc.members:
            seed = bytes.fromhex(digest_of(f"{run} {member} {number}".encode()))
            context = Context(round=number, seed=seed, member=member)
            total += recipe.contribute(expected, story.data(member), context)
        expected = recipe.combine(expected, total, len(story.bloc.members))
    model = story.model(story.final(run))
    for name in ("weight", "bias"):
        np.testing.assert_allclose(model[name], expected[name], rtol=0, atol=1e-6)
    assert abs(model["weight"]).min() > 0.1


def test_every_member_says_the_same_model_and_evaluates_it_on_its_own_rows(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    results = story.round(run).results
    assert {result.model for result in results.values()} == {story.final(run)}
    said = {e.member: e.body.counts for e in story.bloc.state.analytics.evaluations.values()}
    recipe, model = story.recipe(run), story.model(story.final(run))
    for name in story.bloc.members:
        assert recipe.evaluate(model, story.data(name)).items() <= said[name].items()


# Bad luck


@pytest.fixture
def undisturbed(make_bloc):
    """The final model of a newton run in which nothing happened."""
    story = make_bloc()
    run = story.bloc.train(story.bloc.agree(), "newton", 3, FEATURES)
    story.bloc.settle()
    return story.final(run)


@pytest.mark.slow
def test_a_member_killed_before_and_after_every_step_it_takes_changes_nothing(agreed, undisturbed):
    story, agreement = agreed
    bloc, deaths = story.bloc, Counter()
    bloc.deceive("lima", lambda zone: deadly(zone, deaths))
    run = bloc.train(agreement, "newton", 3, FEATURES)
    for _ in range(1_000):
        try:
            bloc.settle()
            break
        except Crash as crash:
            bloc.restart(crash.member)
    assert story.final(run) == undisturbed
    assert set(story.round(run).results) == set(bloc.members)
    died_in = {mark.split()[0] for mark in deaths}
    assert {"news", "submit", "cosign", "put_blob", "read_blob", "word", "seed", "record_upload"} <= died_in
    assert not bloc.state.void, "a repeated word takes no second place in the log"


@pytest.mark.parametrize("member", ["bern", pytest.param("oslo", marks=pytest.mark.slow)])
def test_a_member_started_anew_after_every_step_of_the_bloc_changes_nothing(agreed, undisturbed, member):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 3, FEATURES)

    def is_over():
        story.bloc.restart(member)
        return story.final(run) is not None

    story.step_until(is_over)
    assert story.final(run) == undisturbed


@pytest.mark.slow
def test_a_center_started_anew_at_every_point_between_two_steps_changes_nothing(agreed, undisturbed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 3, FEATURES)
    looks = count()

    def is_over():
        # The bloc is looked at four times each step, so every fifth look comes after each part of it in turn. More
        # often, and no quorum of cosignatures would ever gather in the center's memory.
        if next(looks) % 5 == 0:
            story.bloc.restart_center()
        return story.final(run) is not None

    story.step_until(is_over)
    assert story.final(run) == undisturbed


def test_a_member_that_is_down_is_left_out_after_the_deadline_and_comes_back(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 4, FEATURES)
    story.step_until(lambda: story.round(run, 1))
    assert "lima" not in story.round(run, 1).uploads
    bloc.members["lima"].is_up = False
    bloc.settle()
    assert story.round(run, 1).closed is None, "nobody is left out before the deadline"
    bloc.tick(ROUND_MS - 1)
    bloc.settle()
    assert story.round(run, 1).closed is None
    bloc.tick(1 + CENTERS_SECOND_MS)
    story.step_until(lambda: story.round(run, 1).closed)
    assert story.round(run, 1).summed == {"bern", "oslo"}
    bloc.members["lima"].is_up = True
    bloc.settle()
    assert [story.round(run, number).summed for number in (0, 1, 2, 3)] == [
        {"bern", "lima", "oslo"},
        {"bern", "oslo"},
        {"bern", "lima", "oslo"},
        {"bern", "lima", "oslo"},
    ]
    assert story.final(run) is not None
    assert set(story.round(run, 3).results) == {"bern", "lima", "oslo"}


def test_a_member_that_died_between_upload_and_release_ends_the_round_and_not_the_run(make_bloc):
    story = make_bloc("bern", "lima", "oslo", "pune", "riga")
    bloc = story.bloc
    run = bloc.train(bloc.agree(), "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run) and story.round(run).closed)
    assert "lima" in story.round(run).summed
    bloc.members["lima"].is_up = False
    bloc.settle()
    assert set(story.round(run, 0).releases) == {"bern", "oslo", "pune", "riga"}
    pass_deadline(bloc)
    assert story.round(run).body.number == 1, "the round has failed; the run tries again from the same model"
    assert story.round(run).body.model == story.round(run, 0).body.model
    bloc.members["lima"].is_up = True
    bloc.settle()
    assert story.final(run) is not None
    assert not story.round(run, 0).is_released


def test_a_member_that_comes_late_to_a_run_takes_up_the_model_it_has_come_to(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.members["oslo"].is_up = False
    run = bloc.train(agreement, "newton", 4, FEATURES)
    bloc.settle()
    assert story.round(run) is None, "the others wait for an answer as long as a round takes"
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    story.step_until(lambda: story.round(run, 1))
    bloc.members["oslo"].is_up = True
    bloc.settle()
    assert story.round(run, 0).body.participants == ("bern", "lima")
    assert story.round(run, 3).summed == {"bern", "lima", "oslo"}
    assert story.round(run, 3).results["oslo"].model == story.final(run)


def test_two_runs_side_by_side_do_not_mix(agreed):
    story, agreement = agreed
    first = story.bloc.train(agreement, "newton", 2, FEATURES)
    second = story.bloc.train(agreement, "moments", 1, FEATURES)
    story.bloc.settle()
    assert set(story.model(story.final(first))) == {"weight", "bias"}
    assert story.model(story.final(second))["n"] == len(story.pooled().x)


def test_two_equal_runs_of_different_length_side_by_side_both_end(agreed):
    story, agreement = agreed
    short = story.bloc.train(agreement, "newton", 2, FEATURES)
    long = story.bloc.train(agreement, "newton", 3, FEATURES)
    story.bloc.settle()
    for run in (short, long):
        assert story.model(story.final(run))["weight"].any()
        assert {e.member for e in story.bloc.state.analytics.evaluations.values() if e.body.run == run} == {
            "bern",
            "lima",
            "oslo",
        }


# Saying no


def test_who_leaves_the_agreement_in_mid_run_uploads_nothing_more(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 3, FEATURES)
    story.step_until(lambda: story.round(run, 1))
    assert "lima" in story.round(run, 1).body.participants
    assert "lima" not in story.round(run, 1).uploads
    bloc.say("lima", AgreementWithdraw(agreement=agreement, reason="the law has changed"))
    bloc.settle()
    assert set(story.round(run, 1).uploads) == {"bern", "oslo"}
    pass_deadline(bloc)
    assert story.final(run) is not None
    assert [story.round(run, number).summed for number in (1, 2)] == [{"bern", "oslo"}] * 2
    assert story.round(run, 2).body.participants == ("bern", "oslo")


def test_who_leaves_after_its_upload_never_releases_it_and_no_sum_without_it_shows_it(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run) and "lima" in story.round(run).uploads)
    bloc.say("lima", AgreementWithdraw(agreement=agreement))
    for _ in range(4):
        pass_deadline(bloc)
    assert "lima" not in story.round(run, 0).releases
    assert not any(this.is_released for this in bloc.state.rounds.rounds.values())
    # With two left, a sum of theirs beside one of all three would show lima's vector, so no round is opened for it.
    assert len(bloc.state.rounds.rounds) == 1
    assert story.round(run).body.participants == ("bern", "lima", "oslo")


def test_a_grant_revoked_in_mid_run_stops_the_next_upload(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run, 1))
    (grant,) = (grant.id for grant in bloc.state.zones.grants.values() if grant.member == "lima")
    bloc.say("lima", GrantRevoke(grant=grant), Role.STEWARD)
    bloc.settle()
    assert set(story.round(run, 1).uploads) == {"bern", "oslo"}
    pass_deadline(bloc)
    assert story.round(run, 1).summed == {"bern", "oslo"}
    assert story.final(run) is not None


def test_nothing_is_planned_under_an_agreement_that_all_have_left(agreed):
    story, agreement = agreed
    for name in story.bloc.members:
        story.bloc.say(name, AgreementWithdraw(agreement=agreement))
    assert life_of(story.bloc.state.charter, agreement, story.bloc.state.now) is Life.TERMINATED
    with pytest.raises(Refused, match="is not in force") as caught:
        story.bloc.train(agreement, "newton", 1, FEATURES)
    assert caught.value.article == "training 1"


def test_a_decline_quotes_the_clause_that_says_no(story):
    bloc = story.bloc
    agreement = bloc.agree(Terms(agreement=(Term(name="min_cohort", value=1_000, clause="1"),)))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    assert not story.run(run).keys
    for name in bloc.members:
        (reason,) = story.run(run).declines[name]
        assert reason.article == f"agreement {agreement[:12]}, clause 1"
        assert reason.text == "min_cohort: needs at least 1000 rows, the job would read 40"
    assert story.round(run) is None


def test_a_run_with_a_purpose_that_one_offer_excludes_goes_on_without_that_member(story):
    bloc = story.bloc
    agreement = bloc.agree()
    (old,) = (grant.id for grant in bloc.state.zones.grants.values() if grant.member == "lima")
    bloc.say("lima", GrantRevoke(grant=old), Role.STEWARD)
    lima = bloc.grant("lima", agreement, (Term(name="purpose", value=("teaching",), clause=""),))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    assert [reason.article for reason in story.run(run).declines["lima"]] == [f"offer {lima[:12]}"]
    assert story.round(run).summed == {"bern", "oslo"}


def test_approvals_are_waited_for_and_then_the_members_join(story):
    bloc = story.bloc
    agreement = bloc.agree(Terms(agreement=(Term(name="approvals", value=2, clause="1"),)))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    bloc.say("bern", Approval(subject=run, comment="fine"), Role.STEWARD)
    with pytest.raises(Refused, match="bern approved"):
        bloc.say("bern", Approval(subject=run, comment="fine, twice"), Role.DELEGATE)
    bloc.settle()
    assert not story.run(run).keys
    assert not story.run(run).declines
    bloc.say("oslo", Approval(subject=run, comment="fine"), Role.STEWARD)
    bloc.settle()
    assert set(story.run(run).keys) == set(bloc.members)
    assert story.final(run) is not None


def test_approvals_that_come_hours_later_are_heard_though_nothing_else_was_said_meanwhile(story):
    bloc = story.bloc
    agreement = bloc.agree(Terms(agreement=(Term(name="approvals", value=1, clause="1"),)))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    bloc.tick(10 * 3_600_000)
    bloc.say("oslo", Approval(subject=run, comment="fine, after lunch"), Role.STEWARD)
    bloc.settle()
    assert set(story.run(run).keys) == {"bern", "lima", "oslo"}


def test_the_kill_switch_stops_a_zone_at_once_and_its_removal_lets_it_go_on(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run))
    bloc.members["lima"].zone.settings.stop_file.touch()
    bloc.settle()
    assert set(story.round(run, 0).uploads) == {"bern", "oslo"}
    bloc.members["lima"].zone.settings.stop_file.unlink()
    bloc.settle()
    assert story.round(run, 0).summed == set(bloc.members)
    assert story.final(run) is not None


def test_the_kill_switch_holds_back_a_release_too(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run) and story.round(run).closed)
    bloc.members["lima"].zone.settings.stop_file.touch()
    bloc.settle()
    assert set(story.round(run, 0).releases) == {"bern", "oslo"}
    bloc.members["lima"].zone.settings.stop_file.unlink()
    bloc.settle()
    assert story.final(run) is not None


def test_a_cancelled_run_stays_cancelled_and_its_mask_keys_are_destroyed(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 3, FEATURES)
    story.step_until(lambda: story.round(run, 1))
    bloc.say("lima", RunCancel(plan=run, reason="the rows were wrong"), Role.STEWARD)
    bloc.settle()
    assert story.run(run).cancelled.reason == "the rows were wrong"
    assert story.round(run).body.number == 1
    assert not story.round(run).uploads
    for member in bloc.members.values():
        keys = member.zone.settings.keys_folder
        assert not list(keys.glob(f"*{key_name(run)}*"))
    with pytest.raises(Refused, match="was cancelled by lima") as caught:
        bloc.say("bern", RunCancel(plan=run, reason="again"))
    assert caught.value.article == "training 7"


def test_a_changed_table_is_not_used_under_the_old_offer(agreed):
    story, agreement = agreed
    bloc = story.bloc
    path = bloc.members["oslo"].zone.settings.datasets["rows"].path
    with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write("1,2,3,1\n")
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    articles = {reason.article for reason in story.run(run).declines["oslo"]}
    assert "guard 11" in articles
    assert story.round(run).summed == {"bern", "lima"}


def test_other_code_than_the_plan_names_is_not_run(agreed):
    story, agreement = agreed
    bloc = story.bloc
    plan = replace(bloc.plan(agreement, "newton", 1, FEATURES), code=digest_model({}))
    run = bloc.say("bern", plan)
    bloc.settle()
    assert {reason.article for reasons in story.run(run).declines.values() for reason in reasons} == {"guard 11"}
    assert set(story.run(run).declines) == set(bloc.members)


def test_a_member_that_was_away_while_a_witness_left_takes_up_the_log_all_the_same(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.members["oslo"].is_up = False
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()  # bern and lima cosign that, and are a quorum
    bloc.members["bern"].is_up = bloc.members["lima"].is_up = False
    bloc.say("lima", MemberWithdraw(reason="a new law"), Role.ROOT)
    # For those who have read that lima left, the newest cosigned head has one cosignature too few.
    bloc.members["oslo"].is_up = True
    bloc.settle()
    assert bloc.members["oslo"].zone.mirror.view.size == bloc.state.size
    assert set(story.run(run).declines) == set(), "oslo has not seen the plan under a quorum of those who are left"
    bloc.members["bern"].is_up = True
    bloc.settle()
    reasons = {reason.article: reason.text for reason in story.run(run).declines["oslo"]}
    assert reasons["guard 9"].startswith("lima is not a party of")
    plan = bloc.plan(agreement, "newton", 1, FEATURES)
    plan = replace(plan, offers={name: offer for name, offer in plan.offers.items() if name != "lima"})
    later = bloc.say("bern", plan)
    bloc.settle()
    assert story.final(later) is not None
    assert story.round(later).summed == {"bern", "oslo"}
