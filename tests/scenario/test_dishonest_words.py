"""What becomes of words that a center repeats, or puts into somebody's mouth."""

import base64
import json
from dataclasses import replace

import pytest

from serai.aggregation.statements import RoundUpload
from serai.charter.agreements import Life
from serai.charter.constitution import genesis_of
from serai.charter.decision import Choice, Result
from serai.charter.state import life_of, outcome_of
from serai.charter.statements import AgreementSign, AgreementWithdraw, Ballot, CharterAdopt, ProposalOpen
from serai.errors import Refused, Unverified
from serai.kernel.canonical import canonical
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import sign_body
from serai.state import replay
from serai.storage.keyring import Keyring
from serai.training.statements import RunJoin

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo")


# The same words again


def test_a_plan_replayed_by_the_center_is_void_and_answered_once(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    plan = bloc.entries[story.position("run.plan")]
    before = len(bloc.entries)
    assert bloc.center.submit(plan) == story.run(run).at.index, "the log takes a statement once"
    fork = story.show_fork("lima", [*bloc.entries, plan])
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
    old = bloc.entries[story.position("round.open", 0)]
    state = replay([*bloc.entries, old])
    assert state.void[len(bloc.entries)].article == "log 4"
    assert state.rounds == bloc.state.rounds
    # Said anew by the operator, with a nonce, it is another statement, and as void:
    run = parse_envelope(bloc.entries[story.position("run.plan")]).id
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
        story.operator_says(opening)
    assert caught.value.article == "log 5"
    proposal = bloc.say("bern", opening)
    for body in (Ballot(proposal=proposal, choice=Choice.YES), AgreementSign(agreement=agreement)):
        with pytest.raises(Refused) as caught:
            story.operator_says(body)
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
    place = story.position("run.join", 1)
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
        story.operator_says(body)
    assert caught.value.article == "log 5"
    assert not story.round(run).uploads
