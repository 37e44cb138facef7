"""Negotiating text: brackets and whose they are, settling them, and what two versions differ in."""

import pytest

from serai.errors import Malformed, Missing
from serai.programme.negotiation import (
    Change,
    Part,
    check_translation,
    compare,
    find_brackets,
    settle_brackets,
    stack,
)

TEXT = "No sum holds fewer than [bern: three | lima, oslo: four] members[suva: , ever]."


def test_a_bracket_says_who_proposes_what():
    first, second = find_brackets(TEXT)
    assert [(item.members, item.text) for item in first.alternatives] == [
        (("bern",), "three"),
        (("lima", "oslo"), "four"),
    ]
    assert [(item.members, item.text) for item in second.alternatives] == [(("suva",), ", ever")]
    assert TEXT[first.start : first.end] == "[bern: three | lima, oslo: four]"


@pytest.mark.parametrize(
    ("taken", "settled"),
    [
        ({1: "bern"}, "No sum holds fewer than three members[suva: , ever]."),
        ({1: "oslo", 2: "suva"}, "No sum holds fewer than four members, ever."),
        ({}, TEXT),
    ],
)
def test_taking_an_alternative_puts_it_in_place_of_its_bracket(taken, settled):
    assert settle_brackets(TEXT, taken) == settled


def test_an_alternative_may_leave_words_out():
    assert settle_brackets("Members[bern: | lima: , ever].", {1: "bern"}) == "Members."


def test_what_is_not_there_cannot_be_taken():
    with pytest.raises(Missing, match="no bracket 3; it has 2"):
        settle_brackets(TEXT, {3: "bern"})
    with pytest.raises(Missing, match="suva proposes nothing in bracket 1; bern, lima, oslo do"):
        settle_brackets(TEXT, {1: "suva"})


@pytest.mark.parametrize(
    "text",
    [
        "purpose = ['a']",
        'purpose = ["health: all"]',
        "see [the page](page.md)",
        "[note: a page](page.md)",
        "[https://serai.example]",
        "[x]",
        "",
    ],
)
def test_other_brackets_are_ordinary_text(text):
    assert find_brackets(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[bern: three", "does not end"),
        ("[bern: three | four]", "expected MEMBER: TEXT"),
        ("[bern: [x]", "does not end"),
    ],
)
def test_a_bracket_that_nobody_owns_or_that_does_not_end_is_refused(text, said):
    with pytest.raises(Malformed, match=said):
        find_brackets(text)


def test_a_text_of_brackets_only_is_refused():
    with pytest.raises(Malformed, match="at most 1000"):
        find_brackets("[bern: x]" * 1_001)


def test_lists_within_an_alternative_stay_whole_and_brackets_within_show_later():
    (bracket,) = find_brackets('purpose = [bern: ["a", "b"] | lima: [oslo: ["c"] | suva: ["d"]]]')
    assert bracket.alternatives[0].text == '["a", "b"]'
    once = settle_brackets('purpose = [bern: ["a"] | lima: [oslo: ["c"] | suva: ["d"]]]', {1: "lima"})
    assert settle_brackets(once, {1: "suva"}) == 'purpose = ["d"]'


def test_wordings_are_stacked_where_they_differ():
    assert stack({"bern": "three", "lima": "three"}) == "three"
    stacked = stack({"oslo": "four", "bern": "three", "lima": "four"})
    assert stacked == "[bern: three | lima, oslo: four]"
    assert settle_brackets(stacked, {1: "lima"}) == "four"


@pytest.mark.parametrize("wording", ["a | b", "a ] b", "a [ b"])
def test_a_wording_that_could_not_be_told_apart_again_is_not_stacked(wording):
    with pytest.raises(Malformed):
        stack({"bern": wording, "lima": "c"})


def part(clause, text="As it was.", **terms):
    return Part(id=clause, text=text, terms=terms)


def test_versions_are_compared_clause_by_clause_with_words_and_terms():
    before = (part("1"), part("2", "At least three members.", min_participants=3), part("3"))
    after = (part("1"), part("2", "At least four members.", min_participants=4, approvals=1), part("4", "New."))
    changed, added, removed = compare(before, after)
    assert (changed.clause, changed.change) == ("2", Change.CHANGED)
    assert changed.words == "At least [-three-] {+four+} members."
    assert changed.terms == {"approvals": (None, "1"), "min_participants": ("3", "4")}
    assert (added.clause, added.change, added.words) == ("4", Change.ADDED, "{+New.+}")
    assert (removed.clause, removed.change, removed.words) == ("3", Change.REMOVED, "[-As it was.-]")
    assert list(compare(before, before)) == []


def test_a_term_alone_makes_a_difference():
    (found,) = compare((part("1", purpose=("a",)),), (part("1", purpose=("a", "b")),))
    assert (found.words, found.terms) == ("As it was.", {"purpose": ("a", "a, b")})


def test_a_translation_has_the_same_clauses_and_no_other_terms():
    text = (part("1", minimum=3), part("2"))
    assert list(check_translation(text, (part("1"), part("2")))) == []
    assert list(check_translation(text, (part("1", minimum=3), part("2")))) == []
    (missing,) = check_translation(text, (part("1"),))
    assert "expected the clauses 1, 2" in missing
    (other,) = check_translation(text, (part("1", minimum=2), part("2")))
    assert "clause 1 has other terms" in other
