"""Keys change hands: by the member's own root keys, by revocation, and by the others' decision."""

from dataclasses import replace

import pytest

from serai.charter.agreements import Life
from serai.charter.constitution import CharterChange
from serai.charter.decision import Choice, Result
from serai.charter.keys import RecoveryStage
from serai.charter.state import apply, disown, holder_of, outcome_of, settle, tally_of, witness_faults, witness_keys
from serai.charter.statements import (
    AgreementSign,
    Ballot,
    CharterAdopt,
    KeyRevoke,
    MemberRotate,
    MemberWithdraw,
    ProposalOpen,
    Recovery,
    RecoveryObject,
    StandingChange,
)
from serai.kernel.keys import HYBRID_KEY_BYTES, Role, Suite, key_id
from serai.kernel.units import Instant

COOLING_MS = 1000


def fresh(name):
    return key_id(name.encode())[:32].encode()


def hybrid(name):
    return (key_id(name.encode()) * 2)[:HYBRID_KEY_BYTES].encode()


def record(center, member):
    return center.state.members[member]


def rotation(center, member="a", version=None, threshold=1, **changes):
    """The member's next set of keys: as now, but for some roles."""
    keys = {**record(center, member).keys, **{role: tuple(new) for role, new in changes.items()}}
    version = record(center, member).version + 1 if version is None else version
    return MemberRotate(member=member, version=version, keys=keys, root_threshold=threshold)


def root(center, member="a", number=0):
    return record(center, member).keys["root"][number]


def holder(center, public):
    return center.state.keys[key_id(public)]


def rotate(center, body, *keys):
    for key in keys:
        center.do(body.member, body, Role.ROOT, key)


@pytest.fixture
def guarded(make_center, make_charter, make_record):
    """Member a has three root keys, two of which must say the same."""
    founding = make_charter(cooling_ms=COOLING_MS)
    roots = (fresh("r0"), fresh("r1"), fresh("r2"))
    first = replace(make_record("a"), keys={**make_record("a").keys, "root": roots}, root_threshold=2)
    center = make_center(replace(founding, members=(first, *founding.members[1:])))
    for member in "bcde":
        center.do(member, adopt(center), Role.ROOT)
    for key in roots[:2]:
        assert not center.state.in_force
        center.do("a", adopt(center), Role.ROOT, key)
    assert center.state.in_force
    return center


def adopt(center):
    return CharterAdopt(charter=center.founding)


# Rotation


@pytest.mark.parametrize("role", ["zone", "delegate", "steward", "witness"])
def test_a_root_key_replaces_a_key_of_any_other_role_and_stays_as_it_is(center, role):
    old, new, before = record(center, "a").keys[role][0], fresh("new"), root(center)
    at = center.at.index
    rotate(center, rotation(center, **{role: [new]}), before)
    assert record(center, "a").keys[role] == (new,)
    assert (record(center, "a").version, center.state.version) == (2, 2)
    assert root(center) == before
    assert (holder(center, old).until, holder(center, new).since) == (at + 1, at + 1)
    assert (holder(center, new).role, holder(center, new).until) == (role, None)
    assert not holder(center, old).revoked
    assert center.state.charter.members == tuple(record(center, member) for member in "abcde")


def test_new_root_keys_take_over_when_the_old_and_the_new_have_said_so(center):
    old, new = root(center), fresh("new")
    body = rotation(center, root=[new])
    assert "a present root key of a has to say this" in center.refuse("a", body, Role.ROOT, new).reason
    center.do("a", body, Role.ROOT, old)
    assert root(center) == old
    assert holder_of(center.state, key_id(new), body).member == "a"
    center.do("a", body, Role.ROOT, new)
    assert root(center) == new
    assert holder(center, old).until == center.at.index
    rotate(center, rotation(center, zone=[fresh("zone")]), new)
    assert record(center, "a").version == 3


def test_both_thresholds_count_distinct_keys(guarded):
    body = rotation(guarded, root=[root(guarded), fresh("n1"), fresh("n2")], threshold=3)
    guarded.do("a", body, Role.ROOT, root(guarded, number=0))
    again = guarded.refuse("a", body, Role.ROOT, root(guarded, number=0))
    assert "has said this" in again.reason
    guarded.do("a", body, Role.ROOT, fresh("n1"))
    guarded.do("a", body, Role.ROOT, fresh("n2"))
    assert record(guarded, "a").version == 1, "all of the new, and only one of the old"
    guarded.do("a", body, Role.ROOT, root(guarded, number=2))
    assert record(guarded, "a").root_threshold == 3
    assert len(record(guarded, "a").keys["root"]) == 3


def test_keys_that_say_different_things_do_not_add_up(guarded):
    guarded.do("a", rotation(guarded, zone=[fresh("x")]), Role.ROOT, root(guarded, number=0))
    guarded.do("a", rotation(guarded, zone=[fresh("y")]), Role.ROOT, root(guarded, number=1))
    assert record(guarded, "a").version == 1
    guarded.do("a", rotation(guarded, zone=[fresh("y")]), Role.ROOT, root(guarded, number=2))
    assert record(guarded, "a").keys["zone"] == (fresh("y"),)
    late = guarded.refuse("a", rotation(guarded, zone=[fresh("x")], version=2), Role.ROOT, root(guarded, number=2))
    assert "expected 3 next" in late.reason


def test_a_word_counts_no_longer_when_its_key_has_ended(guarded):
    body = MemberWithdraw(reason="we go")
    guarded.do("a", body, Role.ROOT, root(guarded, number=0))
    roots = [root(guarded, number=number) for number in (1, 2)]
    rotate(guarded, rotation(guarded, root=[*roots, fresh("n")], threshold=2), *roots)
    guarded.do("a", body, Role.ROOT, roots[0])
    assert guarded.state.standings["a"] == "good"
    guarded.do("a", body, Role.ROOT, roots[1])
    assert guarded.state.standings["a"] == "withdrawn"


def test_a_delegate_leaves_alone_what_takes_two_root_keys(guarded):
    guarded.do("a", MemberWithdraw())
    assert guarded.state.standings["a"] == "withdrawn"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 1}, "expected 2 next"),
        ({"version": 3}, "expected 2 next"),
        ({"threshold": 2}, "not 2"),
        ({"threshold": 0}, "not 0"),
        ({"witness": []}, "needs a witness key"),
        ({"witness": [fresh("x"), fresh("y")]}, "exactly one witness key"),
        ({"zone": [b"short"]}, "no known suite"),
        ({"zone": [hybrid("x")]}, "the charter takes ed25519"),
        ({"zone": [fresh("x"), fresh("x")]}, "appears twice"),
        ({"operator": [fresh("x")]}, "known roles"),
    ],
)
def test_a_next_set_that_could_not_stand_is_refused(center, changes, reason):
    assert reason in center.refuse("a", rotation(center, **changes), Role.ROOT).reason


def test_no_key_gets_a_second_holder_or_role_and_none_comes_back(center):
    mine, theirs = record(center, "a").keys, record(center, "b").keys
    assert "appears twice" in center.refuse("a", rotation(center, zone=theirs["zone"]), Role.ROOT).reason
    swapped = rotation(center, zone=mine["steward"], steward=mine["zone"])
    assert "one holder and one role" in center.refuse("a", swapped, Role.ROOT).reason
    rotate(center, rotation(center, zone=[fresh("new")]), root(center))
    back = center.refuse("a", rotation(center, zone=mine["zone"]), Role.ROOT)
    assert "no key comes back" in back.reason
    stolen = center.refuse("b", rotation(center, "b", zone=mine["zone"]), Role.ROOT)
    assert "no key comes back" in stolen.reason


def test_nobody_names_the_keys_of_others(center):
    assert "cannot name those of a" in center.refuse("b", rotation(center, "a", zone=[fresh("x")]), Role.ROOT).reason
    ghost = replace(rotation(center, "a", root=[fresh("x")]), member="ghost")
    assert holder_of(center.state, key_id(fresh("x")), ghost).member == "ghost"
    assert "cannot name" in center.refuse("ghost", ghost, Role.ROOT, fresh("x")).reason


def test_a_suspended_member_still_guards_its_keys(center):
    proposal = center.open(
        "standing", concerned=("a",), standing=StandingChange(member="a", action="suspend"), opener="b"
    )
    center.decide(proposal, members=tuple("bcde"))
    rotate(center, rotation(center, zone=[fresh("new")]), root(center))
    assert record(center, "a").version == 2


def test_who_witnesses_follows_the_keys_from_the_next_entry_on(center):
    assert witness_keys(center.state)["a"] == record(center, "a").keys["witness"][0]
    rotate(center, rotation(center, witness=[fresh("new")]), root(center))
    assert witness_keys(center.state)["a"] == fresh("new")
    assert len(witness_keys(center.state)) == 5
    center.do("a", KeyRevoke(key=key_id(fresh("new")), from_index=center.at.index, reason="lost"), Role.ROOT)
    assert "a" not in witness_keys(center.state)
    assert (len(witness_keys(center.state)), witness_faults(center.state)) == (4, 1)


def test_the_charter_says_which_suites_new_keys_may_have(center):
    proposal = center.open("charter", charter=CharterChange(suites=(Suite.ED25519, Suite.HYBRID)))
    assert center.decide(proposal).result is Result.ADOPTED
    rotate(center, rotation(center, zone=[hybrid("new")]), root(center))
    assert record(center, "a").keys["zone"] == (hybrid("new"),)
    only = center.open("charter", charter=CharterChange(suites=(Suite.HYBRID,)))
    center.decide(only)
    assert record(center, "b").keys["zone"] == record(center, "b").keys["zone"], "keys that there are stay"
    assert "takes ed25519+ml-dsa-65" in center.refuse("b", rotation(center, "b"), Role.ROOT).reason


# Revocation


def revoke(center, public, start, member="a", key=None):
    body = KeyRevoke(key=key_id(public), from_index=start, reason="the laptop is gone")
    return center.do(member, body, Role.ROOT, key)


def take_back(center):
    """What the fold does after a revocation: undo what is open of what the key said since."""
    dispute = center.state.disputes[-1]
    indices = {
        at.index for said, at in center.said if said.key == dispute.key and dispute.start <= at.index < dispute.end
    }
    center.state = disown(center.state, indices, center.at)


def test_a_revoked_key_ends_at_once_and_what_it_said_since_is_disputed(center):
    public = record(center, "a").keys["delegate"][0]
    start = center.at.index
    center.open("project")
    revoke(center, public, start)
    now = center.at.index
    assert (holder(center, public).until, holder(center, public).revoked) == (now, True)
    (dispute,) = center.state.disputes
    assert (dispute.key, dispute.member, dispute.role, dispute.start, dispute.end) == (
        key_id(public), "a", "delegate", start, now,
    )  # fmt: skip


def test_open_effects_of_a_stolen_key_are_undone_and_finished_ones_stay(center):
    early = center.agreement(*"abcd")
    waiting = center.open("agreement", "b", agreement=replace(center.state.agreements[early].text, ratifications=2))
    center.decide(waiting)
    decided = center.open("project", "b")
    before = center.open("project", "b")
    center.vote(before, "yes", "a")
    start = center.at.index
    center.vote(decided, "yes", *"abc")
    center.wait(100)
    after = center.open("project", "b")
    center.vote(after, "yes", *"ab")
    center.do("a", AgreementSign(agreement=waiting))
    center.do("b", AgreementSign(agreement=waiting))
    center.wait(1)
    assert center.life(waiting) is Life.IN_FORCE
    later = center.open("agreement", "b", agreement=center.state.agreements[waiting].text)
    center.vote(later, "yes", *"bcd")
    center.wait(100)
    center.do("a", AgreementSign(agreement=later))
    own = center.open("project", "a")
    open_ = center.open("project", "b")
    center.vote(open_, "yes", *"ab")
    revoke(center, record(center, "a").keys["delegate"][0], start)
    take_back(center)
    assert center.outcome(decided).result is Result.ADOPTED
    assert "a" in tally_of(center.state, decided, center.at).yes
    assert "revoked from before then" in center.outcome(own).reason
    assert center.outcome(own).result is Result.REJECTED
    assert set(center.state.proposals[open_].votes) == {"b"}
    assert "a" in center.parties(waiting), "others have built on an agreement in force"
    assert center.parties(early) == frozenset("abcd")
    assert "a" not in center.state.agreements[later].signatures
    center.do("b", AgreementSign(agreement=later))
    assert center.life(later) is Life.OPEN_FOR_SIGNATURE, "one signature of the two it takes"


def test_a_member_votes_again_where_its_stolen_ballot_would_have_been_final(center):
    proposal = center.open("quick", "b")
    start = center.at.index
    center.vote(proposal, "no", "a")
    assert "ballots are final" in center.refuse("a", Ballot(proposal=proposal, choice=Choice.YES)).reason
    revoke(center, record(center, "a").keys["delegate"][0], start)
    take_back(center)
    center.do("a", Ballot(proposal=proposal, choice=Choice.YES), key=fresh("new"))


def test_a_theft_that_is_found_after_the_rotation_is_disputed_up_to_it(center):
    old = record(center, "a").keys["delegate"][0]
    start = center.at.index
    rotate(center, rotation(center, delegate=[fresh("new")]), root(center))
    center.wait(1)
    revoke(center, old, start)
    (dispute,) = center.state.disputes
    assert (dispute.start, dispute.end) == (start, start + 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda center: {"from_index": center.at.index + 1}, "expected from_index of 0 to"),
        (lambda _: {"from_index": -1}, "expected from_index of 0 to"),
        (lambda center: {"key": key_id(record(center, "b").keys["zone"][0])}, "is none of a's"),
        (lambda _: {"key": key_id(b"nobody's")}, "is none of a's"),
        (lambda center: {"key": key_id(center.founding.operator)}, "is none of a's"),
        (lambda center: {"key": key_id(root(center))}, "too few root keys of a would be left"),
    ],
)
def test_a_revocation_that_says_too_much_is_refused(center, change, reason):
    body = KeyRevoke(key=key_id(record(center, "a").keys["zone"][0]), from_index=0, reason="lost")
    assert reason in center.refuse("a", replace(body, **change(center)), Role.ROOT).reason


def test_a_key_is_revoked_once_and_not_from_before_it_began(center):
    rotate(center, rotation(center, zone=[fresh("new")]), root(center))
    assert (
        f"expected from_index of {center.at.index}"
        in center.refuse("a", KeyRevoke(key=key_id(fresh("new")), from_index=1, reason="lost"), Role.ROOT).reason
    )
    revoke(center, fresh("new"), center.at.index)
    assert (
        "revoked already"
        in center.refuse(
            "a", KeyRevoke(key=key_id(fresh("new")), from_index=center.at.index, reason="again"), Role.ROOT
        ).reason
    )


def test_the_root_keys_that_are_left_revoke_a_stolen_one(guarded):
    stolen = root(guarded, number=0)
    body = KeyRevoke(key=key_id(stolen), from_index=0, reason="stolen")
    guarded.do("a", body, Role.ROOT, root(guarded, number=1))
    assert not holder(guarded, stolen).revoked
    guarded.do("a", body, Role.ROOT, root(guarded, number=2))
    assert holder(guarded, stolen).revoked
    another = replace(body, key=key_id(root(guarded, number=1)))
    assert "too few root keys" in guarded.refuse("a", another, Role.ROOT, root(guarded, number=2)).reason


# Recovery


def recovery(center, member="e", start=None, **changes):
    keys = {**record(center, member).keys, "root": (fresh("new root"),), **changes}
    return Recovery(member=member, keys=keys, from_index=start)


@pytest.fixture
def recovering(make_center, make_charter):
    """Four members have decided to give e a new root key."""
    center = make_center(make_charter(cooling_ms=COOLING_MS)).found()
    proposal = center.open("recovery", concerned=("e",), recovery=recovery(center, start=0))
    assert center.decide(proposal).result is Result.ADOPTED
    return center, proposal


def stage(center, proposal):
    return center.state.recoveries[proposal].stage


def test_the_others_give_a_member_new_keys_once_the_old_ones_have_been_silent(recovering):
    center, proposal = recovering
    old = root(center, "e")
    center.wait(COOLING_MS - 1)
    assert (root(center, "e"), stage(center, proposal)) == (old, RecoveryStage.COOLING)
    center.wait(1)
    assert (root(center, "e"), stage(center, proposal)) == (fresh("new root"), RecoveryStage.EFFECTIVE)
    assert holder(center, old).until == holder(center, fresh("new root")).since == center.at.index
    assert holder(center, old).revoked
    (dispute,) = center.state.disputes
    assert (dispute.key, dispute.start, dispute.end) == (key_id(old), 0, center.at.index)
    rotate(center, rotation(center, "e", zone=[fresh("zone")]), fresh("new root"))
    assert record(center, "e").version == 3


def test_keys_that_were_only_lost_are_not_disputed(make_center, make_charter):
    center = make_center(make_charter(cooling_ms=0)).found()
    old = root(center, "e")
    center.decide(center.open("recovery", concerned=("e",), recovery=recovery(center)))
    center.wait(0)
    assert (holder(center, old).revoked, center.state.disputes) == (False, ())
    assert root(center, "e") == fresh("new root")


def test_the_old_root_key_objects_and_the_recovery_is_over(recovering):
    center, proposal = recovering
    old = root(center, "e")
    center.wait(COOLING_MS - 1)
    center.do("e", RecoveryObject(proposal=proposal, reason="we are well"), Role.ROOT)
    center.wait(COOLING_MS)
    assert (root(center, "e"), stage(center, proposal)) == (old, RecoveryStage.OBJECTED)
    late = center.refuse("e", RecoveryObject(proposal=proposal, reason="again"), Role.ROOT)
    assert "objected already" in late.reason


def test_one_root_key_of_two_that_it_takes_stops_no_recovery(guarded):
    proposal = guarded.open("recovery", "b", concerned=("a",), recovery=recovery(guarded, "a"))
    guarded.decide(proposal, members=tuple("bcde"))
    body = RecoveryObject(proposal=proposal, reason="no")
    guarded.do("a", body, Role.ROOT, root(guarded, number=0))
    assert stage(guarded, proposal) is RecoveryStage.COOLING
    guarded.do("a", body, Role.ROOT, root(guarded, number=1))
    assert stage(guarded, proposal) is RecoveryStage.OBJECTED


def test_a_rotation_by_the_old_root_key_overtakes_the_recovery(recovering):
    center, proposal = recovering
    rotate(center, rotation(center, "e", zone=[fresh("zone")]), root(center, "e"))
    assert stage(center, proposal) is RecoveryStage.OVERTAKEN
    center.wait(COOLING_MS)
    assert root(center, "e") != fresh("new root")
    objection = center.refuse("e", RecoveryObject(proposal=proposal, reason="late"), Role.ROOT)
    assert "overtaken already" in objection.reason


def test_a_recovery_whose_keys_somebody_took_meanwhile_has_no_effect(recovering):
    center, proposal = recovering
    rotate(center, rotation(center, "a", zone=[fresh("new root")]), root(center))
    center.wait(COOLING_MS)
    assert stage(center, proposal) is RecoveryStage.OVERTAKEN
    assert holder(center, fresh("new root")).member == "a"


def test_a_member_that_left_gets_no_keys(recovering):
    center, proposal = recovering
    center.do("e", MemberWithdraw())
    center.wait(COOLING_MS)
    assert stage(center, proposal) is RecoveryStage.OVERTAKEN


def test_only_the_member_concerned_objects(recovering):
    center, proposal = recovering
    reason = center.refuse("a", RecoveryObject(proposal=proposal, reason="no"), Role.ROOT).reason
    assert "gives a new keys" in reason
    assert "gives e new keys" in center.refuse("e", RecoveryObject(proposal="0" * 64, reason="no"), Role.ROOT).reason


def test_a_deadline_and_the_end_of_a_cooling_off_come_in_their_order(recovering):
    """The recovered delegate key is heeded by what closes after it, though the log notices both at once."""
    center, proposal = recovering
    center.wait(COOLING_MS - 50)
    last = center.open("project", "a")
    center.vote(last, "yes", *"abc")
    assert center.state.due_ms == center.state.recoveries[proposal].ends_ms
    center.wait(9_999)
    assert stage(center, proposal) is RecoveryStage.EFFECTIVE
    assert center.outcome(last).result is Result.ADOPTED
    assert center.state.due_ms is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"concerned": ()}, "name e as concerned"),
        ({"concerned": ("a",)}, "name e as concerned"),
        ({"topic": "project"}, "decided under topic 'recovery'"),
    ],
)
def test_a_recovery_is_proposed_under_its_own_topic_without_the_member_concerned(center, changes, reason):
    asked = {"topic": "recovery", "concerned": ("e",), **changes}
    body = ProposalOpen(title="T", text="t", recovery=recovery(center), **asked)
    assert reason in center.refuse("a", body).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"start": 10**6}, "expected from_index of 0 to"),
        ({"zone": (b"x",)}, "no known suite"),
        ({"root": ()}, "needs a root key"),
        ({"root": (fresh("x"), fresh("x"))}, "appears twice"),
    ],
)
def test_a_recovery_with_keys_that_could_not_stand_is_refused(center, change, reason):
    body = ProposalOpen(topic="recovery", title="T", text="t", concerned=("e",), recovery=recovery(center, **change))
    assert reason in center.refuse("a", body).reason


def test_the_charter_may_have_an_article_of_its_own_for_recovery(make_center, make_charter, make_majority):
    founding = make_charter(cooling_ms=0)
    rules = {**founding.articles, "recovery": make_majority(window_ms=7)}
    center = make_center(replace(founding, articles=rules)).found()
    proposal = center.open("recovery", recovery=recovery(center))
    assert center.state.proposals[proposal].rule == rules["recovery"]
    assert founding.find_rule("recovery") == founding.articles["standing"]
    with pytest.raises(ValueError, match="silence never decides 'recovery'"):
        replace(founding, articles={**founding.articles, "recovery": founding.articles["operations"]})


# Every replay alike


def test_settling_at_every_entry_or_only_at_the_end_comes_to_the_same(recovering):
    center, proposal = recovering
    early = settle(center.state, Instant(center.at.index + 1, center.at.time_ms + 1))
    late = settle(early, Instant(center.at.index + 2, center.at.time_ms + 2 * COOLING_MS))
    assert late.keys == settle(center.state, Instant(center.at.index + 2, center.at.time_ms + 2 * COOLING_MS)).keys
    assert outcome_of(late, proposal, center.at).result is Result.ADOPTED


def test_the_same_words_in_the_same_order_give_the_same_keys(recovering):
    center, _ = recovering
    state = type(center.state)()
    for said, at in center.said:
        state = apply(settle(state, at), said, at)
    assert settle(state, center.at) == center.state
