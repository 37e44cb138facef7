"""The policy in ODRL: nothing is lost on the way out and back, and nothing unknown comes in."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.catalog.names import PROFILE
from serai.catalog.odrl import agreed_policy, offer_policy, parse_policy, write_policy
from serai.charter.agreements import Term
from serai.errors import Malformed
from serai.kernel.canonical import MAX_INT
from serai.zones.facts import Output
from serai.zones.policy import Policy, merge_policies
from serai.zones.terms import VOCABULARY

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
CODES = st.lists(WORDS, min_size=1, max_size=4, unique=True).map(tuple)
COUNTS = st.integers(1, MAX_INT)
SINGLE = {
    "code": st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), min_size=1, max_size=3, unique=True).map(
        tuple
    ),
    "outputs": st.lists(st.sampled_from([kind.value for kind in Output]), min_size=1, unique=True).map(tuple),
    "secure_sum": st.just("required"),
    "retention_days": st.integers(0, MAX_INT),
    "dp": st.tuples(
        st.sampled_from(["record", "member"]),
        st.sampled_from(["3", "0.25", "1e3", "7/3"]),
        st.sampled_from(["1e-5", "1/7"]),
    ),
    "no_member_worse": st.tuples(st.sampled_from(["auc", "brier"]), st.sampled_from(["0", "20", "1000"])),
    "membership_advantage": st.integers(0, 1_000),
    "airlock": st.sampled_from(["first", "unusual", "always"]),
    "hours": st.sampled_from(["22-06", "00-24", "08-18"]),
    **dict.fromkeys(("purpose", "recipients", "residency", "output_to", "transfer_basis"), CODES),
}
TERMS = st.sampled_from(sorted(VOCABULARY)).flatmap(
    lambda name: st.builds(Term, name=st.just(name), value=SINGLE.get(name, COUNTS), clause=st.text(max_size=8))
)


def through_odrl(policy):
    return parse_policy(write_policy(policy).encode())


def bent(policy, bend):
    document = json.loads(write_policy(policy))
    bend(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", sorted(VOCABULARY))
@given(data=st.data())
def test_every_term_comes_back_as_it_went(name, data, heart):
    values = SINGLE.get(name, COUNTS)
    term = Term(name=name, value=data.draw(values), clause=data.draw(st.text(max_size=20)))
    policy = replace(offer_policy(heart), policies=(Policy(source="offer 0", terms=(term,)),))
    assert through_odrl(policy) == policy


@given(by_source=st.dictionaries(WORDS, st.lists(TERMS, max_size=6).map(tuple), max_size=4))
def test_policies_of_any_terms_come_back_saying_the_same(by_source, heart):
    policies = tuple(Policy(source=source, terms=terms) for source, terms in by_source.items())
    back = through_odrl(replace(agreed_policy(heart, heart.uses[0]), policies=policies))
    assert merge_policies(back.policies) == merge_policies(policies)


def test_an_agreement_names_who_may_use_the_data_and_for_what(heart):
    said = agreed_policy(heart, heart.uses[0])
    policy = through_odrl(said)
    assert replace(policy, policies=merge_policies(policy.policies)) == replace(
        said, policies=merge_policies(said.policies)
    )
    assert policy.actions == ("serai:train", "serai:evaluate")
    assert [assignee.rpartition(":")[2] for assignee in policy.assignees] == ["bern", "lima"]


def test_the_document_needs_no_other_document(heart):
    document = json.loads(write_policy(offer_policy(heart)))
    assert all(isinstance(iri, str) for iri in document["@context"].values())
    assert document["odrl:profile"] == {"@id": PROFILE}
    assert document["odrl:prohibition"][0]["odrl:action"] == [{"@id": "odrl:distribute"}]


def constraint(document):
    return document["odrl:permission"][0]["odrl:constraint"][1]


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda d: d.update({"@context": "https://www.w3.org/ns/odrl.jsonld"}), "odrl-context"),
        (lambda d: d["@context"].update({"more": "urn:more:"}), "odrl-context"),
        (lambda d: d.update({"odrl:profile": {"@id": "urn:other"}}), "odrl-profile"),
        (lambda d: d.update({"@type": ["odrl:Policy", "odrl:Set"]}), "odrl-form"),
        (lambda d: d.update({"odrl:obligation": []}), "odrl-form"),
        (lambda d: d["odrl:permission"].append(d["odrl:permission"][0]), "odrl-form"),
        (lambda d: d["odrl:permission"][0].pop("odrl:duty"), "odrl-form"),
        (lambda d: d["odrl:permission"][0].update({"odrl:action": [{"@id": "odrl:read"}]}), "odrl-form"),
        (lambda d: d.update({"odrl:prohibition": []}), "odrl-form"),
        (lambda d: constraint(d).update({"odrl:operator": {"@id": "odrl:lteq"}}), "odrl-form"),
        (lambda d: constraint(d).update({"odrl:leftOperand": {"@id": "serai:colour"}}), "odrl-form"),
        (lambda d: constraint(d).update({"odrl:unit": {"@id": "serai:rows"}}), "odrl-form"),
        (lambda d: constraint(d).update({"odrl:rightOperand": "50"}), "odrl-form"),
        (lambda d: constraint(d).update({"odrl:rightOperand": True}), "odrl-form"),
        (lambda d: constraint(d).update({"odrl:rightOperand": 0}), "odrl-term"),
        (lambda d: constraint(d).update({"serai:source": "elsewhere"}), "odrl-form"),
        (lambda d: d.update({"serai:sources": ["a", "a"]}), "odrl-form"),
        (lambda d: d.update({"@id": "https://evil.example/"}), "odrl-form"),
    ],
)
def test_what_the_profile_does_not_know_is_refused(heart, bend, code):
    with pytest.raises(Malformed) as refused:
        parse_policy(bent(offer_policy(heart), bend))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"[" * 100_000, b'{"a":1,"a":2}', b"1.5", b"\xff", b" " * (2 << 20)]
)
def test_bytes_that_are_no_such_document_are_refused(data):
    with pytest.raises(Malformed):
        parse_policy(data)


def test_a_term_that_no_zone_could_enforce_is_not_written(heart):
    policy = Policy(source="zone policy", terms=(Term(name="colour", value=1, clause=""),))
    with pytest.raises(Malformed, match="not known"):
        write_policy(replace(offer_policy(heart), policies=(policy,)))
