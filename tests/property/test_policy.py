"""Laws of the effective policy: it is an intersection, whatever the order, and it only ever narrows."""

from dataclasses import replace

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from serai.charter.agreements import Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.airlock import Airlock, airlock_of
from serai.zones.budgets import limits_of, privacy_budgets
from serai.zones.facts import Change, JobFacts, PrivacyCost, Transfer, Unit
from serai.zones.forms import AIRLOCKS
from serai.zones.guard import judge_budgets
from serai.zones.policy import Policy, compile_policies, judge_policies, merge_policies, select_terms
from serai.zones.terms import VOCABULARY, judge_form, judge_term

CODES = st.lists(st.sampled_from(["a", "a.b", "b", "CH", "KZ", "parties", "public", "model", "metrics", "almaty"]))
VALUES = st.one_of(
    CODES.map(tuple),
    st.lists(st.sampled_from(["11" * 32, "22" * 32])).map(tuple),
    st.integers(-1, 6),
    st.booleans(),
    st.sampled_from(["required", "optional", "", *AIRLOCKS, "22-06", "06-22", "00-24", "24-00"]),
    st.sampled_from([("record", "2", "1e-5"), ("member", "1", "1e-6"), ("record", "0", "1e-5")]),
    st.sampled_from([("auc", "2"), ("brier", "0"), ("auc", "x"), ("f1", "1")]),
)
TERMS = st.builds(
    Term,
    name=st.sampled_from([*VOCABULARY, "unheard_of"]),
    value=VALUES,
    clause=st.sampled_from(["1", "2", "3.1"]),
)
POLICIES = st.builds(
    Policy,
    source=st.sampled_from(["agreement aa", "offer bb", "grant cc", "zone policy", "legal profile"]),
    terms=st.lists(TERMS, max_size=4).map(tuple),
)
MEMBERS = st.sampled_from([MemberId("almaty"), MemberId("bern"), MemberId("cusco")])


def maybe(values):
    return st.none() | values


FACTS = st.builds(
    JobFacts,
    action=st.sampled_from(["train", "release"]),
    purpose=maybe(st.sampled_from(["a", "a.b", "b"])),
    code=maybe(st.sampled_from([Digest("11" * 32), Digest("22" * 32)])),
    rows=maybe(st.integers(0, 6)),
    cohort=maybe(st.integers(0, 6)),
    outputs=maybe(st.sampled_from([(), ("model",), ("metrics", "model")])),
    participants=maybe(st.frozensets(MEMBERS)),
    minimum=maybe(st.integers(0, 4)),
    recipients=maybe(st.sampled_from([(), ("almaty",), ("almaty", "bern"), ("public",)])),
    approvals=maybe(st.integers(0, 3)),
    jurisdiction=maybe(st.sampled_from(["CH", "KZ"])),
    secure_sum=maybe(st.booleans()),
    parties=maybe(st.frozensets(MEMBERS)),
    recipient_jurisdictions=maybe(st.sampled_from([(), ("CH",), ("CH", "KZ")])),
    transfers=maybe(st.sampled_from([(), (Transfer("KZ", ("a",)),), (Transfer("KZ", ("b",)), Transfer("CH", ()))])),
    retention_days=maybe(st.integers(0, 6)),
    uses=maybe(st.integers(0, 6)),
    privacy=maybe(
        st.builds(
            PrivacyCost,
            unit=st.sampled_from(Unit),
            epsilon_millionths=st.integers(0, 3 * 10**6),
            delta_trillionths=st.integers(0, 2 * 10**7),
        )
    ),
    subjects=maybe(st.integers(0, 6)),
    worked_s=maybe(st.integers(0, 6)),
    release_approvals=maybe(st.integers(0, 6)),
    changes=maybe(
        st.sampled_from(["auc", "brier"]).flatmap(
            lambda metric: st.builds(Change, st.just(metric), MEMBERS, st.integers(-3_000, 3_000)).map(
                lambda one: (one,)
            )
        )
    ),
    advantage_millionths=maybe(st.integers(-1_000, 6_000)),
    has_airlock=maybe(st.booleans()),
)
INSTANTS = st.builds(
    Instant, index=st.just(9), time_ms=st.integers(0, 7) | st.integers(0, 23).map(lambda hour: hour * 3_600_000 + 1)
)
MANY = st.lists(POLICIES, max_size=5)


@given(MANY, FACTS, INSTANTS, st.randoms(use_true_random=False))
def test_the_order_of_policies_and_of_terms_changes_nothing(policies, facts, at, chance):
    shuffled = [replace(policy, terms=tuple(chance.sample(policy.terms, len(policy.terms)))) for policy in policies]
    chance.shuffle(shuffled)
    assert judge_policies(shuffled, facts, at) == judge_policies(policies, facts, at)
    assert merge_policies(shuffled) == merge_policies(policies)


@given(MANY, FACTS, INSTANTS)
def test_saying_a_policy_twice_changes_nothing(policies, facts, at):
    assert judge_policies([*policies, *policies], facts, at) == judge_policies(policies, facts, at)
    assert merge_policies(merge_policies(policies)) == merge_policies(policies)


@given(MANY, MANY, FACTS, INSTANTS)
def test_more_policies_never_remove_a_reason_to_refuse(policies, more, facts, at):
    assert set(judge_policies(policies, facts, at)) <= set(judge_policies([*policies, *more], facts, at))


@given(MANY, MANY, FACTS, INSTANTS)
def test_the_reasons_against_two_sets_of_policies_are_the_reasons_against_each(first, second, facts, at):
    apart = set(judge_policies(first, facts, at)) | set(judge_policies(second, facts, at))
    assert set(judge_policies([*first, *second], facts, at)) == apart


@given(MANY, MANY, MANY)
def test_merging_is_commutative_associative_and_idempotent(first, second, third):
    def merged(*groups):
        return merge_policies(policy for group in groups for policy in group)

    assert merged(first, second) == merged(second, first)
    assert merged(merged(first, second), third) == merged(first, merged(second, third))
    assert merged(first, first) == merged(first) == merged(merged(first))
    assert merged(first, ()) == merged(first)


@given(MANY, MANY, FACTS, INSTANTS)
def test_merging_loses_no_reason_and_makes_none_up(first, second, facts, at):
    merged = merge_policies([*merge_policies(first), *merge_policies(second)])
    assert judge_policies(merged, facts, at) == judge_policies([*first, *second], facts, at)


@given(MANY, MANY)
def test_one_more_policy_never_has_a_steward_look_at_less(policies, more):
    def strictness(mode):
        return -1 if mode is None else list(Airlock).index(mode)

    apart = max(strictness(airlock_of(policies)), strictness(airlock_of(more)))
    assert strictness(airlock_of([*policies, *more])) == apart == strictness(airlock_of([*more, *policies]))
    assert airlock_of([*policies, *policies]) == airlock_of(policies) == airlock_of(merge_policies(policies))


@given(MANY, MANY, FACTS)
def test_one_more_policy_never_widens_a_privacy_budget(policies, more, facts):
    if facts.privacy is None:
        return

    def overdrawn(sources):
        budgets = privacy_budgets(limits_of(sources), [facts.privacy], facts.privacy)
        return {(denied.article, denied.reason) for denied in judge_budgets(budgets)}

    assert overdrawn([*policies, *more]) == overdrawn(policies) | overdrawn(more)


@pytest.mark.parametrize("name", VOCABULARY)
def test_a_well_formed_value_of_every_term_is_among_those_drawn(name):
    find(VALUES, lambda value: judge_form(Term(name=name, value=value, clause="1"), "offer bb") == GRANTED)


@given(MANY, FACTS, INSTANTS)
def test_a_job_is_permitted_exactly_when_every_single_term_permits_it(policies, facts, at):
    verdicts = [judge_term(term, facts, at, policy.source) for policy in policies for term in policy.terms]
    assert (not judge_policies(policies, facts, at)) == all(verdict == GRANTED for verdict in verdicts)


@given(MANY, FACTS, INSTANTS, st.sets(st.sampled_from(sorted(VOCABULARY))))
def test_splitting_terms_by_name_loses_no_reason(policies, facts, at, names):
    chosen = judge_policies(select_terms(policies, lambda name: name in names), facts, at)
    others = judge_policies(select_terms(policies, lambda name: name not in names), facts, at)
    assert sorted(map(repr, set(chosen) | set(others))) == sorted(map(repr, set(judge_policies(policies, facts, at))))


@given(
    TERMS,
    FACTS,
    INSTANTS,
    st.sampled_from(
        [
            "purpose",
            "code",
            "rows",
            "cohort",
            "outputs",
            "participants",
            "minimum",
            "recipients",
            "approvals",
            "jurisdiction",
            "secure_sum",
            "parties",
            "recipient_jurisdictions",
            "transfers",
            "retention_days",
            "uses",
            "privacy",
            "subjects",
            "worked_s",
            "release_approvals",
            "changes",
            "advantage_millionths",
            "has_airlock",
        ]
    ),
)
def test_forgetting_a_fact_never_turns_a_refusal_into_a_permission(term, facts, at, forgotten):
    if isinstance(judge_term(term, facts, at, "offer bb"), Denied):
        less = replace(facts, **{forgotten: None})
        assert isinstance(judge_term(term, less, at, "offer bb"), Denied)


@given(TERMS, FACTS, INSTANTS)
def test_no_term_and_no_fact_makes_the_judge_raise_and_a_bent_term_never_permits(term, facts, at):
    verdict = judge_term(term, facts, at, "offer bb")
    if isinstance(judge_form(term, "offer bb"), Denied):
        assert isinstance(verdict, Denied)


@given(MANY, st.lists(st.tuples(FACTS, INSTANTS), max_size=4))
def test_policies_compiled_once_judge_every_job_as_each_term_does(policies, jobs):
    compiled = compile_policies(policies)
    for facts, at in jobs:
        found = compiled.judge(facts, at)
        apart = {judge_term(term, facts, at, policy.source) for policy in policies for term in policy.terms}
        assert set(found) == apart - {GRANTED}
