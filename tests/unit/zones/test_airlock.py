"""What is unusual about an output is told by comparing it with what left before, and by nothing else."""

from dataclasses import replace

import pytest

from serai.charter.agreements import Term
from serai.zones.airlock import Airlock, Past, VectorFacts, airlock_of, judge_counts, judge_vector
from serai.zones.policy import Policy

USUAL = VectorFacts(values=10_000, limit=2**40, zeros=500, clipped=0, bits=9_500 * 20, low_bits=7_990, known=0)
PAST = Past(
    vectors=(USUAL, replace(USUAL, zeros=900, bits=9_100 * 20)), counts=({"n": 100, "correct": 80},), sent=2, planned=5
)
FEW = replace(USUAL, values=20, zeros=1, bits=19 * 20, low_bits=4_000)


def policy(*values):
    return [
        Policy(source=str(place), terms=(Term(name="airlock", value=value, clause="1"),))
        for place, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ((), None),
        (("first",), Airlock.FIRST),
        (("unusual", "first"), Airlock.UNUSUAL),
        (("first", "always", "unusual"), Airlock.ALWAYS),
        (("never", 7), None),
    ],
)
def test_the_strictest_term_counts(asked, mode):
    assert airlock_of(policy(*asked)) == mode


@pytest.mark.parametrize("mode", [None, *Airlock])
def test_what_is_as_before_waits_only_where_everything_does(mode):
    found = (*judge_vector(mode, USUAL, PAST), *judge_counts(mode, {"n": 101, "correct": 79}, PAST))
    assert bool(found) == (mode is Airlock.ALWAYS)


@pytest.mark.parametrize("mode", Airlock)
def test_the_first_output_of_a_program_waits_by_every_term(mode):
    for found in (judge_vector(mode, USUAL, Past(planned=5)), judge_counts(mode, {"n": 100}, Past())):
        assert found[0] == "nothing of this program has left this zone before"


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (
            replace(USUAL, zeros=9_000, bits=1_000 * 20, low_bits=0),
            "90.0% of its values are zeros, before 5.0% to 9.0%",
        ),
        (replace(USUAL, clipped=150), "1.5% of its values are values beyond the codec, before at most 0.0%"),
        (replace(USUAL, bits=9_500 * 24), "16 times as large"),
        (replace(USUAL, low_bits=4_500), "hold 4.5 bits each, before 8.0 to 8.0"),
        (replace(USUAL, known=200), "2.0% of its values are values that stand in the rows as they are"),
    ],
)
def test_a_vector_unlike_those_before_waits_and_says_why(facts, says):
    (why,) = judge_vector(Airlock.UNUSUAL, facts, PAST)
    assert says in why
    assert judge_vector(Airlock.FIRST, facts, PAST) == ()
    assert judge_vector(None, facts, PAST) == ()


@pytest.mark.parametrize(
    "facts",
    [
        replace(USUAL, bits=9_500 * 4),  # values shrink as a run converges
        replace(USUAL, limit=2**20, zeros=9_000, low_bits=100),  # another form, of which none has left
        replace(USUAL, known=7),
        replace(USUAL, clipped=90),
    ],
)
def test_what_convergence_and_chance_do_does_not_wait(facts):
    assert judge_vector(Airlock.UNUSUAL, facts, PAST) == ()


def test_the_low_bits_of_few_values_tell_nothing():
    past = replace(PAST, vectors=(FEW,))
    assert judge_vector(Airlock.UNUSUAL, replace(FEW, low_bits=1_000), past) == ()


def test_a_run_of_which_more_vectors_left_than_it_plans_sums_waits():
    (why,) = judge_vector(Airlock.UNUSUAL, USUAL, replace(PAST, sent=6))
    assert why == "the run plans 5 sums, and 6 of its vectors have left"


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"n": 100, "correct": 4}, "1 of its counts are of fewer than 5 rows: correct 4"),
        ({"n": 100, "correct": 80, "tp": 30}, "1 of its counts are new: tp"),
        ({"n": 120, "correct": 80}, "about 120 rows, before about 100 to 100"),
    ],
)
def test_counts_unlike_those_before_wait_and_say_why(counts, says):
    (why,) = judge_counts(Airlock.UNUSUAL, counts, PAST)
    assert says in why
