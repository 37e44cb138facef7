"""What members do about a center that lies: each lie is refused with its reason, or leaves the evidence that halts a zone.

Every story here is the one of ``test_the_story``, which passes where nobody
lies; ``without the lie`` marks where a test shows that again on the spot.
"""

import base64
import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from serai.agent.admission import judge_run
from serai.agent.rounds import release
from serai.aggregation.audit import verify_round
from serai.aggregation.codec import Encoder
from serai.aggregation.masking import Keystreams, Release, leftover_masks
from serai.aggregation.ring import chunk_bytes
from serai.aggregation.state import Stage, stage_of
from serai.aggregation.statements import RoundClose, RoundRelease, RoundResult, RoundUpload
from serai.charter.agreements import Life
from serai.charter.constitution import genesis_of
from serai.charter.decision import Choice, Result
from serai.charter.state import life_of, outcome_of
from serai.charter.statements import AgreementSign, AgreementWithdraw, Ballot, CharterAdopt, ProposalOpen
from serai.errors import Conflict, Refused, Unverified
from serai.kernel.canonical import canonical
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import cosign
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses, count_members, open_witnessed, require_quorum
from serai.ledger.statements import Clock
from serai.recipes.registry import build
from serai.state import Jobs, replay
from serai.storage.keyring import Keyring
from serai.testing.faults import Bending, Claiming, Forked, Frozen, Garbling, Losing, accomplice, see_through
from serai.training.methods import Context
from serai.training.state import job_of
from serai.training.statements import RunJoin
from serai.training.tensors import digest_model, model_bytes

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo")


def position_of(bloc, kind, nth=0):
    """Where the log has the nth entry of a kind."""
    return [index for index, entry in enumerate(bloc.entries) if parse_envelope(entry).kind == kind][nth]


def say_as_operator(bloc, body):
    return bloc.put(sign_body(body, bloc.operator))


def show_fork(bloc, member, entries, **lies):
    """Show a member another history from now on; the fork, to add to."""
    made = []

    def lens(center):
        made[:] = [Forked(center, bloc.log, made[0].entries if made else entries, **lies)]
        return made[0]

    bloc.deceive(member, see_through(lens))
    return made[0]


def witnesses_of(bloc):
    return bloc.center_parts.replay.witnesses()


@pytest.fixture
def running(agreed):
    """The story, and a run of which round 0 was just opened."""
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 3, FEATURES)
    story.step_until(lambda: story.round(run))
    assert not story.round(run).uploads
    return story, run


@pytest.fixture
def uploaded(running):
    """The story, a run, and all uploads of its round 0, which is still open."""
    story, run = running
    story.step_until(lambda: len(story.round(run).uploads) == 3)
    assert story.round(run).closed is None
    return story, run


# The log shows different people different things


def test_without_a_lie_a_fork_of_nothing_is_the_log_itself(agreed):
    story, agreement = agreed
    show_fork(story.bloc, "lima", story.bloc.entries)
    story.bloc.step()
    assert story.bloc.members["lima"].refusal is None
    story.bloc.deceive("lima", None)
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    assert story.round(run).summed == set(MEMBERS)


def test_two_histories_for_two_members_are_evidence_that_halts_the_zone(agreed):
    story, agreement = agreed
    bloc = story.bloc
    common = bloc.entries
    fork = show_fork(bloc, "lima", common)
    # lima is told that bern has left, the others are not.
    fork.submit(sign_body(AgreementWithdraw(agreement=agreement, reason="x"), bloc.signer("bern", Role.DELEGATE)))
    bloc.step()
    assert bloc.members["lima"].zone.mirror.view.size == len(common) + 1
    bloc.say("oslo", AgreementWithdraw(agreement=agreement, reason="y"))
    bloc.deceive("lima", see_through(lambda center: center))
    bloc.step()
    lima = bloc.members["lima"]
    assert lima.refusal.code in {"log-root", "log-fork"}
    halt = f"the log signed two roots for its first {len(common) + 1} entries"
    assert lima.zone.mirror.view.halt == halt
    bloc.restart("lima")
    bloc.step()
    lima = bloc.members["lima"]
    assert (lima.refusal.code, lima.refusal.message) == ("zone-halted", halt), "a restart does not lift the halt"


def test_a_halted_zone_keeps_the_two_signed_notes_and_takes_part_in_nothing(agreed):
    story, agreement = agreed
    bloc = story.bloc
    fork = show_fork(bloc, "lima", bloc.entries)
    fork.submit(sign_body(AgreementWithdraw(agreement=agreement), bloc.signer("bern", Role.DELEGATE)))
    bloc.step()
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.deceive("lima", see_through(lambda center: center))
    bloc.settle()
    evidence = json.loads(bloc.members["lima"].zone.mirror._store.get("fork"))
    roots = {parse_note(note).text for note in evidence["notes"]}
    assert len(roots) == 2
    assert len({text.split("\n")[1] for text in roots}) == 1, "two roots of one size, both signed by the log"
    assert all(bloc.log.key in parse_note(note).verify([bloc.log.key]) for note in evidence["notes"])
    assert set(story.run(run).keys) == {"bern", "oslo"}


def test_a_longer_history_that_does_not_begin_with_the_known_one_is_evidence_too(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    fork = show_fork(bloc, "lima", bloc.entries[:-1])
    for reason in ("one", "two", "three"):
        fork.submit(
            sign_body(AgreementWithdraw(agreement=agreement, reason=reason), bloc.signer("bern", Role.DELEGATE))
        )
    bloc.step()
    lima = bloc.members["lima"]
    assert (type(lima.refusal), lima.refusal.code) == (Unverified, "log-root")
    halt = f"the log signed a history of {size + 2} entries that does not begin with the {size} kept here"
    assert lima.zone.mirror.view.halt == halt
    assert lima.zone.mirror.view.size == size, "nothing of it was taken"


def test_entries_bent_on_the_way_are_refused_and_prove_no_fork(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.deceive("lima", see_through(Garbling))
    bloc.step()
    lima = bloc.members["lima"]
    assert lima.refusal.code == "log-root"
    assert lima.zone.mirror.view.halt is None
    bloc.deceive("lima", None)
    bloc.settle()
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)


def test_a_shorter_history_with_another_root_is_evidence_too(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    other = sign_body(AgreementWithdraw(agreement=agreement), bloc.signer("bern", Role.DELEGATE))
    show_fork(bloc, "lima", [*bloc.entries[: size - 3], other])
    bloc.step()
    view = bloc.members["lima"].zone.mirror.view
    assert view.halt == f"the log signed another history of its first {size - 2} entries"
    assert view.size == size


def test_a_rolled_back_log_is_refused_and_what_was_known_stays_known(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.settle()
    show_fork(bloc, "lima", bloc.entries[:size])
    bloc.step()
    lima = bloc.members["lima"]
    assert lima.refusal.code == "log-rollback"
    assert f"holds {size + 1} entries that the log signed, and the log now shows {size}" in lima.refusal.message
    assert lima.zone.mirror.view.halt is None, "an old checkpoint of the same log proves no fork"
    assert "bern" not in story.bloc.members["lima"].state.charter.agreements[agreement].signatures


def test_a_center_that_lost_entries_says_so_and_members_do_not_follow_it_back(agreed):
    bloc = agreed[0].bloc
    with pytest.raises(Conflict, match="it lost some, or it is another log"):
        bloc.center.news(len(bloc.entries) + 1, 0, 0)


def test_a_frozen_log_ends_a_zones_consent_when_it_is_older_than_the_zone_allows(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.members["lima"].is_up = False
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    now = bloc.center.news(0, 0, 0)
    bloc.members["lima"].is_up = True
    bloc.deceive("lima", see_through(lambda center: Frozen(center, now)))
    bloc.tick(2 * 3_600_000)
    bloc.step()
    zone = bloc.members["lima"].zone
    assert zone.mirror.view.witnessed_size > story.run(run).at.index, "it has seen the plan under a quorum"
    decision = judge_run(zone, story.run(run), zone.mirror.view)
    ((step, denied),) = decision.denials
    assert (step, denied.article) == ("freshness", "guard 4")
    assert "a withdrawal may be kept from this zone" in denied.reason
    assert "lima" not in story.run(run).keys
    assert "lima" not in story.run(run).declines
    # Without the lie:
    bloc.deceive("lima", None)
    bloc.settle()
    assert "lima" in story.run(run).keys


def test_an_entry_that_the_center_drops_is_missed_by_who_said_it(agreed):
    story, agreement = agreed
    bloc = story.bloc
    lost = []

    def lens(center):
        lost.append(Losing(center, {"run.join"}))
        return lost[-1]

    bloc.deceive("lima", see_through(lens))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    lima = bloc.members["lima"]
    assert lost[-1].lost, "the center took the entry and answered with an index"
    assert "lima" not in lima.state.runs.plans[run].keys, "lima's own replay shows that it is not there"
    first = lost[-1].lost[0]
    assert all(entry == first for entry in lost[-1].lost), "it is said again, in the same bytes"
    # Without the lie the same bytes take effect:
    bloc.deceive("lima", None)
    bloc.settle()
    assert first in bloc.entries
    assert set(story.run(run).keys) == set(MEMBERS)


def test_entries_without_the_logs_signature_are_not_taken(agreed):
    story, _agreement = agreed
    bloc = story.bloc
    fork = show_fork(bloc, "lima", [*bloc.entries, bloc.entries[0]])
    fork.note = lambda _size: ""
    bloc.step()
    assert bloc.members["lima"].refusal.code == "news-unsigned"
    stranger = replace(bloc.log, signer=bloc.signer("bern", Role.ZONE))
    fork.note = lambda size: Forked(bloc.center, stranger, fork.entries).note(size)
    bloc.step()
    assert bloc.members["lima"].refusal.code == "checkpoint-signature"
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)


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
    before = bloc.entries[: position_of(bloc, "round.open")]
    # Another deadline, hence another salt: lima masks in a round that exists for nobody else.
    fork = show_fork(
        bloc, "lima", [*before, forged_open(story, run, deadline_ms=story.round(run).body.deadline_ms + 1)]
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
    before = bloc.entries[: position_of(bloc, "round.open")]
    opening = forged_open(story, run, participants=("bern", "lima"))
    fork = show_fork(bloc, "lima", [*before, opening])
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
    show_fork(bloc, "lima", [*before, sign_body(other, bloc.operator)], accomplices=helpers, claims=3)
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
    before = bloc.entries[: position_of(bloc, "round.open")]
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
    before = bloc.entries[: position_of(bloc, "round.open")]
    show_fork(bloc, "lima", [*before, forged_open(story, run, model=digest_of(b"another model"))])
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
        say_as_operator(bloc, replace(first.body, masked_sum=digest_of(b"another sum")))
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
            say_as_operator(bloc, body)
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
        say_as_operator(story.bloc, body)
    assert caught.value.article == "sums 12"


def test_a_close_before_the_deadline_leaves_nobody_out(running):
    story, run = running
    bloc = story.bloc
    story.step_until(lambda: len(story.round(run).uploads) == 2)
    uploads = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    with pytest.raises(Refused, match="may still upload until") as caught:
        say_as_operator(bloc, RoundClose(open=story.round(run).id, uploads=uploads, masked_sum=digest_of(b"s")))
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


def close_with_a_bent_sum(story, run):
    """The center closes with a sum of which one bit is wrong, and keeps that sum; its digest."""
    bloc = story.bloc
    bloc.is_careful = False
    codec = story.run(run).plan.codec
    this = story.round(run)
    lanes = codec.ring.zeros(codec.length)
    for upload in this.uploads.values():
        codec.ring.add(lanes, lanes_of(story, run, upload.body.blob))
    lanes[3] ^= 1
    data = bytes(codec.ring.pack(lanes))
    bloc.center.put_blob(digest_of(data), data)
    uploads = {m: upload.body.blob for m, upload in this.uploads.items()}
    say_as_operator(bloc, RoundClose(open=this.id, uploads=uploads, masked_sum=digest_of(data)))
    return digest_of(data)


def test_a_masked_sum_with_one_bit_changed_is_found_by_every_member_and_by_the_audit(uploaded, caplog):
    story, run = uploaded
    bloc = story.bloc
    close_with_a_bent_sum(story, run)
    with caplog.at_level(logging.WARNING):
        bloc.settle()
    this = story.round(run, 0)
    assert this.is_released
    assert not this.results, "no member takes a step from a sum that is not one"
    found = "the masked sum of round 0 is not the sum of its uploads"
    assert sum(found in record.getMessage() for record in caplog.records) == len(MEMBERS)
    codec = story.run(run).plan.codec
    size = chunk_bytes(codec.bits)
    with pytest.raises(Unverified, match="the masked sum") as caught:
        verify_round(codec, this, lambda blob, number: bloc.center.read_blob(blob, number * size, size))
    assert caught.value.code == "sum-wrong"


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
        say_as_operator(bloc, replace(story.round(run).body, number=1))
    assert caught.value.article == "sums 2"
    assert story.round(run).body.number == 0


# The same words again


def test_a_plan_replayed_by_the_center_is_void_and_answered_once(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    plan = bloc.entries[position_of(bloc, "run.plan")]
    before = len(bloc.entries)
    assert bloc.center.submit(plan) == story.run(run).at.index, "the log takes a statement once"
    fork = show_fork(bloc, "lima", [*bloc.entries, plan])
    bloc.step()
    void = bloc.members["lima"].state.void[before]
    assert (void.article, void.reason) == (
        "log 4",
        f"this statement already stands at index {story.run(run).at.index}; once is enough",
    )
    assert fork.entries[before + 1 :] == [], "lima says nothing about it"


def test_an_old_opening_of_a_round_replayed_opens_nothing(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.train(agreement, "newton", 2, FEATURES)
    bloc.settle()
    old = bloc.entries[position_of(bloc, "round.open", 0)]
    state = replay([*bloc.entries, old])
    assert state.void[len(bloc.entries)].article == "log 4"
    assert state.rounds == bloc.state.rounds
    # Said anew by the operator, with a nonce, it is another statement, and as void:
    run = parse_envelope(bloc.entries[position_of(bloc, "run.plan")]).id
    with pytest.raises(Refused, match="all 2 rounds of the run have finished") as caught:
        bloc.put(sign_body(story.round(run, 0).body, bloc.operator, nonce=b"again"))
    assert caught.value.article == "sums 4"


# Words that nobody said


def test_the_operator_makes_no_agreement_and_casts_no_ballot(agreed):
    story, agreement = agreed
    bloc = story.bloc
    text = bloc.state.charter.agreements[agreement].text
    opening = ProposalOpen(topic="agreement", title="Ours", text="", agreement=text)
    with pytest.raises(Refused, match="needs a delegate key, and was signed with a operator key") as caught:
        say_as_operator(bloc, opening)
    assert caught.value.article == "log 5"
    proposal = bloc.say("bern", opening)
    for body in (Ballot(proposal=proposal, choice=Choice.YES), AgreementSign(agreement=agreement)):
        with pytest.raises(Refused) as caught:
            say_as_operator(bloc, body)
        assert caught.value.article == "log 5"
    assert outcome_of(bloc.state.charter, proposal, bloc.state.now).result is Result.OPEN
    assert life_of(bloc.state.charter, proposal, bloc.state.now) is Life.DRAFT
    assert not bloc.state.charter.proposals[proposal].votes
    # Without the lie:
    for name in MEMBERS:
        bloc.say(name, Ballot(proposal=proposal, choice=Choice.YES))
    assert life_of(bloc.state.charter, proposal, bloc.state.now) is Life.OPEN_FOR_SIGNATURE


def test_a_zone_that_pinned_another_charter_takes_part_in_nothing(agreed):
    story, agreement = agreed
    bloc = story.bloc
    other = genesis_of(replace(bloc.charter, name="What lima's people checked"))
    bloc.deceive("lima", lambda zone: replace(zone, settings=replace(zone.settings, genesis=other)))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    (reason,) = story.run(run).declines["lima"]
    assert reason.article == "guard 1"
    assert reason.text.endswith("another log")
    assert set(story.run(run).keys) == {"bern", "oslo"}, "without the lie they join"


def test_a_charter_that_one_founder_did_not_sign_is_not_in_force(make_bloc):
    bloc = make_bloc().bloc
    adoptions = bloc.entries[:3]
    forged = sign_body(CharterAdopt(charter=bloc.charter), bloc.operator, nonce=b"1")
    state = replay([*adoptions[:2], forged])
    assert not state.charter.in_force
    assert state.void[2].article == "log 5"
    assert replay(adoptions).charter.in_force, "without the lie it is"


def with_signer(entry, signer, claimed):
    """The same statement signed by another key that claims to be the first one."""
    outer = json.loads(entry)
    payload = base64.b64decode(outer["payload"])
    kind = outer["payloadType"].encode()
    signature = signer.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    outer["signatures"] = [{"keyid": key_id(claimed), "sig": base64.b64encode(signature).decode()}]
    return canonical(outer)


def test_the_operator_signing_in_a_members_name_is_refused_and_void(agreed):
    story, agreement = agreed
    bloc = story.bloc
    lima = bloc.signer("lima", Role.DELEGATE)
    body = AgreementWithdraw(agreement=agreement, reason="forged")
    forged = with_signer(sign_body(body, lima, nonce=b"1"), bloc.operator, lima.public)
    with pytest.raises(Unverified, match="does not hold"):
        bloc.center.submit(forged)
    bloc.is_careful = False
    with pytest.raises(Refused, match="does not hold") as caught:
        bloc.put(forged)
    assert caught.value.article == "log 3"
    assert "lima" in bloc.state.charter.agreements[agreement].signatures
    bloc.put(sign_body(body, lima, nonce=b"2"))  # without the lie
    assert "lima" not in bloc.state.charter.agreements[agreement].signatures


def test_a_key_that_is_in_no_charter_says_nothing(agreed, tmp_path):
    story, agreement = agreed
    bloc = story.bloc
    stranger = Keyring.create(tmp_path / "keys", [Role.DELEGATE]).signer(Role.DELEGATE)
    entry = sign_body(AgreementWithdraw(agreement=agreement), stranger)
    with pytest.raises(Unverified, match="belongs to no member"):
        bloc.center.submit(entry)
    bloc.is_careful = False
    with pytest.raises(Refused, match="belongs to no member in the charter") as caught:
        bloc.put(entry)
    assert caught.value.article == "log 2"


def test_a_swapped_mask_key_breaks_the_signature_over_the_join(running):
    story, run = running
    bloc = story.bloc
    place = next(i for i, e in enumerate(bloc.entries) if parse_envelope(e).kind == "run.join")
    before = bloc.entries[:place]
    joiner = next(
        m for m in MEMBERS if key_id(bloc.signer(m, Role.ZONE).public) == parse_envelope(bloc.entries[place]).signer
    )
    honest = replay([*before, bloc.entries[place]])
    assert set(honest.runs.plans[run].keys) == {joiner}
    substituted = RunJoin(plan=run, agg_key=Keyring.create(bloc.folder / "mole", []).agreement("mole").public)
    zone = bloc.signer(joiner, Role.ZONE)
    forged = with_signer(sign_body(substituted, zone), bloc.operator, zone.public)
    state = replay([*before, forged])
    assert not state.runs.plans[run].keys
    assert state.void[place].article == "log 3"
    as_operator = replay([*before, sign_body(substituted, bloc.operator)])
    assert as_operator.void[place].article == "log 5"


def test_a_mask_key_of_two_members_or_of_low_order_is_void(running):
    story, run = running
    bloc = story.bloc
    place = position_of(bloc, "run.join", 1)
    before = bloc.entries[:place]
    (first,) = replay(before).runs.plans[run].keys
    taken = replay(before).runs.plans[run].keys[first]
    second = next(member for member in MEMBERS if member != first)
    for key, reason in ((taken, "another member of this run already uses"), (bytes(32), "a point of low order")):
        entry = sign_body(RunJoin(plan=run, agg_key=key), bloc.signer(second, Role.ZONE))
        void = replay([*before, entry]).void[place]
        assert void.article == "training 6"
        assert reason in void.reason


def test_a_second_join_cannot_put_another_key_in_place_of_the_first(running):
    story, run = running
    key = Keyring.create(story.bloc.folder / "mole", []).agreement("mole").public
    with pytest.raises(Refused, match="lima already joined run") as caught:
        story.bloc.say("lima", RunJoin(plan=run, agg_key=key), Role.ZONE)
    assert caught.value.article == "training 5"


def test_an_upload_that_the_operator_announces_for_a_member_is_void(running):
    story, run = running
    blob = b"x" * story.run(run).plan.codec.upload_bytes
    story.bloc.center.put_blob(digest_of(blob), blob)
    body = RoundUpload(open=story.round(run).id, blob=digest_of(blob), chunks=digest_of(blob), size_bytes=len(blob))
    with pytest.raises(Refused, match="needs a zone key") as caught:
        say_as_operator(story.bloc, body)
    assert caught.value.article == "log 5"
    assert not story.round(run).uploads


# Time and witnesses


def cosigned(bloc, note, members, times_s):
    """A note with a cosignature line of each member at each time."""
    body = parse_note(note).text
    return note + "".join(
        cosign(body, name, bloc.signer(name, Role.WITNESS), time_s) for name in members for time_s in times_s
    )


def test_a_clock_without_a_quorum_does_not_move_time(agreed):
    bloc = agreed[0].bloc
    later = bloc.now_ms // 1000 + 3_600
    note = bloc.center.news(0, 0, 0).checkpoint
    before = bloc.state.time_ms
    for witnesses in ((), ("bern",)):
        with pytest.raises(Refused, match="expected cosignatures of 2 of 3 members") as caught:
            say_as_operator(bloc, Clock(checkpoint=cosigned(bloc, note, witnesses, [later])))
        assert caught.value.article == "log 7"
    assert bloc.state.time_ms == before
    say_as_operator(bloc, Clock(checkpoint=cosigned(bloc, note, ("bern", "oslo"), [later])))  # without the lie
    assert bloc.state.time_ms == later * 1000


def test_time_does_not_go_back_and_no_clock_speaks_of_entries_to_come(agreed):
    bloc = agreed[0].bloc
    note = bloc.center.news(0, 0, 0).checkpoint
    early = cosigned(bloc, note, ("bern", "oslo"), [1])
    with pytest.raises(Refused, match="does not go back to 1000") as caught:
        say_as_operator(bloc, Clock(checkpoint=early))
    assert caught.value.article == "log 8"
    ahead = Forked(bloc.center, bloc.log, [*bloc.entries, *bloc.entries]).note(len(bloc.entries) * 2)
    with pytest.raises(Refused, match="the checkpoint is of") as caught:
        say_as_operator(bloc, Clock(checkpoint=cosigned(bloc, ahead, ("bern", "oslo"), [bloc.now_ms // 1000])))
    assert caught.value.article == "log 8"


def test_one_liar_among_the_witnesses_moves_the_median_no_further_than_an_honest_time(make_bloc):
    story = make_bloc("bern", "lima", "oslo", "pune")
    bloc = story.bloc
    note = bloc.center.news(0, 0, 0).checkpoint
    now_s = bloc.now_ms // 1000
    body = parse_note(note).text
    times_s = {"bern": now_s, "lima": now_s + 1, "oslo": 10**11}
    lines = [cosign(body, name, bloc.signer(name, Role.WITNESS), time_s) for name, time_s in times_s.items()]
    witnessed = open_witnessed(note + "".join(lines), bloc.log.key, witnesses_of(bloc))
    assert witnessed.time_ms == (now_s + 1) * 1000


def test_one_witness_counts_once_however_often_and_under_however_many_names_it_signs(agreed):
    """The pattern of CVE-2026-49834: a threshold met by one key."""
    bloc = agreed[0].bloc
    note = bloc.center.news(0, 0, 0).checkpoint
    now_s = bloc.now_ms // 1000
    thrice = cosigned(bloc, note, ("bern",), [now_s, now_s + 1, now_s + 2])
    assert set(count_members(parse_note(thrice), witnesses_of(bloc).keys)) == {"bern"}
    with pytest.raises(Unverified, match="expected cosignatures of 2 of 3 members, got 1: bern"):
        require_quorum(parse_note(thrice), witnesses_of(bloc))
    with pytest.raises(Refused, match="got 1: bern") as caught:
        say_as_operator(bloc, Clock(checkpoint=thrice))
    assert caught.value.article == "log 7"
    # One key in the place of two members, as a charter should never have it, is still one witness.
    bern = bloc.signer("bern", Role.WITNESS)
    shared = Witnesses({**witnesses_of(bloc).keys, "lima": bern.public}, 0)
    body = parse_note(note).text
    double = note + "".join(cosign(body, name, bern, now_s) for name in ("bern", "lima"))
    with pytest.raises(Unverified, match="got 1"):
        require_quorum(parse_note(double), shared)
    assert len(require_quorum(parse_note(cosigned(bloc, note, ("bern", "oslo"), [now_s])), witnesses_of(bloc))) == 2


def test_a_member_believes_no_witnessed_head_that_lacks_a_quorum_and_reads_on(agreed):
    story, agreement = agreed
    bloc = story.bloc
    before = bloc.members["lima"].zone.mirror.view.witnessed_size
    now_s = bloc.now_ms // 1000
    times_s = {"bern": [now_s, now_s + 1]}

    def claim(note):
        return note + "".join(cosigned(bloc, note, (name,), times_s[name]).removeprefix(note) for name in times_s)

    bloc.deceive("lima", see_through(lambda center: Claiming(center, claim)))
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.step_member("lima")
    view = bloc.members["lima"].zone.mirror.view
    assert (view.size, view.witnessed_size) == (len(bloc.entries), before)
    bloc.say("oslo", AgreementWithdraw(agreement=agreement))
    times_s["oslo"] = [now_s]
    bloc.step_member("lima")
    assert bloc.members["lima"].zone.mirror.view.witnessed_size == len(bloc.entries), "without the lie it does"
    assert bloc.members["lima"].refusal is None


def test_a_cosignature_that_does_not_hold_spoils_the_whole_claim_and_not_the_entries(agreed):
    story, agreement = agreed
    bloc = story.bloc
    now_s = bloc.now_ms // 1000
    other = bloc.log.sign(len(bloc.entries), bytes(32))
    stolen = cosigned(bloc, other, ("oslo",), [now_s]).removeprefix(other)
    bloc.deceive(
        "lima",
        see_through(lambda c: Claiming(c, lambda note: cosigned(bloc, note, ("bern", "lima"), [now_s]) + stolen)),
    )
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.step_member("lima")
    assert bloc.members["lima"].refusal.code == "signature"
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)
    bloc.deceive("lima", None)
    bloc.say("oslo", AgreementWithdraw(agreement=agreement))
    bloc.settle()
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)


def test_a_quorum_for_another_history_halts_the_zone(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    other = sign_body(AgreementWithdraw(agreement=agreement, reason="x"), bloc.signer("bern", Role.DELEGATE))
    forked = Forked(bloc.center, bloc.log, [*bloc.entries[:-1], other]).note(size)
    note = cosigned(bloc, forked, ("bern", "oslo"), [bloc.now_ms // 1000])
    bloc.deceive("lima", see_through(lambda c: Claiming(c, lambda _note: note)))
    bloc.step_member("lima")
    lima = bloc.members["lima"]
    assert lima.refusal.code == "log-fork"
    assert lima.zone.mirror.view.halt == "members cosigned another history than this zone holds"


def test_the_stage_of_a_round_is_a_matter_of_log_time_and_not_of_the_centers_clock(running):
    story, run = running
    bloc = story.bloc
    bloc.tick(10 * 60_000)
    state = bloc.state
    job = Jobs(state, state.now)[run]
    assert stage_of(job, story.round(run), state.now) is Stage.OPEN
    bloc.settle()
    assert story.final(run) is not None
