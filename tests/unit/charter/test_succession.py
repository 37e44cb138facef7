"""Members appoint a successor to the center, and nothing less than a quorum does."""

from dataclasses import replace
from fractions import Fraction

from serai.charter.articles import Base, Criterion, Mode
from serai.charter.members import OPERATOR_ID
from serai.charter.state import holder_of
from serai.charter.statements import OperatorAppoint, StandingChange
from serai.charter.succession import log_keys
from serai.kernel.ids import digest_of
from serai.kernel.keys import key_id


def appointment(center, **changes):
    key = bytes(32)
    body = OperatorAppoint(
        log_key="serai.example/caravan/2+00000000+AQ==",
        operator=key,
        url="http://127.0.0.1:1",
        size=center.at.index,
        root=digest_of(b"root"),
    )
    return replace(body, **changes)


def test_with_the_signature_that_makes_a_quorum_the_old_key_ends_and_the_new_one_speaks(center):
    old, body = center.state.charter.operator, appointment(center)
    for member in "abc":
        center.do(member, body)
    assert center.state.successions == ()
    assert center.state.charter.operator == old
    center.do("d", body)
    (succession,) = center.state.successions
    assert (succession.members, succession.since) == (frozenset("abcd"), center.at.index)
    assert center.state.charter.operator == body.operator
    assert center.state.charter.origin == "serai.example/caravan/2"
    assert holder_of(center.state, key_id(old), None).until == center.at.index
    assert holder_of(center.state, key_id(body.operator), None).member == OPERATOR_ID
    assert log_keys(center.state.charter, center.state.successions) == (center.founding.log_key, body.log_key)


def test_signatures_stand_right_after_the_log_that_they_are_about_and_after_each_other(center):
    body = appointment(center)
    center.do("a", body)
    center.wait(1)
    assert "right after" in center.refuse("b", body).reason
    late = appointment(center, size=center.at.index - 1)
    assert "right after" in center.refuse("b", late).reason


def test_nobody_signs_twice_and_one_signature_under_another_text_does_not_count(center):
    body = appointment(center)
    for member in "ab":
        center.do(member, body)
    assert "signed this appointment already" in center.refuse("a", body).reason
    other = appointment(center, url="http://127.0.0.1:2")
    for member in "acd":
        center.do(member, other)
    assert center.state.successions == ()
    assert center.state.appointing.members == frozenset("acd")


def test_a_key_that_somebody_has_makes_no_successor(center):
    body = appointment(center, operator=center.state.charter.operator)
    assert "key of its own" in center.refuse("a", body).reason


def test_the_article_on_operations_may_ask_for_more_than_the_quorum(make_center, make_charter, make_majority):
    everybody = Criterion(share=Fraction(1), strict=False, base=Base.ELIGIBLE)
    founding = make_charter()
    articles = {**founding.articles, "operations": make_majority(criteria=(everybody,))}
    center = make_center(replace(founding, articles=articles)).found()
    body = appointment(center)
    for member in "abcd":
        center.do(member, body)
    assert center.state.successions == ()
    center.do("e", body)
    assert len(center.state.successions) == 1


def test_who_is_suspended_appoints_nobody(center):
    proposal = center.open("standing", concerned=("e",), standing=StandingChange(member="e", action="suspend"))
    center.decide(proposal)
    assert "good standing" in center.refuse("e", appointment(center)).reason


def test_silence_appoints_nobody_even_where_it_decides_on_operations(center):
    assert center.state.charter.articles["operations"].mode is Mode.SILENCE
    body = appointment(center)
    for member in "abc":
        center.do(member, body)
    assert center.state.successions == ()
