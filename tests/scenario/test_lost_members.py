"""The resilient profile: a member is lost for good, comes back, is called lost, or shall be unmasked by its shares."""

from collections import Counter
from dataclasses import replace

import pytest

from serai.agent.recovery import recover
from serai.aggregation.codec import decode, encode
from serai.aggregation.state import Stage, stage_of
from serai.aggregation.statements import RoundRecover
from serai.charter.statements import AgreementWithdraw
from serai.errors import Conflict, Refused
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.state import Jobs
from serai.testing.faults import Crash, Losing, accomplice, deadly, see_through
from serai.training.methods import Context
from serai.training.state import job_of
from serai.training.tensors import digest_model

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo", "pune", "riga")
OTHERS = ("bern", "oslo", "pune", "riga")
SEVEN = (*MEMBERS, "suva", "ulan")  # without two of them there is still a quorum of witnesses
ROUND_MS = 60_000
CENTERS_SECOND_MS = 1_000  # a deadline is provable a second after it has passed


def pass_deadline(bloc):
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    bloc.settle()


def start(make_bloc, threshold, rounds=2, members=MEMBERS):
    """A bloc and a run of theirs, before its first round."""
    story = make_bloc(*members)
    bloc = story.bloc
    plan = bloc.plan(bloc.agree(), "newton", rounds, FEATURES)
    return story, bloc.say("bern", replace(plan, threshold=threshold))


def lose_lima(story, run):
    """Lima's machine is gone for good, and its upload is in the sum."""
    story.step_until(lambda: story.round(run) and story.round(run).closed)
    assert story.round(run).summed == set(MEMBERS)
    assert "lima" not in story.round(run).releases
    story.bloc.members["lima"].is_up = False
    story.bloc.settle()
    assert set(story.round(run).releases) == set(OTHERS)


def stage(story, run):
    state = story.bloc.state
    return stage_of(Jobs(state, state.now)[run], story.round(run), state.now)


@pytest.fixture
def undisturbed(make_bloc):
    """The totals and models of a run in which nothing happened, round by round."""
    story, run = start(make_bloc, threshold=3)
    story.bloc.settle()
    assert story.final(run) is not None
    assert not story.round(run, 0).shares
    return [outcome(story, run, number) for number in (0, 1)]


def outcome(story, run, number):
    ((total, model),) = {(result.total, result.model) for result in story.round(run, number).results.values()}
    return total, model


def test_in_the_plain_profile_the_run_waits_for_the_lost_member(make_bloc):
    story, run = start(make_bloc, threshold=0)
    lose_lima(story, run)
    for _ in range(5):
        pass_deadline(story.bloc)
    assert story.final(run) is None
    assert not any(this.is_released for this in story.bloc.state.rounds.rounds.values())
    assert "sums 14" in {denied.article for denied in story.bloc.state.void.values()}


def test_in_the_resilient_profile_the_round_ends_with_the_lost_members_vector_in_its_sum(make_bloc, undisturbed):
    story, run = start(make_bloc, threshold=3)
    bloc = story.bloc
    lose_lima(story, run)
    assert not story.round(run).shares, "nobody shows a share before the deadline"
    bloc.tick(ROUND_MS - 1)
    bloc.settle()
    assert not story.round(run).shares
    bloc.tick(1 + CENTERS_SECOND_MS)
    bloc.settle()
    first = story.round(run, 0)
    assert set(first.recovered) == {"lima"}
    assert len(first.shares["lima"]) == 3, "as many as it takes"
    assert set(first.results) == set(OTHERS)
    assert outcome(story, run, 0) == undisturbed[0], "to the last bit"
    pass_deadline(bloc)
    assert story.round(run, 1).summed == set(OTHERS)
    assert story.final(run) is not None
    # A share that came when three were there already is void and changes nothing.
    assert {denied.article for denied in bloc.state.void.values()} <= {"sums 20"}


def test_with_one_member_away_before_the_close_and_one_after_it_the_round_ends_too(make_bloc):
    story, run = start(make_bloc, threshold=4, rounds=1, members=SEVEN)
    bloc = story.bloc
    story.step_until(lambda: story.round(run))
    bloc.members["riga"].is_up = False
    bloc.settle()
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    story.step_until(lambda: story.round(run).closed)
    bloc.members["lima"].is_up = False
    bloc.settle()
    left = set(SEVEN) - {"lima", "riga"}
    assert set(story.round(run).releases) == left
    pass_deadline(bloc)
    this = story.round(run)
    assert this.summed == left | {"lima"}
    assert set(this.recovered["lima"].pair_seeds) == {"riga"}, "only lima's shares can tell it; riga is away"
    assert set(this.results) == left
    recipe = story.recipe(run)
    start_from = recipe.initial()
    vectors = [
        recipe.contribute(start_from, story.data(name), Context(round=0, seed=bytes(32), member=name))
        for name in sorted(this.summed)
    ]
    codec = story.run(run).plan.codec
    lanes = codec.ring.zeros(codec.lanes)
    for vector in vectors:
        codec.ring.add(lanes, encode(codec, vector)[0])
    codec.ring.reduce(lanes)
    exact = decode(codec, lanes)
    assert digest_model(recipe.combine(start_from, exact, len(vectors))) == story.final(run)


def test_with_fewer_members_left_than_the_threshold_the_round_fails_and_shows_nothing(make_bloc):
    story, run = start(make_bloc, threshold=6, members=SEVEN)
    bloc = story.bloc
    story.step_until(lambda: story.round(run) and story.round(run).closed)
    for name in ("lima", "oslo"):
        assert name not in story.round(run).releases
        bloc.members[name].is_up = False
    bloc.settle()
    assert len(story.round(run).releases) == 5
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    story.step_until(lambda: story.round(run).body.number == 1)
    assert not story.round(run, 0).shares


def test_a_lost_member_that_comes_back_takes_part_again(make_bloc, undisturbed):
    story, run = start(make_bloc, threshold=3)
    bloc = story.bloc
    lose_lima(story, run)
    pass_deadline(bloc)
    assert story.round(run, 0).is_released
    bloc.members["lima"].is_up = True
    bloc.settle()
    assert "lima" not in story.round(run, 0).releases, "others have released for it"
    assert story.round(run, 1).summed == set(MEMBERS)
    assert [outcome(story, run, number) for number in (0, 1)] == undisturbed
    assert story.final(run) == undisturbed[1][1]


def test_a_lost_member_that_comes_back_after_the_first_share_releases_by_itself(make_bloc, undisturbed):
    story, run = start(make_bloc, threshold=3)
    bloc = story.bloc
    lose_lima(story, run)
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    story.step_until(lambda: story.round(run).shares)
    bloc.members["lima"].is_up = True
    while "lima" not in story.round(run).releases:
        bloc.step_member("lima")
    assert story.round(run).is_released
    assert not story.round(run).recovered
    bloc.settle()
    assert [outcome(story, run, number) for number in (0, 1)] == undisturbed


@pytest.mark.slow
def test_who_gives_shares_may_die_before_and_after_every_step(make_bloc, undisturbed):
    story, run = start(make_bloc, threshold=4)
    bloc, deaths = story.bloc, Counter()
    bloc.deceive("bern", lambda zone: deadly(zone, deaths))

    def survive(step):
        for _ in range(1_000):
            try:
                return step()
            except Crash as crash:
                bloc.restart(crash.member)
        raise AssertionError("it never lives")

    survive(lambda: story.step_until(lambda: story.round(run) and story.round(run).closed))
    bloc.members["lima"].is_up = False
    survive(bloc.settle)
    assert set(story.round(run).releases) == set(OTHERS)
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    survive(bloc.settle)
    assert set(story.round(run, 0).shares["lima"]) == set(OTHERS), "it takes all four"
    assert outcome(story, run, 0) == undisturbed[0]
    assert any(mark.startswith("word ['recover ") for mark in deaths)
    assert not bloc.state.void


# A center that lies


def test_a_center_that_calls_a_present_member_lost_gains_the_same_sum_and_no_more(make_bloc, undisturbed):
    story, run = start(make_bloc, threshold=3)
    bloc = story.bloc
    story.step_until(lambda: story.round(run) and len(story.round(run).uploads) == len(MEMBERS))
    bloc.deceive("lima", see_through(lambda center: Losing(center, {"round.release"})))
    bloc.settle()
    assert set(story.round(run).releases) == set(OTHERS)
    with pytest.raises(Refused, match="lima may still release") as caught:
        bloc.say("bern", some_shares(story, run, "bern"), Role.ZONE)
    assert caught.value.article == "sums 20"
    pass_deadline(bloc)
    assert set(story.round(run, 0).recovered) == {"lima"}
    # What lima said and the center kept is what came out: it uploaded into that sum, and nothing else is shown.
    said = parse_envelope(bloc.members["lima"].zone.center.lost[0]).predicate
    assert said["self_seed"] == story.round(run, 0).recovered["lima"].self_seed.hex()
    assert said["pair_seeds"] == {}
    assert outcome(story, run, 0) == undisturbed[0]
    bloc.deceive("lima", None)
    bloc.settle()
    assert story.final(run) == undisturbed[1][1]


def some_shares(story, run, giver):
    this = story.round(run)
    return RoundRecover(
        close=this.closed.id, member="lima", rows=b"", seeds=b"", row=b"", shares={"lima": giver.encode()}
    )


@pytest.fixture
def left_out(make_bloc):
    """The center has kept lima's upload out of the log; the others released, their pair seeds with lima among it."""
    story, run = start(make_bloc, threshold=3)
    bloc = story.bloc
    story.step_until(lambda: story.round(run))
    before = bloc.entries
    bloc.deceive("lima", see_through(lambda center: Losing(center, {"round.upload"})))
    bloc.settle()
    kept = bloc.members["lima"].zone.center.lost[0]
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    story.step_until(lambda: len(story.round(run, 0).releases) == 4)
    assert story.round(run, 0).missing == {"lima"}
    assert all(set(release.pair_seeds) == {"lima"} for release in story.round(run, 0).releases.values())
    assert bloc.center.has_blob(parse_envelope(kept).predicate["deal"]["blob"]), "the center has all lima's shares"
    return story, run, before, kept


def test_no_share_is_accepted_of_a_member_that_was_left_out_of_the_sum(left_out):
    story, run, _before, _kept = left_out
    story.bloc.tick(10 * ROUND_MS)
    with pytest.raises(Refused, match="lima is not in the sum of round 0") as caught:
        story.bloc.say("bern", some_shares(story, run, "bern"), Role.ZONE)
    assert caught.value.article == "sums 20"


def test_under_a_lying_log_too_a_zone_never_gives_both_a_pair_seed_and_a_share_for_one_member(left_out):
    story, run, before, kept = left_out
    bloc = story.bloc
    true = story.round(run, 0)
    bern = bloc.members["bern"].zone
    with pytest.raises(Conflict, match="could unmask it") as caught:
        recover(bern, job_of(bloc.state.runs, run), true, "lima")
    assert caught.value.code == "recover-otherwise"
    # Bern loses its mirror, and is shown a history in which lima is in the sum and then lost, under a quorum that
    # breaks the charter's assumption about faulty witnesses. Its journal still knows for which close it released.
    later = [entry for entry in bloc.entries[len(before) :] if parse_envelope(entry).kind == "round.upload"]
    uploads = {m: upload.body.blob for m, upload in true.uploads.items()}
    uploads["lima"] = parse_envelope(kept).predicate["blob"]
    lie = replace(true.closed.body, uploads=uploads, masked_sum=digest_of(b"another sum"))
    helpers = {
        name: accomplice(name, bloc.signer(name, Role.WITNESS), lambda: bloc.now_ms // 1000)
        for name in MEMBERS
        if name != "bern"
    }
    bern.mirror._store.close()
    for file in bern.settings.home.glob("mirror.sqlite*"):
        file.unlink()
    history = [*before, *later, kept, sign_body(lie, bloc.operator)]
    fork = story.show_fork("bern", history, accomplices=helpers, claims=5)
    for _ in range(6):
        bloc.step_member("bern")
    zone = bloc.members["bern"].zone
    this = zone.mirror.view.state.rounds.rounds[true.id]
    assert this.summed == set(MEMBERS), "bern believes the lie"
    assert zone.mirror.view.witnessed_size > this.closed.at.index
    with pytest.raises(Conflict, match="could unmask it") as caught:
        recover(zone, job_of(zone.mirror.view.state.runs, run), this, "lima")
    assert caught.value.code == "recover-otherwise"
    assert "round.recover" not in {parse_envelope(entry).kind for entry in fork.entries}
    assert zone.journal.decision(f"release {true.id}") == true.closed.id


def test_for_a_member_that_left_the_agreement_nobody_releases(make_bloc):
    story, run = start(make_bloc, threshold=3)
    bloc = story.bloc
    lose_lima(story, run)
    agreement = story.run(run).plan.agreement
    bloc.say("lima", AgreementWithdraw(agreement=agreement, reason="we want our data back"))
    bloc.settle()
    bloc.tick(ROUND_MS + CENTERS_SECOND_MS)
    bloc.settle()
    assert not story.round(run, 0).is_released
    assert not story.round(run, 0).shares
    assert stage(story, run) is not Stage.RELEASED


def test_a_plan_whose_threshold_is_half_or_less_or_all_is_void(make_bloc):
    story = make_bloc(*MEMBERS)
    bloc = story.bloc
    plan = bloc.plan(bloc.agree(), "newton", 1, FEATURES)
    for threshold in (-1, 1, 2, 5, 6):
        with pytest.raises(Refused, match="more than half and fewer than all") as caught:
            bloc.say("bern", replace(plan, threshold=threshold))
        assert caught.value.article == "training 4"
    for threshold in (0, 3, 4):
        bloc.say("bern", replace(plan, threshold=threshold, title=f"with {threshold}"))
