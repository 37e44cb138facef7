"""Keys are stolen, lost and replaced while a bloc works, and every member's replay says the same."""

import os
from functools import partial

import pytest

from serai.charter.constitution import STANDING
from serai.charter.decision import Choice, Result
from serai.charter.keys import RecoveryStage
from serai.charter.state import outcome_of, parties_of, settle, witness_keys
from serai.charter.statements import (
    Ballot,
    KeyRevoke,
    MemberRotate,
    ProposalOpen,
    Recovery,
    RecoveryObject,
)
from serai.cli.audits import audit_published, read_published
from serai.errors import Refused, Unverified
from serai.kernel.envelope import parse_envelope, sign_again
from serai.kernel.keys import Role, Suite, find_suite, key_id
from serai.kernel.statement import sign_body
from serai.state import Jobs, digest_state, replay
from serai.storage.keyring import Keyring
from serai.testing.federation import Federation
from serai.zones.state import approving_members
from serai.zones.statements import Approval, Grant, GrantRevoke

DAY_MS = 24 * 3600 * 1000
FEATURES = {"features": "3"}


def rotation(bloc, member, *roles, **settings):
    """A member's next set: new keys for some roles, made in its keyring."""
    record = bloc.state.charter.members[member]
    new = {role.value: (bloc.keys(member).prepare(role, **settings).public,) for role in roles}
    return MemberRotate(member=member, version=record.version + 1, keys={**record.keys, **new})


def rotate(bloc, member, *roles, **settings):
    body = rotation(bloc, member, *roles, **settings)
    bloc.say(member, body, Role.ROOT)
    if Role.ROOT in roles:
        bloc.put(sign_body(body, bloc.keys(member).find_next(Role.ROOT)))
    assert bloc.state.charter.members[member].version == body.version


def stolen(bloc, member, role, tmp_path):
    """A thief's copy of a member's key."""
    keyring = Keyring.create(tmp_path / f"thief of {member} {role}", [])
    for name in (bloc.folder / member / "keys").glob(f"{role}.pem"):
        copy = tmp_path / f"thief of {member} {role}" / name.name
        copy.write_bytes(name.read_bytes())
        copy.chmod(0o600)
    return keyring.signer(role)


def revoke(bloc, member, key, start):
    return bloc.say(member, KeyRevoke(key=key, from_index=start, reason="the laptop is gone"), Role.ROOT)


def wait(bloc, ms):
    bloc.tick(ms)
    bloc.settle()


def is_half_uploaded(story, run):
    this = story.round(run, 1)
    return this is not None and len(this.uploads) == 1


def recovery_of(bloc, proposal):
    return settle(bloc.state.charter, bloc.state.now).recoveries[proposal].stage


def test_every_key_of_a_member_is_replaced_in_the_middle_of_a_run_and_the_model_is_the_same(make_bloc):
    models = []
    for is_rotated in (False, True):
        story = make_bloc()
        bloc = story.bloc
        run = bloc.train(bloc.agree(), "newton", 3, FEATURES)
        story.step_until(partial(is_half_uploaded, story, run))
        if is_rotated:
            before = {role: bloc.keys("lima").signer(role).public for role in bloc.keys("lima").roles}
            rotate(bloc, "lima", *before)
        bloc.settle()
        assert story.final(run) is not None
        models.append(story.model(story.final(run)))
        assert not bloc.state.void
    for one, other in zip(models[0].values(), models[1].values(), strict=True):
        assert (one == other).all()
    for role, public in before.items():
        assert bloc.keys("lima").signer(role).public != public
        assert bloc.keys("lima").find_signer(key_id(public)) is not None, "kept, for what it may still open"
        assert bloc.state.charter.keys[key_id(public)].until is not None
    assert witness_keys(bloc.state.charter)["lima"] == bloc.keys("lima").signer(Role.WITNESS).public
    changed_at = bloc.state.charter.keys[key_id(before[Role.WITNESS])].until
    assert all(member.zone.mirror.view.witnessed_size > changed_at for member in bloc.members.values())


def test_what_an_old_key_signs_is_refused_by_the_center_and_void_where_the_center_is_not_careful(agreed, tmp_path):
    story, _ = agreed
    bloc = story.bloc
    thief = stolen(bloc, "lima", Role.DELEGATE, tmp_path)
    rotate(bloc, "lima", Role.DELEGATE)
    entry = sign_body(ProposalOpen(topic="project", title="T", text="Shall we?"), thief)
    with pytest.raises(Unverified, match="ended at index"):
        bloc.put(entry)
    bloc.is_careful = False
    with pytest.raises(Refused, match=r"delegate key .* of lima ended at") as caught:
        bloc.put(entry)
    assert caught.value.article == "log 9"
    bloc.settle()


def test_a_word_that_was_journalled_under_the_old_key_is_said_with_the_new_one(uploaded):
    story, run = uploaded
    bloc = story.bloc
    zone = bloc.members["lima"].zone
    before = zone.keys.signer(Role.ZONE)
    entry = zone.journal.word(
        "approve", "x", lambda: sign_body(Approval(subject="0" * 64, comment=""), before, nonce=b"12345678")
    )
    rotate(bloc, "lima", Role.ZONE)
    zone.keys.promote(Role.ZONE)
    index = zone.say_once("approve", "x", lambda: pytest.fail("it is journalled"))
    said = parse_envelope(bloc.entries[index])
    assert said.signer == key_id(zone.keys.signer(Role.ZONE).public) != parse_envelope(entry).signer
    assert (said.kind, said.predicate) == ("approval", parse_envelope(entry).predicate)
    assert sign_again(entry, zone.keys.signer(Role.ZONE)) == bloc.entries[index]
    assert zone.say_once("approve", "x", lambda: pytest.fail("it is journalled")) == index
    bloc.settle()
    assert story.final(run) is not None


def test_a_stolen_stewards_key_is_revoked_and_what_it_granted_is_taken_back(agreed, tmp_path):
    story, agreement = agreed
    bloc = story.bloc
    thief = stolen(bloc, "lima", Role.STEWARD, tmp_path)
    offer = next(offer.id for offer in bloc.state.zones.offers.values() if offer.member == "lima")
    mine = bloc.state.zones.latest[offer, agreement]
    bloc.say("lima", GrantRevoke(grant=mine), Role.STEWARD)
    start = bloc.state.size
    grant = bloc.put(sign_body(Grant(offer=offer, agreement=agreement, terms=()), thief, nonce=os.urandom(8)))
    run = bloc.say("bern", bloc.plan(agreement, "newton", 3, FEATURES))
    bloc.put(sign_body(Approval(subject=run, comment=""), thief))
    assert approving_members(bloc.state.zones, run) == {"lima"}
    revoke(bloc, "lima", key_id(thief.public), start)
    zones = bloc.state.zones
    assert zones.grants[grant].revoked is not None
    assert zones.offers[offer].withdrawn is None, "offered before the theft"
    assert approving_members(zones, run) == frozenset()
    assert set(bloc.state.disputed.values()) == {key_id(thief.public)}
    assert len(bloc.state.disputed) == 2
    with pytest.raises(Unverified, match="ended at index"):
        bloc.put(sign_body(Grant(offer=offer, agreement=agreement, terms=()), thief, nonce=os.urandom(8)))
    assert bloc.center_parts.replay.find_key(key_id(thief.public)) is None, "it may not even ask"
    rotate(bloc, "lima", Role.STEWARD)
    bloc.settle()
    bloc.keys("lima").find_next(Role.STEWARD)
    again = bloc.say("lima", Grant(offer=offer, agreement=agreement, terms=()), Role.STEWARD)
    assert bloc.state.zones.grants[again].revoked is None
    assert digest_state(replay(bloc.entries)) == digest_state(bloc.state)


def test_a_stolen_delegates_ballots_are_undone_where_they_have_decided_nothing(agreed, tmp_path):
    story, agreement = agreed
    bloc = story.bloc
    thief = stolen(bloc, "lima", Role.DELEGATE, tmp_path)
    question = ProposalOpen(topic="project", title="T", text="Shall we?")
    start = bloc.state.size
    decided, open_ = (bloc.say("bern", question) for _ in range(2))
    for proposal in (decided, open_):
        bloc.put(sign_body(Ballot(proposal=proposal, choice=Choice.YES), thief))
        bloc.say("bern", Ballot(proposal=proposal, choice=Choice.YES))
    bloc.say("oslo", Ballot(proposal=decided, choice=Choice.YES))
    assert outcome_of(bloc.state.charter, decided, bloc.state.now).result is Result.ADOPTED
    revoke(bloc, "lima", key_id(thief.public), start)
    assert outcome_of(bloc.state.charter, decided, bloc.state.now).result is Result.ADOPTED
    assert set(bloc.state.charter.proposals[open_].votes) == {"bern"}
    assert bloc.state.charter.proposals[decided].votes["lima"].at.index in bloc.state.disputed
    assert "lima" in parties_of(bloc.state.charter, agreement, bloc.state.now)
    rotate(bloc, "lima", Role.DELEGATE)
    bloc.settle()
    bloc.say("lima", Ballot(proposal=open_, choice=Choice.OBJECT, reason="not in our name"))
    assert outcome_of(bloc.state.charter, open_, bloc.state.now).result is not Result.ADOPTED


def test_a_stolen_zone_key_that_joined_a_run_is_out_of_it_and_finished_rounds_stay(running, tmp_path):
    story, run = running
    bloc = story.bloc
    thief = stolen(bloc, "lima", Role.ZONE, tmp_path)
    story.step_until(lambda: story.round(run, 1) is not None)
    first = story.round(run, 0)
    assert first.is_released
    start = bloc.state.runs.plans[run].joined_at["lima"]
    revoke(bloc, "lima", key_id(thief.public), start)
    assert bloc.state.runs.plans[run].disowned == {"lima"}
    assert set(Jobs(bloc.state, bloc.state.now)[run].keys) == {"bern", "oslo"}
    assert story.round(run, 0).is_released
    assert {at for at in bloc.state.disputed if at >= start}
    bloc.members["lima"].is_up = False
    for _ in range(4):
        wait(bloc, 61_000)
    assert story.final(run) is not None
    assert story.round(run).summed == {"bern", "oslo"}


def test_a_lost_root_is_recovered_by_the_others_after_a_contested_first_try(make_bloc, tmp_path):
    story = make_bloc()
    bloc = story.bloc
    record = bloc.state.charter.members["lima"]
    fresh = Keyring.create(tmp_path / "new", [Role.ROOT])
    keys = {**record.keys, "root": (fresh.signer(Role.ROOT).public,)}
    body = ProposalOpen(
        topic="recovery", title="T", text="Shall we?", concerned=("lima",), recovery=Recovery(member="lima", keys=keys)
    )

    def decide():
        proposal = bloc.say("bern", body)
        for member in ("bern", "oslo"):
            bloc.say(member, Ballot(proposal=proposal, choice=Choice.YES))
        closes_ms = bloc.state.charter.proposals[proposal].closes_ms
        wait(bloc, closes_ms + 1000 - bloc.now_ms)
        assert outcome_of(bloc.state.charter, proposal, bloc.state.now).result is Result.ADOPTED
        return proposal

    assert bloc.charter.find_rule("recovery") == bloc.charter.articles[STANDING]
    contested = decide()
    bloc.say("lima", RecoveryObject(proposal=contested, reason="we have found it"), Role.ROOT)
    wait(bloc, 15 * DAY_MS)
    assert recovery_of(bloc, contested) is RecoveryStage.OBJECTED
    assert bloc.state.charter.members["lima"] == record
    uncontested = decide()
    wait(bloc, 13 * DAY_MS)
    assert recovery_of(bloc, uncontested) is RecoveryStage.COOLING
    wait(bloc, 2 * DAY_MS)
    assert recovery_of(bloc, uncontested) is RecoveryStage.EFFECTIVE
    assert settle(bloc.state.charter, bloc.state.now).members["lima"].keys["root"] == (fresh.signer(Role.ROOT).public,)
    with pytest.raises(Unverified, match="ended"):
        bloc.say("lima", RecoveryObject(proposal=uncontested, reason="too late"), Role.ROOT)


class HybridFederation(Federation):
    SUITE = Suite.HYBRID


def test_a_bloc_with_hybrid_keys_trains_as_any_other(make_bloc):
    story = make_bloc(bloc=HybridFederation)
    bloc = story.bloc
    run = bloc.train(bloc.agree(), "newton", 2, FEATURES)
    bloc.settle()
    assert story.final(run) is not None
    assert not bloc.state.void
    suites = {find_suite(holder.public) for holder in bloc.state.charter.keys.values() if holder.role is Role.ZONE}
    assert suites == {Suite.HYBRID}
    rotate(bloc, "lima", Role.ROOT, Role.ZONE, suite=Suite.HYBRID)
    with pytest.raises(Refused, match=r"takes ed25519\+ml-dsa-65"):
        bloc.say("bern", rotation(bloc, "bern", Role.ZONE), Role.ROOT)


def test_an_audit_knows_the_witnesses_of_today_from_the_founders(story, monkeypatch):
    bloc = story.bloc
    for member in bloc.members:
        rotate(bloc, member, Role.WITNESS)
    wait(bloc, 1000)
    files = bloc.folder / "center" / "public"

    class Files:
        def __init__(self, url):
            assert url == "the center"

        def read(self, path):
            return (files / path).read_bytes()

    monkeypatch.setattr("serai.cli.audits.PublicFiles", Files)
    audit = audit_published("the center", bloc.charter)
    assert audit.witnesses == ("bern", "lima", "oslo")
    assert audit.state == digest_state(bloc.state) == digest_state(read_published("the center")[0])
