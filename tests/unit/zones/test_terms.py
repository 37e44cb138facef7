from dataclasses import replace

import pytest

from serai.charter.agreements import Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.facts import Change, JobFacts, PrivacyCost, Transfer, Unit
from serai.zones.terms import VOCABULARY, find_expiry, judge_form, judge_forms, judge_term

AT = Instant(7, 1_000)
CODE = Digest("c0" * 32)
FACTS = JobFacts(
    action="train",
    purpose="health.heart",
    code=CODE,
    rows=100,
    cohort=100,
    outputs=("aggregate", "model"),
    participants=frozenset({MemberId("almaty"), MemberId("bern"), MemberId("cusco")}),
    minimum=3,
    recipients=("almaty", "bern"),
    approvals=2,
    jurisdiction="CH",
    secure_sum=True,
    parties=frozenset({MemberId("almaty"), MemberId("bern"), MemberId("cusco")}),
    recipient_jurisdictions=("CH", "KZ"),
    transfers=(Transfer("KZ", ("treaty-7",)),),
    retention_days=30,
    uses=4,
    privacy=PrivacyCost(unit=Unit.RECORD, epsilon_millionths=2_500_000, delta_trillionths=10**6),
    subjects=80,
    worked_s=59,
    has_airlock=True,
)

HOLDS = [
    ("purpose", ("health",)),
    ("purpose", ("climate", "health.heart")),
    ("code", ("ab" * 32, CODE)),
    ("min_cohort", 100),
    ("min_participants", 3),
    ("outputs", ("model", "aggregate", "metrics")),
    ("expires_ms", 1_001),
    ("approvals", 2),
    ("recipients", ("parties",)),
    ("recipients", ("bern", "almaty")),
    ("recipients", ("public",)),
    ("residency", ("KZ", "CH")),
    ("secure_sum", "required"),
    ("retention_days", 30),
    ("output_to", ("CH", "KZ", "PE")),
    ("transfer_basis", ("treaty-7", "treaty-8")),
    ("max_uses", 5),
    ("dp", ("record", "2.5", "1e-6")),
    ("min_subjects", 80),
    ("max_subjects", 80),
    ("hours", "00-01"),
    ("hours", "22-06"),
    ("embargo_until_ms", 1_000),
    ("compute_cap_s", 60),
    ("airlock", "unusual"),
    ("release_approvals", 9),
    ("no_member_worse", ("auc", "20")),
    ("membership_advantage", 100),
]
FAILS = [
    ("purpose", ("climate",), "'health.heart'"),
    ("purpose", ("health.heart.failure",), "'health.heart'"),
    ("code", ("ab" * 32,), "c0c0c0c0c0c0"),
    ("min_cohort", 101, "would read 100"),
    ("min_participants", 4, "the run allows 3"),
    ("outputs", ("aggregate",), "declares model"),
    ("expires_ms", 1_000, "ended at 1000 ms"),
    ("approvals", 3, "2 approved"),
    ("recipients", ("almaty",), "would go to bern"),
    ("residency", ("KZ",), "'CH'"),
    ("retention_days", 29, "would keep 30"),
    ("output_to", ("CH",), "would go to KZ"),
    ("transfer_basis", ("treaty-8",), "holds treaty-7"),
    ("max_uses", 4, "4 already used"),
    ("dp", ("record", "2.499999", "1e-6"), "alone costs epsilon 2.5"),
    ("min_subjects", 81, "are about fewer"),
    ("max_subjects", 79, "are about more"),
    ("hours", "01-24", "allows the hours 01-24 UTC, log time is 1000 ms"),
    ("embargo_until_ms", 1_001, "nothing before 1001 ms, log time is 1000 ms"),
    ("compute_cap_s", 59, "has worked 59 s"),
]


def term(name, value, clause="2.1"):
    return Term(name=name, value=value, clause=clause)


@pytest.mark.parametrize(("name", "value"), HOLDS)
def test_a_term_holds_at_its_very_limit(name, value):
    assert judge_term(term(name, value), FACTS, AT, "offer abc") == GRANTED


@pytest.mark.parametrize(("name", "value", "says"), FAILS)
def test_a_term_that_does_not_hold_quotes_its_clause_and_both_sides(name, value, says):
    verdict = judge_term(term(name, value), FACTS, AT, "offer abc")
    assert isinstance(verdict, Denied)
    assert verdict.article == "offer abc, clause 2.1"
    assert verdict.reason.startswith(f"{name}: ")
    assert says in verdict.reason


def test_what_leaves_in_the_clear_fails_secure_sum():
    verdict = judge_term(term("secure_sum", "required"), replace(FACTS, secure_sum=False), AT, "zone policy")
    assert isinstance(verdict, Denied)
    assert "in the clear" in verdict.reason


def test_approvals_of_a_model_are_asked_for_when_it_is_released_and_not_before():
    demand, release = term("release_approvals", 2), replace(FACTS, action="release")
    for approvals, says in ((None, "missing fact"), (1, "needs 2 members that approve the model, 1 did")):
        verdict = judge_term(demand, replace(release, release_approvals=approvals), AT, "agreement abc")
        assert isinstance(verdict, Denied)
        assert says in verdict.reason
    assert judge_term(demand, replace(release, release_approvals=2), AT, "agreement abc") == GRANTED
    assert judge_term(demand, FACTS, AT, "agreement abc") == GRANTED


def test_an_airlock_that_a_job_would_not_pass_fails():
    verdict = judge_term(term("airlock", "first"), replace(FACTS, has_airlock=False), AT, "zone policy")
    assert isinstance(verdict, Denied)
    assert "waits for none" in verdict.reason


WORST = (Change("auc", MemberId("cusco"), -20_000), Change("brier", MemberId("bern"), 5))


@pytest.mark.parametrize(
    ("name", "value", "fact", "says"),
    [
        ("no_member_worse", ("auc", "20"), {"changes": WORST}, None),
        ("no_member_worse", ("brier", "0"), {"changes": WORST}, None),
        ("no_member_worse", ("auc", "19"), {"changes": WORST}, "cusco loses 0.020000"),
        ("no_member_worse", ("accuracy", "1000"), {"changes": WORST}, "missing fact"),
        ("no_member_worse", ("auc", "1000"), {"changes": None}, "missing fact"),
        ("membership_advantage", 100, {"advantage_millionths": 100_000}, None),
        ("membership_advantage", 0, {"advantage_millionths": -3}, None),
        (
            "membership_advantage",
            100,
            {"advantage_millionths": 100_001},
            "advantage of 0.100, a member measured 0.100001",
        ),
        ("membership_advantage", 1000, {"advantage_millionths": None}, "missing fact"),
    ],
)
def test_how_good_a_model_is_and_what_it_gives_away_is_asked_when_it_is_released_and_not_before(
    name, value, fact, says
):
    verdict = judge_term(term(name, value), replace(FACTS, action="release", **fact), AT, "agreement abc")
    assert verdict == GRANTED if says is None else says in verdict.reason
    assert judge_term(term(name, value), replace(FACTS, **fact), AT, "agreement abc") == GRANTED


def test_a_purpose_is_not_below_another_that_only_begins_alike():
    facts = replace(FACTS, purpose="healthcare")
    assert isinstance(judge_term(term("purpose", ("health",)), facts, AT, "offer abc"), Denied)


def test_every_term_of_the_vocabulary_has_a_case_that_holds_and_one_that_fails():
    assert {name for name, _ in HOLDS} == set(VOCABULARY)
    of_releases = {"airlock", "release_approvals", "no_member_worse", "membership_advantage"}
    assert {name for name, _, _ in FAILS} | {"secure_sum"} | of_releases == set(VOCABULARY)


NEEDS = {
    "purpose": "purpose",
    "code": "code",
    "min_cohort": "rows",
    "min_participants": "minimum",
    "outputs": "outputs",
    "approvals": "approvals",
    "recipients": "recipients",
    "residency": "jurisdiction",
    "secure_sum": "secure_sum",
    "retention_days": "retention_days",
    "output_to": "recipient_jurisdictions",
    "transfer_basis": "transfers",
    "max_uses": "uses",
    "dp": "privacy",
    "min_subjects": "subjects",
    "max_subjects": "subjects",
    "compute_cap_s": "worked_s",
    "airlock": "has_airlock",
}


@pytest.mark.parametrize(("name", "fact"), NEEDS.items())
def test_a_fact_that_nobody_knows_denies(name, fact):
    value = next(value for known, value in HOLDS if known == name)
    verdict = judge_term(term(name, value), replace(FACTS, **{fact: None}), AT, "legal profile")
    assert isinstance(verdict, Denied)
    assert "missing fact" in verdict.reason


@pytest.mark.parametrize("fact", ["outputs", "recipients", "recipient_jurisdictions"])
def test_an_empty_list_of_facts_is_a_missing_fact_not_a_harmless_one(fact):
    name = {"outputs": "outputs", "recipients": "recipients", "recipient_jurisdictions": "output_to"}[fact]
    value = next(value for known, value in HOLDS if known == name)
    verdict = judge_term(term(name, value), replace(FACTS, **{fact: ()}), AT, "offer abc")
    assert isinstance(verdict, Denied)
    assert "missing fact" in verdict.reason


def test_parties_without_a_list_of_parties_is_a_missing_fact():
    verdict = judge_term(term("recipients", ("parties",)), replace(FACTS, parties=None), AT, "offer abc")
    assert isinstance(verdict, Denied)
    assert "missing fact" in verdict.reason


def test_participants_unknown_or_too_few_deny_even_when_the_minimum_is_high():
    two = frozenset({MemberId("almaty"), MemberId("bern")})
    for participants, says in ((None, "missing fact"), (two, "2 take part")):
        verdict = judge_term(term("min_participants", 3), replace(FACTS, participants=participants), AT, "offer abc")
        assert isinstance(verdict, Denied)
        assert says in verdict.reason


@pytest.mark.parametrize(("name", "value"), [("expires_ms", 5_000), ("hours", "00-24"), ("embargo_until_ms", 1)])
def test_before_the_first_clock_nothing_that_hangs_on_the_time_is_permitted(name, value):
    verdict = judge_term(term(name, value), FACTS, Instant(3, 0), "offer abc")
    assert isinstance(verdict, Denied)
    assert "missing fact" in verdict.reason


def test_an_unknown_term_denies_with_its_clause_and_names_the_known_ones():
    verdict = judge_term(term("min_cohrt", 5, clause="3.2"), FACTS, AT, "agreement abc")
    assert isinstance(verdict, Denied)
    assert verdict.article == "agreement abc, clause 3.2"
    assert "'min_cohrt'" in verdict.reason
    assert "min_cohort" in verdict.reason


BENT = [
    ("purpose", "health"),
    ("purpose", ()),
    ("purpose", ("",)),
    ("purpose", ("health", "health")),
    ("code", ("C0" * 32,)),
    ("code", ("c0",)),
    ("min_cohort", "100"),
    ("min_cohort", ("100",)),
    ("min_cohort", 0),
    ("min_cohort", -1),
    ("min_cohort", True),
    ("min_participants", "3"),
    ("outputs", ("rows",)),
    ("outputs", "model"),
    ("expires_ms", "2035"),
    ("approvals", ("bern",)),
    ("recipients", 3),
    ("residency", "CH"),
    ("secure_sum", "optional"),
    ("secure_sum", 1),
    ("secure_sum", ("required",)),
    ("retention_days", -1),
    ("retention_days", True),
    ("output_to", 1),
    ("transfer_basis", "treaty-7"),
    ("max_uses", 0),
    ("min_subjects", 0),
    ("hours", "22-22"),
    ("hours", "24-06"),
    ("hours", "9-17"),
    ("hours", "22-25"),
    ("hours", "22:00-06:00"),
    ("hours", ("22-06",)),
    ("hours", 22),
    ("embargo_until_ms", "2035"),
    ("compute_cap_s", "1h"),
    ("no_member_worse", 20),
    ("no_member_worse", ("auc",)),
    ("no_member_worse", ("auc", "1001")),
    ("no_member_worse", ("auc", "-1")),
    ("no_member_worse", ("auc", "2.5")),
    ("no_member_worse", ("f1", "20")),
    ("membership_advantage", -1),
    ("membership_advantage", 1001),
    ("membership_advantage", True),
    ("membership_advantage", "100"),
    ("airlock", "sometimes"),
    ("airlock", True),
    ("airlock", ("always",)),
]


@pytest.mark.parametrize(("name", "value"), BENT)
def test_a_value_of_the_wrong_form_denies_whatever_the_facts(name, value):
    verdict = judge_term(term(name, value), FACTS, AT, "offer abc")
    assert isinstance(verdict, Denied)
    assert verdict == judge_form(term(name, value), "offer abc")
    assert "expected" in verdict.reason


@pytest.mark.parametrize("name", ["min_cohort", "min_participants", "expires_ms", "approvals", "max_uses"])
def test_one_is_the_least_that_a_count_can_demand(name):
    assert judge_form(term(name, 1), "offer abc") == GRANTED


def test_every_jurisdiction_abroad_needs_an_instrument_of_its_own_and_home_needs_none():
    basis = term("transfer_basis", ("treaty-7", "clauses"))
    for transfers, holds in [
        ((), True),
        ((Transfer("KZ", ("treaty-7",)), Transfer("PE", ("clauses", "other"))), True),
        ((Transfer("KZ", ("treaty-7",)), Transfer("PE", ("other",))), False),
        ((Transfer("KZ", ("treaty-7",)), Transfer("PE", ())), False),
    ]:
        verdict = judge_term(basis, replace(FACTS, transfers=transfers), AT, "legal profile")
        assert (verdict == GRANTED) is holds
    assert "in force for PE, the zone holds none" in verdict.reason


@pytest.mark.parametrize("hour", range(24))
def test_hours_run_to_the_hour_that_ends_them_and_over_midnight(hour):
    at = Instant(7, 86_400_000 * 20_000 + hour * 3_600_000 + 59 * 60_000)
    for value, inside in (("22-06", hour >= 22 or hour < 6), ("06-22", 6 <= hour < 22), ("00-24", True)):
        assert (judge_term(term("hours", value), FACTS, at, "zone policy") == GRANTED) is inside


def test_retention_of_zero_days_is_a_form_that_can_be_kept():
    assert judge_term(term("retention_days", 0), replace(FACTS, retention_days=0), AT, "offer abc") == GRANTED


def test_all_terms_that_cannot_be_enforced_are_reported_at_once():
    terms = (term("min_cohort", 10), term("colour", "blue"), term("approvals", 0))
    assert [denied.reason[:12] for denied in judge_forms(terms, "this offer")] == ["the term 'co", "approvals: e"]


def test_a_term_without_a_clause_is_cited_by_its_source_alone():
    verdict = judge_term(term("min_cohort", 1_000, clause=""), FACTS, AT, "zone policy")
    assert isinstance(verdict, Denied)
    assert verdict.article == "zone policy"


def test_the_earliest_end_counts():
    assert find_expiry((term("expires_ms", 9), term("expires_ms", 4), term("min_cohort", 2))) == 4
    assert find_expiry((term("min_cohort", 2),)) is None


@pytest.mark.parametrize(
    ("cohort", "reason"), [(19, "20 rows of each group, the job asks for 19"), (None, "missing fact")]
)
def test_a_cohort_is_demanded_of_each_group(cohort, reason):
    verdict = judge_term(term("min_cohort", 20), replace(FACTS, cohort=cohort), AT, "offer abc")
    assert isinstance(verdict, Denied)
    assert reason in verdict.reason
    assert judge_term(term("min_cohort", 20), replace(FACTS, cohort=20), AT, "offer abc") == GRANTED
