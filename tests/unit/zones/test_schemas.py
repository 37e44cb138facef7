"""Columns of several offers fit, or it is said in what they differ and at whom."""

from dataclasses import replace

from serai.zones.schemas import find_differences
from serai.zones.statements import Column

AGE = Column(name="age", kind="number", unit="a", description="", low="0", high="120")
SEX = Column(name="sex", kind="category", unit="", description="at birth", levels=("female", "male"))
BOTH = {"bern": (AGE, SEX), "lima": (replace(SEX, description="other words"), AGE)}


def differences(**bent):
    return [(one.column, one.aspect, dict(one.said)) for one in find_differences({**BOTH, **bent})]


def test_the_order_of_columns_and_the_words_of_descriptions_do_not_matter():
    assert differences() == []


def test_each_thing_that_differs_is_named_with_what_each_member_says():
    oslo = (
        replace(AGE, unit="months", high="1440"),
        replace(SEX, levels=("male", "female")),
        replace(AGE, name="height"),
    )
    assert differences(oslo=oslo) == [
        ("age", "unit", {"bern": "a", "lima": "a", "oslo": "months"}),
        ("age", "bounds", {"bern": "0 to 120", "lima": "0 to 120", "oslo": "0 to 1440"}),
        ("sex", "levels", {"bern": "female, male", "lima": "female, male", "oslo": "male, female"}),
        ("height", "missing", {"bern": "missing", "lima": "missing", "oslo": "offered"}),
    ]


def test_a_column_of_another_kind_and_a_missing_one_are_told_apart():
    found = differences(oslo=(Column(name="age", kind="category", unit="", description=""),))
    assert [(column, aspect) for column, aspect, _ in found] == [
        ("age", "kind"),
        ("age", "unit"),
        ("age", "bounds"),
        ("sex", "missing"),
    ]


def test_only_the_columns_that_are_needed_count_and_one_that_nobody_has_is_missing():
    bent = {**BOTH, "oslo": (AGE,)}
    assert find_differences(bent, ("age",)) == ()
    (one,) = find_differences(bent, ("weight",))
    assert set(one.said.values()) == {"missing"}
