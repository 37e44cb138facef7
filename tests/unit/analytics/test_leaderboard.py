from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.analytics.leaderboard import Entry, rank
from serai.errors import Missing
from serai.kernel.ids import Digest, MemberId

BERN, LIMA, OSLO = MemberId("bern"), MemberId("lima"), MemberId("oslo")


def entry(number, asked=(BERN, LIMA), **right):
    counts = {
        MemberId(member): {
            "n": 100,
            "correct": part,
            "brier_millionths": 10**6 * (100 - part),
            "brier_squares_millionths": 10**6 * (100 - part),
        }
        for member, part in right.items()
    }
    return Entry(model=Digest(f"{number:02x}" * 32), title=f"model {number}", asked=asked, counts=counts)


def test_a_model_is_ranked_by_the_member_for_whom_it_does_worst_and_not_by_its_mean():
    even, uneven = entry(1, bern=75, lima=75), entry(2, bern=99, lima=60)
    first, second = rank([uneven, even], "accuracy")
    assert (first.model, first.rank, first.worst, first.mean) == (even.model, 1, BERN, Fraction(3, 4))
    assert (second.model, second.rank, second.worst) == (uneven.model, 2, LIMA)
    assert second.mean > first.mean
    assert [standing.model for standing in rank([uneven, even], "brier")] == [even.model, uneven.model]


def test_equal_models_share_a_place_and_the_mean_parts_those_that_are_as_bad_at_worst():
    places = rank([entry(1, bern=70, lima=80), entry(2, bern=80, lima=70), entry(3, bern=70, lima=90)], "accuracy")
    assert [(standing.title, standing.rank) for standing in places] == [("model 3", 1), ("model 1", 2), ("model 2", 2)]


def test_without_every_part_there_is_neither_mean_nor_rank_and_the_worst_still_shows():
    whole, part = entry(1, bern=60, lima=60), entry(2, bern=99)
    first, second = rank([part, whole], "accuracy")
    assert first.model == whole.model
    assert (second.rank, second.mean, second.missing, second.worst) == (None, None, (LIMA,), BERN)
    (nothing,) = rank([entry(3)], "accuracy")
    assert (nothing.rank, nothing.mean, nothing.worst, nothing.missing) == (None, None, None, (BERN, LIMA))
    # A member whose counts do not tell the metric is missing for it.
    (untold,) = rank([whole], "auc")
    assert untold.missing == (BERN, LIMA)


def test_models_are_ranked_only_against_those_that_the_same_members_were_asked_about():
    two, three = entry(1, bern=60, lima=60), entry(2, (BERN, LIMA, OSLO), bern=50, lima=50, oslo=50)
    assert {standing.model: standing.rank for standing in rank([two, three], "accuracy")} == {
        two.model: 1,
        three.model: 1,
    }


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=8))
def test_a_better_place_is_never_a_worse_worst(rights):
    standings = rank([entry(number, bern=one, lima=two) for number, (one, two) in enumerate(rights)], "accuracy")
    worst = [standing.parts[standing.worst].value for standing in standings]
    assert worst == sorted(worst, reverse=True)
    assert [standing.rank for standing in standings] == sorted(standing.rank for standing in standings)


def test_models_are_compared_by_known_metrics_alone():
    with pytest.raises(Missing, match="not by 'f1'"):
        rank([entry(1, bern=1)], "f1")
