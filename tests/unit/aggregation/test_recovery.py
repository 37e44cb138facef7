"""The resilient profile: what may be said for a lost member, what comes out of it, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from serai.aggregation.audit import verify_round
from serai.aggregation.dealing import deal_bytes, recover_release
from serai.aggregation.shares import PRIME, split
from serai.aggregation.state import Stage, agreed_model, lost_members, stage_of
from serai.errors import Unverified
from serai.kernel.ids import digest_of
from serai.kernel.units import Instant

ALL = ("aarau", "bern", "chur", "davos")


@pytest.fixture
def resilient(make_world):
    return make_world(minimum=2, threshold=3)


def now(world):
    return Instant(world.index, world.time_ms)


def lose(world, lost, uploaded=ALL):
    """A round that waits for the release of some members, their time just over."""
    world.open(participants=world.members)
    world.upload(*uploaded)
    world.time_ms += 0 if len(uploaded) == len(world.members) else 1000
    world.close()
    world.release(*sorted(world.current.summed.difference(lost)))
    assert stage_of(world.job, world.current, now(world)) is Stage.CLOSED
    world.time_ms += 1000


def expected(world, members):
    """The integers of the members' vectors, added; read back as the codec does."""
    steps = [np.clip(np.rint(world.vector(member) * 100), -500, 500) for member in members]
    return np.sum(steps, axis=0) / 100


def test_a_lost_members_vector_is_in_the_sum_exactly_and_the_round_ends(resilient):
    lose(resilient, {"bern"})
    resilient.recover("bern", "aarau", "chur")
    assert not resilient.current.is_released
    assert resilient.say(resilient.result_body(), "aarau") == "sums 18"
    with pytest.raises(Unverified, match="waits for bern"):
        verify_round(resilient.codec, resilient.current, resilient.read)
    resilient.recover("bern", "davos")
    assert resilient.current.is_released
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.RELEASED
    assert resilient.current.recovered["bern"].self_seed == resilient.self_seed("bern")
    digest, total = resilient.total()
    np.testing.assert_allclose(total, expected(resilient, ALL), rtol=0, atol=1e-12)
    for member in ("aarau", "chur", "davos"):
        assert resilient.say(resilient.result_body(total=digest), member) == ""
    verify_round(resilient.codec, resilient.current, resilient.read)
    assert agreed_model(resilient.state, resilient.job) == digest_of(b"model 1")


def test_the_sum_is_the_same_whether_a_member_releases_or_is_recovered(resilient, make_world):
    lose(resilient, {"bern"})
    resilient.recover("bern", "aarau", "chur", "davos")
    plain = make_world(minimum=2, threshold=3)
    lose(plain, {"bern"})
    plain.release("bern")
    assert plain.current.is_released
    assert resilient.total()[0] == plain.total()[0]
    assert {(mask.seed, mask.sign) for mask in resilient.current.masks} == {
        (mask.seed, mask.sign) for mask in plain.current.masks
    }


def test_a_member_that_never_uploaded_and_one_lost_after_its_upload_are_both_coped_with(make_world):
    members = (*ALL, "engi")
    world = make_world(minimum=2, threshold=3, members=members)
    world.open(participants=members)
    world.upload("aarau", "bern", "chur", "engi")
    world.time_ms += 1000
    world.close()
    world.release("aarau", "chur", "engi")
    world.time_ms += 1000
    world.recover("bern", "aarau", "chur", "engi")
    assert world.current.is_released
    # davos never came, so nobody but bern's shares can say which keystream the two of them share.
    assert set(world.current.recovered["bern"].pair_seeds) == {"davos"}
    np.testing.assert_allclose(world.total()[1], expected(world, ("aarau", "bern", "chur", "engi")), rtol=0, atol=1e-12)
    verify_round(world.codec, world.current, world.read)


def test_two_lost_members_are_recovered_one_by_one(make_world):
    members = (*ALL, "engi")
    world = make_world(minimum=2, threshold=3, members=members)
    world.open(participants=members)
    world.upload(*members)
    world.close()
    world.release("aarau", "chur", "engi")
    world.time_ms += 1000
    world.recover("bern", "aarau", "chur", "engi")
    assert world.current.unreleased == {"davos"}
    world.recover("davos", "aarau", "chur", "engi")
    np.testing.assert_allclose(world.total()[1], expected(world, members), rtol=0, atol=1e-12)


# Who, for whom, when


def test_nobody_is_lost_before_its_time_to_release_is_over(resilient):
    lose(resilient, {"bern"})
    resilient.time_ms -= 1
    assert lost_members(resilient.job, resilient.current, now(resilient)) == set()
    assert resilient.say(resilient.recover_body("aarau", "bern"), "aarau") == "sums 20"
    resilient.time_ms += 1
    assert lost_members(resilient.job, resilient.current, now(resilient)) == {"bern"}
    resilient.recover("bern", "aarau")


def test_a_member_that_has_released_is_not_lost(resilient):
    lose(resilient, {"bern"})
    assert resilient.say(resilient.recover_body("aarau", "chur"), "aarau") == "sums 20"


def test_a_member_outside_the_sum_is_never_recovered(resilient):
    """A center that leaves a member out, takes the others' pair seeds, and then asks for its self seed."""
    resilient.open()
    kept_back = resilient.upload_body("davos")
    resilient.upload("aarau", "bern", "chur")
    resilient.time_ms += 1000
    resilient.close()
    resilient.release()
    resilient.time_ms += 1000
    row = resilient.blobs[kept_back.deal.blob]
    assert row, "the center has the deal"
    lie = resilient.recover_body("aarau", "bern", close=resilient.current.closed.id, member="davos")
    assert resilient.say(lie, "aarau") == "sums 20"
    assert lost_members(resilient.job, resilient.current, now(resilient)) == set()


def test_who_left_the_agreement_is_not_recovered_and_its_round_fails(resilient):
    lose(resilient, {"bern"})
    body = resilient.recover_body("aarau", "bern")
    keys = {member: key for member, key in resilient.job.keys.items() if member != "bern"}
    resilient.job = replace(resilient.job, keys=keys)
    assert resilient.say(body, "aarau") == "sums 20"
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.FAILED


def test_only_who_is_in_the_sum_and_has_released_shows_shares_and_once(make_world):
    members = (*ALL, "engi")
    resilient = make_world(minimum=2, threshold=3, members=members)
    lose(resilient, {"bern", "chur"}, uploaded=members)
    assert resilient.say(resilient.recover_body("chur", "bern"), "chur") == "sums 19"
    body = resilient.recover_body("aarau", "bern")
    assert resilient.say(body, "elsewhere") == "sums 19"
    assert resilient.say(body, "aarau") == ""
    assert resilient.say(body, "aarau") == "sums 19"


def test_the_plain_profile_knows_no_lost_members(world, make_world):
    world.open()
    world.upload()
    world.close()
    world.release("aarau", "chur", "davos")
    world.time_ms += 1000
    assert lost_members(world.job, world.current, now(world)) == set()
    assert stage_of(world.job, world.current, now(world)) is Stage.FAILED
    other = make_world(threshold=3)
    lose(other, {"bern"})
    body = replace(other.recover_body("aarau", "bern"), close=world.current.closed.id)
    assert world.say(body, "aarau") == "sums 20"


def test_shares_are_of_the_current_round(resilient):
    lose(resilient, {"bern"})
    body = resilient.recover_body("aarau", "bern")
    resilient.time_ms += 1000
    resilient.open()
    assert resilient.say(body, "aarau") == "sums 19"


# Which shares


def test_shares_are_of_what_the_lost_members_release_would_say_and_no_other(make_world):
    resilient = make_world(minimum=2, threshold=3, members=(*ALL, "engi"))
    lose(resilient, {"bern"}, uploaded=("aarau", "bern", "chur", "engi"))
    assert resilient.current.missing == {"davos"}
    for owed in ({"bern"}, {"davos"}, {"bern", "davos", "aarau"}, {"bern", "davos", "chur"}, set()):
        assert resilient.say(resilient.recover_body("aarau", "bern", owed), "aarau") == "sums 21"
    assert resilient.say(resilient.recover_body("aarau", "bern"), "aarau") == ""


@pytest.mark.parametrize("part", ["rows", "seeds", "row"])
def test_bent_digests_are_found_at_once(resilient, part):
    lose(resilient, {"bern"})
    body = resilient.recover_body("aarau", "bern")
    good = getattr(body, part)
    for bent in (good[:-1] + bytes([good[-1] ^ 1]), good[:-32], good + bytes(32), b""):
        assert resilient.say(replace(body, **{part: bent}), "aarau") == "sums 21"
    assert resilient.say(body, "aarau") == ""


def test_a_bent_share_is_found_at_once_and_names_who_says_it(resilient):
    lose(resilient, {"bern"})
    body = resilient.recover_body("chur", "bern")
    share = body.shares["bern"]
    for bent in (bytes(33), share[:-1], share + b"0", resilient.recover_body("aarau", "bern").shares["bern"]):
        assert resilient.say(replace(body, shares={"bern": bent}), "chur") == "sums 21"
    assert "chur" not in resilient.current.shares.get("bern", {})
    resilient.recover("bern", "aarau", "davos", "chur")
    assert resilient.current.is_released


def test_a_share_that_was_dealt_to_another_is_refused(resilient):
    lose(resilient, {"bern"})
    assert resilient.say(resilient.recover_body("aarau", "bern"), "chur") == "sums 21"


# A dealer that lies


def dealt_wrongly(world, member, change):
    """The participant's upload with a deal of which one row is not what it should be, and committed to all the same."""
    honest_deal = world.deal

    def lying(name):
        if name != member:
            return honest_deal(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("serai.aggregation.dealing.split", change)
            said, blob = honest_deal(name)
        world.blobs[said.blob] = blob
        return said, blob

    world.deal = lying


def test_shares_on_no_common_polynomial_recover_nothing_and_the_round_fails_in_the_end(resilient):

    def crooked(secret, threshold, count, random):
        made = split(secret, threshold, count, random)
        return (made[0][:-1] + bytes([made[0][-1] ^ 1]), *made[1:])

    dealt_wrongly(resilient, "bern", crooked)
    lose(resilient, {"bern"})
    resilient.recover("bern", "aarau", "chur", "davos")
    assert not resilient.current.is_released
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.CLOSED
    resilient.time_ms += 1000
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.FAILED
    resilient.release("bern")
    assert resilient.current.is_released, "its own release still counts"


def test_a_deal_of_another_self_seed_than_the_upload_names_is_of_no_use(resilient, make_world):
    honest = make_world(minimum=2, threshold=3)
    lose(honest, {"bern"})
    said = honest.recover_body("aarau", "bern")
    resilient.open()
    lie = resilient.upload_body("bern")
    assert resilient.say(replace(lie, deal=replace(lie.deal, seed=digest_of(b"another"))), "bern") == ""
    resilient.upload("aarau", "chur", "davos")
    resilient.close()
    resilient.release("aarau", "chur", "davos")
    resilient.time_ms += 1000
    assert resilient.say(replace(said, close=resilient.current.closed.id), "aarau") == "sums 21"
    with pytest.raises(Unverified, match="bern dealt aarau other shares"):
        resilient.row("aarau", "bern")


def test_a_dealt_number_that_is_no_element_of_the_field_stops_no_replay(resilient):

    def too_large(secret, threshold, count, random):
        return (PRIME.to_bytes(33), *split(secret, threshold, count, random)[1:])

    dealt_wrongly(resilient, "bern", too_large)
    lose(resilient, {"bern"})
    with pytest.raises(Unverified, match="bern dealt aarau other shares"):
        resilient.row("aarau", "bern")
    resilient.recover("bern", "chur", "davos")
    assert not resilient.current.is_released


def test_a_deal_that_another_put_in_its_place_is_not_opened(resilient):
    lose(resilient, {"bern"})
    said = resilient.current.uploads["bern"].body.deal
    whole = resilient.blobs[said.blob]
    for bent in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), resilient.deal("chur")[1]):
        resilient.blobs[said.blob] = bent
        with pytest.raises(Unverified, match="is not what bern signed") as caught:
            resilient.row("aarau", "bern")
        assert caught.value.code == "deal-blob"


def test_one_recipients_row_says_nothing_to_another(resilient):
    resilient.open()
    said, blob = resilient.deal("bern")
    size = (len(blob) - 9 * 32) // 3  # behind the digests of 5 rows and 4 seeds come three encrypted rows
    swapped = blob[: 9 * 32] + blob[9 * 32 + size : 9 * 32 + 2 * size] + blob[9 * 32 + size :]
    said = replace(said, blob=digest_of(swapped))
    resilient.upload("aarau")
    body = replace(resilient.upload_body("bern"), deal=said)
    resilient.blobs[said.blob] = swapped
    assert resilient.say(body, "bern") == ""
    with pytest.raises(Unverified, match="bern dealt aarau other shares") as caught:
        resilient.row("aarau", "bern")  # chur's row in the place of aarau's
    assert caught.value.code == "deal-wrong"


# Uploads and releases under a threshold


def test_an_upload_comes_with_a_deal_if_and_only_if_the_run_has_a_threshold(resilient, world):
    resilient.open()
    world.open()
    body = resilient.upload_body("bern")
    for wrong in (
        None,
        replace(body.deal, threshold=2),
        replace(body.deal, threshold=4),
        replace(body.deal, size_bytes=body.deal.size_bytes + 1),
    ):
        assert resilient.say(replace(body, deal=wrong), "bern") == "sums 10"
    assert resilient.say(body, "bern") == ""
    assert world.say(replace(world.upload_body("bern"), deal=body.deal), "bern") == "sums 10"


def test_a_deal_is_the_same_bytes_each_time_and_others_for_other_randomness(resilient, make_world):
    resilient.open()
    again = make_world(minimum=2, threshold=3)
    again.open()
    assert resilient.deal("bern") == again.deal("bern")
    assert len(resilient.deal("bern")[1]) == deal_bytes(len(ALL))
    assert resilient.deal("bern")[0].rows != resilient.deal("chur")[0].rows


def test_a_release_under_a_threshold_shows_the_seed_that_was_committed_to(resilient):
    lose(resilient, {"bern"})
    assert resilient.say(resilient.release_body("bern", self_seed=bytes(32)), "bern") == "sums 16"
    assert resilient.say(resilient.release_body("bern"), "bern") == ""


def test_a_release_that_comes_after_some_shares_counts_and_ends_the_round(resilient):
    lose(resilient, {"bern"})
    resilient.recover("bern", "aarau", "chur")
    resilient.release("bern")
    assert resilient.current.is_released
    assert not resilient.current.recovered
    assert resilient.say(resilient.recover_body("davos", "bern"), "davos") == "sums 20"
    np.testing.assert_allclose(resilient.total()[1], expected(resilient, ALL), rtol=0, atol=1e-12)


def test_a_release_that_comes_after_enough_shares_adds_nothing(resilient):
    lose(resilient, {"bern"})
    late = resilient.release_body("bern")
    resilient.recover("bern", "aarau", "chur", "davos")
    before = resilient.total()[0]
    recovered = resilient.current.recovered["bern"]
    assert (recovered.self_seed, recovered.pair_seeds) == (late.self_seed, dict(late.pair_seeds))
    assert resilient.say(late, "bern") == "sums 15"
    assert resilient.total()[0] == before
    assert resilient.say(resilient.result_body(), "bern") == "", "it is back and takes part"


# Stages and thresholds


def test_a_round_does_not_fail_while_it_can_be_recovered_and_not_for_ever_either(resilient):
    lose(resilient, {"bern"})
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.CLOSED
    assert resilient.say(resilient.open_body()) == "sums 5"
    resilient.time_ms += 999
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.CLOSED
    resilient.time_ms += 1
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.FAILED
    resilient.recover("bern", "aarau", "chur", "davos")
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.RELEASED


def test_a_round_with_fewer_releases_than_the_threshold_fails_like_in_the_plain_profile(resilient):
    lose(resilient, {"bern", "chur"})
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.FAILED
    assert resilient.say(resilient.recover_body("aarau", "bern"), "aarau") == "sums 20", "it would help nobody"
    resilient.release("chur")
    assert stage_of(resilient.job, resilient.current, now(resilient)) is Stage.CLOSED
    resilient.recover("bern", "aarau", "chur", "davos")
    assert resilient.current.is_released


def test_fewer_shares_than_the_threshold_give_nothing_out(resilient):
    lose(resilient, {"bern"})
    resilient.recover("bern", "aarau", "chur")
    said = resilient.current.uploads["bern"].body.deal
    given = resilient.current.shares["bern"]
    assert recover_release(said, ALL, given) is None
    assert recover_release(replace(said, threshold=2), ALL, given) is None, "nor do they when taken for enough"


def test_a_threshold_of_half_the_participants_or_less_opens_no_round(make_world):
    world = make_world(minimum=2, threshold=2)
    assert world.say(world.open_body()) == "sums 7"
    assert world.say(world.open_body(participants=ALL[:3])) == ""
