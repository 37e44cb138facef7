"""Search: words in any script, filters, reasons, and whether the one who asks could use what was found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.catalog.search import Query, folded, search, words_of
from serai.kernel.ids import MemberId
from serai.zones.descriptions import Text

LIMA, OSLO = MemberId("lima"), MemberId("oslo")


def found(records, **query):
    return [hit.record.id[:2] for hit in search(records, Query(**query), LIMA)]


@pytest.mark.parametrize(
    "words",
    [
        "herz",
        "HERZKRANK zurich",
        "zu\u0308rich",
        "heart 1988",
        "ＨＥＡＲＴ",
        "قلب",
        "القَلْب",
        "أمراض مرضى",
        "心臓",
        "臓病",
        "患者",
        "kardiologie insel",
        "health.heart",
        "blutdruck ruhe",
    ],
)
def test_words_are_found_in_every_language_and_script(heart, echo, words):
    assert found([heart, echo], words=words) == ["4e"]


@pytest.mark.parametrize("words", ["eart", "heart brain", "病心", "lunge"])
def test_every_word_must_be_found_and_from_its_beginning(heart, echo, words):
    assert found([heart, echo], words=words) == []


def test_an_empty_query_finds_everything(heart, echo):
    assert sorted(found([heart, echo])) == ["4e", "ec"]
    assert sorted(found([heart, echo], words=" .,; ")) == ["4e", "ec"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"column": "age"}, ["4e", "ec"]),
        ({"column": "blutdruck"}, ["4e"]),
        ({"column": "admission"}, ["4e"]),
        ({"unit": "MMHG"}, ["4e"]),
        ({"unit": "kg"}, []),
        ({"purpose": "health.heart.valves"}, ["4e", "ec"]),
        ({"purpose": "marketing"}, ["ec"]),
        ({"jurisdiction": "ch"}, ["4e"]),
        ({"member": "lima"}, ["ec"]),
        ({"member": "inselspital"}, ["4e"]),
        ({"language": "JA"}, ["4e"]),
        ({"language": "fr"}, []),
        ({"usable": True}, ["4e"]),
        ({"words": "age", "column": "age", "jurisdiction": "PE"}, ["ec"]),
    ],
)
def test_filters_narrow_what_is_found(heart, echo, query, ids):
    assert sorted(found([heart, echo], **query)) == ids


def test_a_hit_says_why_and_under_which_agreement_it_could_be_used(heart):
    (hit,) = search([heart], Query(words="heart", unit="mmHg"), LIMA)
    assert [(match.part, match.language) for match in hit.matches] == [("unit", ""), ("title", "en")]
    assert hit.is_usable
    joint, old = hit.access
    assert joint.obstacles == ()
    assert old.obstacles == ("the agreement is suspended", "lima is not a party of the agreement")
    (hit,) = search([heart], Query(words="heart"), OSLO)
    assert not hit.is_usable
    assert search([heart], Query(words="heart", usable=True), OSLO) == ()


def test_a_title_ranks_before_a_description_and_a_whole_word_before_its_beginning(heart, echo):
    both = [heart, echo]
    (title,) = search(both, Query(words="echo"), LIMA)
    (beginning,) = search(both, Query(words="ech"), LIMA)
    (description,) = search(both, Query(words="patienten"), LIMA)
    assert title.score > beginning.score > description.score


def test_words_are_compared_without_case_width_and_accents_but_not_without_what_makes_another_letter():
    assert folded("Ｚürich") == folded("zurich")
    assert folded("Straße") == "strasse"
    assert folded("が") != folded("か")
    assert folded("क्षेत्र") == folded("क्षेत्र".upper())
    assert words_of("心臓病データ, v2") == ("心臓病データ", "v2")
    assert words_of("مرضى\u200f عام") == ("مرضى", "عام")


@given(title=st.text(max_size=30))
def test_whatever_the_title_its_own_words_find_the_dataset(title, heart):
    record = replace(heart, texts={"und": Text(title=title)})
    for word in words_of(title):
        assert found([record], words=word) == ["4e"]
    assert found([record], words=title) == ["4e"]


@given(text=st.text(max_size=30))
def test_what_is_compared_is_compared_once(text):
    once = folded(text)
    assert folded(once) == once
