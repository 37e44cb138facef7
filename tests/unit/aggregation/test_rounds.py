"""Every article of ``serai.aggregation.rules``, kept and broken."""

from dataclasses import replace
from fractions import Fraction

import pytest

from serai.aggregation.codec import Block, Codec
from serai.aggregation.rules import find_participants
from serai.aggregation.state import (
    Stage,
    agreed_model,
    divergence,
    final_model,
    find_closed,
    find_round,
    finished_rounds,
    stage_of,
)
from serai.aggregation.statements import STATEMENTS, RoundClose, RoundRelease
from serai.kernel.canonical import canonical, parse
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.kernel.units import Instant


def stage(world):
    return stage_of(world.job, world.current, Instant(world.index, world.time_ms))


def closed_but_unreleased(world, *members):
    """A round whose last release never came, and whose time is over."""
    world.open()
    world.upload(*members)
    world.time_ms += 1000
    world.close()
    world.release(*sorted(world.current.summed)[1:])
    world.time_ms += 1000
    assert stage(world) is Stage.FAILED


def test_a_round_goes_from_open_to_finished(world):
    world.open()
    assert stage(world) is Stage.OPEN
    world.upload()
    world.close()
    assert stage(world) is Stage.CLOSED
    world.release()
    assert stage(world) is Stage.RELEASED
    world.finish()
    assert stage(world) is Stage.FINISHED


def test_a_run_ends_with_the_model_of_its_last_round(world, digest):
    assert agreed_model(world.state, world.job) == world.job.initial
    for number in range(2):
        assert final_model(world.state, world.job) is None
        world.open(model=agreed_model(world.state, world.job))
        world.upload()
        world.close()
        world.release()
        world.finish(f"model {number + 1}")
        assert agreed_model(world.state, world.job) == digest(f"model {number + 1}")
        assert finished_rounds(world.state, world.job) == number + 1
    assert final_model(world.state, world.job) == digest("model 2")
    assert world.say(world.open_body(model=digest("model 2"))) == "sums 4"


def test_rounds_are_found_by_number_and_by_close(world):
    world.open()
    world.upload()
    world.close()
    assert find_round(world.state, world.job.run, 0) == world.current
    assert find_round(world.state, world.job.run, 1) is None
    assert find_closed(world.state, world.current.closed.id) == world.current
    assert find_closed(world.state, world.current.id) is None


def test_a_round_of_an_unknown_run_is_denied(world, digest):
    assert world.say(world.open_body(run=digest("other"))) == "sums 1"
    world.open()
    world.upload()
    world.close()
    upload, release = world.upload_body("bern"), world.release_body("bern")
    assert world.say(replace(upload, open=digest("other")), "bern") == "sums 1"
    assert world.say(world.close_body(open=digest("other"))) == "sums 1"
    assert world.say(replace(release, close=digest("other")), "bern") == "sums 1"
    assert world.say(world.result_body(close=world.current.id), "bern") == "sums 1"


def test_a_zone_outside_the_run_neither_opens_nor_closes(world):
    assert world.say(world.open_body(), "elsewhere") == "sums 3"
    assert world.say(world.open_body(), "bern") == ""
    world.upload()
    assert world.say(world.close_body(), "elsewhere") == "sums 3"
    assert world.say(world.close_body(), "chur") == ""


@pytest.mark.parametrize("number", [1, -1])
def test_a_round_has_the_next_number(world, number):
    assert world.say(world.open_body(number=number)) == "sums 4"


def test_only_one_round_opens_under_a_number(world):
    world.open()
    assert world.say(world.open_body(number=0)) == "sums 4"
    assert world.say(world.open_body(number=1)) == "sums 5"


def test_a_round_waits_until_enough_have_said_one_result(world, digest):
    world.open()
    world.upload()
    world.close()
    world.release()
    for member in ("aarau", "bern"):
        assert world.say(world.result_body(), member) == ""
    following = world.open_body(number=1, model=digest("model 1"))
    assert world.say(following) == "sums 5"
    assert world.say(world.result_body(), "chur") == ""
    assert world.say(following) == ""
    assert finished_rounds(world.state, world.job) == 1


def test_a_late_result_is_heard_after_the_next_round_opened(world, digest):
    world.open()
    world.upload()
    world.close()
    world.release()
    late = world.result_body()
    for member in ("aarau", "bern", "chur"):
        assert world.say(late, member) == ""
    world.open(model=digest("model 1"))
    assert world.say(late, "davos") == ""
    assert divergence(world.state, world.job.run) is None


def test_a_round_starts_from_the_agreed_model(world, digest):
    assert world.say(world.open_body(model=digest("evil"))) == "sums 6"
    world.open()
    world.upload()
    world.close()
    world.release()
    world.finish()
    assert world.say(world.open_body()) == "sums 6"
    assert world.say(world.open_body(model=digest("model 1"))) == ""


@pytest.mark.parametrize(
    "participants",
    [
        ("aarau", "bern"),
        ("aarau", "bern", "bern", "chur"),
        ("bern", "aarau", "chur"),
        ("aarau", "bern", "chur", "elsewhere"),
        (),
    ],
)
def test_participants_are_enough_joined_and_in_order(world, participants):
    assert world.say(world.open_body(participants=participants)) == "sums 7"


def test_a_sum_of_one_is_never_readable(make_world):
    world = make_world(minimum=1)
    assert world.say(world.open_body(participants=("bern",))) == "sums 7"
    world.open(participants=("bern", "chur"))
    world.upload("bern")
    world.time_ms += 5000
    assert world.say(world.close_body()) == "sums 13"


def test_a_round_whose_sum_could_wrap_is_denied(world):
    tight = Codec(bits=11, limit=300, blocks=(Block(length=10, step=Fraction(1)),))
    world.job = replace(world.job, codec=tight)
    assert world.say(world.open_body()) == "sums 7"
    assert world.say(world.open_body(participants=("aarau", "bern", "chur"))) == ""


def test_participants_get_their_whole_time(world):
    assert world.say(world.open_body(deadline_ms=world.time_ms + 999)) == "sums 8"
    assert world.say(world.open_body(deadline_ms=world.time_ms + 1000)) == ""


def test_an_upload_is_by_a_participant_once_and_of_the_right_size(world):
    world.open(participants=("aarau", "bern", "chur"))
    body = world.upload_body("bern")
    assert world.say(body, "davos") == "sums 10"
    assert world.say(replace(body, size_bytes=body.size_bytes - 1), "bern") == "sums 10"
    assert world.say(body, "bern") == ""
    assert world.say(body, "bern") == "sums 10"


def test_uploads_end_with_the_close(world):
    world.open()
    late = world.upload_body("davos")
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    world.close()
    assert world.say(late, "davos") == "sums 9"


def test_the_first_close_wins(world):
    world.open()
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    first = world.close_body()
    assert world.say(first) == ""
    assert world.say(first) == "sums 11"
    assert world.say(replace(first, masked_sum=world.job.run)) == "sums 11"


def test_a_close_reports_no_false_drop_out(world):
    world.open()
    world.upload()
    honest = world.close_body()
    fewer = {member: blob for member, blob in honest.uploads.items() if member != "bern"}
    world.time_ms += 1000
    assert world.say(replace(honest, uploads=fewer)) == "sums 12"
    assert world.say(replace(honest, uploads={**honest.uploads, "bern": world.job.run})) == "sums 12"
    assert world.say(replace(honest, uploads={**honest.uploads, "elsewhere": world.job.run})) == "sums 12"
    assert world.say(honest) == ""


def test_a_close_waits_for_everybody_or_the_deadline(world):
    world.open()
    world.upload("aarau", "bern", "chur")
    world.time_ms += 999
    assert world.say(world.close_body()) == "sums 13"
    world.time_ms += 1
    assert world.say(world.close_body()) == ""


def test_a_close_before_the_deadline_needs_all(world):
    world.open()
    world.upload()
    assert world.say(world.close_body()) == ""


def test_a_round_with_too_few_uploads_fails_and_the_run_tries_again(world):
    world.open()
    world.upload("aarau", "bern")
    old = world.upload_body("chur")
    assert world.say(world.open_body()) == "sums 5"
    world.time_ms += 1000
    assert world.say(world.close_body()) == "sums 13"
    assert stage(world) is Stage.FAILED
    close = world.close_body()
    world.open()
    assert world.current.body.number == 1
    assert world.say(old, "chur") == "sums 9"
    assert world.say(close) == "sums 11"
    world.upload()
    world.close()
    world.release()
    world.finish()
    assert finished_rounds(world.state, world.job) == 1


def test_a_round_that_nobody_completes_fails_and_takes_no_release_afterwards(world):
    closed_but_unreleased(world)
    late = world.release_body("aarau")
    world.open()
    assert world.say(late, "aarau") == "sums 15"


def test_a_latecomer_may_complete_a_round_that_was_not_replaced(world):
    closed_but_unreleased(world)
    world.release("aarau")
    assert stage(world) is Stage.RELEASED
    assert world.say(world.open_body()) == "sums 5"
    world.finish()
    assert stage(world) is Stage.FINISHED


def test_a_second_sum_from_one_model_may_not_lack_one_member(world):
    closed_but_unreleased(world)
    world.open()
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    assert world.say(world.close_body()) == "sums 14"
    world.upload("davos")
    assert world.say(world.close_body()) == ""


def test_a_second_sum_may_differ_by_enough_members_but_not_a_third(make_world):
    world = make_world(minimum=2)
    closed_but_unreleased(world, "aarau", "bern")
    world.open()
    world.upload("chur", "davos")
    world.time_ms += 1000
    assert world.say(world.close_body()) == ""
    world.time_ms += 1000
    assert world.say(world.open_body(participants=("aarau", "chur"))) == "sums 14"
    assert world.say(world.open_body()) == "sums 14"
    assert find_participants(world.job, world.state) == ("aarau", "bern")
    world.open(participants=("chur", "davos"))


def test_no_round_is_opened_that_could_neither_close_nor_fail(make_world):
    world = make_world(minimum=2, members=("aarau", "bern", "chur"))
    world.open(participants=("aarau", "bern", "chur"))
    world.upload("aarau", "bern")
    world.time_ms += 1000
    assert world.say(world.close_body()) == ""
    world.time_ms += 1000
    assert world.say(world.open_body(participants=("aarau", "bern", "chur"))) == "sums 14"
    assert find_participants(world.job, world.state) == ("aarau", "bern")


def test_the_difference_counts_even_between_finished_rounds_from_one_model(world):
    world.open()
    world.upload()
    world.close()
    world.release()
    same = world.current.body.model
    for member in sorted(world.current.summed):
        assert world.say(world.result_body(model="model 0"), member) == ""
    assert agreed_model(world.state, world.job) == same
    assert world.say(world.open_body(participants=("aarau", "bern", "chur"))) == "sums 14"


def test_a_new_model_starts_a_new_count(world, digest):
    world.open()
    world.upload()
    world.close()
    world.release()
    world.finish()
    world.open(model=digest("model 1"), participants=("aarau", "bern", "chur"))
    world.upload("aarau", "bern", "chur")
    world.close()


def test_a_release_is_by_a_member_in_the_sum_once(world):
    world.open()
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    world.close()
    body = world.release_body("bern")
    assert world.say(body, "davos") == "sums 15"
    assert world.say(body, "bern") == ""
    assert world.say(body, "bern") == "sums 15"


def test_a_release_shows_the_seeds_of_the_missing_and_no_other(world):
    world.open()
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    world.close()
    good = world.release_body("bern")
    assert set(good.pair_seeds) == {"davos"}
    for seeds in ({}, {"davos": bytes(32), "aarau": bytes(32)}, {"aarau": bytes(32)}, {"davos": bytes(31)}):
        assert world.say(replace(good, pair_seeds=seeds), "bern") == "sums 16"
    assert world.say(replace(good, self_seed=bytes(16)), "bern") == "sums 16"
    assert world.say(good, "bern") == ""


def test_a_result_waits_for_all_releases_and_is_said_once(world):
    world.open()
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    world.close()
    world.release("aarau", "bern")
    assert world.say(world.result_body(), "aarau") == "sums 18"
    world.release("chur")
    assert world.say(world.result_body(), "elsewhere") == "sums 17"
    assert world.say(world.result_body(), "davos") == ""
    assert world.say(world.result_body(), "davos") == "sums 17"


def test_results_that_differ_halt_the_run_and_say_who(world, digest):
    world.open()
    world.upload()
    world.close()
    world.release()
    for member in ("aarau", "bern", "chur"):
        assert world.say(world.result_body(), member) == ""
    assert divergence(world.state, world.job.run) is None
    assert world.say(world.result_body("model x"), "davos") == ""
    assert "davos" in divergence(world.state, world.job.run)
    assert world.say(world.open_body(model=digest("model 1"))) == "sums 2"
    assert final_model(world.state, world.job) is None


def test_a_run_that_diverged_still_hears_results(world):
    world.open()
    world.upload()
    world.close()
    world.release()
    for member, model in zip(("aarau", "bern", "chur", "davos"), "xyxx", strict=True):
        assert world.say(world.result_body(model), member) == ""
    assert len(world.current.results) == 4
    assert stage(world) is Stage.RELEASED


def test_a_disagreement_about_the_sum_alone_halts_the_run_too(world, digest):
    world.open()
    world.upload()
    world.close()
    world.release()
    assert world.say(world.result_body(), "aarau") == ""
    assert world.say(world.result_body(total=digest("other")), "bern") == ""
    assert divergence(world.state, world.job.run)


def test_statements_travel_as_canonical_json(make_world):
    world = make_world(threshold=3)
    world.open()
    bodies = [world.current.body, world.upload_body("bern")]
    world.upload("aarau", "bern", "chur")
    world.time_ms += 1000
    world.close()
    bodies += [world.current.closed.body, world.release_body("bern"), world.recover_body("bern", "chur")]
    bodies.append(world.result_body())
    assert [type(body) for body in bodies] == list(STATEMENTS)
    for body in bodies:
        assert from_json(type(body), parse(canonical(to_json(body)))) == body


def test_only_zones_upload_release_and_state_results():
    led = {kind.KIND for kind in STATEMENTS if Role.OPERATOR in kind.ROLES}
    assert led == {"round.open", "round.close"}
    assert all(Role.ZONE in kind.ROLES for kind in STATEMENTS)
    assert RoundClose.KIND != RoundRelease.KIND
