"""Two policies side by side: what came narrows, what went widens, and of what changed an order of values decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.approvals.terms import Change, Kind, compare_policies, place_of
from serai.charter.agreements import Term
from serai.kernel.units import Instant
from serai.zones.facts import JobFacts
from serai.zones.policy import Policy, judge_policies

NARROWED, WIDENED, CHANGED = Kind.NARROWED, Kind.WIDENED, Kind.CHANGED
AT = Instant(9, 1_790_000_000_000)


def policy(*terms, source="offer 0123456789ab"):
    return Policy(
        source=source, terms=tuple(Term(name=name, value=value, clause=clause) for name, value, clause in terms)
    )


@pytest.mark.parametrize(
    ("name", "before", "after", "kind"),
    [
        ("min_cohort", 20, 50, NARROWED),
        ("min_participants", 4, 3, WIDENED),
        ("approvals", 1, 2, NARROWED),
        ("embargo_until_ms", 10, 20, NARROWED),
        ("max_uses", 9, 3, NARROWED),
        ("expires_ms", 10, 20, WIDENED),
        ("retention_days", 30, 0, NARROWED),
        ("compute_cap_s", 60, 3600, WIDENED),
        ("purpose", ("health",), ("health.heart",), NARROWED),
        ("purpose", ("health.heart",), ("health",), WIDENED),
        ("purpose", ("health.heart",), ("health.lung",), CHANGED),
        ("outputs", ("aggregate",), ("aggregate", "model"), WIDENED),
        ("recipients", ("parties",), ("public",), CHANGED),
        ("residency", ("CH", "PE"), ("CH",), NARROWED),
        ("code", ("ab" * 32,), ("cd" * 32,), CHANGED),
        ("hours", "00-24", "22-06", NARROWED),
        ("hours", "22-06", "23-05", NARROWED),
        ("hours", "22-06", "06-22", CHANGED),
        ("dp", ("record", "3", "1e-5"), ("record", "2", "1e-5"), NARROWED),
        ("dp", ("record", "3", "1e-5"), ("record", "2", "1e-4"), CHANGED),
        ("dp", ("record", "3", "1e-5"), ("member", "3", "1e-5"), NARROWED),
        ("dp", ("member", "3", "1e-5"), ("record", "3", "1e-5"), WIDENED),
        ("no_member_worse", ("auc", "20"), ("auc", "10"), NARROWED),
        ("no_member_worse", ("auc", "10"), ("auc", "20"), WIDENED),
        ("no_member_worse", ("auc", "20"), ("brier", "10"), CHANGED),
        ("no_member_worse", ("auc", "9"), ("auc", "10"), WIDENED),
        ("membership_advantage", 100, 50, NARROWED),
        ("min_cohort", "many", 50, CHANGED),
        ("hours", "late", "22-06", CHANGED),
        ("colour", 1, 2, CHANGED),
    ],
)
def test_a_changed_value_allows_less_or_more_or_something_else(name, before, after, kind):
    (change,) = compare_policies([policy((name, before, "1"))], [policy((name, after, "2"))])
    assert (change.kind, change.name, change.place, change.clause) == (kind, name, "offer", "2")


def test_what_came_and_what_went_is_told_with_its_place_and_clause():
    before = [policy(("min_cohort", 20, "1"), ("secure_sum", "required", "2"))]
    after = [
        policy(("min_cohort", 20, "1"), source="offer ffffffffffff"),
        policy(("purpose", ("a", "b"), "z 1"), source="zone policy"),
    ]
    assert compare_policies(before, after) == (
        Change(Kind.REMOVED, "secure_sum", "required", "", "offer", "2"),
        Change(Kind.ADDED, "purpose", "", "a, b", "zone policy", "z 1"),
    )


def test_an_offer_made_anew_with_the_same_terms_is_no_difference():
    before = [policy(("min_cohort", 20, "1"), source="offer 000000000000")]
    assert compare_policies(before, [policy(("min_cohort", 20, "1"), source="offer 111111111111")]) == ()


def test_of_several_terms_of_one_name_only_those_that_differ_are_told():
    before = [policy(("purpose", ("a",), "1"), ("purpose", ("b",), "2"))]
    after = [policy(("purpose", ("a",), "1"), ("purpose", ("c",), "3"), ("purpose", ("d",), "4"))]
    assert [(one.kind, one.before or one.after) for one in compare_policies(before, after)] == [
        (Kind.REMOVED, "b"),
        (Kind.ADDED, "c"),
        (Kind.ADDED, "d"),
    ]


def test_places_are_told_apart_by_their_kind():
    assert place_of("grant 0123456789ab") == "grant"
    assert place_of("legal profile") == "legal profile"


COUNTS = st.integers(1, 60)
CODES = st.lists(st.sampled_from(["health", "health.heart", "health.heart.valve", "war"]), min_size=1, unique=True).map(
    tuple
)
HOURS = st.sampled_from(["00-24", "08-18", "22-06", "10-12", "23-01"])
VALUES = {
    **dict.fromkeys(
        ("min_cohort", "min_participants", "approvals", "min_subjects", "max_subjects", "max_uses"), COUNTS
    ),
    **dict.fromkeys(("retention_days", "compute_cap_s"), COUNTS),
    "purpose": CODES,
    "hours": HOURS,
    "dp": st.tuples(
        st.sampled_from(["record", "member"]), st.sampled_from(["1", "2"]), st.sampled_from(["1e-5", "1e-6"])
    ),
    "outputs": st.lists(st.sampled_from(["aggregate", "model", "metrics"]), min_size=1, unique=True).map(tuple),
}


@given(data=st.data(), name=st.sampled_from(sorted(VALUES)))
def test_narrower_never_permits_what_wider_did_not(data, name):
    """The words are held against the checks that zones enforce, over facts of every kind."""
    one, other = (data.draw(VALUES[name]) for _ in range(2))
    changes = compare_policies([policy((name, one, "1"))], [policy((name, other, "1"))])
    kind = changes[0].kind if changes else None
    facts = JobFacts(
        action="train",
        purpose=data.draw(st.sampled_from(["health", "health.heart", "health.heart.valve.left", "war"])),
        code=None,
        rows=data.draw(COUNTS),
        cohort=data.draw(COUNTS),
        outputs=data.draw(VALUES["outputs"]),
        participants=frozenset(map(str, range(data.draw(COUNTS)))),
        minimum=data.draw(COUNTS),
        recipients=(),
        approvals=data.draw(COUNTS),
        jurisdiction="CH",
        secure_sum=True,
        retention_days=data.draw(COUNTS),
        uses=data.draw(COUNTS),
        subjects=data.draw(COUNTS),
        worked_s=data.draw(COUNTS),
    )
    at = Instant(9, AT.time_ms + 3_600_000 * data.draw(st.integers(0, 23)))
    before, after = (not judge_policies([policy((name, value, "1"))], facts, at) for value in (one, other))
    if kind is Kind.NARROWED:
        assert before or not after
    if kind is Kind.WIDENED:
        assert after or not before
