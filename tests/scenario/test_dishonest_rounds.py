"""What members do about rounds and sums that a center forges, bends or closes to its liking."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from serai.agent.rounds import release
from serai.aggregation.codec import Encoder
from serai.aggregation.masking import Keystreams, Release, leftover_masks
from serai.aggregation.statements import RoundClose, RoundRelease, RoundResult, RoundUpload
from serai.errors import Conflict, Refused, Unverified
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.recipes.registry import build
from serai.state import replay
from serai.testing.faults import Bending, accomplice, see_through
from serai.training.methods import Context
from serai.training.state import job_of
from serai.training.tensors import digest_model, model_bytes

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo")


# Rounds


def forged_open(story, run, **changes):
    """The true round.open with some fields changed, signed by the center like the true one."""
    return sign_body(replace(story.round(run).body, **changes), story.bloc.operator)


def vector_of(story, run, member):
    """What a member's plain upload would be, as integers of the ring: what must never show."""
    codec, recipe = story.run(run).plan.codec, story.recipe(run)
    context = Context(round=0, seed=bytes(32), member=member)
    vector = recipe.contribute(recipe.initial(), story.data(member), context)
    return Encoder(codec, vector).chunk(0)


def lanes_of(story, run, blob):
    codec = story.run(run).plan.codec
    data = story.bloc.center_parts.blobs.read_range(blob, 0, 2**20)
    return codec.ring.unpack(data, codec.length)


def sum_without_other_masks(story, run, blobs, salted):
    """The sum of uploads less the self masks: readable if, and only if, all were masked in one and the same round."""
    codec = story.run(run).plan.codec
    lanes = codec.ring.zeros(codec.length)
    for blob in blobs.values():
        codec.ring.add(lanes, lanes_of(story, run, blob))
    seeds = {m: story.bloc.members[m].zone.journal.seed(salted[m], lambda: bytes(32)) for m in blobs}
    masks = leftover_masks({member: Release(seed, {}) for member, seed in seeds.items()})
    Keystreams(codec.ring, masks).add(lanes, 0)
    return lanes


def test_a_round_forged_for_one_member_gives_noise_and_never_its_vector(running):
    story, run = running
    bloc = story.bloc
    before = bloc.entries[: story.position("round.open")]
    # Another deadline, hence another salt: lima masks in a round that exists for nobody else.
    fork = story.show_fork(
        "lima", [*before, forged_open(story, run, deadline_ms=story.round(run).body.deadline_ms + 1)]
    )
    bloc.step_member("lima")
    lie = replay(fork.entries).rounds
    (forged,) = lie.rounds.values()
    blob = forged.uploads["lima"].body.blob
    story.step_until(lambda: len(story.round(run).uploads) == 2)
    true = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    assert set(true) == {"bern", "oslo"}
    plain = sum(vector_of(story, run, m).astype(object) for m in MEMBERS)
    salted = {"lima": forged.id, "bern": story.round(run).id, "oslo": story.round(run).id}
    # Even who had all three self masks could read nothing.
    mixed = sum_without_other_masks(story, run, {**true, "lima": blob}, salted)
    assert not np.isin(mixed, np.array([int(value) % 2**64 for value in plain], np.uint64)).any()
    assert not np.isin(lanes_of(story, run, blob), vector_of(story, run, "lima")).any()


def test_without_the_lie_the_same_sum_is_readable(uploaded):
    story, run = uploaded
    this = story.round(run)
    blobs = {m: upload.body.blob for m, upload in this.uploads.items()}
    plain = sum(vector_of(story, run, m).astype(object) for m in MEMBERS)
    summed = sum_without_other_masks(story, run, blobs, dict.fromkeys(MEMBERS, this.id))
    assert [int(value) for value in summed] == [int(value) % 2**64 for value in plain]


def test_who_uploaded_in_a_forged_round_releases_nothing_there_without_a_quorum(running):
    story, run = running
    bloc = story.bloc
    before = bloc.entries[: story.position("round.open")]
    opening = forged_open(story, run, participants=("bern", "lima"))
    fork = story.show_fork("lima", [*before, opening])
    bloc.step_member("lima")
    opened = parse_envelope(opening).id
    blob = b"x" * story.run(run).plan.codec.upload_bytes
    # The center has bern's zone key, say; it lacks a quorum of witness keys.
    body = RoundUpload(open=opened, blob=digest_of(blob), chunks=digest_of(blob), size_bytes=len(blob))
    fork.submit(sign_body(body, bloc.signer("bern", Role.ZONE)))
    (forged,) = replay(fork.entries).rounds.rounds.values()
    assert set(forged.uploads) == {"bern", "lima"}
    close = RoundClose(
        open=opened,
        uploads={m: upload.body.blob for m, upload in forged.uploads.items()},
        masked_sum=digest_of(b"any"),
    )
    fork.submit(sign_body(close, bloc.operator))
    for _ in range(5):
        bloc.step_member("lima")
    view = bloc.members["lima"].zone.mirror.view
    (forged,) = view.state.rounds.rounds.values()
    assert forged.closed is not None, "lima has seen the close"
    assert view.witnessed_size <= forged.closed.at.index, "and no quorum with it"
    assert not forged.releases


def test_with_a_quorum_of_accomplices_the_second_close_finds_the_release_already_given(uploaded):
    story, run = uploaded
    bloc = story.bloc
    before = bloc.entries
    opened = story.round(run).id
    story.step_until(lambda: "lima" in story.round(run).releases)
    first = story.round(run)
    # Now lima loses its mirror, and is shown a history in which another close came first, under a quorum
    # that breaks the charter's assumption about faulty witnesses. Its journal still knows what it said.
    bloc.tick(120_000)
    other = replace(first.closed.body, masked_sum=digest_of(b"another sum"))
    helpers = {
        name: accomplice(name, bloc.signer(name, Role.WITNESS), lambda: bloc.now_ms // 1000)
        for name in ("bern", "oslo")
    }
    lima = bloc.members["lima"].zone
    lima.mirror._store.close()
    for file in lima.settings.home.glob("mirror.sqlite*"):
        file.unlink()
    story.show_fork("lima", [*before, sign_body(other, bloc.operator)], accomplices=helpers, claims=3)
    for _ in range(4):
        bloc.step_member("lima")
    view = bloc.members["lima"].zone.mirror.view
    this = view.state.rounds.rounds[opened]
    assert this.closed.body == other
    assert view.witnessed_size > this.closed.at.index, "the lie is under a quorum"
    assert not this.releases
    job = job_of(view.state.runs, run)
    with pytest.raises(Conflict, match=f"already decided release {opened}") as caught:
        release(bloc.members["lima"].zone, job, this)
    assert caught.value.code == "said-otherwise"


@pytest.mark.parametrize(
    ("changes", "article", "reason"),
    [
        ({"model": digest_of(b"another model")}, "sums 6", "the run has come to model"),
        ({"participants": ("bern",)}, "sums 7", "expected at least 2 participants, got 1"),
        ({"participants": ("bern", "mole", "oslo")}, "sums 7", "mole did not join the run"),
        ({"participants": ("bern", "bern", "oslo")}, "sums 7", "each participant once"),
        ({"number": 1}, "sums 4", "expected round number 0, got 1"),
        ({"deadline_ms": 0}, "sums 8", "the plan gives participants 60000 ms"),
    ],
)
def test_a_round_opened_against_the_plan_is_void_for_everybody(running, changes, article, reason):
    story, run = running
    bloc = story.bloc
    before = bloc.entries[: story.position("round.open")]
    honest = replay([*before, forged_open(story, run, deadline_ms=story.round(run).body.deadline_ms + 1)])
    assert len(honest.rounds.rounds) == 1, "without the lie it opens"
    state = replay([*before, forged_open(story, run, **changes)])
    assert not state.rounds.rounds
    denied = state.void[len(before)]
    assert denied.article == article
    assert reason in denied.reason


def test_a_member_shown_a_round_with_another_model_uploads_nothing(running):
    story, run = running
    bloc = story.bloc
    before = bloc.entries[: story.position("round.open")]
    story.show_fork("lima", [*before, forged_open(story, run, model=digest_of(b"another model"))])
    for _ in range(3):
        bloc.step_member("lima")
    zone = bloc.members["lima"].zone
    assert zone.mirror.view.state.void[len(before)].article == "sums 6"
    assert not zone.mirror.view.state.rounds.rounds
    assert zone.journal.upload(story.round(run).id) is None


def test_the_second_close_of_a_round_is_void(uploaded):
    story, run = uploaded
    bloc = story.bloc
    story.step_until(lambda: story.round(run).closed)
    first = story.round(run).closed
    with pytest.raises(Refused, match=f"was closed at entry {first.at.index}; the first close wins") as caught:
        story.operator_says(replace(first.body, masked_sum=digest_of(b"another sum")))
    assert caught.value.article == "sums 11"
    bloc.settle()
    assert story.round(run, 0).closed.id == first.id
    assert story.final(run) is not None


def test_a_release_for_a_close_that_does_not_count_is_void(uploaded):
    story, run = uploaded
    bloc = story.bloc
    story.step_until(lambda: story.round(run).closed)
    second = sign_body(replace(story.round(run).closed.body, masked_sum=digest_of(b"another sum")), bloc.operator)
    bloc.center.submit(second)
    body = RoundRelease(close=parse_envelope(second).id, self_seed=bytes(32), pair_seeds={})
    with pytest.raises(Refused, match="there is none by that id") as caught:
        bloc.say("lima", body, Role.ZONE)
    assert caught.value.article == "sums 1"


def test_a_fake_drop_out_is_void_whoever_is_left_out(uploaded):
    story, run = uploaded
    bloc = story.bloc
    uploads = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    bloc.tick(120_000)
    for left_out in MEMBERS:
        rest = {m: blob for m, blob in uploads.items() if m != left_out}
        body = RoundClose(open=story.round(run).id, uploads=rest, masked_sum=digest_of(b"sum"))
        with pytest.raises(Refused, match=f"the uploads of {left_out} are not as the log has them") as caught:
            story.operator_says(body)
        assert caught.value.article == "sums 12"
    bloc.settle()
    assert story.round(run, 0).summed == set(MEMBERS)


@pytest.mark.parametrize("member", ["lima", "mole"])
def test_a_close_that_names_an_upload_nobody_made_is_void(uploaded, member):
    story, run = uploaded
    uploads = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    body = RoundClose(
        open=story.round(run).id, uploads={**uploads, member: digest_of(b"nobody's")}, masked_sum=digest_of(b"sum")
    )
    with pytest.raises(Refused, match=f"the uploads of {member} are not as the log has them") as caught:
        story.operator_says(body)
    assert caught.value.article == "sums 12"


def test_a_close_before_the_deadline_leaves_nobody_out(running):
    story, run = running
    bloc = story.bloc
    story.step_until(lambda: len(story.round(run).uploads) == 2)
    uploads = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    with pytest.raises(Refused, match="may still upload until") as caught:
        story.operator_says(RoundClose(open=story.round(run).id, uploads=uploads, masked_sum=digest_of(b"s")))
    assert caught.value.article == "sums 13"
    bloc.settle()
    assert story.round(run, 0).summed == set(MEMBERS)


def test_a_pair_seed_nobody_may_ask_for_is_never_accepted(uploaded):
    story, run = uploaded
    bloc = story.bloc
    story.step_until(lambda: story.round(run).closed)
    body = RoundRelease(close=story.round(run).closed.id, self_seed=bytes(32), pair_seeds={"bern": bytes(32)})
    with pytest.raises(Refused, match="exactly nobody; any other could unmask a member") as caught:
        bloc.say("lima", body, Role.ZONE)
    assert caught.value.article == "sums 16"


# Sums


def test_a_true_sum_that_is_served_bent_is_found_by_who_cannot_recompute_it(running, caplog):
    story, run = running
    bloc = story.bloc
    bloc.members["lima"].is_up = False
    bloc.settle()
    bloc.tick(61_000)
    story.step_until(lambda: story.round(run).closed)
    bent = {story.round(run).closed.body.masked_sum}
    bloc.members["lima"].is_up = True
    bloc.deceive("lima", see_through(lambda center: Bending(center, bent)))
    with caplog.at_level(logging.WARNING):
        bloc.settle()
    assert set(story.round(run, 0).results) == {"bern", "oslo"}
    assert "the masked sum of round 0 is not the one in its close" in caplog.text
    # Without the lie lima catches up:
    bloc.deceive("lima", None)
    bloc.settle()
    assert "lima" in story.round(run, 0).results
    assert set(story.round(run, 2).results) == set(MEMBERS)
    assert story.final(run) is not None


def test_an_upload_that_the_center_swaps_is_not_what_its_member_signed(uploaded, caplog):
    story, run = uploaded
    bloc = story.bloc
    blob = story.round(run).uploads["bern"].body.blob
    bloc.deceive("lima", see_through(lambda center: Bending(center, {blob})))
    with caplog.at_level(logging.WARNING):
        bloc.settle()
    assert "the center's copy of bern's upload is not what bern signed" in caplog.text
    assert "lima" not in story.round(run, 0).results
    bloc.deceive("lima", None)
    bloc.settle()
    assert story.final(run) is not None


def test_a_model_that_the_center_swaps_is_not_the_one_that_was_named(agreed):
    story, agreement = agreed
    bloc = story.bloc
    scale = {"mean": np.zeros(3), "n": np.array([9.0]), "std": np.ones(3)}
    bloc.center.put_blob(digest_model(scale), model_bytes(scale))
    bloc.deceive("lima", see_through(lambda center: Bending(center, {digest_model(scale)})))
    initial = digest_model(build("newton", FEATURES, {"moments": scale}).initial())
    plan = bloc.plan(agreement, "newton", 1, FEATURES)
    run = bloc.say("bern", replace(plan, inputs={"moments": digest_model(scale)}, initial=initial))
    bloc.settle()
    assert {reason.article for reason in story.run(run).declines["lima"]} == {"guard 11"}
    assert set(story.run(run).keys) == {"bern", "oslo"}, "without the lie they join"


def test_a_result_that_differs_halts_the_run_and_names_who_said_what(uploaded):
    story, run = uploaded
    bloc = story.bloc
    story.step_until(lambda: story.round(run).is_released)
    body = RoundResult(close=story.round(run).closed.id, total=digest_of(b"t"), model=digest_of(b"m"))
    bloc.say("oslo", body, Role.ZONE)
    with pytest.raises(Unverified, match="the total of oslo should be"):
        bloc.check()
    bloc.is_careful = False
    bloc.settle()
    with pytest.raises(Refused, match=r"the results of round 0 differ .*oslo") as caught:
        story.operator_says(replace(story.round(run).body, number=1))
    assert caught.value.article == "sums 2"
    assert story.round(run).body.number == 0
