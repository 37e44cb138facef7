from serai.charter.agreements import Term
from serai.kernel.ids import Digest
from serai.kernel.units import Instant
from serai.zones.facts import JobFacts
from serai.zones.policy import Policy, agreement_source, grant_source, judge_policies, merge_policies, offer_source

FACTS = JobFacts(
    action="train",
    purpose=None,
    code=None,
    rows=5,
    cohort=5,
    outputs=None,
    participants=None,
    minimum=None,
    recipients=None,
    approvals=None,
    jurisdiction=None,
    secure_sum=None,
)


def test_a_malformed_term_cannot_hide_behind_a_well_formed_one_that_compares_equal():
    good, bent = (Term(name="min_cohort", value=value, clause="1") for value in (1, True))
    assert good == bent
    for terms in ((good, bent), (bent, good)):
        denials = judge_policies([Policy(source="zone policy", terms=terms)], FACTS, Instant(1, 1))
        assert len(denials) == 1
        assert "got True" in denials[0].reason


def test_policies_of_one_source_become_one_with_each_term_once():
    term = Term(name="min_cohort", value=3, clause="1")
    merged = merge_policies(
        [Policy(source="b", terms=(term,)), Policy(source="a", terms=()), Policy(source="b", terms=(term,))]
    )
    assert [(policy.source, policy.terms) for policy in merged] == [("a", ()), ("b", (term,))]


def test_sources_are_cited_by_the_first_twelve_characters_of_the_id():
    digest = Digest("0123456789abcdef" * 4)
    assert agreement_source(digest) == "agreement 0123456789ab"
    assert offer_source(digest) == "offer 0123456789ab"
    assert grant_source(digest) == "grant 0123456789ab"
