"""A charter cannot hold a rule that passes ties, means two things or lets silence decide what must be said."""

from dataclasses import replace
from fractions import Fraction

import pytest

from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.constitution import SPOKEN_TOPICS, TOPICS, Charter, CharterChange, genesis_of
from serai.charter.members import MemberRecord
from serai.charter.presets import PRESETS, with_window
from serai.charter.statements import CharterAdopt, ProposalOpen
from serai.errors import Malformed
from serai.kernel.canonical import canonical, parse
from serai.kernel.records import from_json, to_json

MAJORITY = Rule(mode=Mode.VOTE, window_ms=1, criteria=(Criterion(share=HALF),))
CONSENSUS = Rule(mode=Mode.CONSENSUS, window_ms=1)
SILENCE = Rule(mode=Mode.SILENCE, window_ms=1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"share": Fraction(3, 2)}, "share"),
        ({"share": Fraction(-1, 2)}, "share"),
        ({"share": Fraction(1), "strict": True}, "share"),
        ({"share": HALF, "unit": "wealth"}, "unit"),
        ({"share": HALF, "unit": "weight:"}, "unit"),
    ],
)
def test_a_criterion_that_means_nothing_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        Criterion(**fields)


@pytest.mark.parametrize(
    ("rule", "changes", "reason"),
    [
        (MAJORITY, {"criteria": ()}, "tie"),
        (MAJORITY, {"criteria": (Criterion(share=HALF, strict=False),)}, "tie"),
        (MAJORITY, {"criteria": (Criterion(share=Fraction(1, 3)),)}, "tie"),
        (MAJORITY, {"fallback": CONSENSUS}, "fallback"),
        (MAJORITY, {"max_objections": 1}, "max_objections"),
        (MAJORITY, {"window_ms": 0}, "window_ms"),
        (MAJORITY, {"notice_ms": -1}, "notice_ms"),
        (MAJORITY, {"blocking_min": 0}, "blocking_min"),
        (MAJORITY, {"quorum": Criterion(share=HALF, base=Base.CAST)}, "quorum"),
        (CONSENSUS, {"criteria": (Criterion(share=HALF),)}, "belong to a vote"),
        (SILENCE, {"blocking_min": 4}, "belong to a vote"),
        (SILENCE, {"max_objections": 1}, "max_objections"),
        (CONSENSUS, {"fallback": replace(CONSENSUS, fallback=replace(SILENCE, fallback=MAJORITY))}, "fallbacks"),
    ],
)
def test_a_rule_that_could_pass_a_tie_or_mean_two_things_is_refused(rule, changes, reason):
    with pytest.raises(ValueError, match=reason):
        replace(rule, **changes)


def test_a_blocking_minority_needs_a_criterion_in_heads_beside_it():
    weighted = Criterion(share=Fraction(3, 4), unit="weight:votes", base=Base.ELIGIBLE)
    with pytest.raises(ValueError, match="heads"):
        Rule(mode=Mode.VOTE, window_ms=1, criteria=(weighted,), blocking_min=4)


@pytest.mark.parametrize("topic", SPOKEN_TOPICS)
@pytest.mark.parametrize("rule", [SILENCE, replace(CONSENSUS, min_yes=1, fallback=SILENCE)])
def test_silence_never_decides_membership_articles_or_use_of_data(make_charter, topic, rule):
    articles = dict(make_charter().articles)
    with pytest.raises(ValueError, match="silence never decides"):
        make_charter(articles=articles | {topic: rule})


@pytest.mark.parametrize("topic", SPOKEN_TOPICS)
def test_a_consensus_that_nobody_need_attend_is_silence_by_another_name(make_charter, topic):
    articles = dict(make_charter().articles)
    with pytest.raises(ValueError, match="silence would decide it"):
        make_charter(articles=articles | {topic: CONSENSUS})
    heard = replace(CONSENSUS, quorum=Criterion(share=HALF, base=Base.ELIGIBLE))
    assert make_charter(articles=articles | {topic: heard}).articles[topic] == heard


@pytest.mark.parametrize("topic", TOPICS)
def test_a_charter_decides_every_topic(make_charter, topic):
    articles = {name: rule for name, rule in make_charter().articles.items() if name != topic}
    with pytest.raises(ValueError, match=topic):
        make_charter(articles=articles)


def test_a_charter_brings_the_weights_it_counts_by(make_charter):
    weighted = replace(MAJORITY, criteria=(Criterion(share=HALF, unit="weight:votes", base=Base.ELIGIBLE),))
    articles = dict(make_charter().articles) | {"project": weighted}
    with pytest.raises(ValueError, match="votes"):
        make_charter(articles=articles)
    assert make_charter(articles=articles, weights={"votes": {"a": 3}}).weights["votes"]["a"] == 3
    with pytest.raises(ValueError, match="negative"):
        make_charter(weights={"votes": {"a": -1}})


def test_a_veto_belongs_to_a_member(make_charter):
    articles = dict(make_charter().articles) | {"project": replace(MAJORITY, vetoes=("z",))}
    with pytest.raises(ValueError, match="z, which is no member"):
        make_charter(articles=articles)


def test_a_charter_names_each_member_and_each_key_once(make_charter, make_record):
    with pytest.raises(ValueError, match="named once"):
        make_charter((), faulty=0)
    with pytest.raises(ValueError, match="named once"):
        make_charter(("a", "a"))
    twin = replace(make_record("b"), keys=make_record("a").keys)
    with pytest.raises(ValueError, match="key appears twice"):
        replace(make_charter(), members=(make_record("a"), twin), faulty=0)


def test_a_charter_tolerates_fewer_faults_than_a_third_of_its_members(make_charter):
    assert make_charter(("a", "b", "c", "d"), faulty=1).faulty == 1
    with pytest.raises(ValueError, match="faulty"):
        make_charter(("a", "b", "c"), faulty=1)


def test_a_charter_has_a_real_operator_key_and_a_notice_that_ends(make_charter):
    with pytest.raises(ValueError, match="operator key of 32 bytes, got 3"):
        make_charter(operator=b"key")
    with pytest.raises(ValueError, match="notice_ms"):
        make_charter(notice_ms=-1)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"root": (), "delegate": (b"d" * 32,), "witness": (b"w" * 32,)}, "root"),
        ({"root": (b"r" * 32,), "witness": (b"w" * 32,)}, "delegate"),
        ({"root": (b"r" * 32,), "delegate": (b"d" * 32,)}, "witness"),
        ({"root": (b"r" * 32,), "delegate": (b"d" * 32,), "witness": (b"w" * 32, b"x" * 32)}, "exactly one"),
        ({"root": (b"r",), "delegate": (b"d" * 32,), "witness": (b"w" * 32,)}, "no known suite"),
        ({"root": (b"r" * 32,), "delegate": (b"d" * 32,), "witness": (b"w" * 64,)}, "Ed25519 witness key"),
        ({"operator": (b"o" * 32,)}, "operator"),
    ],
)
def test_a_member_can_sign_vote_and_witness_with_one_voice(keys, reason):
    with pytest.raises(ValueError, match=reason):
        MemberRecord(id="a", name="A", keys=keys)


def test_no_member_may_take_the_centers_name(make_record):
    with pytest.raises(ValueError, match="operator"):
        replace(make_record("a"), id="operator")


def test_a_charter_survives_its_canonical_form(make_charter):
    founding = make_charter(weights={"votes": {"a": 3}})
    body = CharterAdopt(charter=founding)
    again = from_json(CharterAdopt, parse(canonical(to_json(body))))
    assert again == body
    assert genesis_of(again.charter) == genesis_of(founding)


def test_a_proposal_with_each_effect_survives_its_canonical_form(make_text, make_record):
    change = CharterChange(articles={"project": replace(CONSENSUS, fallback=replace(CONSENSUS, fallback=MAJORITY))})
    for effect in ({"agreement": make_text()}, {"charter": change}, {"accession": make_record("f")}):
        body = ProposalOpen(topic="x", title="T", text="t", **effect)
        assert from_json(ProposalOpen, parse(canonical(to_json(body)))) == body


def test_a_charter_that_lets_silence_decide_cannot_even_be_read(make_charter):
    value = to_json(make_charter())
    value["articles"]["agreement"] = to_json(SILENCE)
    with pytest.raises(Malformed, match="silence never decides"):
        from_json(Charter, value)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_charter(make_charter, name):
    weights = {"votes": {"a": 50, "b": 50}, "population": {"a": 80, "b": 10}}
    founding = make_charter(articles=PRESETS[name], weights=weights)
    quick = make_charter(articles=with_window(PRESETS[name], 5), weights=weights)
    rules = [part for rule in quick.articles.values() for part in rule.chain()]
    assert {(part.window_ms, part.notice_ms) for part in rules} == {(5, 0)}
    assert set(founding.articles) == set(quick.articles) >= set(TOPICS)
