"""What a member's part in a run comes to, from the figures of its rounds."""

from dataclasses import replace

import pytest

from serai.reports.course import Part, figures_by_round
from serai.reports.tallies import shared_value, tallies_of


def test_totals_are_sums_over_the_rounds_in_which_the_vector_came(course):
    lima = tallies_of(course)["lima"]
    assert (lima.uploads, lima.summed, lima.sent_bytes, lima.steps) == (2, 2, 80, 60)
    assert lima.train_s == pytest.approx(1.2)
    assert lima.utilisation == pytest.approx(0.75)


def test_a_curve_has_a_value_for_each_round_that_has_one(course):
    tallies = tallies_of(course)
    assert tallies["lima"].curves["loss"] == {0: 0.8, 2: 0.4}
    assert tallies["oslo"].curves["loss"] == {0: 1.0, 1: 0.6, 2: 0.8}
    assert tallies["oslo"].last("residual") == 0.65


def test_the_gap_is_to_the_mean_in_which_each_member_of_the_round_counts_once(course):
    gaps = {member: tally.curves["gap"] for member, tally in tallies_of(course).items()}
    assert gaps["bern"] == pytest.approx({0: 0.0, 1: 0.0, 2: -0.2})
    assert gaps["lima"] == pytest.approx({0: -0.1, 2: -0.1})
    assert gaps["oslo"] == pytest.approx({0: 0.1, 1: 0.0, 2: 0.3})


def test_a_loss_that_nobody_else_tells_has_no_gap(course):
    def alone(this):
        parts = {member: replace(part, figures={}) if member != "bern" else part for member, part in this.parts.items()}
        return replace(this, parts=parts)

    tallies = tallies_of(replace(course, rounds=tuple(map(alone, course.rounds))))
    assert tallies["bern"].last("loss") == 0.3
    assert tallies["bern"].last("gap") is None
    assert tallies["oslo"].last("loss") is None
    assert tallies["oslo"].utilisation is None
    assert tallies["oslo"].sent_bytes == 120


def test_what_all_members_share_is_taken_from_the_newest_round_that_tells_it(course):
    assert shared_value(course, "rho") == -0.04
    silent = replace(course.rounds[-1], parts=dict.fromkeys(course.members, Part()))
    assert shared_value(replace(course, rounds=(*course.rounds[:-1], silent)), "gain") == 1.31
    assert shared_value(replace(course, rounds=(silent,)), "gain") is None


def test_a_round_of_the_own_record_counts_as_it_was_computed_last():
    lines = [
        {"round": 0, "done": 0, "at": 5, "micronats": 3, "steps": 2},
        {"round": 0, "done": 0, "at": 6, "micronats": 4, "note": "text", "steps": "many"},
        {"round": 1, "steps": 10**400, "train_ms": 2**53 - 1},
        {"at": 7},
        5,
    ]
    assert figures_by_round(lines) == {0: {"micronats": 4}, 1: {"train_ms": 2**53 - 1}}
